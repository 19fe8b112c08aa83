"""The scheduler in a world by seed: workers die, stall, come back, lose orders, report late or
twice; tasks fail at random, map output gets lost, users kill jobs. Whatever happens, what must hold
holds, and every job ends.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

import pytest

from mapreduce.engine.events import (
    Action,
    AttemptFailed,
    AttemptId,
    AttemptSucceeded,
    CommitFailed,
    CommitJob,
    DiscardResult,
    Event,
    JobCommitted,
    JobEnded,
    JobKilled,
    JobStarted,
    JobState,
    KillAttempt,
    RunAttempt,
    Tick,
    WorkerLost,
    WorkerReported,
)
from mapreduce.engine.scheduler import Policy, Scheduler

BATCHES = 20
SEEDS_IN_BATCH = 20
STEP_S = 0.25
QUIET_AFTER_S = 60.0
"""From then on the world behaves, and what still runs must end."""


@dataclass
class FakeWorker:
    name: str
    node: str
    slots: int
    alive: bool = True
    stalled_until: float = 0.0
    running: dict[AttemptId, float] = field(default_factory=dict)
    unsent: list[Event] = field(default_factory=list)
    orders: list[Action] = field(default_factory=list)


@dataclass
class World:
    seed: int
    now: float = 0.0
    stored: set[AttemptId] = field(default_factory=set)
    committing: list[str] = field(default_factory=list)
    ended: dict[str, JobState] = field(default_factory=dict)
    jobs: dict[str, JobStarted] = field(default_factory=dict)
    late: list[Event] = field(default_factory=list)
    started_attempts: set[AttemptId] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.scheduler = Scheduler(Policy(max_losses=30))
        count = self.dice.randint(1, 5)
        self.workers = {
            f"w{i}": FakeWorker(f"w{i}", f"n{i}", self.dice.randint(1, 3)) for i in range(count)
        }
        self.trouble = self.dice.choice([0.0, 0.02, 0.1])

    @property
    def rough(self) -> bool:
        return self.now < QUIET_AFTER_S

    def chance(self, probability: float) -> bool:
        return self.rough and self.dice.random() < probability

    def tell(self, event: Event) -> None:
        for action in self.scheduler.handle(event, self.now):
            self.perform(action)
        if self.chance(self.trouble) and not isinstance(event, WorkerReported):
            self.late.append(event)  # drivers drop old reports of what is running, nothing else

    def perform(self, action: Action) -> None:
        match action:
            case RunAttempt(worker=name, attempt=attempt):
                assert attempt not in self.started_attempts, "an attempt number was used twice"
                assert name in {w.name for w in self.scheduler.workers()}, "given to a lost worker"
                self.started_attempts.add(attempt)
                self.workers[name].orders.append(action)
            case KillAttempt(worker=name):
                self.workers[name].orders.append(action)
            case CommitJob(job=job):
                assert job not in self.ended
                self.committing.append(job)
            case DiscardResult(attempt=attempt):
                self.stored.discard(attempt)
            case JobEnded(job=job, state=state):
                assert job not in self.ended, "a job ended twice"
                self.ended[job] = state
                if state is JobState.SUCCEEDED:
                    self.check_success(job)

    def check_success(self, job: str) -> None:
        started = self.jobs[job]
        status = self.scheduler.status(job)
        maps, reduces = self.scheduler.map_results(job), self.scheduler.reduce_results(job)
        assert status.map.done == status.map.total == len(maps) == len(started.map_nodes)
        assert status.reduce.done == len(reduces) == len(started.reduce_nodes)
        tasks = Counter(result.task for result in (*maps, *reduces))
        assert set(tasks.values()) <= {1}
        kept = set(maps) if not reduces else set(reduces)
        assert kept <= self.stored, "the output of a winner was discarded"

    # What the workers do -------------------------------------------------------------------------

    def deliver(self, worker: FakeWorker) -> None:
        """The worker gets its orders, in order, or loses the whole answer."""
        orders, worker.orders = worker.orders, []
        if self.chance(self.trouble):
            return
        for order in orders:
            if isinstance(order, KillAttempt):
                worker.running.pop(order.attempt, None)
            elif isinstance(order, RunAttempt):
                worker.running[order.attempt] = self.now + self.dice.expovariate(1.0)
        assert len(worker.running) <= worker.slots, "more attempts than slots"

    def work(self, worker: FakeWorker) -> None:
        for attempt, until in list(worker.running.items()):
            if until <= self.now:
                del worker.running[attempt]
                worker.unsent.append(self.outcome(attempt, worker.name))

    def outcome(self, attempt: AttemptId, worker: str) -> Event:
        if self.chance(self.trouble):
            return AttemptFailed(attempt, worker, "the task raised")
        if attempt.task.kind == "reduce" and self.chance(self.trouble):
            maps = self.scheduler.map_results(attempt.task.job)
            lost = tuple(m.task for m in self.dice.sample(maps, min(len(maps), 2)))
            return AttemptFailed(attempt, worker, "pieces are gone", lost)
        self.stored.add(attempt)
        return AttemptSucceeded(attempt, worker, attempt)

    def report(self, worker: FakeWorker) -> None:
        if self.chance(self.trouble):
            return  # the report is lost: what has finished is told again
        unsent, worker.unsent = worker.unsent, []
        for event in unsent:
            self.tell(event)
        self.tell(
            WorkerReported(worker.name, worker.node, worker.slots, tuple(sorted(worker.running)))
        )
        self.deliver(worker)

    def disturb(self, worker: FakeWorker) -> None:
        if self.chance(self.trouble / 3):
            if worker.alive and self.dice.random() < 0.3:
                self.tell(WorkerLost(worker.name))
            worker.alive = not worker.alive
            worker.running.clear()
            worker.unsent.clear()
            worker.orders.clear()
        if self.chance(self.trouble / 2):
            worker.stalled_until = self.now + self.dice.uniform(1.0, 9.0)

    # The whole -----------------------------------------------------------------------------------

    def start_job(self) -> None:
        nodes = [f"n{i}" for i in range(6)]

        def places(count: int) -> tuple[tuple[str, ...], ...]:
            sample = self.dice.sample
            return tuple(tuple(sample(nodes, self.dice.randint(0, 3))) for _ in range(count))

        job = f"job{len(self.jobs)}"
        event = JobStarted(job, places(self.dice.randint(0, 8)), places(self.dice.randint(0, 3)))
        self.jobs[job] = event
        self.tell(event)

    def step(self) -> None:
        self.now += STEP_S
        for worker in self.workers.values():
            self.disturb(worker)
            if not self.rough:
                worker.alive = True
            if worker.alive and worker.stalled_until <= self.now:
                self.work(worker)
                self.report(worker)
        if len(self.jobs) < 4 and self.dice.random() < 0.1:
            self.start_job()
        if self.jobs and self.chance(self.trouble / 10):
            self.tell(JobKilled(self.dice.choice(sorted(self.jobs))))
        if self.late and self.dice.random() < 0.3:
            self.tell(self.late.pop(self.dice.randrange(len(self.late))))
        for job in self.committing:
            self.tell(CommitFailed(job, "no") if self.chance(0.05) else JobCommitted(job))
        self.committing.clear()
        self.tell(Tick())

    def run(self) -> None:
        while len(self.ended) < 4:
            assert self.now < QUIET_AFTER_S + 60.0, f"never ended: {self.jobs.keys() - self.ended}"
            self.step()


@pytest.mark.parametrize("batch", range(BATCHES))
def test_every_job_ends_and_success_means_one_result_for_each_task(batch):
    for seed in range(batch * SEEDS_IN_BATCH, (batch + 1) * SEEDS_IN_BATCH):
        try:
            World(seed).run()
        except Exception as error:
            raise AssertionError(f"seed {seed}: {error}") from error


def test_a_world_without_trouble_has_only_successes():
    for seed in range(50):
        world = World(seed)
        world.trouble = 0.0
        world.dice.random = lambda draw=world.dice.random: max(draw(), 0.06)  # no commit fails
        world.run()
        assert set(world.ended.values()) == {JobState.SUCCEEDED}, f"seed {seed}"
