"""What users ask of the leading master: every call either raises before anything has changed, or is
done. Called in the hub; see `mapreduce.cluster.dispatcher`."""

import secrets
import time
from typing import Any

from dynamo.errors import DynamoError
from mapreduce.cluster import records, runs
from mapreduce.cluster.dispatcher import Dispatcher
from mapreduce.cluster.records import JobRecord
from mapreduce.engine.events import JobKilled, JobState
from mapreduce.engine.orders import JobSpec
from mapreduce.engine.status import WorkerStatus
from mapreduce.errors import JobError


class NoWorker(DynamoError):
    """No worker is alive; nothing has been changed."""


class Requests:
    """The calls of users, for the dispatcher of one term."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._store = dispatcher.store
        self._records = dispatcher.records
        self._blocking = dispatcher.threads.call
        self._reserved: set[str] = set()
        """Names of jobs that are being created."""

    # What changes something ----------------------------------------------------------------------

    def new_job(self, spec: JobSpec, code: bytes) -> JobRecord:
        """Store a job that could run now."""
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
        """Start a job that is new, failed or killed."""
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
        self._dispatcher.begin(run, started)
        return self.record(name)

    def kill_job(self, name: str) -> JobRecord:
        """Stop a running job."""
        record = self._known(name)
        if record.state is not JobState.RUNNING:
            raise JobError(f"job {name!r} is not running, it is {record.state.value}")
        run = self._dispatcher.runs.get(record.run)
        if run and self._dispatcher.is_running(run):
            self._dispatcher.tell(JobKilled(run.job))
        else:
            self._dispatcher.kill_wanted.add(record.run)
        return self.record(name)

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
        """The workers that are alive."""
        return self._dispatcher.scheduler.workers()

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
        if not self.workers():
            raise NoWorker("no worker is alive; start one with `mapreduce up`")
