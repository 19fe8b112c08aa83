"""A whole job on a running cluster, from a Python program.

`run` is what `Job.run(..., runner="cluster")` calls; `ClusterJob` is the same job step by step, for
programs that do something else meanwhile.
"""

import contextlib
import secrets
import tempfile
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import msgspec

from dynamo import config, files
from dynamo.errors import ConfigError, DynamoError, Unreachable
from dynamo.net.client import Client
from dynamo.store import Store
from mapreduce.cluster.connection import Connection, Record
from mapreduce.data import outputs
from mapreduce.engine import sidefiles
from mapreduce.engine.events import JobState
from mapreduce.engine.orders import JobSpec
from mapreduce.engine.status import JobStatus
from mapreduce.engine.summary import summarise
from mapreduce.errors import JobFailed
from mapreduce.runners.result import Progress, RunResult

POLL_S = 0.1
PATIENCE_S = 10.0
TEMPORARY = "/tmp/mapreduce"
"""The folder in the store for outputs that nobody has named."""


class ClusterJob:
    """A job that has been handed to the master at `master`; `store` is the cluster's store."""

    def __init__(self, spec: JobSpec, master: Connection, store: Store) -> None:
        self.name = spec.name
        self._spec = spec
        self._master = master
        self._store = store

    @classmethod
    def submit(cls, spec: JobSpec, code: bytes, master: Connection, store: Store) -> "ClusterJob":
        """Store the job and start it. Raises `JobError` if it can't run as it is."""
        sidefiles.check_files(spec)
        with tempfile.TemporaryDirectory() as folder:
            spec = sidefiles.uploaded(sidefiles.zipped(spec, Path(folder)), store)
        try:
            master.new_job(spec, code)
            master.run_job(spec.name)
        except DynamoError:
            sidefiles.remove(store, spec)
            raise
        return cls(spec, master, store)

    def status(self) -> JobStatus:
        """Where the job stands; times are seconds since 1970."""
        return _as_status(self._master.job_status(self.name))

    def wait(self, timeout_s: float | None = None, on_status: Progress | None = None) -> JobStatus:
        """Return when the job has ended, or `timeout_s` is over; `on_status` hears how far it is.

        While the master is away this goes on asking, for `PATIENCE_S` at most.
        """
        give_up_at = None if timeout_s is None else time.monotonic() + timeout_s
        heard_at = time.monotonic()
        while True:
            try:
                status = self.status()
            except Unreachable:
                if time.monotonic() - heard_at > PATIENCE_S:
                    raise
            else:
                heard_at = time.monotonic()
                if on_status:
                    on_status(status)
                if status.state.ended or (give_up_at and heard_at > give_up_at):
                    return status
            time.sleep(POLL_S)

    def kill(self) -> JobStatus:
        """Stop the job."""
        return _as_status(self._master.kill_job(self.name))

    def forget_files(self) -> None:
        """Delete the side files and modules of the job, which can't run again without them."""
        sidefiles.remove(self._store, self._spec)

    def results(self) -> RunResult:
        """The output of a job that has succeeded; `JobFailed` tells why there is none."""
        record = self._master.job_status(self.name)
        if record["state"] != JobState.SUCCEEDED:
            raise JobFailed(self.name, record["state"], record["error"])
        output = outputs.open_output("store", record["output"], self._store)
        return RunResult(
            record["output"],
            record["output_format"],
            _summary(record),
            [name for name in output.files() if outputs.holds_output(name)],
            output.read,
        )


def run(
    spec: JobSpec,
    code: bytes,
    *,
    cluster: str | Path = "cluster.ini",
    progress: Progress | None = None,
) -> RunResult:
    """Run a job on the cluster that the file `cluster` describes, and wait for its end.

    The job gets a name of its own that begins with `spec.name`. Without `spec.output` the output
    is kept as long as the result. If waiting is interrupted, the job is killed.
    """
    where = config.load(cluster)
    if not where.masters:
        raise ConfigError(f"{where.path}: no [master NAME], and so no jobs; add one")
    name = f"{spec.name[:90]}-{secrets.token_hex(4)}"
    given, output = bool(spec.output), spec.output or f"{TEMPORARY}/{name}"
    spec = msgspec.structs.replace(spec, name=name, output=output)
    store = Client(list(where.node_addresses.values()), timeout_s=where.timeout_s)
    try:
        result = _run(spec, code, Connection(where.masters[0].address), store, progress)
    except BaseException:
        store.close()
        raise
    weakref.finalize(result, let_go, store, "" if given else output)
    return result


def _run(
    spec: JobSpec, code: bytes, master: Connection, store: Store, progress: Progress | None
) -> RunResult:
    job = ClusterJob.submit(spec, code, master, store)
    try:
        job.wait(on_status=progress)
    except BaseException:
        with contextlib.suppress(DynamoError):
            job.kill()
        raise
    finally:
        with contextlib.suppress(DynamoError):
            job.forget_files()
    return job.results()


def _as_status(record: Record) -> JobStatus:
    return msgspec.convert({**record, "job": record["name"]}, JobStatus)


def _summary(record: Record) -> dict[str, Any]:
    seconds = (record["ended_at"] or time.time()) - record["started_at"]
    return summarise(record["name"], seconds, record["told"], record["counters"])


def let_go(store: Client, output: str) -> None:
    """Nobody has the result any more: close its store, and delete an output nobody has named.

    Objects die in whichever thread collects garbage, and that may be the one the store's own calls
    wait for: all but the main thread hand this on to another.
    """
    if threading.current_thread() is threading.main_thread():
        _close(store, output)
    else:
        threading.Thread(target=_close, args=(store, output)).start()


def _close(store: Client, output: str) -> None:
    try:
        for path in files.under(store, output) if output else ():
            files.remove(store, path)
    finally:
        store.close()
