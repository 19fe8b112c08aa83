"""A master of the virtual world: it drives the scheduler for one term, as
`mapreduce.cluster.dispatcher` does.

Whatever another master or the outside could see waits for the journal: what was decided before must
be durable before a result is discarded, a job committed or ended, an outcome called kept. The
journal itself refuses nobody: what a master writes whose term is over is read by the leader after
next, before what its own successor has written. But all that can't be undone is refused to an older
term; then the master gives up. Until then it believes that it leads.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mapreduce.engine.events import (
    Action,
    AttemptId,
    AttemptWon,
    CommitFailed,
    CommitJob,
    DiscardResult,
    Done,
    Event,
    Failure,
    FailureCounted,
    JobCommitted,
    JobEnded,
    JobKilled,
    JobStarted,
    JobState,
    KillAttempt,
    OutputLost,
    RunAttempt,
    TaskId,
    Tick,
    WorkerLost,
    WorkerReported,
)
from mapreduce.engine.scheduler import Scheduler
from tests.simulation.jobs.messages import Answer, More, Order, Report
from tests.simulation.jobs.plan import SKIPPING_AFTER, JobPlan, WorkerPlan
from tests.simulation.jobs.rules import Watch
from tests.simulation.jobs.work import Result

if TYPE_CHECKING:
    from tests.simulation.jobs.world import World

TICK_S = 0.25
ATTEMPTS_OF_A_TERM = 1000
Entry = Done | TaskId | Failure
"""An entry of a journal: a task is done, or done no more, or an attempt has failed."""
"""A leader's attempts have numbers above those of the leaders before it."""


@dataclass
class Record:
    """What the store has of a job: every master reads and writes it there."""

    plan: JobPlan
    state: JobState = JobState.RUNNING
    journal: dict[int, list[Entry]] = field(default_factory=lambda: defaultdict(list))
    """What was won and (the bare task) what was lost, in order, by the term in which it was."""
    takeovers: int = -1
    """How many leaders have taken it over from another one; the first has not."""
    paused: bool = False
    kill_wanted: bool = False
    winners: list[Result] | None = None
    """What is the job's output: decided once."""
    ended_at: float = 0.0

    def done(self) -> tuple[Done, ...]:
        """What the journal knows to be done."""
        done: dict[TaskId, Done] = {}
        for term in sorted(self.journal):
            for entry in self.journal[term]:
                if isinstance(entry, Done):
                    done[entry.attempt.task] = entry
                elif isinstance(entry, TaskId):
                    done.pop(entry, None)
        return tuple(done.values())

    def failed(self) -> tuple[Failure, ...]:
        """What it knows to have failed."""
        entries = (entry for term in sorted(self.journal) for entry in self.journal[term])
        return tuple(entry for entry in entries if isinstance(entry, Failure))


@dataclass
class Mailbox:
    """What waits for a worker's next report. A kill overtakes an order that was not sent."""

    session: int = 0
    number: int = 0
    kept: int = 0
    run: dict[AttemptId, Order] = field(default_factory=dict)
    kill: dict[AttemptId, None] = field(default_factory=dict)


class Master:
    def __init__(self, world: World, term: int, scheduler: Scheduler) -> None:
        self.world = world
        self.term = term
        self.scheduler = scheduler
        self.watch = Watch(world, scheduler, str(self))
        self.alive = True
        self.write_s = 0.1
        """What a write to the journal takes at most."""
        self._mail: dict[str, Mailbox] = {}
        self._finished: defaultdict[str, list[AttemptId]] = defaultdict(list)
        """The maps of each job as they finished: early reduces are told of them in this order."""
        self._waiting: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
        """What is to be done when all that was decided before it is durable."""
        self._writing = False

    def __str__(self) -> str:
        return f"m{self.term}"

    def lead(self) -> None:
        """Take up what there is, from the store, and let time pass."""
        self.world.say(str(self), "leads")
        for record in self.world.records.values():
            if record.state is JobState.RUNNING:
                self.take_up(record)
        self._tick()

    def die(self) -> None:
        self.world.say(str(self), "is no master any more")
        self.alive = False

    def take_up(self, record: Record) -> None:
        """Begin a job, or go on with it."""
        job = record.plan
        record.takeovers += 1
        if record.winners is not None:
            self._when_sure(self._make_visible, record)
            return
        done = record.done()
        finished = [d.attempt for d in done if d.attempt.task.kind == "map"]
        self._finished[job.name] += finished
        self.tell(
            JobStarted(
                job.name,
                job.map_nodes,
                job.reduce_nodes,
                job.max_attempts,
                hosts={worker.node: worker.host for worker in self.world.plan.workers},
                priority=job.priority,
                max_running=job.max_running,
                slow_start=job.slow_start,
                backups=job.backups,
                done=done,
                failed=record.failed(),
                first_attempt=record.takeovers * ATTEMPTS_OF_A_TERM + 1,
                resumed=record.takeovers > 0,
                paused=record.paused,
            )
        )
        if record.kill_wanted:
            self.tell(JobKilled(job.name))

    def _tick(self) -> None:
        if self.alive:
            self.tell(Tick())
            self.world.after(TICK_S, self._tick)

    # Reports -------------------------------------------------------------------------------------

    def receive(self, report: Report) -> None:
        worker = self.world.workers[report.worker]
        if not self.alive:
            worker.find_leader()
            return
        mail = self._mail.setdefault(report.worker, Mailbox())
        if report.session > mail.session:
            if mail.session:
                self.tell(WorkerLost(report.worker))
            mail.session, mail.number, mail.kept = report.session, 0, 0
        for outcome in report.finished:
            self.tell(outcome)
        if report.session == mail.session and report.number > mail.number:
            mail.number = report.number
            self.tell(_worker_reported(report, worker.plan))
            self._after_journal(self._note_kept, mail, report.session, report.number)
            self.world.send(worker.receive, self, self._answer(mail, report))

    def _note_kept(self, mail: Mailbox, session: int, number: int) -> None:
        if mail.session == session:
            mail.kept = max(mail.kept, number)

    def _answer(self, mail: Mailbox, report: Report) -> Answer:
        kill, run = tuple(mail.kill), tuple(mail.run.values())
        mail.kill.clear()
        mail.run.clear()
        more = tuple(
            More(heard.attempt, tuple(finished[heard.count :]), len(finished))
            for heard in report.heard
            if len(finished := self._finished[heard.attempt.task.job]) > heard.count
        )
        return Answer(self.term, report.session, report.number, mail.kept, kill, run, more)

    # The scheduler -------------------------------------------------------------------------------

    def tell(self, event: Event) -> None:
        if self.alive:
            actions = self.scheduler.handle(event, self.world.now)
            self.watch.see(event, actions)
            for action in actions:
                self._perform(action)

    def _perform(self, action: Action) -> None:
        match action:
            case RunAttempt(worker=worker, attempt=attempt):
                self.world.say(str(self), f"gives {attempt} of {attempt.task.job} to {worker}")
                self._mail[worker].run[attempt] = self._order(action)
            case KillAttempt(worker=worker, attempt=attempt):
                mail = self._mail.setdefault(worker, Mailbox())
                if mail.run.pop(attempt, None) is None:
                    mail.kill[attempt] = None
            case AttemptWon(attempt=attempt):
                self._won(action)
            case FailureCounted(attempt=attempt, worker=worker):
                failure = Failure(attempt, worker)
                self._after_journal(self._journal(attempt.task.job).append, failure)
            case OutputLost(task=task):
                self.world.say(str(self), f"has lost the output of {task} of {task.job}")
                self._after_journal(self._journal(task.job).append, task)
            case DiscardResult(attempt=attempt):
                self._when_sure(self.world.discard, attempt)
            case CommitJob(job=job):
                self._when_sure(self._commit, self.world.records[job])
            case JobEnded(job=job, state=state):
                self.world.say(str(self), f"{job} is {state}")
                self._when_sure(self.world.end, self.world.records[job], action)

    def _won(self, won: AttemptWon) -> None:
        task = won.attempt.task
        self.world.say(str(self), f"{won.attempt} of {task.job} has won")
        if task.kind == "map":
            self._finished[task.job].append(won.attempt)
        done = Done(won.attempt, won.worker, won.locality, won.result)
        self._after_journal(self._journal(task.job).append, done)

    def _journal(self, job: str) -> list[Entry]:
        return self.world.records[job].journal[self.term]

    def _order(self, run: RunAttempt) -> Order:
        job = run.attempt.task.job
        skipping = self.world.records[job].plan.skips and run.failures >= SKIPPING_AFTER
        if run.attempt.task.kind == "map":
            return Order(run.attempt, skipping)
        maps = tuple(result.attempt for result in self.scheduler.map_results(job))
        return Order(run.attempt, skipping, maps, len(self._finished[job]))

    # What waits for the journal ------------------------------------------------------------------

    def _after_journal(self, do: Callable[..., Any], *args: Any) -> None:
        """Do it when all that was decided so far is durable."""
        self._waiting.append((do, args))
        if not self._writing:
            self._write()

    def _when_sure(self, do: Callable[..., Any], *args: Any) -> None:
        """The same, and only if this master still leads by then."""
        self._after_journal(self._do_if_leading, do, args)

    def _do_if_leading(self, do: Callable[..., Any], args: tuple[Any, ...]) -> None:
        if self.term == self.world.term:
            do(*args)
        elif self.alive:
            self.world.counted["decisions refused"] += 1
            self.die()

    def _write(self) -> None:
        """One write of all that has gathered since the last one began."""
        self._writing = True
        batch, self._waiting = self._waiting, []
        self.world.after(self.world.dice.uniform(0.05, 1.0) * self.write_s, self._written, batch)

    def _written(self, batch: list[tuple[Callable[..., Any], tuple[Any, ...]]]) -> None:
        for do, args in batch:
            if not self.alive:
                return
            do(*args)
        self._writing = False
        if self._waiting:
            self._write()

    def _commit(self, record: Record) -> None:
        job = record.plan.name
        if self.world.chance(self.world.plan.commits):
            self.world.failed_commits.add(job)
            self.tell(CommitFailed(job, "no quorum"))
            return
        winners = self.scheduler.map_results(job) + self.scheduler.reduce_results(job)
        record.winners = record.winners or winners
        if self.world.trouble.strike(self):
            return
        self._when_sure(self._make_visible, record)

    def _make_visible(self, record: Record) -> None:
        """Anybody may do it, and twice: it is decided what the output is."""
        self.world.commit(record)
        if self.world.trouble.strike(self):
            return
        job = record.plan.name
        if self.scheduler.knows(job):
            self.tell(JobCommitted(job))
        else:
            self.world.end(record, JobEnded(job, JobState.SUCCEEDED))


def _worker_reported(report: Report, plan: WorkerPlan) -> WorkerReported:
    return WorkerReported(
        report.worker,
        plan.node,
        plan.slots,
        report.running,
        host=plan.host,
        draining=report.draining,
        progress=report.progress,
        ahead=report.ahead,
    )
