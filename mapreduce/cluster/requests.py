"""What users ask of the leading master: every call either raises before anything has changed, or is
done. Called in the hub; see `mapreduce.cluster.dispatcher`."""

import contextlib
import secrets
import time
from collections.abc import Collection, Iterator
from typing import Any

import gevent
import msgspec

from dynamo.errors import DynamoError
from mapreduce.cluster import history, records, runs
from mapreduce.cluster.dispatcher import Dispatcher
from mapreduce.cluster.messages import HOLD_S
from mapreduce.cluster.records import JobRecord
from mapreduce.engine.events import (
    JobKilled,
    JobPaused,
    JobResumed,
    JobState,
    TaskId,
    TaskKilled,
)
from mapreduce.engine.orders import JobSpec
from mapreduce.engine.run import Run
from mapreduce.engine.status import Scoreboard, WorkerStatus
from mapreduce.engine.tasknames import parse_task
from mapreduce.errors import JobError

POLL_S = 0.05
WORKERS_WAIT_S = 2.0
"""How long after the beginning of a term calls wait for workers, who have to find its leader."""


class NoWorker(DynamoError):
    """No worker is alive; nothing has been changed."""


class Requests:
    """The calls of users, for the dispatcher of one term."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._store = dispatcher.store
        self._term = dispatcher.term
        self._records = dispatcher.records
        self._blocking = dispatcher.threads.call
        self._began_at = time.monotonic()
        self._reserved: set[str] = set()
        """Names of jobs that are being created."""

    # What changes something ----------------------------------------------------------------------

    def new_job(self, spec: JobSpec, code: bytes) -> JobRecord:
        """Store a job that could run now."""
        with self._new(spec.name):
            spec = self._blocking(records.check, self._store, spec, code)
            self._dispatcher.decisions.confirm()
            record = self._blocking(records.create, self._store, spec, code, self._term)
            self._records[spec.name] = record
        return record

    def submit_job(self, spec: JobSpec, code: bytes) -> JobRecord:
        """Store a job and start it, or do neither: few steps one after the other."""
        self.await_workers()
        self._check_workers()
        run_id = _run_id(spec.name)
        with self._new(spec.name):
            planning = gevent.spawn(self._blocking, runs.plan_new, self._store, spec, code, run_id)
            self._dispatcher.decisions.confirm()
            run, started = planning.get()
            record = records.begun(records.new(run.spec), run_id, self._term)
            self._blocking(runs.keep_new, self._store, run, code, record)
            self._records[spec.name] = record
        self._dispatcher.begin(run, started)
        return self.record(spec.name)

    @contextlib.contextmanager
    def _new(self, name: str) -> Iterator[None]:
        """Nobody else makes a job of this name during the block."""
        if name in self._records or name in self._reserved:
            raise records.taken(name)
        self._reserved.add(name)
        try:
            yield
        finally:
            self._reserved.discard(name)

    def run_job(self, name: str) -> JobRecord:
        """Start a job that is new, failed or killed."""
        self.await_workers()
        self._await_close(name)
        before = self._known(name)
        self._check_startable(before)
        run_id = _run_id(name)
        self._records[name] = records.begun(before, run_id, self._term)
        try:
            run, started = self._blocking(
                runs.plan, self._store, name, run_id, before.run, self._term
            )
            self._dispatcher.save(name)
        except BaseException:
            self._records[name] = before
            raise
        self._dispatcher.begin(run, started)
        return self.record(name)

    def kill_job(self, name: str) -> JobRecord:
        """Stop a running job."""
        record = msgspec.structs.replace(self._checked_running(name), kill_wanted=True)
        self._records[name] = record
        run = self._dispatcher.runs.get(record.run)
        if run and self._dispatcher.is_running(run):
            self._dispatcher.tell(JobKilled(run.job))
        if run and self._records[name].state.ended:
            self._dispatcher.decisions.end(run.job, JobState.KILLED, "")
        elif run:  # else nothing is in the store that says that it runs
            self._dispatcher.save(name)
        return self.record(name)

    def kill_task(self, name: str, task: str) -> JobRecord:
        """Stop what runs of a task of the present step; it starts again."""
        wanted = parse_task(task)
        run = self._running(name)
        scheduler, present = self._dispatcher.scheduler, run.phase.step
        if "/" in task and wanted.step != present:
            raise JobError(
                f"{task!r} is of step {wanted.step + 1}; step {present + 1} of job {name!r} runs"
            )
        id = TaskId(run.job, wanted.kind, wanted.number)
        if not any(running.attempt.task == id for running in scheduler.running(run.job)):
            raise JobError(f"{id} of job {name!r} does not run; `mapreduce status` shows what does")
        self._dispatcher.tell(TaskKilled(id))
        return self.record(name)

    def pause_job(self, name: str) -> JobRecord:
        """Start no further task of a running job."""
        return self._set_paused(name, True)

    def resume_job(self, name: str) -> JobRecord:
        """Let a paused job go on."""
        if not self._checked_running(name).paused:
            raise JobError(f"job {name!r} is not paused")
        return self._set_paused(name, False)

    def _set_paused(self, name: str, paused: bool) -> JobRecord:
        record = self._checked_running(name)
        run = self._dispatcher.runs.get(record.run)
        self._records[name] = msgspec.structs.replace(record, paused=paused)
        if run:  # else it is being planned, and begins as its record says
            self._dispatcher.tell(JobPaused(run.job) if paused else JobResumed(run.job))
        self._dispatcher.save(name)
        return self.record(name)

    def remove_job(self, name: str, with_output: bool) -> None:
        """Delete all that is kept of a job that does not run, and its output if that is wanted."""
        self._await_close(name)
        record = self._known(name)
        if record.state is JobState.RUNNING:
            raise JobError(f"job {name!r} is running; `mapreduce kill_job {name}` ends it")
        self._reserved.add(name)
        del self._records[name]
        try:
            self._dispatcher.decisions.confirm()
            self._blocking(records.remove, self._store, record, with_output)
        except BaseException:
            self._records[name] = record
            raise
        finally:
            self._reserved.discard(name)

    def drain_worker(self, name: str, draining: bool) -> None:
        """Give a worker no further tasks, or some again."""
        if name not in {worker.name for worker in self.await_workers([name])}:
            raise JobError(f"no worker {name!r} is alive; `mapreduce status` lists those that are")
        self._dispatcher.mailbox(name).drain(draining)

    def await_workers(self, names: Collection[str] = ()) -> list[WorkerStatus]:
        """The workers that are alive. All of `names`, or one of any name, are given the time to
        find a leader that has just begun."""
        until = self._began_at + WORKERS_WAIT_S
        while time.monotonic() < until:
            alive = {worker.name for worker in self.workers()}
            if alive and alive.issuperset(names):
                break
            gevent.sleep(POLL_S)
        return self.workers()

    def _await_close(self, name: str) -> None:
        """Let the end of the latest run be written down before anything else is."""
        while name in self._records and self._records[name].run in self._dispatcher.closing:
            gevent.sleep(POLL_S)

    # What only looks -----------------------------------------------------------------------------

    def record(self, name: str) -> JobRecord:
        """Where a job stands now."""
        record = self._known(name)
        run = self._dispatcher.runs.get(record.run)
        scheduler = self._dispatcher.scheduler
        if record.state is JobState.RUNNING and run and scheduler.knows(run.job):
            notes = (note for told in self._dispatcher.notes.values() for note in told)
            return records.brought_up_to_date(record, run, scheduler, time.monotonic(), notes)
        return record

    def await_end(self, name: str, at_most_s: float) -> JobRecord:
        """Where a job stands as soon as it has ended, or when `at_most_s` or `HOLD_S` are over."""
        give_up_at = time.monotonic() + min(HOLD_S, at_most_s)
        while self._known(name).state is JobState.RUNNING:
            left_s = give_up_at - time.monotonic()
            if left_s <= 0:
                break
            self._dispatcher.run_ended.wait(left_s)
        return self.record(name)

    def all_records(self) -> list[JobRecord]:
        """All jobs, the oldest first."""
        oldest_first = sorted(self._records.values(), key=lambda r: (r.created_at, r.name))
        return [self.record(record.name) for record in oldest_first]

    def history(self, name: str) -> list[JobRecord]:
        """The records of a job's runs that have ended, the newest first."""
        self._known(name)
        return self._blocking(history.runs, self._store, name)

    def output(self, name: str) -> dict[str, Any]:
        """The files of a job's output."""
        record = self._known(name)
        if record.state is not JobState.SUCCEEDED:
            raise JobError(f"job {name!r} has no output, it is {record.state.value}")
        return self._blocking(records.describe_output, self._store, record.output)

    def workers(self) -> list[WorkerStatus]:
        """The workers that are alive."""
        return self._dispatcher.scheduler.workers()

    def scoreboard(self) -> Scoreboard:
        """Every worker that has been heard of in this term."""
        return self._dispatcher.scheduler.scoreboard()

    def _known(self, name: str) -> JobRecord:
        if name not in self._records:
            raise JobError(f"no job {name!r}; `mapreduce jobs` lists those there are")
        return self._records[name]

    def _checked_running(self, name: str) -> JobRecord:
        record = self._known(name)
        if record.state is not JobState.RUNNING:
            raise JobError(f"job {name!r} is not running, it is {record.state.value}")
        return record

    def _running(self, name: str) -> Run:
        """The run of a job whose tasks run."""
        run = self._dispatcher.runs.get(self._checked_running(name).run)
        if run is None or not self._dispatcher.is_running(run):
            raise JobError(f"no task of job {name!r} runs yet")
        return run

    def _check_startable(self, record: JobRecord) -> None:
        if record.state is JobState.RUNNING:
            raise JobError(f"job {record.name!r} is running already; `mapreduce status` shows it")
        if record.state is JobState.SUCCEEDED:
            raise JobError(
                f"job {record.name!r} has succeeded, its output is {record.output!r}; "
                "to run it again make a new job with another name and output"
            )
        self._check_workers()

    def _check_workers(self) -> None:
        if not self.workers():
            raise NoWorker("no worker is alive; start one with `mapreduce up`")


def _run_id(job: str) -> str:
    """A name that no other run has."""
    return f"{job}-{secrets.token_hex(4)}"
