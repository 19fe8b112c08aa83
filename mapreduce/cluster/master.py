"""The master as a server: what zerorpc clients may call, and how a process becomes the master.

It holds no data and runs no user code: it never unpickles, and looks at a source file without
executing it.
"""

import functools
import inspect
import ipaddress
import logging
import signal
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import gevent
import msgspec
import zerorpc
from gevent.event import Event
from zmq.error import ZMQError

from dynamo.config import MasterConfig
from dynamo.errors import NodeFailed, RequestError
from dynamo.store import Store, check_value
from mapreduce.cluster import messages
from mapreduce.cluster.leadership import Leadership
from mapreduce.cluster.relay import Relay
from mapreduce.cluster.requests import Requests
from mapreduce.engine.orders import JobSpec, StepSpec
from mapreduce.engine.scheduler import Policy
from mapreduce.errors import NotLeader

Method = TypeVar("Method", bound=Callable[..., Any])


def _checked(method: Method) -> Method:
    """Answer a call with too few, too many or wrong arguments by saying which it takes."""
    signature = inspect.signature(method)
    takes = [p for name, p in signature.parameters.items() if name != "self"]
    usage = f"{method.__name__}({', '.join(f'{p.name}: {p.annotation.__name__}' for p in takes)})"

    @functools.wraps(method)
    def call(self: Any, *args: Any) -> Any:
        right = len(args) == len(takes) and all(
            isinstance(arg, parameter.annotation) for arg, parameter in zip(args, takes)
        )
        if not right:
            given = ", ".join(type(arg).__name__ for arg in args) or "nothing"
            raise RequestError(f"the call is {usage}, it was given {given}")
        return method(self, *args)

    return call  # type: ignore[return-value]


class MasterService:
    """What the master answers on its port. zerorpc publishes every public method of this class.

    All but `report` and `relay` are plain calls for any zerorpc client in any language; records are
    as in `mapreduce.cluster.records.JobRecord`. A call that can't be done is answered with an error
    that says why, before anything has been changed.
    """

    def __init__(self, name: str, leadership: Leadership) -> None:
        self._name = name
        self._leadership = leadership
        self._relay = Relay()

    def _requests(self) -> Requests:
        return self._leadership.term.requests

    @_checked
    def submit_job(self, spec: dict, code: bytes) -> dict[str, Any]:  # type: ignore[type-arg]
        """Store a job, as `new_job` does, and start it; one that can't start leaves nothing."""
        check_value(code)
        return _plain(self._requests().submit_job(_spec(spec), code))

    @_checked
    def new_job(self, spec: dict, code: bytes) -> dict[str, Any]:  # type: ignore[type-arg]
        """Store a job. `spec` has the fields of `mapreduce.engine.orders.JobSpec`, or of a single
        `StepSpec` beside them: at least name, inputs (a list of paths in the store) and output;
        `code` is the text of its source file."""
        check_value(code)
        record = self._requests().new_job(_spec(spec), code)
        return _plain(record)

    @_checked
    def run_job(self, name: str) -> dict[str, Any]:
        """Start a job that is new, failed or killed."""
        return _plain(self._requests().run_job(name))

    @_checked
    def kill_job(self, name: str) -> dict[str, Any]:
        """Stop a running job: its processes end within two seconds."""
        return _plain(self._requests().kill_job(name))

    @_checked
    def kill_task(self, name: str, task: str) -> dict[str, Any]:
        """Stop what runs of a task, such as "map-00003", or "2/map-00003" of the second step; it
        starts again, and that does not count as a failure."""
        return _plain(self._requests().kill_task(name, task))

    @_checked
    def pause_job(self, name: str) -> dict[str, Any]:
        """Start no further task of a running job; what runs goes on."""
        return _plain(self._requests().pause_job(name))

    @_checked
    def resume_job(self, name: str) -> dict[str, Any]:
        """Let a paused job go on."""
        return _plain(self._requests().resume_job(name))

    @_checked
    def remove_job(self, name: str, with_output: bool) -> None:
        """Delete all that is kept of a job that does not run: its record, specification, code, side
        files, plans, logs and history; its output too if that is wanted."""
        self._requests().remove_job(name, with_output)

    @_checked
    def drain_worker(self, name: str, draining: bool) -> None:
        """Give a worker no further tasks, or some again."""
        self._requests().drain_worker(name, draining)

    @_checked
    def job_status(self, name: str) -> dict[str, Any]:
        """The record of one job."""
        return _plain(self._requests().record(name))

    @_checked
    def await_job(self, name: str, at_most_s: float) -> dict[str, Any]:
        """The record of one job as soon as it has ended, or after `at_most_s`, or half a second."""
        return _plain(self._requests().await_end(name, at_most_s))

    @_checked
    def jobs(self) -> list[dict[str, Any]]:
        """The records of all jobs, the oldest first."""
        return [_plain(record) for record in self._requests().all_records()]

    @_checked
    def history(self, name: str) -> list[dict[str, Any]]:
        """The records of a job's runs that have ended, the newest first. When their tasks ran is in
        the store, at keys that `mapreduce.engine.paths` names."""
        return [_plain(record) for record in self._requests().history(name)]

    @_checked
    def output(self, name: str) -> dict[str, Any]:
        """The path and files of a job's output."""
        return self._requests().output(name)

    @_checked
    def workers(self) -> list[dict[str, Any]]:
        """The workers that are alive."""
        return [_plain(worker) for worker in self._requests().workers()]

    @_checked
    def await_workers(self, names: list) -> list[dict[str, Any]]:  # type: ignore[type-arg]
        """The same; a master that has just begun to lead gives those named two seconds to find
        it."""
        return [_plain(worker) for worker in self._requests().await_workers(names)]

    @_checked
    def scoreboard(self) -> dict[str, Any]:
        """Every worker that this master has heard of since it leads: what it does, when it was last
        heard, its strikes; `mapreduce.engine.status.Scoreboard`."""
        return _plain(self._requests().scoreboard())

    @_checked
    def leader(self) -> dict[str, Any]:
        """Who leads: "master", this master's name, "leads", whether it does so itself, "term", and
        "leader", the name of the one that does, or "". Masters that stand by answer it too."""
        term, leader = self._leadership.standing
        return {"master": self._name, "leads": term > 0, "term": term, "leader": leader}

    @_checked
    def report(self, report: bytes) -> bytes:
        """For workers only: a report there, orders back; see `mapreduce.cluster.messages`."""
        return self._answered(report)

    @_checked
    def relay(self, report: bytes) -> bytes:
        """For workers that can't reach the master that leads: their report is passed on to it."""
        try:
            return self._answered(report)
        except NotLeader as elsewhere:
            if not elsewhere.address:
                raise
            return self._relay.report(elsewhere.address, report)

    def _answered(self, report: bytes) -> bytes:
        orders = self._leadership.term.reports.report(messages.decode_report(report))
        _ = self._leadership.term  # raises if that has ended while the report was held
        return messages.encode(orders)


def _spec(given: dict[str, Any]) -> JobSpec:
    """A specification from a client that need not know all its fields: inputs may be plain paths,
    and a job of one step may have that step's fields beside its own."""
    step = {name: given[name] for name in StepSpec.__struct_fields__ if name in given}
    if step and "steps" in given:
        raise RequestError(f"give {', '.join(step)} to one of the steps, not beside `steps`")
    whole = {name: value for name, value in given.items() if name not in step}
    input_format = whole.pop("input_format", "text")
    whole["inputs"] = [
        {"path": path, "format": input_format} if isinstance(path, str) else path
        for path in _listed(whole.get("inputs"))
    ]
    if step:
        whole["steps"] = [step]
    try:
        return msgspec.convert(whole, JobSpec)
    except msgspec.ValidationError as error:
        raise RequestError(f"the job's specification is wrong: {error}") from None


def _listed(inputs: Any) -> list[Any]:
    if isinstance(inputs, list | tuple):
        return list(inputs)
    raise RequestError("the job's `inputs` is a list of paths in the store")


def _plain(struct: msgspec.Struct) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(struct)
    return plain


# The process -------------------------------------------------------------------------------------


def serve(
    me: MasterConfig,
    masters: Sequence[MasterConfig],
    store: Store,
    ready: Callable[[], None],
    policy: Policy | None = None,
    trusted_network: bool = False,
) -> None:
    """Run the master `me`, one of `masters`, in this process until SIGTERM or SIGINT.

    `ready` is called once it takes calls; it may be some time later that one of the masters leads.
    With `trusted_network` it may listen where other machines reach it.
    Raises `NodeFailed` if it can't listen, or can't use its folder.
    """
    logging.getLogger("zerorpc").setLevel(logging.CRITICAL)  # it logs each error it passes on
    host, _, port = me.address.rpartition(":")
    for address in () if trusted_network else (me.address, *filter(None, [me.election])):
        check_loopback(me.name, address.rpartition(":")[0])
    leadership = Leadership(me.name, masters, store, policy)
    rpc = zerorpc.Server(MasterService(me.name, leadership), heartbeat=None)
    stopped = Event()
    try:
        _listen(rpc, me.name, host, int(port))
        leadership.start()
        calls = gevent.spawn(rpc.run)
        calls.link(lambda _: stopped.set())
        for number in (signal.SIGTERM, signal.SIGINT):
            gevent.signal_handler(number, stopped.set)
        ready()
        stopped.wait()
        if calls.exception is not None:
            raise NodeFailed(f"master {me.name} stops, its port failed: {calls.exception}")
        calls.kill()
    finally:
        leadership.stop()
        rpc.close()


def check_loopback(name: str, host: str) -> None:
    """Raise unless only this machine can reach `host`."""
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if not loopback:
        raise NodeFailed(
            f"master {name} does not listen on {host}: servers have no keys yet, so whoever "
            "reaches the port could run code; use an address of this machine only, as 127.0.0.1"
        )


def _listen(rpc: zerorpc.Server, name: str, host: str, port: int) -> None:
    try:
        rpc.bind(f"tcp://{'127.0.0.1' if host == 'localhost' else host}:{port}")
    except ZMQError as error:
        raise NodeFailed(
            f"master {name} can't listen on {host}:{port}: {error}; stop what uses the port, "
            "or give the master another address in cluster.ini"
        ) from error
