"""The master as its clients see it: plain calls, and errors that are one clear line.

>>> master = Connection("127.0.0.1:1")
>>> master.jobs()
Traceback (most recent call last):
    ...
dynamo.errors.Unreachable: no master answers at 127.0.0.1:1 (start it with `mapreduce up`)
"""

import socket
import threading
import weakref
from typing import Any

import msgspec
import zerorpc
from zmq.constants import LINGER

import dynamo.errors as store_errors
import mapreduce.errors as job_errors
from dynamo.errors import DynamoError, Unreachable
from mapreduce.engine.orders import JobSpec

PLANNING_TIMEOUT_S = 120.0
"""`new_job` and `run_job` look up every input."""

Record = dict[str, Any]


class Connection:
    """The master at `address` ("host:port"), for any number of threads; one call at a time.

    Records of jobs are plain dicts with the fields of `mapreduce.cluster.records.JobRecord`.
    Calls raise `Unreachable` if no master answers within `timeout_s`, and otherwise what the
    master answers: a `JobError` if the request itself is wrong, else a `DynamoError`.
    """

    def __init__(self, address: str, *, timeout_s: float = 10.0) -> None:
        self.address = address
        self._timeout_s = timeout_s
        # Its own: the ids of two threads' calls could be the same in one that they share.
        self._context = zerorpc.Context()
        self._lock = threading.Lock()
        self._close = weakref.finalize(self, self._context.term)

    def close(self) -> None:
        """Let go of its sockets. What is forgotten here is done when nobody has it any more."""
        self._close()

    def new_job(self, spec: JobSpec, code: bytes) -> Record:
        """Store a job; nothing runs yet."""
        return self._record("new_job", msgspec.to_builtins(spec), code)

    def run_job(self, name: str) -> Record:
        """Start a job that is new, failed or killed."""
        return self._record("run_job", name)

    def kill_job(self, name: str) -> Record:
        """Stop a running job."""
        return self._record("kill_job", name)

    def job_status(self, name: str) -> Record:
        """Where a job stands."""
        return self._record("job_status", name)

    def jobs(self) -> list[Record]:
        """All jobs, the oldest first."""
        found: list[Record] = self._call("jobs")
        return found

    def workers(self) -> list[dict[str, Any]]:
        """The workers that are alive, as `mapreduce.engine.status.WorkerStatus`."""
        found: list[dict[str, Any]] = self._call("workers")
        return found

    def output(self, name: str) -> dict[str, Any]:
        """{"path": folder, "files": [{"path", "size_bytes"}, ...]} of a job that succeeded."""
        found: dict[str, Any] = self._call("output", name)
        return found

    def _record(self, method: str, *args: object) -> Record:
        found: Record = self._call(method, *args)
        return found

    def _call(self, method: str, *args: object) -> Any:
        """One call by a client of its own: one that waited in vain for a dead peer stays wedged."""
        self._knock()
        timeout_s = PLANNING_TIMEOUT_S if method in ("new_job", "run_job") else self._timeout_s
        with self._lock:
            client = zerorpc.Client(context=self._context, timeout=timeout_s, heartbeat=None)
            client._events.setsockopt(LINGER, 0)
            try:
                client.connect(f"tcp://{self.address}")
                return client(method, *args)
            except zerorpc.RemoteError as error:
                raise _translated(error) from None
            except (zerorpc.TimeoutExpired, zerorpc.LostRemote):
                raise Unreachable(
                    f"the master at {self.address} did not answer {method} in {timeout_s:g} s; "
                    "it may have done it all the same: see `mapreduce jobs`"
                ) from None
            finally:
                client.close()

    def _knock(self) -> None:
        """zerorpc would wait its whole time for a port where nobody listens."""
        host, _, port = self.address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=self._timeout_s).close()
        except OSError:
            raise Unreachable(
                f"no master answers at {self.address} (start it with `mapreduce up`)"
            ) from None


def _translated(error: zerorpc.RemoteError) -> DynamoError:
    """The master's error as one of ours; an accident inside the master keeps its name."""
    kind = getattr(job_errors, error.name, None) or getattr(store_errors, error.name, None)
    if isinstance(kind, type) and issubclass(kind, store_errors.RequestError):
        return job_errors.JobError(error.msg)
    if error.name == "NoWorker" or (isinstance(kind, type) and issubclass(kind, DynamoError)):
        return DynamoError(error.msg)
    return DynamoError(f"the master failed: {error.name}: {error.msg}")
