"""A running cluster from a Python program: `Cluster`, and the jobs on it.

`Job.run(..., runner="cluster")` goes the same way: `Cluster.run`.
"""

import contextlib
import fnmatch
import secrets
import tempfile
import weakref
from pathlib import Path
from typing import Any, Protocol

import msgspec

from dynamo import files
from dynamo.errors import DynamoError
from mapreduce.cluster.connection import Record
from mapreduce.engine import sidefiles
from mapreduce.engine.orders import JobSpec
from mapreduce.runners import notebook
from mapreduce.runners.connections import Connections, in_a_thread
from mapreduce.runners.handle import JobHandle
from mapreduce.runners.result import Progress, RunResult

TEMPORARY = "/tmp/mapreduce"
"""The folder in the store for outputs that nobody has named."""


class Submittable(Protocol):
    """What can be run: a `mapreduce.Job`."""

    name: str

    def pickled(self, *inputs: Any, output: str, as_objects: bool) -> tuple[JobSpec, bytes]:
        """What the job is, and its code, for other machines."""


class Cluster:
    """The cluster that the file `path` describes: its jobs, and its store.

    `cluster.store` is the store's client (`dynamo.net.client.Client`), for inputs and outputs. The
    connections close when nobody has the cluster, a job or a result of it any more, or with
    `close`. Raises `ConfigError` for a file that describes no cluster, or one without a master.
    """

    def __init__(self, path: str | Path = "cluster.ini") -> None:
        self._to = Connections(path)
        self.config = self._to.config
        self.store = self._to.store
        self._master = self._to.master

    def close(self) -> None:
        """Close the connections; jobs go on."""
        self._to.close()

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # Jobs ----------------------------------------------------------------------------------------

    def submit(
        self,
        job: Submittable,
        *inputs: Any,
        output: str | Path | None = None,
        name: str | None = None,
    ) -> JobHandle:
        """Start a job over `inputs`, paths in the store, and return at once.

        Without a `name` it gets one that begins with `job.name`. Without an `output` the pairs are
        kept as objects, in the folder /tmp/mapreduce/NAME. Raises `JobError` if the job can't run
        as it is, before anything has changed.
        """
        name = name or f"{job.name[:90]}-{secrets.token_hex(4)}"
        there = f"{TEMPORARY}/{name}" if output is None else str(output)
        spec, code = job.pickled(*inputs, output=there, as_objects=output is None)
        self._create(msgspec.structs.replace(spec, name=name), code)
        return self._handle(name)

    def _create(self, spec: JobSpec, code: bytes) -> None:
        sidefiles.check_files(spec)
        with tempfile.TemporaryDirectory() as folder:
            spec = sidefiles.uploaded(sidefiles.zipped(spec, Path(folder)), self.store)
        try:
            self._master.submit_job(spec, code)
        except DynamoError:
            sidefiles.remove(self.store, spec)
            raise

    def run(
        self,
        job: Submittable,
        *inputs: Any,
        output: str | Path | None = None,
        progress: Progress | bool | None = None,
    ) -> RunResult:
        """Run a job and wait for its end. Without an `output` what it gives is kept as long as the
        result. If waiting is interrupted, the job is killed. Raises `JobFailed`."""
        running = self.submit(job, *inputs, output=output)
        try:
            running.wait(progress=progress)
            result = running.results()
        except BaseException:
            with contextlib.suppress(DynamoError):
                running.kill()
            raise
        finally:
            with contextlib.suppress(DynamoError):
                running.forget_files()
        if output is None:
            weakref.finalize(result, in_a_thread, _remove_files, self._to, result.output)
        return result

    def job(self, name: str) -> JobHandle:
        """The job `name`. Raises `JobError` if there is none."""
        self._master.job_status(name)
        return self._handle(name)

    def jobs(self, name: str = "*", state: str | None = None) -> list[JobHandle]:
        """The jobs whose name matches the pattern `name`, in `state` if one is given; the oldest
        first."""
        return [self._handle(record["name"]) for record in self._records(name, state)]

    def workers(self) -> list[dict[str, Any]]:
        """The workers that are alive, as `mapreduce.engine.status.WorkerStatus`."""
        return self._master.workers()

    def scoreboard(self) -> dict[str, Any]:
        """Every worker the leading master has heard of, what it does, when it was last heard and
        its strikes, as `mapreduce.engine.status.Scoreboard`."""
        return self._master.scoreboard()

    def drain(self, worker: str, undo: bool = False) -> None:
        """Give a worker no further tasks, as before its machine is stopped."""
        self._master.drain_worker(worker, not undo)

    def _records(self, name: str = "*", state: str | None = None) -> list[Record]:
        return [
            record
            for record in self._master.jobs()
            if fnmatch.fnmatchcase(record["name"], name) and state in (None, record["state"])
        ]

    def _handle(self, name: str) -> JobHandle:
        return JobHandle(name, self._to)

    def __repr__(self) -> str:
        return f"<Cluster {self.config.path}>"

    def _repr_html_(self) -> str:
        return notebook.jobs(reversed(self._records()))


def _remove_files(to: Connections, folder: str) -> None:
    """Nobody waits for it: if the cluster is closed by now, or meanwhile, they stay."""
    with contextlib.suppress(DynamoError):
        for path in files.under(to.store, folder) if to.is_open else ():
            files.remove(to.store, path)
