"""A worker of the virtual world: it obeys, works, and tells of it until that is durable.

It follows the rules of `mapreduce.cluster.worker`: an answer counts if it comes in time, from the
leader that was asked, and not from an older term than was seen before; outcomes are told until they
are answered, and told again to another leader as long as they are not kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mapreduce.engine.events import (
    AttemptFailed,
    AttemptId,
    AttemptReturned,
    AttemptSucceeded,
    TaskId,
)
from tests.simulation.jobs.messages import Answer, Heard, More, Order, Report, Told
from tests.simulation.jobs.plan import JobPlan, WorkerPlan
from tests.simulation.jobs.rules import check
from tests.simulation.jobs.work import BadRecord, Gathering, PiecesMissing, run_map

if TYPE_CHECKING:
    from tests.simulation.jobs.master import Master
    from tests.simulation.jobs.world import World

REPORT_S = 0.5
ANSWER_TIMEOUT_S = 1.5
STUCK_S = 0.5
"""An attempt that runs for so long is a long one."""
WANDERS = 0.5
"""How likely a worker looks for its leader anew at each beat, while the world is rough."""


@dataclass(slots=True)
class Running:
    """An attempt at work, or one that waits for a slot. A reduce has read what is in `gathering`,
    and of its leader's list of finished maps it was told the first `count`."""

    order: Order
    term: int
    """Of the leader who gave it."""
    unread: list[AttemptId]
    count: int
    began: float | None = None
    seconds: float = 0.0
    gathering: Gathering | None = None
    waits: bool = False
    """True if all is done but for pieces that are yet to come."""

    def progress(self, now: float) -> float:
        return 0.0 if self.began is None else min(1.0, (now - self.began) / self.seconds)

    @property
    def wants_more(self) -> bool:
        """True for a reduce that may have to be told of further maps."""
        if self.order.attempt.task.kind == "map":
            return False
        return self.gathering is None or not self.gathering.complete


@dataclass(slots=True)
class Outcome:
    event: Told
    first_told: int = 0
    """The first report to the present leader that contains it; 0 if none does."""
    answered: bool = False


@dataclass
class Worker:
    world: World
    plan: WorkerPlan
    leader: Master | None = None
    alive: bool = True
    buried: bool = False
    """True if it never comes back."""
    stalled_until: float = 0.0
    draining: bool = False
    session: int = 1
    number: int = 0
    obeyed: int = 0
    """The number of the newest report whose answer was obeyed."""
    answered_at: float = 0.0
    term: int = 0
    running: dict[AttemptId, Running] = field(default_factory=dict)
    outcomes: dict[AttemptId, Outcome] = field(default_factory=dict)
    asked_at: dict[int, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.plan.name

    # Life ----------------------------------------------------------------------------------------

    def beat(self) -> None:
        """Report, and again in a moment, as long as it lives."""
        self.world.after(REPORT_S, self.beat)
        if self.alive and self.stalled_until <= self.world.now:
            if self.world.now - self.answered_at > ANSWER_TIMEOUT_S or self.world.chance(WANDERS):
                self.find_leader()
            self._give_back()
            self.report()

    def crash(self) -> None:
        self.world.say(self.name, "dies")
        self.alive = False
        self.running.clear()
        self.outcomes.clear()

    def come_back(self) -> None:
        if not self.alive and not self.buried:
            self.world.say(self.name, "is back")
            self.alive, self.draining = True, False
            self.session += 1
            self.number, self.obeyed, self.term = 0, 0, 0
            self.asked_at.clear()
            self.find_leader()

    def stall(self, seconds: float) -> None:
        self.world.say(self.name, f"stalls for {seconds:.1f} s")
        self.stalled_until = self.world.now + seconds

    def find_leader(self) -> None:
        """What it has told a leader is nothing to another one, unless it was kept."""
        leader = self.world.some_leader()
        if leader is not self.leader:
            self.leader = leader
            self.world.counted["told again"] += len(self.outcomes)
            for outcome in self.outcomes.values():
                outcome.first_told, outcome.answered = 0, False
            for running in self.running.values():
                running.count = 0
        self.answered_at = self.world.now

    # Reports and answers -------------------------------------------------------------------------

    def report(self) -> None:
        if self.leader is None or not self.alive or self.stalled_until > self.world.now:
            return
        self.number += 1
        self.asked_at[self.number] = self.world.now
        self.world.send(self.leader.receive, self._next_report())

    def _next_report(self) -> Report:
        now = self.world.now
        finished = [outcome for outcome in self.outcomes.values() if not outcome.answered]
        for outcome in finished:
            outcome.first_told = outcome.first_told or self.number
        return Report(
            self.name,
            self.session,
            self.number,
            tuple(self.running),
            tuple((a, r.progress(now)) for a, r in self.running.items()),
            self.ahead,
            self.draining,
            tuple(outcome.event for outcome in finished),
            tuple(
                Heard(attempt, running.count)
                for attempt, running in self.running.items()
                if running.wants_more
            ),
        )

    def receive(self, leader: Master, answer: Answer) -> None:
        """Obey an answer that still counts."""
        if not self.alive or answer.session != self.session or leader is not self.leader:
            return
        if self.stalled_until > self.world.now:
            self.world.at(self.stalled_until, self.receive, leader, answer)
            return
        if answer.term < self.term:
            self.world.counted["answers refused"] += 1
            self.find_leader()
            return
        asked_at = self.asked_at.pop(answer.number, 0.0)
        if answer.number <= self.obeyed or self.world.now - asked_at > ANSWER_TIMEOUT_S:
            return
        self.term, self.obeyed, self.answered_at = answer.term, answer.number, self.world.now
        self._note_what_is_known(answer)
        self._obey(answer)

    def _note_what_is_known(self, answer: Answer) -> None:
        for attempt, outcome in list(self.outcomes.items()):
            if 0 < outcome.first_told <= answer.kept:
                del self.outcomes[attempt]
            elif 0 < outcome.first_told <= answer.number:
                outcome.answered = True

    def _obey(self, answer: Answer) -> None:
        for attempt in answer.kill:
            self.running.pop(attempt, None)
        for order in answer.run:
            self._take(order)
        for more in answer.more:
            self._go_on(more)
        self._fill_slots()

    # Work ----------------------------------------------------------------------------------------

    @property
    def ahead(self) -> int:
        """How many attempts may wait here for a slot."""
        return self.plan.ahead if self.world.rough and not self._is_stuck else 0

    @property
    def _is_stuck(self) -> bool:
        """True if every slot is at something that takes long."""
        long_ago = self.world.now - STUCK_S
        stuck = [r for r in self.running.values() if r.began is not None and r.began < long_ago]
        return len(stuck) == self.plan.slots

    def _take(self, order: Order) -> None:
        if order.attempt not in self.running:
            own = all(running.term == self.term for running in self.running.values())
            has_room = len(self.running) < self.plan.slots + self.plan.ahead
            # of what another leader has just given it, this one has perhaps not heard
            check(has_room or not own, f"{self.name} has more attempts than slots")
            running = Running(order, self.term, list(order.maps), order.count)
            self.running[order.attempt] = running

    def _fill_slots(self) -> None:
        while waiting := [r for r in self.running.values() if r.began is None]:
            if len(self.running) - len(waiting) == self.plan.slots:
                break
            self._begin(waiting[0])

    def _give_back(self) -> None:
        """What waits behind long attempts could run elsewhere by now."""
        if self._is_stuck:
            for attempt in [a for a, r in self.running.items() if r.began is None]:
                self.world.counted["returned"] += 1
                self._tells(AttemptReturned(attempt, self.name))

    def _begin(self, running: Running) -> None:
        world, attempt = self.world, running.order.attempt
        running.began, running.seconds = world.now, world.duration(self.plan.speed)
        if attempt.task.kind == "reduce":
            running.gathering = Gathering(world.job(attempt), attempt, self.name)
        if self._reads(running):
            world.after(running.seconds, self._has_worked, running, self.session)

    def _go_on(self, more: More) -> None:
        running = self.running.get(more.attempt)
        if running and running.count <= more.count:
            running.unread += more.maps
            running.count = more.count
            if self._reads(running) and running.waits:
                self._has_worked(running, self.session)

    def _reads(self, running: Running) -> bool:
        """False if it fails of what it reads."""
        if running.gathering:
            told, running.unread = running.unread, []
            try:
                running.gathering.read(told, self.world.store)
            except PiecesMissing as error:
                self.world.counted["pieces missing"] += 1
                self._fails(running, str(error), error.maps)
                return False
        return True

    def _has_worked(self, running: Running, session: int) -> None:
        """The time that the attempt takes is over."""
        attempt = running.order.attempt
        if session != self.session or self.running.get(attempt) is not running:
            return
        plan = self.world.plan
        if self.world.chance(plan.deadly):
            self.world.counted["deadly"] += 1
            self.crash()
            self.world.after(self.world.dice.uniform(0.5, 4.0), self.come_back)
        elif self.world.chance(plan.failures):
            self._fails(running, "the task raised")
        elif running.gathering and not running.gathering.complete:
            running.waits = True
        else:
            self._ends(running, self.world.job(attempt))

    def _ends(self, running: Running, job: JobPlan) -> None:
        attempt, store = running.order.attempt, self.world.store
        try:
            if running.gathering:
                result = running.gathering.reduce(store)
            else:
                result = run_map(job, attempt, running.order.skipping, store, self.name)
        except BadRecord as error:
            self._fails(running, str(error))
        else:
            self._tells(AttemptSucceeded(attempt, self.name, result))

    def _fails(self, running: Running, error: str, lost: tuple[TaskId, ...] = ()) -> None:
        self._tells(AttemptFailed(running.order.attempt, self.name, error, lost))

    def _tells(self, event: Told) -> None:
        del self.running[event.attempt]
        self.outcomes[event.attempt] = Outcome(event)
        self._fill_slots()
        self.report()
