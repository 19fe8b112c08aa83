"""The leading master's inside: drives the scheduler for one term, from when this process begins to
lead until it ends.

What users ask is in `mapreduce.cluster.requests`, what workers report in `reports`; both put
events in here. All tables are touched in gevent's hub only, so there are no locks. Whatever talks
to the store runs in a thread, so the hub always answers.

Another master may lead by the time that something is done here. So what tasks come to is in the
journal before it counts, how a run ends is decided by all masters (`decisions`), and nothing is
deleted that a later leader might choose (`unwanted`).
"""

import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import gevent
import msgspec
from gevent.event import Event as Signal
from gevent.lock import Semaphore
from gevent.pool import Group

from dynamo.errors import CorruptData, DynamoError
from dynamo.store import Store
from mapreduce.cluster import history, records, runs, takeover
from mapreduce.cluster.decisions import Decisions
from mapreduce.cluster.election import Election
from mapreduce.cluster.history import PastTask
from mapreduce.cluster.journal import Journal
from mapreduce.cluster.mailbox import Mailbox
from mapreduce.cluster.narrator import Narrator
from mapreduce.cluster.records import JobRecord
from mapreduce.cluster.threads import Threads
from mapreduce.cluster.unwanted import Unwanted
from mapreduce.engine.events import (
    Action,
    AttemptId,
    AttemptWon,
    CommitFailed,
    CommitJob,
    DiscardResult,
    Event,
    FailureCounted,
    JobCommitted,
    JobEnded,
    JobKilled,
    JobStarted,
    JobState,
    KillAttempt,
    OutputLost,
    RunAttempt,
    StoodStill,
    Tick,
)
from mapreduce.engine.orders import TaskResult
from mapreduce.engine.run import Run
from mapreduce.engine.scheduler import Policy, Scheduler
from mapreduce.engine.summary import summarise
from mapreduce.engine.watching import Note
from mapreduce.errors import JobFailed, TermOver

log = logging.getLogger("mapreduce.master")

TICK_S = 0.2
STOOD_STILL_S = 0.5
"""A tick that comes so late finds that this process has been kept from everything."""
THREADS = 8
SAVE_TRIES = 10
REMEMBERED_PHASES = 20
"""So many phases that are over stay in the scheduler, for results that come late."""
SECOND_SWEEP_S = 3.0
"""Attempts that were told to stop may write pieces until then."""


class Dispatcher:
    """Jobs and workers of a cluster during one term of its leader. `start` before use, and use no
    more after `stop`; every method is called in the hub."""

    def __init__(
        self,
        store: Store,
        election: Election,
        term: int,
        policy: Policy | None = None,
        name: str = "",
    ) -> None:
        self.store = store
        self.election = election
        self.term = term
        self.scheduler = Scheduler(policy)
        self.threads = Threads(THREADS)
        self.journal = Journal(store, term, self.threads, election.resign)
        self.decisions = Decisions(election, term, self.threads)
        self._narrator = Narrator(name, term, self.scheduler, store, self.threads)
        self.records: dict[str, JobRecord] = {}
        self.runs: dict[str, Run] = {}
        self.notes: dict[str, tuple[Note, ...]] = {}
        """What each worker has said last of the attempts that it runs."""
        self.closing: set[str] = set()
        """Runs that have ended, and whose records are not in the store yet."""
        self._told_at = time.monotonic()
        """When the scheduler was last told something, which is every tick at least."""
        self.run_ended = Signal()
        """Wakes those who wait for the end of a run."""
        self._saving = Semaphore()
        """Held while a record is saved: so the newest is saved last."""
        self._phases: dict[str, Run] = {}
        """The runs by the names of their phases, which the scheduler knows."""
        self._ended: deque[str] = deque()
        self._mail: dict[str, Mailbox] = {}
        self._work = Group()
        self._unwanted = Unwanted(store, self.journal, self.decisions, self.threads, self._spawn)

    def start(self) -> None:
        """Read what jobs there are, go on with those that run, and let time pass from now on.

        Raises `TermOver` if another master leads by now.
        """
        self.records.update(self.threads.call(records.load, self.store))
        newest = max((record.term for record in self.records.values()), default=0)
        if newest >= self.term:
            self.election.raise_above(newest)
            raise TermOver(self.term)
        running = [r for r in self.records.values() if r.state is JobState.RUNNING]
        for record in sorted(running, key=lambda record: record.started_at or 0.0):
            self._take_over(record)
        self._spawn(self._tick)
        self._spawn(self._unwanted.delete)
        self._spawn(self._narrator.keep)

    def stop(self) -> None:
        """Running jobs are left as they are in the store."""
        self.journal.stop()
        self._work.kill(block=False)

    def _spawn(self, work: Callable[..., None], *args: Any) -> None:
        """Do something in its own greenlet, as long as the term lasts."""
        self._work.spawn(_until_over, work, *args)

    def mailbox(self, worker: str) -> Mailbox:
        """The orders of a worker."""
        return self._mail.setdefault(worker, Mailbox())

    def save(self, name: str) -> None:
        """Keep the record of a job as it is by now, if there is one."""
        with self._saving:
            if record := self.records.get(name):
                record = msgspec.structs.replace(record, term=self.term)
                self.threads.call(records.save, self.store, record)

    def begin(self, run: Run, started: JobStarted) -> None:
        """Let the scheduler have a run."""
        self.runs[run.id] = run
        self._start_phase(run, started)

    def is_running(self, run: Run) -> bool:
        """Whether the scheduler has the present phase of a run, and it goes on."""
        return run.job in self._phases and not self.scheduler.status(run.job).state.ended

    def _take_over(self, record: JobRecord) -> None:
        """Go on with a run that an earlier leader has left, or end it as that one was about to."""
        try:
            resumed = self.threads.call(takeover.resume, self.store, record, self.term)
        except (CorruptData, msgspec.MsgspecError, LookupError) as error:
            log.warning("the run %s can't be gone on with: %s", record.run, error)
            resumed = None
        if resumed is None:
            self.records[record.name] = records.lost(record)
            self.save(record.name)
            return
        run, started, self.records[record.name] = resumed
        self.runs[run.id] = run
        if ended := next(filter(None, map(self.decisions.ended, run.all_phases)), None):
            for done in started.done:
                self._unwanted.add(run, done.attempt, done.result)
            state, reason = ended
            self._give_up(run, state, self._take_back(run, reason))
        else:
            self._start_phase(run, started)

    # Driving the scheduler -----------------------------------------------------------------------

    def tell(self, event: Event) -> None:
        """Tell the scheduler what has happened, and do what it answers."""
        self._narrator.event(event)
        now = time.monotonic()
        stood_s, self._told_at = now - self._told_at - TICK_S, now
        if stood_s > STOOD_STILL_S:  # what workers have sent meanwhile has yet to be read
            self.tell(StoodStill(stood_s))
        for action in self.scheduler.handle(event, now):
            self._narrator.action(action)
            self._perform(action)

    def _tick(self) -> None:
        while True:
            gevent.sleep(TICK_S)
            self.tell(Tick())
            for run in self._phases.values():
                for worker, more in run.news(self.scheduler.map_results):
                    self.mailbox(worker).more(more)

    def retell(self, attempt: AttemptId, worker: str) -> None:
        """A reduce attempt has to be told of all pieces that there are."""
        if run := self._phases.get(attempt.task.job):
            run.retell(attempt, worker)

    def _perform(self, action: Action) -> None:
        match action:
            case RunAttempt(worker=worker, attempt=attempt, failures=failures):
                run = self._phases[attempt.task.job]
                order = run.order(attempt, self.scheduler.map_results, failures)
                self.mailbox(worker).run(run.phase_order, order)
                if order.maps_left:
                    run.tell_more(order, worker)
            case AttemptWon(attempt=attempt, result=result):
                self.journal.note(action)
                if attempt.task.kind == "map":
                    self._phases[attempt.task.job].map_won(result)
            case KillAttempt(worker=worker, attempt=attempt):
                self.mailbox(worker).kill(attempt)
            case DiscardResult(attempt=attempt, result=result):
                if run_of := self._phases.get(attempt.task.job):
                    self._unwanted.add(run_of, attempt, result)
            case OutputLost() | FailureCounted():
                self.journal.note(action)
            case CommitJob(job=job):
                self._spawn(self._commit, self._phases[job])
            case JobEnded(job=job, state=state):
                run = self._phases[job]
                if state is JobState.SUCCEEDED and not run.is_last:
                    self._spawn(self._next_phase, run)
                else:
                    self._end(run)

    # A run goes on from phase to phase -----------------------------------------------------------

    def _start_phase(self, run: Run, started: JobStarted) -> None:
        self._phases[run.job] = run
        record = self.records[run.spec.name]
        self.tell(msgspec.structs.replace(started, paused=record.paused))
        if self.records[run.spec.name].kill_wanted:
            self.tell(JobKilled(run.job))

    def _commit(self, run: Run) -> None:
        """Make the output of the present phase visible: that which all leaders would."""
        self.journal.flush()
        results = self.scheduler.results(run.job)
        summary = self.decisions.commit(run.job, self._summary(run, results))
        if summary is None:
            self.tell(CommitFailed(run.job, "an earlier master has ended the job"))
            return
        try:
            self.threads.call(runs.commit, self.store, run, results, summary)
        except Exception as error:
            self.decisions.retract(run.job)
            self.tell(CommitFailed(run.job, self._take_back(run, str(error))))
        else:
            self.tell(JobCommitted(run.job))

    def _summary(self, run: Run, results: list[TaskResult]) -> dict[str, Any]:
        now, status = time.monotonic(), self.scheduler.status(run.job)
        began = self.records[run.spec.name].started_at or time.time()
        return summarise(
            run.spec.name,
            time.time() - began,
            run.told(status, now),
            run.counters(results, status),
            run.skipped(results),
        )

    def _take_back(self, run: Run, reason: str) -> str:
        """Remove what a commit that failed for `reason` has made visible; returns why it failed,
        and what could not be removed."""
        try:
            self.threads.call(runs.retract, self.store, run, reason)
        except JobFailed as failed:
            return str(failed)
        return reason

    def _next_phase(self, run: Run) -> None:
        """A phase has succeeded, and there is another one after it."""
        now = time.monotonic()
        status, results = self.scheduler.status(run.job), self.scheduler.results(run.job)
        before = self.records[run.spec.name]
        record = records.brought_up_to_date(before, run, self.scheduler, now)
        past = self._past_tasks(run, now)
        self.records[run.spec.name] = history.with_slowest(record, past)
        self._remember(run.job)
        phase = run.job
        run.advance(status, results, now)
        try:
            self.threads.call(history.keep_tasks, self.store, run.spec.name, run.id, phase, past)
            started = self.threads.call(runs.plan_next, self.store, run, self.term)
        except Exception as error:
            killed = self.records[run.spec.name].kill_wanted
            why = f"step {run.phase.step + 1} could not be planned: {error}"
            self._give_up(run, JobState.KILLED if killed else JobState.FAILED, why)
        else:
            self._start_phase(run, started)

    # A run ends ----------------------------------------------------------------------------------

    def _give_up(self, run: Run, state: JobState, error: str) -> None:
        """End a run whose present phase the scheduler has not been told of."""
        record = msgspec.structs.replace(
            self.records[run.spec.name],
            state=state,
            error=error,
            ended_at=time.time(),
            told=run.state.steps,
            kill_wanted=False,
        )
        self.records[run.spec.name] = record
        self._begin_to_close(run, record, [])

    def _end(self, run: Run) -> None:
        now = time.monotonic()
        record = self.records[run.spec.name]
        record = records.brought_up_to_date(record, run, self.scheduler, now)
        past = self._past_tasks(run, now)
        record = history.with_slowest(record, past)
        self.records[run.spec.name] = record
        self._begin_to_close(run, record, past)
        self._remember(run.job)

    def _past_tasks(self, run: Run, now: float) -> list[PastTask]:
        """When the tasks of the present phase ran."""
        return history.of_phase(run.job, run.id, self.scheduler.tasks(run.job), time.time() - now)

    def _remember(self, phase: str) -> None:
        """Keep what is known of a phase that has ended for a while."""
        self._ended.append(phase)
        if len(self._ended) > REMEMBERED_PHASES:
            oldest = self._ended.popleft()
            self.scheduler.forget(oldest)
            run = self._phases.pop(oldest)
            if run.job == oldest:  # its last one
                self.runs.pop(run.id, None)

    def _begin_to_close(self, run: Run, record: JobRecord, past: list[PastTask]) -> None:
        self.closing.add(run.id)
        self._narrator.ended(run.job, record.state, record.error)
        self.run_ended.set()
        self.run_ended.clear()
        self._spawn(self._close, run, record, past)

    def _close(self, run: Run, record: JobRecord, past: list[PastTask]) -> None:
        """Remove what a run that is over has left, and note that it is over. Should this master go
        in the middle, the next one begins with this again: the record comes after the sweep."""
        phase = run.job
        try:
            if record.state is not JobState.SUCCEEDED:
                self.decisions.end(phase, record.state, record.error)
            self._unwanted.await_end(run)
            self._persistently(run, self._note_end, run, record, phase, past)
        finally:
            self.closing.discard(run.id)
        gevent.sleep(SECOND_SWEEP_S)
        self._persistently(run, self._sweep_again, run, record)

    def _note_end(self, run: Run, record: JobRecord, phase: str, past: list[PastTask]) -> None:
        self._narrator.close(run.id)
        self.threads.call(history.keep_end, self.store, record, phase, past)
        self.threads.call(runs.sweep, self.store, run, record)
        self.save(record.name)
        self.threads.call(runs.forget, self.store, run)
        self.decisions.forget(run.id)

    def _sweep_again(self, run: Run, record: JobRecord) -> None:
        self.threads.call(records.clean_up_everywhere, self.store, run.id)
        self.threads.call(runs.sweep_parts, self.store, run, record.state)
        present = self.records.get(record.name)
        if present and present.run == run.id:  # else a newer run may write there
            self.threads.call(runs.abandon, self.store, run)

    def _persistently(self, run: Run, work: Callable[..., None], *args: Any) -> None:
        """Do something though the store may not answer for a while."""
        for _ in range(SAVE_TRIES):
            try:
                work(*args)
                return
            except TermOver:
                raise
            except DynamoError as error:
                log.warning("what is left of %s can't be cleaned up yet: %s", run.id, error)
                gevent.sleep(1.0)


def _until_over(work: Callable[..., None], *args: Any) -> None:
    """Do something that ends by itself when another master leads."""
    with contextlib.suppress(TermOver):
        work(*args)
