"""The masters as their clients see them: plain calls to whichever leads, and errors that are one
clear line.

>>> master = Connection("127.0.0.1:1")
>>> master.jobs()
Traceback (most recent call last):
    ...
dynamo.errors.Unreachable: no master answers at 127.0.0.1:1 (start it with `mapreduce up`)
"""

import contextlib
import socket
import time
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
import zerorpc
from zmq.constants import LINGER

import dynamo.errors as store_errors
import mapreduce.errors as job_errors
from dynamo.errors import DynamoError, Unreachable
from mapreduce.cluster.messages import HOLD_S
from mapreduce.engine.orders import JobSpec

PLANNING_TIMEOUT_S = 120.0
"""To make or start a job looks up every input, `remove_job` every key of a job."""
PLANS = ("submit_job", "new_job", "run_job", "remove_job")
LOOK_S = 3.0
KNOCK_S = 1.0
"""What changes nothing is asked of the next master after so long: this one may stand still."""
ONLY_LOOKS = (
    "job_status", "await_job", "jobs", "await_workers", "scoreboard", "output", "history",
)  # fmt: skip
ASK_AGAIN_S = 0.1

Record = dict[str, Any]


class Connection:
    """The masters at `addresses` ("host:port", one or several), for any number of threads. A call
    goes to the master that leads, wherever that is by then.

    Records of jobs are plain dicts with the fields of `mapreduce.cluster.records.JobRecord`.
    Calls raise `Unreachable` if no master that leads answers within `timeout_s`, and otherwise what
    the master answers: a `JobError` if the request itself is wrong, else a `DynamoError`.
    """

    def __init__(self, addresses: str | Iterable[str], *, timeout_s: float = 10.0) -> None:
        self.addresses = (addresses,) if isinstance(addresses, str) else tuple(addresses)
        self._timeout_s = timeout_s
        self._leader = self.addresses[0]
        """Where one was last seen to lead."""
        self._contexts = _Contexts()
        self._close = weakref.finalize(self, self._contexts.close)

    def close(self) -> None:
        """Let go of its sockets. What is forgotten here is done when nobody has it any more."""
        self._close()

    def submit_job(self, spec: JobSpec, code: bytes) -> Record:
        """Store a job and start it; one that can't start leaves nothing."""
        return self._record("submit_job", msgspec.to_builtins(spec), code)

    def new_job(self, spec: JobSpec, code: bytes) -> Record:
        """Store a job; nothing runs yet."""
        return self._record("new_job", msgspec.to_builtins(spec), code)

    def run_job(self, name: str) -> Record:
        """Start a job that is new, failed or killed."""
        return self._record("run_job", name)

    def kill_job(self, name: str) -> Record:
        """Stop a running job."""
        return self._record("kill_job", name)

    def kill_task(self, name: str, task: str) -> Record:
        """Stop what runs of a task, which starts again."""
        return self._record("kill_task", name, task)

    def pause_job(self, name: str) -> Record:
        """Start no further task of a running job."""
        return self._record("pause_job", name)

    def resume_job(self, name: str) -> Record:
        """Let a paused job go on."""
        return self._record("resume_job", name)

    def remove_job(self, name: str, with_output: bool = False) -> None:
        """Delete all that is kept of a job that does not run, and its output if that is wanted."""
        self._call("remove_job", name, with_output)

    def drain_worker(self, name: str, draining: bool = True) -> None:
        """Give a worker no further tasks, or some again."""
        self._call("drain_worker", name, draining)

    def job_status(self, name: str) -> Record:
        """Where a job stands."""
        return self._record("job_status", name)

    def await_job(self, name: str, at_most_s: float = HOLD_S) -> Record:
        """Where a job stands as soon as it has ended, or after `at_most_s`, or `HOLD_S`."""
        return self._record("await_job", name, float(at_most_s))

    def jobs(self) -> list[Record]:
        """All jobs, the oldest first."""
        found: list[Record] = self._call("jobs")
        return found

    def workers(self, expected: Sequence[str] = ()) -> list[dict[str, Any]]:
        """The workers that are alive, as `mapreduce.engine.status.WorkerStatus`; those `expected`
        are given the time to find a leader that has just begun."""
        found: list[dict[str, Any]] = self._call("await_workers", list(expected))
        return found

    def scoreboard(self) -> dict[str, Any]:
        """Every worker the leading master has heard of: `mapreduce.engine.status.Scoreboard`."""
        found: dict[str, Any] = self._call("scoreboard")
        return found

    def output(self, name: str) -> dict[str, Any]:
        """{"path": folder, "files": [{"path", "size_bytes"}, ...]} of a job that succeeded."""
        found: dict[str, Any] = self._call("output", name)
        return found

    def _record(self, method: str, *args: object) -> Record:
        found: Record = self._call(method, *args)
        return found

    def standings(self) -> dict[str, dict[str, Any]]:
        """What each master that answers says of who leads, by its address: "master", its own name,
        "leads", whether it does so itself, "term", and "leader", the name of the one that does."""
        found = {}
        for address in self.addresses:
            with contextlib.suppress(DynamoError):
                found[address] = self._ask(address, "leader", (), KNOCK_S)
        return found

    # Finding the one that leads ------------------------------------------------------------------

    def _call(self, method: str, *args: object) -> Any:
        give_up_at = time.monotonic() + self._timeout_s
        while True:
            there = False
            for address in sorted(self.addresses, key=lambda one: one != self._leader):
                try:
                    answer = self._ask_leader(address, method, args)
                except _NotThere:
                    continue
                except (_Elsewhere, _Silent):
                    there = True
                    continue
                self._leader = address
                return answer
            if not there:
                raise Unreachable(
                    f"no master answers at {', '.join(self.addresses)} "
                    "(start it with `mapreduce up`)"
                )
            if time.monotonic() > give_up_at:
                raise Unreachable(
                    f"none of the masters at {', '.join(self.addresses)} has come to lead in "
                    f"{self._timeout_s:g} s; a majority of them has to run: see "
                    "`mapreduce status`"
                )
            time.sleep(ASK_AGAIN_S)

    def _ask_leader(self, address: str, method: str, args: tuple[object, ...]) -> Any:
        """A call that changes something is made once only, where there is one that lives."""
        if len(self.addresses) > 1:
            if method in ONLY_LOOKS:
                return self._ask(address, method, args, LOOK_S)
            if not self._ask(address, "leader", (), KNOCK_S)["leads"]:
                raise _Elsewhere(address)
        timeout_s = PLANNING_TIMEOUT_S if method in PLANS else self._timeout_s
        try:
            return self._ask(address, method, args, timeout_s)
        except _Silent:
            raise Unreachable(
                f"the master at {address} did not answer {method} in {timeout_s:g} s; "
                "it may have done it all the same: see `mapreduce jobs`"
            ) from None

    def _ask(self, address: str, method: str, args: tuple[object, ...], timeout_s: float) -> Any:
        """One call by a client of its own: one that waited in vain for a dead peer stays wedged."""
        _knock(address, timeout_s)
        with self._contexts.one() as context:
            client = zerorpc.Client(context=context, timeout=timeout_s, heartbeat=None)
            client._events.setsockopt(LINGER, 0)
            try:
                client.connect(f"tcp://{address}")
                return client(method, *args)
            except zerorpc.RemoteError as error:
                raise _translated(error) from None
            except (zerorpc.TimeoutExpired, zerorpc.LostRemote):
                raise _Silent(address) from None
            finally:
                client.close()


class _Contexts:
    """zerorpc's contexts, one for each call under way: the ids of two threads' calls could be the
    same in one that they share."""

    def __init__(self) -> None:
        self._idle: deque[zerorpc.Context] = deque()

    @contextlib.contextmanager
    def one(self) -> Iterator[zerorpc.Context]:
        try:
            context = self._idle.pop()
        except IndexError:
            context = zerorpc.Context()
        try:
            yield context
        finally:
            self._idle.append(context)

    def close(self) -> None:
        while self._idle:
            self._idle.pop().term()


class _NotThere(DynamoError):
    """Nobody listens at an address."""


class _Elsewhere(DynamoError):
    """Another master leads."""


class _Silent(DynamoError):
    """Somebody listens, and does not answer in time."""


def _knock(address: str, timeout_s: float) -> None:
    """zerorpc would wait its whole time for a port where nobody listens."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=timeout_s).close()
    except OSError:
        raise _NotThere(address) from None


def _translated(error: zerorpc.RemoteError) -> DynamoError:
    """The master's error as one of ours; an accident inside the master keeps its name."""
    if error.name in ("NotLeader", "TermOver"):
        return _Elsewhere(error.msg)
    kind = getattr(job_errors, error.name, None) or getattr(store_errors, error.name, None)
    if isinstance(kind, type) and issubclass(kind, store_errors.RequestError):
        return job_errors.JobError(error.msg)
    if error.name == "NoWorker" or (isinstance(kind, type) and issubclass(kind, DynamoError)):
        return DynamoError(error.msg)
    return DynamoError(f"the master failed: {error.name}: {error.msg}")
