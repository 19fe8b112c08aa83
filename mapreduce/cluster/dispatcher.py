"""The leading master's inside: drives the scheduler for one term, from when this process begins to
lead until it ends.

What users ask is in `mapreduce.cluster.requests`, what workers report in `reports`; both put
events in here. All tables are touched in gevent's hub only, so there are no locks. Whatever talks
to the store runs in a thread, so the hub always answers.
"""

import logging
import time
from collections import deque

import gevent
import msgspec
from gevent.lock import Semaphore

from dynamo.errors import DynamoError
from dynamo.store import Store
from mapreduce.cluster import history, records, runs
from mapreduce.cluster.election import Election
from mapreduce.cluster.history import PastTask
from mapreduce.cluster.mailbox import Mailbox
from mapreduce.cluster.records import JobRecord
from mapreduce.cluster.threads import Threads
from mapreduce.engine.events import (
    Action,
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
)
from mapreduce.engine.orders import TaskResult
from mapreduce.engine.run import Run
from mapreduce.engine.scheduler import Policy, Scheduler
from mapreduce.engine.summary import summarise
from mapreduce.engine.watching import Note

log = logging.getLogger("mapreduce.master")

TICK_S = 0.2
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
        self, store: Store, election: Election, term: int, policy: Policy | None = None
    ) -> None:
        self.store = store
        self.election = election
        self.term = term
        self.scheduler = Scheduler(policy)
        self.threads = Threads(THREADS)
        self.records: dict[str, JobRecord] = {}
        self.runs: dict[str, Run] = {}
        self.kill_wanted: set[str] = set()
        """Runs that were killed while they were planned."""
        self.notes: dict[str, tuple[Note, ...]] = {}
        """What each worker has said last of the attempts that it runs."""
        self.closing: set[str] = set()
        """Runs that have ended, and whose records are not in the store yet."""
        self.saving = Semaphore()
        """Held while a record is saved: so the newest is saved last."""
        self._phases: dict[str, Run] = {}
        """The runs by the names of their phases, which the scheduler knows."""
        self._ended: deque[str] = deque()
        self._mail: dict[str, Mailbox] = {}
        self._ticker: gevent.Greenlet | None = None

    def start(self) -> None:
        """Read what jobs there are, and let time pass from now on."""
        self.records.update(self.threads.call(records.load, self.store))
        self._ticker = gevent.spawn(self._tick)

    def stop(self) -> None:
        """Running jobs are left as they are in the store."""
        if self._ticker:
            self._ticker.kill()

    def mailbox(self, worker: str) -> Mailbox:
        """The orders of a worker."""
        return self._mail.setdefault(worker, Mailbox())

    def begin(self, run: Run, started: JobStarted) -> None:
        """Let the scheduler have a run."""
        self.runs[run.id] = run
        self._start_phase(run, started)

    def is_running(self, run: Run) -> bool:
        """Whether the scheduler has the present phase of a run, and it goes on."""
        return run.job in self._phases and not self.scheduler.status(run.job).state.ended

    # Driving the scheduler -----------------------------------------------------------------------

    def tell(self, event: Event) -> None:
        """Tell the scheduler what has happened, and do what it answers."""
        if isinstance(event, AttemptSucceeded) and event.attempt.task.job in self._phases:
            self._phases[event.attempt.task.job].maps_changed()
        for action in self.scheduler.handle(event, time.monotonic()):
            self._perform(action)

    def _tick(self) -> None:
        while True:
            gevent.sleep(TICK_S)
            self.tell(Tick())

    def _perform(self, action: Action) -> None:
        match action:
            case RunAttempt(worker=worker, attempt=attempt):
                run = self._phases[attempt.task.job]
                order = run.order(attempt, self.scheduler.map_results)
                self._mail[worker].run(run.phase_order, order)
            case KillAttempt(worker=worker, attempt=attempt):
                self.mailbox(worker).kill(attempt)
            case DiscardResult(attempt=attempt, result=result):
                if discarded := self._phases.get(attempt.task.job):
                    gevent.spawn(
                        self.threads.call, runs.discard, self.store, discarded, attempt, result
                    )
            case CommitJob(job=job):
                gevent.spawn(self._commit, self._phases[job])
            case JobEnded(job=job, state=state):
                run = self._phases[job]
                if state is JobState.SUCCEEDED and not run.is_last:
                    gevent.spawn(self._next_phase, run)
                else:
                    self._end(run)

    # A run goes on from phase to phase -----------------------------------------------------------

    def _start_phase(self, run: Run, started: JobStarted) -> None:
        self._phases[run.job] = run
        paused = self.records[run.spec.name].paused
        self.tell(msgspec.structs.replace(started, paused=paused))
        if run.id in self.kill_wanted:
            self.kill_wanted.discard(run.id)
            self.tell(JobKilled(run.job))

    def _commit(self, run: Run) -> None:
        job, now = run.job, time.monotonic()
        results, status = self._results(run), self.scheduler.status(job)
        began = self.records[run.spec.name].started_at or time.time()
        summary = summarise(
            run.spec.name,
            time.time() - began,
            run.told(status, now),
            run.counters(results, status),
        )
        try:
            self.threads.call(runs.commit, self.store, run, results, summary)
        except Exception as error:
            self.tell(CommitFailed(job, str(error)))
        else:
            self.tell(JobCommitted(job))

    def _results(self, run: Run) -> list[TaskResult]:
        return self.scheduler.map_results(run.job) + self.scheduler.reduce_results(run.job)

    def _next_phase(self, run: Run) -> None:
        """A phase has succeeded, and there is another one after it."""
        now = time.monotonic()
        status, results = self.scheduler.status(run.job), self._results(run)
        before = self.records[run.spec.name]
        record = records.brought_up_to_date(before, run, self.scheduler, now)
        past = self._past_tasks(run, now)
        self.records[run.spec.name] = history.with_slowest(record, past)
        self._remember(run.job)
        phase = run.job
        run.advance(status, results, now)
        try:
            self.threads.call(history.keep_tasks, self.store, run.spec.name, run.id, phase, past)
            started = self.threads.call(runs.plan_next, self.store, run)
        except Exception as error:
            self._fail(run, f"step {run.phase.step + 1} could not be planned: {error}")
        else:
            self._start_phase(run, started)

    # A run ends ----------------------------------------------------------------------------------

    def _fail(self, run: Run, error: str) -> None:
        """End a run whose present phase the scheduler has not been told of."""
        killed = run.id in self.kill_wanted
        self.kill_wanted.discard(run.id)
        record = msgspec.structs.replace(
            self.records[run.spec.name],
            state=JobState.KILLED if killed else JobState.FAILED,
            error=error,
            ended_at=time.time(),
            told=tuple(run.steps),
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
        gevent.spawn(self._close, run, record, past)

    def _close(self, run: Run, record: JobRecord, past: list[PastTask]) -> None:
        """Keep the record of a run that is over and remove its intermediate keys."""
        phase = run.job
        for _ in range(SAVE_TRIES):
            try:
                self.threads.call(history.keep_tasks, self.store, record.name, run.id, phase, past)
                self.threads.call(history.keep_record, self.store, record)
                with self.saving:
                    self.threads.call(runs.close, self.store, run, record)
                self.closing.discard(run.id)
                gevent.sleep(SECOND_SWEEP_S)
                self.threads.call(records.clean_up, self.store, run.id)
                present = self.records.get(record.name)
                if present and present.run == run.id:  # else a newer run may write there
                    self.threads.call(runs.abandon, self.store, run)
                return
            except DynamoError as error:
                log.warning("what is left of %s can't be cleaned up yet: %s", run.id, error)
                gevent.sleep(1.0)
        self.closing.discard(run.id)
