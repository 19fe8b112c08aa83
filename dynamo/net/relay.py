"""Sockets of a folder by which processes without network reach the nodes of a cluster, and nobody
else: in a network namespace of their own there is no TCP, but a folder can be opened to them.

A relay belongs to a process that is trusted, and opens gates. Each has a folder with a Unix socket
for every member, named by its address ("host:port"), on which zerorpc's `exchange` is served as a
node does it; what may pass (`dynamo.net.gate`) is passed on to that node over TCP.
"""

import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import gevent
import zerorpc
from gevent.lock import BoundedSemaphore
from zmq.constants import MAXMSGSIZE, RCVHWM
from zmq.error import ZMQError

from dynamo.errors import Overloaded
from dynamo.net import wire
from dynamo.net.asking import ask
from dynamo.net.following import FOLLOW_S, REQUEST_ID
from dynamo.net.gate import passage
from dynamo.net.hub import HubThread
from dynamo.net.line import Line
from dynamo.net.link import HOLD_S, SILENCE_S
from dynamo.protocol.messages import GetRing, RingDone

CALLERS = 16
"""So many that are behind one gate have a connection to one node."""
_FRAMES = 4
"""So many of their frames are passed on at once: each may be large."""
_FRAME_BYTES = 2 * wire.FRAME_LIMIT_BYTES
"""What is larger is no client's: it sends no more than the limit, or one value."""
_WAITING = 2
"""So many frames of one connection wait here; more wait with who sends them."""
_SOCKETS = 1 << 16


class Relay:
    """Follows the members of the cluster that those at `seeds` belong to, and opens gates to them.
    Works in a thread of its own, until it is closed."""

    def __init__(self, seeds: Sequence[str]) -> None:
        self._context = zerorpc.Context()
        self._context.max_sockets = _SOCKETS
        self._members = frozenset(seeds)
        self._gates: set[Gate] = set()
        self._hub = HubThread("store-relay")
        self._in_hub(lambda: self._start(seeds))

    def __enter__(self) -> "Relay":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def gate(self, folder: str | Path) -> "Gate":
        """Open a gate with its sockets in `folder`, which is made. For any thread.

        Raises OSError if there can be none."""
        gate = Gate(Path(folder), self._context, self._shut)
        self._in_hub(lambda: self._open(gate))
        return gate

    def close(self) -> None:
        """Close all gates."""
        self._in_hub(self._stop)
        self._hub.close()
        self._context.destroy(linger=0)

    def _in_hub(self, function: Callable[[], None]) -> None:
        """Wait until a greenlet of the hub has done it."""
        done: Future[None] = Future()

        def run() -> None:
            try:
                function()
                done.set_result(None)
            except BaseException as error:
                done.set_exception(error)

        self._hub.post(lambda: gevent.spawn(run))
        done.result()

    def _start(self, seeds: Sequence[str]) -> None:
        self._follower = gevent.spawn(self._follow, seeds)

    def _stop(self) -> None:
        self._follower.kill()
        for gate in list(self._gates):
            self._end(gate)

    def _open(self, gate: "Gate") -> None:
        Path(gate.folder).mkdir(mode=0o700)
        self._gates.add(gate)
        try:
            gate.serve(self._members)
        except OSError:
            self._end(gate)
            raise

    def _shut(self, gate: "Gate") -> None:
        self._in_hub(lambda: self._end(gate))

    def _end(self, gate: "Gate") -> None:
        self._gates.discard(gate)
        gate.serve([])
        Path(gate.folder).rmdir()

    def _follow(self, seeds: Sequence[str]) -> None:
        """Ask now and then who the members are: whoever is known may have gone by then."""
        while True:
            for address in list(dict.fromkeys([*self._members, *seeds])):
                found = ask(address, GetRing(REQUEST_ID), SILENCE_S, self._context)
                if isinstance(found, RingDone):
                    self._members = frozenset(found.addresses.values())
                    for gate in list(self._gates):
                        with suppress(OSError):  # it may succeed the next time
                            gate.serve(self._members)
                    break
            gevent.sleep(FOLLOW_S)


class Gate:
    """A folder of sockets by which the store is read, and written as far as it was allowed."""

    def __init__(
        self, folder: Path, context: zerorpc.Context, shut: Callable[["Gate"], None]
    ) -> None:
        self.folder = str(folder)
        self._context = context
        self._shut = shut
        self._writable: tuple[str, ...] = ()
        self._doors: dict[str, _Door] = {}

    def allow(self, prefixes: Iterable[str]) -> None:
        """From now on keys that begin with one of these can be written, and no others."""
        self._writable = tuple(prefixes)

    def close(self) -> None:
        """Hang up on everybody, and remove the folder. For any thread."""
        self._shut(self)

    def serve(self, addresses: Iterable[str]) -> None:
        """Listen for these nodes and no others. In the relay's hub."""
        wanted = set(addresses)
        for address in self._doors.keys() - wanted:
            self._doors.pop(address).close()
            Path(self.folder, address).unlink(missing_ok=True)
        for address in wanted - self._doors.keys():
            path = Path(self.folder, address)
            try:
                door = _Door(path, address, lambda: self._writable, self._context)
            except ZMQError as error:
                reason = os.strerror(error.errno)
                raise OSError(error.errno, f"there can be no socket {path}: {reason}") from error
            self._doors[address] = door


class _Door:
    """The socket of a gate for one node."""

    def __init__(
        self,
        path: Path,
        address: str,
        writable: Callable[[], tuple[str, ...]],
        context: zerorpc.Context,
    ) -> None:
        self._lines = _Lines(address, context)
        service = _Service(self._lines, writable)
        self._rpc = zerorpc.Server(service, context=context, pool_size=_FRAMES, heartbeat=None)
        self._rpc._events.setsockopt(MAXMSGSIZE, _FRAME_BYTES)
        self._rpc._events.setsockopt(RCVHWM, _WAITING)
        try:
            self._rpc.bind(f"ipc://{path}")
        except ZMQError:
            self._rpc.close()
            raise
        self._greenlet = gevent.spawn(self._rpc.run)

    def close(self) -> None:
        self._greenlet.kill()
        self._rpc.close()
        self._lines.close()


class _Service:
    """What is served there: zerorpc publishes every public method of this class, and no more."""

    def __init__(self, lines: "_Lines", writable: Callable[[], tuple[str, ...]]) -> None:
        self._lines = lines
        self._writable = writable

    def exchange(self, frame: bytes) -> Any:
        """One batch of envelopes there and back, as far as they may pass; see `dynamo.net.wire`."""
        said, refused = passage(wire.decode(frame), self._writable())
        with self._lines.of(said.address) as line:
            answer = line.exchange(wire.encode(said) if refused else frame)
        if not refused:
            return answer
        heard = wire.decode(answer)
        return wire.encode(heard._replace(envelopes=[*heard.envelopes, *refused]))


class _Lines:
    """The connections of a door to its node, one for each caller."""

    def __init__(self, address: str, context: zerorpc.Context) -> None:
        self._address = address
        self._context = context
        self._of: OrderedDict[str, tuple[Line, BoundedSemaphore]] = OrderedDict()
        """Who called last is last."""

    @contextmanager
    def of(self, caller: str) -> Iterator[Line]:
        """The caller's line, for one exchange; after an error it gets another."""
        if caller not in self._of:
            self._make_room()
            line = Line(self._address, HOLD_S + SILENCE_S, self._context)
            self._of[caller] = line, BoundedSemaphore()
        self._of.move_to_end(caller)
        line, turn = self._of[caller]
        with turn:
            try:
                yield line
            except BaseException:
                if self._of.get(caller, (None,))[0] is line:
                    del self._of[caller]
                line.close()
                raise

    def _make_room(self) -> None:
        if len(self._of) < CALLERS:
            return
        idle = next((name for name, (_, turn) in self._of.items() if not turn.locked()), None)
        if idle is None:
            raise Overloaded(f"{CALLERS} callers are speaking to {self._address} already")
        self._of.pop(idle)[0].close()

    def close(self) -> None:
        while self._of:
            self._of.popitem()[1][0].close()
