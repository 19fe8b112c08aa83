"""A line: one zerorpc connection to a node, which tells at once when its other end has gone.

A call over zerorpc waits for its answer as long as it may, also from a process that was killed:
ZeroMQ connects again by itself and says nothing. It does tell a monitor, though. The kernel of a
machine whose process has ended closes the connection, or refuses a new one, within a millisecond.
A process that is slow, or stopped, keeps its connection: that takes patience, as ever.
"""

from contextlib import suppress
from itertools import count
from typing import Any

import gevent
import zerorpc
from gevent.hub import get_hub
from zmq.constants import LINGER, NOBLOCK, PAIR, Event
from zmq.error import Again
from zmq.sugar.socket import Socket

GONE = Event.DISCONNECTED | Event.CLOSED
"""The connection has ended; or an attempt to make it has."""

_numbers = count()


class Gone(Exception):
    """Nothing has this end of a connection any more: what was asked on it is never answered."""


def endpoint(address: str, relay: str) -> str:
    """Where ZeroMQ finds the node at `address` ("host:port"): over TCP, or by the socket that a
    `dynamo.net.relay.Relay` has for it in the folder `relay`.

    >>> endpoint("127.0.0.1:7401", ""), endpoint("127.0.0.1:7401", "/run/store")
    ('tcp://127.0.0.1:7401', 'ipc:///run/store/127.0.0.1:7401')
    """
    return f"ipc://{relay}/{address}" if relay else f"tcp://{address}"


def connect(
    address: str, timeout_s: float, context: zerorpc.Context, relay: str = ""
) -> zerorpc.Client:
    """A zerorpc client that does not hold its process up for what a dead node will never take.

    Each thread needs a `context` of its own: it numbers the calls, and servers tell calls apart by
    these numbers alone.
    """
    rpc = client(timeout_s, context)
    rpc.connect(endpoint(address, relay))
    return rpc


def client(timeout_s: float, context: zerorpc.Context) -> zerorpc.Client:
    """What `connect` connects."""
    rpc = zerorpc.Client(context=context, timeout=timeout_s, heartbeat=None)
    rpc._events.setsockopt(LINGER, 0)
    return rpc


class Line:
    """A connection to the node at `address` ("host:port"), for one call at a time."""

    def __init__(
        self, address: str, timeout_s: float, context: zerorpc.Context, relay: str = ""
    ) -> None:
        self._rpc = client(timeout_s, context)
        self._caller: gevent.Greenlet | None = None
        """Who waits for an answer."""
        self.gone = False
        """True once the other end has."""
        self._closing: gevent.Greenlet | None = None
        self._monitored = self._rpc._events._socket
        monitor = f"inproc://line-{next(_numbers)}"  # a name may be taken for a while after its end
        self._monitored.monitor(monitor, GONE)
        self._events = Socket(context, PAIR)
        self._events.connect(monitor)
        self._ready = get_hub().loop.io(self._events.FD, 1)
        self._ready.start(self._look)
        self._look()  # ZeroMQ wakes only a reader that has found nothing
        self._rpc.connect(endpoint(address, relay))

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
        """Hang up; does no harm a second time.

        In a greenlet of its own: zerorpc swallows what is to end the one that closes it.
        """
        if self._closing is None:
            self._closing = gevent.spawn(self._close)
        self._closing.join()

    def _close(self) -> None:
        """The monitor goes first: a context waits for all its sockets when it ends."""
        self._ready.stop()
        self._ready.close()
        self._monitored.disable_monitor()
        self._events.close(linger=0)
        self._rpc.close()

    def _look(self) -> None:
        """In the hub, when the monitor may have something to tell; as a timeout would, it ends the
        waiting of whoever waits for an answer."""
        with suppress(Again):
            while not self.gone:
                self._events.recv_multipart(NOBLOCK)
                self.gone = True
        if self.gone:
            self._ready.stop()
            if self._caller is not None:
                self._caller.throw(Gone())
