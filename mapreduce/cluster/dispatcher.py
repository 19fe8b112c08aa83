"""The master's inside: drives the scheduler with what workers report and users ask.

All tables are touched in gevent's hub only, so there are no locks. Whatever talks to the store runs
in a thread (`_blocking`), so the hub always answers.
"""

import logging
import secrets
import time
from collections import deque
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import gevent
import msgspec
from gevent.threadpool import ThreadPool

from dynamo.errors import DynamoError, RequestError
from dynamo.store import Store
from mapreduce.cluster import records, runs
from mapreduce.cluster.mailbox import Mailbox
from mapreduce.cluster.messages import HOLD_S, Orders, Report
from mapreduce.cluster.records import JobRecord
from mapreduce.engine.events import (
    Action,
    AttemptFailed,
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
from mapreduce.engine.executor import Outcome
from mapreduce.engine.orders import JobSpec, TaskResult
from mapreduce.engine.run import Run
from mapreduce.engine.scheduler import Policy, Scheduler
from mapreduce.engine.status import WorkerStatus
from mapreduce.engine.summary import summarise
from mapreduce.engine.watching import Note
from mapreduce.errors import JobError

log = logging.getLogger("mapreduce.master")

TICK_S = 0.2
THREADS = 8
SAVE_TRIES = 10
REMEMBERED_PHASES = 20
"""So many phases that are over stay in the scheduler, for results that come late."""
SECOND_SWEEP_S = 3.0
"""Attempts that were told to stop may write pieces until then."""
SESSION_TIMEOUT_S = 2.0
"""A process that calls itself like a worker heard so recently is refused: two would share a name.
A worker that lives is heard twice a second."""

P = ParamSpec("P")
T = TypeVar("T")


class Dispatcher:
    """Jobs and workers of a cluster. `start` before use; every method is called in the hub."""

    def __init__(self, store: Store, policy: Policy | None = None) -> None:
        self._store = store
        self._scheduler = Scheduler(policy)
        self._threads = ThreadPool(THREADS)
        self._records: dict[str, JobRecord] = {}
        self._reserved: set[str] = set()
        """Names of jobs that are being created."""
        self._runs: dict[str, Run] = {}
        self._phases: dict[str, Run] = {}
        """The runs by the names of their phases, which the scheduler knows."""
        self._ended: deque[str] = deque()
        self._kill_wanted: set[str] = set()
        """Runs that were killed while they were planned."""
        self._notes: dict[str, tuple[Note, ...]] = {}
        """What each worker has said last of the attempts that it runs."""
        self._mail: dict[str, Mailbox] = {}
        self._ticker: gevent.Greenlet | None = None

    def start(self) -> None:
        """Read what jobs there are, and let time pass from now on."""
        self._records = self._blocking(records.load, self._store)
        self._ticker = gevent.spawn(self._tick)

    def stop(self) -> None:
        """Running jobs are left as they are in the store."""
        if self._ticker:
            self._ticker.kill()

    # What users ask ------------------------------------------------------------------------------

    def new_job(self, spec: JobSpec, code: bytes) -> JobRecord:
        """Store a job that could run now. Raises before anything has changed."""
        if spec.name in self._records or spec.name in self._reserved:
            raise records.taken(spec.name)
        self._reserved.add(spec.name)
        try:
            spec = self._blocking(records.check, self._store, spec, code)
            record = self._blocking(records.create, self._store, spec, code)
            self._records[spec.name] = record
        finally:
            self._reserved.discard(spec.name)
        return record

    def run_job(self, name: str) -> JobRecord:
        """Start a job that is new, failed or killed. Raises before anything has changed."""
        before = self._known(name)
        self._check_startable(before)
        run_id = f"{name}-{secrets.token_hex(4)}"
        self._records[name] = records.begun(before, run_id)
        try:
            run, started = self._blocking(runs.plan, self._store, name, run_id, before.run)
            self._blocking(records.save, self._store, self._records[name])
        except BaseException:
            self._records[name] = before
            raise
        self._runs[run_id] = run
        self._start_phase(run, started)
        return self.record(name)

    def _start_phase(self, run: Run, started: JobStarted) -> None:
        self._phases[run.job] = run
        self._tell(started)
        if run.id in self._kill_wanted:
            self._kill_wanted.discard(run.id)
            self._tell(JobKilled(run.job))

    def kill_job(self, name: str) -> JobRecord:
        """Stop a running job."""
        record = self._known(name)
        if record.state is not JobState.RUNNING:
            raise JobError(f"job {name!r} is not running, it is {record.state.value}")
        run = self._runs.get(record.run)
        if run and run.job in self._phases and not self._scheduler.status(run.job).state.ended:
            self._tell(JobKilled(run.job))
        else:
            self._kill_wanted.add(record.run)
        return self.record(name)

    def record(self, name: str) -> JobRecord:
        """Where a job stands now."""
        record = self._known(name)
        run = self._runs.get(record.run)
        if record.state is JobState.RUNNING and run and self._scheduler.knows(run.job):
            notes = (note for told in self._notes.values() for note in told)
            return records.brought_up_to_date(record, run, self._scheduler, time.monotonic(), notes)
        return record

    def all_records(self) -> list[JobRecord]:
        """All jobs, the oldest first."""
        oldest_first = sorted(self._records.values(), key=lambda r: (r.created_at, r.name))
        return [self.record(record.name) for record in oldest_first]

    def output(self, name: str) -> dict[str, Any]:
        """The files of a job's output."""
        record = self._known(name)
        if record.state is not JobState.SUCCEEDED:
            raise JobError(f"job {name!r} has no output, it is {record.state.value}")
        return self._blocking(records.describe_output, self._store, record.output)

    def workers(self) -> list[WorkerStatus]:
        return self._scheduler.workers()

    def _known(self, name: str) -> JobRecord:
        if name not in self._records:
            raise JobError(f"no job {name!r}; `mapreduce jobs` lists those there are")
        return self._records[name]

    def _check_startable(self, record: JobRecord) -> None:
        if record.state is JobState.RUNNING:
            raise JobError(f"job {record.name!r} is running already; `mapreduce status` shows it")
        if record.state is JobState.SUCCEEDED:
            raise JobError(
                f"job {record.name!r} has succeeded, its output is {record.output!r}; "
                "to run it again make a new job with another name and output"
            )
        if not self._scheduler.workers():
            raise NoWorker("no worker is alive; start one with `mapreduce up`")

    # What workers report -------------------------------------------------------------------------

    def report(self, report: Report) -> Orders:
        """Take in a worker's report; answer with its orders as soon as there are any."""
        mailbox = self._mail.setdefault(report.worker, Mailbox())
        self._check_session(mailbox, report)
        for outcome in report.finished:
            self._tell(_as_event(outcome, report.worker))
        self._notes[report.worker] = report.notes
        if report.goodbye:
            self._tell(WorkerLost(report.worker))
            return Orders()
        if report.number > mailbox.number:
            mailbox.number = report.number
            self._tell(WorkerReported(report.worker, report.node, report.slots, report.running))
        return mailbox.collect(HOLD_S)

    def _check_session(self, mailbox: Mailbox, report: Report) -> None:
        """Know a worker that was started anew: nothing of its earlier life runs any more."""
        now = time.monotonic()
        if report.session != mailbox.session:
            if now - mailbox.heard_at < SESSION_TIMEOUT_S:
                raise RequestError(
                    f"a worker named {report.worker} is at work already; "
                    "each needs a name of its own"
                )
            self._tell(WorkerLost(report.worker))
            mailbox.session, mailbox.number = report.session, 0
        mailbox.heard_at = float("-inf") if report.goodbye else now

    # Driving the scheduler -----------------------------------------------------------------------

    def _tick(self) -> None:
        while True:
            gevent.sleep(TICK_S)
            self._tell(Tick())

    def _tell(self, event: Event) -> None:
        if isinstance(event, AttemptSucceeded) and event.attempt.task.job in self._phases:
            self._phases[event.attempt.task.job].maps_changed()
        for action in self._scheduler.handle(event, time.monotonic()):
            self._perform(action)

    def _perform(self, action: Action) -> None:
        match action:
            case RunAttempt(worker=worker, attempt=attempt):
                run = self._phases[attempt.task.job]
                self._mail[worker].run(run.order(attempt, self._scheduler.map_results))
            case KillAttempt(worker=worker, attempt=attempt):
                self._mail.setdefault(worker, Mailbox()).kill(attempt)
            case DiscardResult(attempt=attempt, result=result):
                if discarded := self._phases.get(attempt.task.job):
                    gevent.spawn(
                        self._blocking, runs.discard, self._store, discarded, attempt, result
                    )
            case CommitJob(job=job):
                gevent.spawn(self._commit, self._phases[job])
            case JobEnded(job=job, state=state):
                run = self._phases[job]
                if state is JobState.SUCCEEDED and not run.is_last:
                    gevent.spawn(self._next_phase, run)
                else:
                    self._end(run)

    def _commit(self, run: Run) -> None:
        job, now = run.job, time.monotonic()
        results, status = self._results(run), self._scheduler.status(job)
        began = self._records[run.spec.name].started_at or time.time()
        summary = summarise(
            run.spec.name,
            time.time() - began,
            run.told(status, now),
            run.counters(results, status),
        )
        try:
            self._blocking(runs.commit, self._store, run, results, summary)
        except Exception as error:
            self._tell(CommitFailed(job, str(error)))
        else:
            self._tell(JobCommitted(job))

    def _results(self, run: Run) -> list[TaskResult]:
        return self._scheduler.map_results(run.job) + self._scheduler.reduce_results(run.job)

    def _next_phase(self, run: Run) -> None:
        """A phase has succeeded, and there is another one after it."""
        now = time.monotonic()
        status, results = self._scheduler.status(run.job), self._results(run)
        before = self._records[run.spec.name]
        self._records[run.spec.name] = records.brought_up_to_date(before, run, self._scheduler, now)
        self._remember(run.job)
        run.advance(status, results, now)
        try:
            started = self._blocking(runs.plan_next, self._store, run)
        except Exception as error:
            self._fail(run, f"step {run.phase.step + 1} could not be planned: {error}")
        else:
            self._start_phase(run, started)

    def _fail(self, run: Run, error: str) -> None:
        """End a run whose present phase the scheduler has not been told of."""
        killed = run.id in self._kill_wanted
        self._kill_wanted.discard(run.id)
        record = msgspec.structs.replace(
            self._records[run.spec.name],
            state=JobState.KILLED if killed else JobState.FAILED,
            error=error,
            ended_at=time.time(),
            told=tuple(run.steps),
        )
        self._records[run.spec.name] = record
        gevent.spawn(self._close, run, record)

    def _end(self, run: Run) -> None:
        now = time.monotonic()
        record = self._records[run.spec.name]
        record = records.brought_up_to_date(record, run, self._scheduler, now)
        self._records[run.spec.name] = record
        gevent.spawn(self._close, run, record)
        self._remember(run.job)

    def _remember(self, phase: str) -> None:
        """Keep what is known of a phase that has ended for a while."""
        self._ended.append(phase)
        if len(self._ended) > REMEMBERED_PHASES:
            oldest = self._ended.popleft()
            self._scheduler.forget(oldest)
            run = self._phases.pop(oldest)
            if run.job == oldest:  # its last one
                self._runs.pop(run.id, None)

    def _close(self, run: Run, record: JobRecord) -> None:
        """Keep the record of a run that is over and remove its intermediate keys."""
        for _ in range(SAVE_TRIES):
            try:
                self._blocking(runs.close, self._store, run, record)
                gevent.sleep(SECOND_SWEEP_S)
                self._blocking(records.clean_up, self._store, run.id)
                if self._records[record.name].run == run.id:  # else a newer run writes there
                    self._blocking(runs.abandon, self._store, run)
                return
            except DynamoError as error:
                log.warning("what is left of %s can't be cleaned up yet: %s", run.id, error)
                gevent.sleep(1.0)

    def _blocking(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`call` in a thread; the other greenlets go on meanwhile."""
        result, error = self._threads.apply(_caught, (call, *args), kwargs)
        if error is not None:
            raise error
        return result  # type: ignore[no-any-return]


class NoWorker(DynamoError):
    """No worker is alive; nothing has been changed."""


def _caught(call: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[Any, Exception | None]:
    """An error as a value: gevent prints those that leave a thread."""
    try:
        return call(*args, **kwargs), None
    except Exception as error:
        return None, error


def _as_event(outcome: Outcome, worker: str) -> Event:
    if outcome.result is not None:
        return AttemptSucceeded(outcome.attempt, worker, outcome.result)
    return AttemptFailed(outcome.attempt, worker, outcome.error, outcome.lost)
