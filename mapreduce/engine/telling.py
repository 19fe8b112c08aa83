"""What a child process is told, through its socket.

A child that is busy, or stopped, reads nothing for a while, and a socket takes a few hundred small
messages before its writer has to wait. Only the thread of the child's own slot may; whoever else
has something to say leaves it here.
"""

import contextlib
import select
from collections import deque
from multiprocessing.connection import Connection
from threading import Lock

import msgspec

from mapreduce.engine.orders import Message

SMALL_BYTES = 64 << 10
"""So much fits into a socket that says it can be written to."""


class Telling:
    """The parent's end. `soon` may be called from any thread, the rest from the slot's."""

    def __init__(self, connection: "Connection[bytes, bytes]") -> None:
        self._connection = connection
        self._sending = Lock()
        self._waiting: deque[bytes] = deque()
        self._writable = select.poll()
        self._writable.register(connection.fileno(), select.POLLOUT)

    @property
    def waits(self) -> bool:
        """True while there is something that `go_on` has to send."""
        return bool(self._waiting)

    def now(self, messages: list[Message]) -> None:
        """Send, and wait until the socket has taken it. Raises OSError if the child has died."""
        with self._sending:
            self._connection.send_bytes(msgspec.msgpack.encode(messages))

    def soon(self, message: Message) -> None:
        """Send, if the child's socket takes it now; else `go_on` does. Returns at once."""
        self._waiting.append(msgspec.msgpack.encode([message]))
        if self._sending.acquire(blocking=False):
            try:
                self._send(SMALL_BYTES)
            finally:
                self._sending.release()

    def go_on(self) -> None:
        """Send what waits, as far as the child reads; something large is waited for."""
        with self._sending:
            self._send(None)

    def forget(self) -> None:
        """Drop what waits: the attempt that it was for has ended."""
        self._waiting.clear()

    def _send(self, most_bytes: int | None) -> None:
        with contextlib.suppress(OSError, IndexError):  # the child has died, or nothing waits
            while self._writable.poll(0):
                if most_bytes is not None and len(self._waiting[0]) > most_bytes:
                    return
                self._connection.send_bytes(self._waiting.popleft())
