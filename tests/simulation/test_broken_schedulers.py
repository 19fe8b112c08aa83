"""Schedulers that are broken on purpose; a seed among the first sees each of them, so we know that
the world and its rules see."""

import math
from collections import Counter, defaultdict

import msgspec
import pytest

from mapreduce.engine import events
from mapreduce.engine.events import Action, AttemptId, Event, Locality, TaskId
from mapreduce.engine.ledger import Attempt, AttemptState
from mapreduce.engine.scheduler import Policy, Scheduler
from tests.simulation.jobs.plan import Plan, cramped
from tests.simulation.jobs.world import simulate

SEEDS = 100
changed = msgspec.structs.replace


class Broken(Scheduler):
    """Mishears events, or says something else than it should."""

    def handle(self, event: Event, now: float) -> list[Action]:
        actions = super().handle(self.hears(event), now)
        return [said for action in actions for said in self.says(action)]

    def hears(self, event: Event) -> Event:
        return event

    def says(self, action: Action) -> list[Action]:
        return [action]


# Slots -------------------------------------------------------------------------------------------


class LeaksSlots(Broken):
    """What a worker has once worked on holds its slot for ever."""

    def __init__(self, policy: Policy | None = None) -> None:
        super().__init__(policy)
        self.seen: dict[str, set[AttemptId]] = {}

    def hears(self, event: Event) -> Event:
        if not isinstance(event, events.WorkerReported):
            return event
        seen = self.seen.setdefault(event.worker, set())
        seen.update(event.running)
        return changed(event, running=tuple(sorted(seen)))


class SeesMoreSlots(Broken):
    def hears(self, event: Event) -> Event:
        if isinstance(event, events.WorkerReported):
            return changed(event, slots=event.slots + 1)
        return event


class ForgetsThatRoomIsGone(Broken):
    """A worker may once have had as many tasks wait as it liked."""

    def __init__(self, policy: Policy | None = None) -> None:
        super().__init__(policy)
        self.most: Counter[str] = Counter()

    def hears(self, event: Event) -> Event:
        if not isinstance(event, events.WorkerReported):
            return event
        self.most[event.worker] = max(self.most[event.worker], event.ahead)
        return changed(event, ahead=self.most[event.worker])


class ForgetsWhatRuns(Broken):
    """A worker's report of what it runs is not heard: strays hold no slot."""

    def hears(self, event: Event) -> Event:
        return changed(event, running=()) if isinstance(event, events.WorkerReported) else event


class LetsStraysRun(Broken):
    def says(self, action: Action) -> list[Action]:
        return [] if isinstance(action, events.KillAttempt) else [action]


class WaitsForTheDead(Broken):
    def __init__(self, policy: Policy) -> None:
        super().__init__(changed(policy, worker_timeout_s=math.inf))


class IgnoresDrains(Broken):
    def hears(self, event: Event) -> Event:
        return changed(event, draining=False) if isinstance(event, events.WorkerReported) else event


# Attempts ----------------------------------------------------------------------------------------


class ReusesNumbers(Broken):
    """A new leader begins to count attempts at 1."""

    def hears(self, event: Event) -> Event:
        return changed(event, first_attempt=1) if isinstance(event, events.JobStarted) else event


class ForgetsAdoption(Broken):
    """What an earlier leader has given out is stopped."""

    def _adopt(self, *_: object) -> None:
        return None


class RepeatsWhatIsDone(Broken):
    """A new leader doesn't know what is done."""

    def hears(self, event: Event) -> Event:
        return changed(event, done=()) if isinstance(event, events.JobStarted) else event


class CrownsTwo(Broken):
    """The second success of a task wins as well."""

    def handle(self, event: Event, now: float) -> list[Action]:
        actions = super().handle(event, now)
        if isinstance(event, events.AttemptSucceeded):
            return [self._crowned(action, event.worker) for action in actions]
        return actions

    def _crowned(self, action: Action, worker: str) -> Action:
        if not isinstance(action, events.DiscardResult):
            return action
        return events.AttemptWon(action.attempt, worker, Locality.ANY, action.result)


class NeverTriesAgain(Broken):
    """A task whose attempt was lost is forgotten."""

    def _lose(self, attempt: Attempt, error: str) -> None:
        self._close(attempt, AttemptState.LOST)


class HidesFailures(Broken):
    def says(self, action: Action) -> list[Action]:
        return [changed(action, failures=0) if isinstance(action, events.RunAttempt) else action]


class GivesUpTooSoon(Broken):
    def hears(self, event: Event) -> Event:
        if isinstance(event, events.JobStarted):
            return changed(event, max_attempts=event.max_attempts - 1)
        return event


class NeverGivesUp(Broken):
    def hears(self, event: Event) -> Event:
        if isinstance(event, events.JobStarted):
            return changed(event, max_attempts=10**6)
        return event


class NeverTakesBack(Broken):
    """What a worker has given back counts as running there for ever."""

    def __init__(self, policy: Policy | None = None) -> None:
        super().__init__(policy)
        self.returned: dict[str, set[AttemptId]] = defaultdict(set)

    def hears(self, event: Event) -> Event:
        if isinstance(event, events.AttemptReturned):
            self.returned[event.worker].add(event.attempt)
            return events.Tick()
        if isinstance(event, events.WorkerReported):
            running = {*event.running, *self.returned[event.worker]}
            return changed(event, running=tuple(sorted(running)))
        return event


# Policies ----------------------------------------------------------------------------------------


class IgnoresLimits(Broken):
    def hears(self, event: Event) -> Event:
        return changed(event, max_running=0) if isinstance(event, events.JobStarted) else event


class StartsReducesTooSoon(Broken):
    def hears(self, event: Event) -> Event:
        return changed(event, slow_start=0.0) if isinstance(event, events.JobStarted) else event


class NeverYields(Broken):
    """Reduces that wait for maps keep the slots that the maps need."""

    def _give_out(self) -> None:
        self._fill()


class CopiesAll(Broken):
    def __init__(self, policy: Policy) -> None:
        super().__init__(changed(policy, backup_share=1.0))


class CopiesUnasked(Broken):
    def hears(self, event: Event) -> Event:
        return changed(event, backups=True) if isinstance(event, events.JobStarted) else event


class CallsAllCopies(Broken):
    def says(self, action: Action) -> list[Action]:
        return [changed(action, backup=True) if isinstance(action, events.RunAttempt) else action]


class ConfusesPlaces(Broken):
    def says(self, action: Action) -> list[Action]:
        if isinstance(action, events.RunAttempt) and action.locality is Locality.REMOTE:
            return [changed(action, locality=Locality.HOST)]
        return [action]


# Results -----------------------------------------------------------------------------------------


class CountsLosers(Broken):
    """What attempts that came too late have counted is counted too."""

    def __init__(self, policy: Policy | None = None) -> None:
        super().__init__(policy)
        self.late: list[events.DiscardResult] = []

    def says(self, action: Action) -> list[Action]:
        if isinstance(action, events.DiscardResult):
            self.late.append(action)
        return [action]

    def map_results(self, job: str) -> list:
        late = {action.attempt: action.result for action in self.late}
        of_maps = [a for a in late if (a.task.job, a.task.kind) == (job, "map")]
        return super().map_results(job) + [late[attempt] for attempt in of_maps]


class GivesSpoiledPieces(Broken):
    """Reduces are told of the first output of a map, though it is gone."""

    def __init__(self, policy: Policy | None = None) -> None:
        super().__init__(policy)
        self.first: dict[TaskId, object] = {}

    def says(self, action: Action) -> list[Action]:
        if isinstance(action, events.AttemptWon):
            self.first.setdefault(action.attempt.task, action.result)
        return [action]

    def map_results(self, job: str) -> list:
        now = super().map_results(job)
        return [self.first.get(result.attempt.task, result) for result in now]


class LeavesOutput(Broken):
    def says(self, action: Action) -> list[Action]:
        return [] if isinstance(action, events.DiscardResult) else [action]


class DiscardsWhatIsUsed(Broken):
    """A success that is told a second time is taken for another one."""

    def __init__(self, policy: Policy | None = None) -> None:
        super().__init__(policy)
        self.won: set[AttemptId] = set()

    def handle(self, event: Event, now: float) -> list[Action]:
        actions = super().handle(event, now)
        if isinstance(event, events.AttemptSucceeded):
            if event.attempt in self.won:
                actions.append(events.DiscardResult(event.attempt, event.result))
            self.won.add(event.attempt)
        return actions


class BlamesReduces(Broken):
    """That a reduce can't read its pieces is its own fault."""

    def hears(self, event: Event) -> Event:
        return changed(event, lost=()) if isinstance(event, events.AttemptFailed) else event


class KeepsLossesToItself(Broken):
    def says(self, action: Action) -> list[Action]:
        return [] if isinstance(action, events.OutputLost) else [action]


class KeepsWinsToItself(Broken):
    def says(self, action: Action) -> list[Action]:
        return [] if isinstance(action, events.AttemptWon) else [action]


# Jobs --------------------------------------------------------------------------------------------


class ForgetsTheLastMap(Broken):
    def hears(self, event: Event) -> Event:
        if isinstance(event, events.JobStarted):
            return changed(event, map_nodes=event.map_nodes[:-1])
        return event


class EndsTwice(Broken):
    def says(self, action: Action) -> list[Action]:
        return [action, action] if isinstance(action, events.JobEnded) else [action]


class IgnoresPauses(Broken):
    def hears(self, event: Event) -> Event:
        if isinstance(event, events.JobStarted):
            return changed(event, paused=False)
        return events.Tick() if isinstance(event, events.JobPaused) else event


class NeverResumes(Broken):
    def hears(self, event: Event) -> Event:
        return events.Tick() if isinstance(event, events.JobResumed) else event


class IgnoresKills(Broken):
    def hears(self, event: Event) -> Event:
        return events.Tick() if isinstance(event, events.JobKilled) else event


class KillsAtWill(Broken):
    """Who wants a task stopped gets the whole job stopped."""

    def hears(self, event: Event) -> Event:
        if isinstance(event, events.TaskKilled):
            return events.JobKilled(event.task.job)
        return event


SEEN = {
    LeaksSlots: "slots took",
    SeesMoreSlots: "is one too many for",
    ForgetsThatRoomIsGone: "is one too many for",
    ForgetsWhatRuns: "which nobody wants",
    LetsStraysRun: "beside 1, backup: False",
    WaitsForTheDead: "silent for",
    IgnoresDrains: "which is draining",
    ReusesNumbers: "number was used before",
    ForgetsAdoption: "was of use, and was stopped",
    RepeatsWhatIsDone: "runs though its task is done",
    CrownsTwo: "won after another attempt",
    NeverTriesAgain: "never ended",
    HidesFailures: "is told 0 failures",
    GivesUpTooSoon: "failed after",
    NeverGivesUp: "never ended",
    NeverTakesBack: "slots took",
    NeverYields: "never ended",
    IgnoresLimits: "exceeds max_running",
    StartsReducesTooSoon: "maps are done",
    CopiesAll: "is backup number",
    CopiesUnasked: "the user wants none",
    CallsAllCopies: "backup: True",
    ConfusesPlaces: "is called host and is remote",
    CountsLosers: "the counters of",
    GivesSpoiledPieces: "never ended",
    LeavesOutput: "was not discarded",
    DiscardsWhatIsUsed: "was discarded",
    BlamesReduces: "is told 1 failures: 0",
    KeepsLossesToItself: "runs though its task is done",
    KeepsWinsToItself: "tasks done",
    ForgetsTheLastMap: "tasks done",
    EndsTwice: "ended twice",
    IgnoresPauses: "runs though its job is paused",
    NeverResumes: "never ended",
    IgnoresKills: "was killed and goes on",
    KillsAtWill: "nobody wanted it",
}


WORLDS = {NeverYields: cramped}
"""Where it shows sooner than anywhere."""


@pytest.mark.parametrize("scheduler", SEEN, ids=lambda scheduler: scheduler.__name__)
def test_a_broken_scheduler_is_seen(scheduler: type[Scheduler]) -> None:
    world, violations = WORLDS.get(scheduler, Plan.drawn), list[str]()
    for seed in range(1, SEEDS + 1):
        violations += map(str, simulate(world(seed), scheduler).violations)
        if any(SEEN[scheduler] in violation for violation in violations):
            return
    raise AssertionError(f"not seen in {SEEDS} seeds: {violations[:5]}")
