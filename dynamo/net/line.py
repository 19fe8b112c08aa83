"""A line: one zerorpc connection to a node, which tells at once when its other end has gone.

A call over zerorpc waits for its answer as long as it may, also from a process that was killed:
ZeroMQ connects again by itself and says nothing. It does tell a monitor, though. The kernel of a
machine whose process has ended closes the connection, or refuses a new one, within a millisecond.
A process that is slow, or stopped, keeps its connection: that takes patience, as ever.
"""

from typing import Any

import gevent
import zerorpc
from gevent.hub import get_hub
from zmq.constants import LINGER, Event

GONE = Event.DISCONNECTED | Event.CLOSED
"""The connection has ended; or an attempt to make it has."""


class Gone(Exception):
    """Nothing has this end of a connection any more: what was asked on it is never answered."""


def connect(address: str, timeout_s: float, context: zerorpc.Context) -> zerorpc.Client:
    """A zerorpc client that does not hold its process up for what a dead node will never take.

    Each thread needs a `context` of its own: it numbers the calls, and servers tell calls apart by
    these numbers alone.
    """
    rpc = client(timeout_s, context)
    rpc.connect(f"tcp://{address}")
    return rpc


def client(timeout_s: float, context: zerorpc.Context) -> zerorpc.Client:
    """What `connect` connects."""
    rpc = zerorpc.Client(context=context, timeout=timeout_s, heartbeat=None)
    rpc._events.setsockopt(LINGER, 0)
    return rpc


class Line:
    """A connection to the node at `address` ("host:port"), for one call at a time."""

    def __init__(self, address: str, timeout_s: float, context: zerorpc.Context) -> None:
        self._rpc = client(timeout_s, context)
        self._socket = self._rpc._events._socket
        self._events = self._socket.get_monitor_socket(GONE)
        self._caller: gevent.Greenlet | None = None
        """Who waits for an answer."""
        self.gone = False
        """True once the other end has."""
        self._watcher = gevent.spawn(self._watch)
        self._rpc.connect(f"tcp://{address}")

    def exchange(self, frame: bytes | bytearray) -> Any:
        """What the node's `exchange` returns.

        Raises `Gone` as soon as the other end has, `zerorpc.TimeoutExpired` after `timeout_s`.
        """
        self._caller = gevent.getcurrent()
        try:
            return self._rpc.exchange(frame)
        finally:
            self._caller = None

    def close(self) -> None:
        """Hang up. The monitor goes first: a context waits for all its sockets when it ends."""
        self._watcher.kill()
        self._socket.disable_monitor()
        self._events.close()
        self._rpc.close()

    def _watch(self) -> None:
        self._events.recv_multipart()
        self.gone = True
        get_hub().loop.run_callback(self._interrupt)

    def _interrupt(self) -> None:
        """In the hub, as a timeout would: whoever waits for an answer stops waiting."""
        if self._caller is not None:
            self._caller.throw(Gone())
