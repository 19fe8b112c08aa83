"""A cluster that follows from a seed: its clock, network and store, and who lives in it.

Time is virtual. While the world is rough, all that the plan says goes wrong; after it everything
works, and every job must end. Then the cluster must be as idle as it looks.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

from mapreduce.engine.events import AttemptId, JobEnded, JobStarted, JobState
from mapreduce.engine.scheduler import Policy, Scheduler
from tests.simulation.jobs.master import Master, Record
from tests.simulation.jobs.people import People
from tests.simulation.jobs.plan import JobPlan, Plan
from tests.simulation.jobs.rules import Violation, check
from tests.simulation.jobs.trouble import Trouble
from tests.simulation.jobs.work import Part, Store, evaluate
from tests.simulation.jobs.worker import Worker

SETTLING_S = 12.0
"""When all jobs have ended, the workers have heard of it within this time."""
LONGEST_S = 40.0
"""No attempt takes longer, so that jobs without backups end in time too."""
PROBE = "probe"


class Run(NamedTuple):
    """A world that has been, and what was wrong with it."""

    world: World
    violations: tuple[Violation, ...]

    @classmethod
    def of(cls, world: World) -> Run:
        """Let `world` run, up to its first violation."""
        try:
            world.run()
        except Violation as violation:
            return cls(world, (violation,))
        except Exception as error:
            error.add_note(f"in the world of seed {world.plan.seed}: {command(world.plan.seed)}")
            raise
        return cls(world, ())

    @property
    def report(self) -> str:
        seed = self.world.plan.seed
        return "\n".join([f"seed {seed}", *map(str, self.violations), f"see it: {command(seed)}"])


def simulate(plan: Plan, scheduler: type[Scheduler] = Scheduler) -> Run:
    return Run.of(World(plan, scheduler))


def simulate_seed(seed: int) -> Run:
    return simulate(Plan.drawn(seed))


def command(seed: int) -> str:
    """How a person sees the world of a seed."""
    return f"make simulate-jobs SEED={seed}"


class World:
    """The world of `plan`. `run` it; raises `Violation`."""

    def __init__(
        self,
        plan: Plan,
        scheduler: type[Scheduler] = Scheduler,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self.plan = plan
        self.dice = Random(plan.seed)
        self.now = 0.0
        self.rough = True
        self.store = Store(walls=plan.walls)
        self.records: dict[str, Record] = {}
        self.people = People(self)
        self.trouble = Trouble(self)
        self.workers = {worker.name: Worker(self, worker) for worker in plan.workers}
        self.leader: Master | None = None
        self.former: Master | None = None
        """One that led before, and may still believe that it does."""
        self.term = 0
        """Of the newest leader: writes of older ones are refused."""
        self.attempts: set[AttemptId] = set()
        """All that were ever given out, by whichever leader."""
        self.failed_commits: set[str] = set()
        self.outputs: dict[str, tuple[list[Part], Counter[str]]] = {}
        self.counted: Counter[str] = Counter()
        """What happened how often, for the tests of the world itself."""
        # Tasks here are short, and copies of them shall be many.
        self.policy = Policy(max_losses=plan.max_losses, backup_after_s=1.0)
        self._make_scheduler = scheduler
        self._tell = tell
        self._agenda: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._noted = 0
        self._ended = 0

    def run(self) -> None:
        """From the beginning until all jobs have ended and the cluster is idle again."""
        self._begin()
        bound = self.plan.rough_s + self.plan.bound_s
        while self._ended < len(self.plan.jobs):
            if self.now > bound:
                left = (name for name, record in self.records.items() if not record.state.ended)
                raise Violation(f"never ended: {', '.join(left)}")
            self._step()
        self._settle()
        self._probe()

    def _begin(self) -> None:
        self.elect()
        for worker in self.workers.values():
            worker.leader = self.leader
            self.after(self.dice.uniform(0.0, 0.5), worker.beat)
        for job in self.plan.jobs:
            self.at(job.starts_at, self.people.submit, job)
        self.trouble.arrange()

    # Time and messages ---------------------------------------------------------------------------

    def at(self, when: float, do: Callable[..., None], *args: Any) -> None:
        self._noted += 1
        heapq.heappush(self._agenda, (max(when, self.now), self._noted, do, args))

    def after(self, seconds: float, do: Callable[..., None], *args: Any) -> None:
        self.at(self.now + seconds, do, *args)

    def send(self, deliver: Callable[..., None], *args: Any) -> None:
        """A message, which may get lost, come late or come twice."""
        if self.chance(self.plan.losses):
            self.counted["messages lost"] += 1
            return
        self.after(self._latency(), deliver, *args)
        if self.chance(self.plan.losses):
            self.counted["messages twice"] += 1
            self.after(self._latency(), deliver, *args)

    def _latency(self) -> float:
        late = self.chance(self.plan.losses)
        return self.dice.uniform(0.3, 8.0) if late else self.dice.uniform(0.001, 0.02)

    def chance(self, probability: float) -> bool:
        return self.rough and probability > 0 and self.dice.random() < probability

    def duration(self, speed: float) -> float:
        """How long an attempt takes."""
        seconds = self.dice.expovariate(1.0) * self.plan.task_s / speed + 0.01
        if self.chance(self.plan.stragglers):
            self.counted["stragglers"] += 1
            seconds = min(20 * seconds, LONGEST_S)
        return seconds

    def say(self, who: str, what: str) -> None:
        if self._tell:
            self._tell(f"{self.now:8.3f}  {who:<5} {what}")

    def _step(self) -> None:
        self.now, _, do, args = heapq.heappop(self._agenda)
        do(*args)

    def _until(self, when: float) -> None:
        while self._agenda and self._agenda[0][0] <= when:
            self._step()
        self.now = when

    # Masters -------------------------------------------------------------------------------------

    def elect(self) -> None:
        """From now on another master leads, whatever the one before believes."""
        self.term += 1
        self.leader = Master(self, self.term, self._make_scheduler(self.policy))
        self.leader.lead()

    def some_leader(self) -> Master | None:
        """Whom a worker finds: the leader, or one that believes to be it."""
        if self.former and self.former.alive and self.chance(0.5):
            return self.former
        return self.leader

    # What tasks and masters ask ------------------------------------------------------------------

    def job(self, attempt: AttemptId) -> JobPlan:
        return self.records[attempt.task.job].plan

    def discard(self, attempt: AttemptId) -> None:
        self.store.discard(attempt)

    def commit(self, record: Record) -> None:
        """The decided output becomes visible: it must be there, and what a sequential run gives."""
        job, winners = record.plan, record.winners or []
        check(not job.hopeless, f"{job.name} has committed, and its mapper raises")
        last = [w for w in winners if w.attempt.task.kind == "reduce" or not job.reduces]
        for winner in last:
            kept = winner.attempt in self.store.parts
            check(kept, f"the output of {job.name} was discarded: {winner.attempt}")
        counters: Counter[str] = Counter()
        for winner in winners:
            counters.update(winner.counters)
        output = [self.store.parts[w.attempt] for w in last]
        expected_output, expected_counters = evaluate(job)
        check(output == expected_output, f"the output of {job.name} is not a sequential run's")
        check(
            +counters == +expected_counters,
            f"the counters of {job.name}: {dict(counters)}, not {dict(expected_counters)}",
        )
        self.counted["skipped"] += counters["skipped"]
        first = self.outputs.setdefault(job.name, (output, counters))
        check(first == (output, counters), f"{job.name} was committed twice, with two outputs")

    def end(self, record: Record, ended: JobEnded) -> None:
        check(not record.state.ended, f"{ended.job} ended twice")
        committed = ended.job in self.outputs
        check(committed == (ended.state is JobState.SUCCEEDED), f"{ended.job} is {ended.state}")
        self.counted[ended.state.value] += 1
        self._ended += 1
        record.state, record.ended_at = ended.state, self.now
        self.store.sweep(ended.job)

    # The end -------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Nothing is left of the jobs anywhere: no attempt, and no output that nobody wants."""
        if self.rough:
            self.trouble.end()
        self._until(self.now + SETTLING_S)
        assert self.leader
        for worker in self.workers.values():
            check(not worker.running, f"{worker.name} still works on {list(worker.running)}")
        check(not self.leader.watch.open, f"never closed: {self.leader.watch.open}")
        for status in self.leader.scheduler.workers():
            check(status.running == 0, f"a slot of {status.name} has leaked")
        for name in filter(self.leader.scheduler.knows, self.records):
            check(not self.leader.scheduler.running(name), f"tasks of {name} still run")
        used = {w.attempt for record in self.records.values() for w in record.winners or ()}
        left = [a for a in self.store.parts if a not in used and self.leader.watch.answers_for(a)]
        check(not left, f"output that nobody wants was not discarded: {left}")

    def _probe(self) -> None:
        """A job of as many tasks as there are slots starts all of them at once."""
        assert self.leader
        slots = sum(worker.plan.slots for worker in self.workers.values() if worker.alive)
        probe = JobStarted(PROBE, ((),) * slots, (), backups=False)
        actions = self.leader.scheduler.handle(probe, self.now)
        check(len(actions) == slots, f"{slots} slots took {len(actions)} tasks")
