"""Whether the master that a worker has registered with is still there: seen from outside, as a
master that is asked something the protocol does not know would fall over it.

Linux lists the sockets at which somebody listens, with numbers that are never the same for two
(proc(5), net/tcp and net/udp). Elsewhere no master is missed.
"""

import socket
from collections.abc import Iterator
from pathlib import Path

_LISTS = {socket.SOCK_STREAM: ("tcp", "tcp6"), socket.SOCK_DGRAM: ("udp", "udp6")}
_OPEN = {socket.SOCK_STREAM: "0A", socket.SOCK_DGRAM: "07"}
"""The state of a socket at which somebody listens."""


class Presence:
    """The master that listens at `port`, and at `port` - 1 for heartbeats.

    It has gone when both sockets have: so none is missed that has never listened for heartbeats,
    or that opens one of them anew for each message.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._messages: set[str] = set()
        self._beats: set[str] = set()

    def has_gone(self) -> bool:
        """True if nobody, or somebody else than at the first look, listens there by now."""
        try:
            return self._look()
        except OSError:  # the lists can't be read
            return False

    def _look(self) -> bool:
        beats = listeners(socket.SOCK_DGRAM, self._port - 1)
        self._beats = self._beats or beats
        self._messages = self._messages or listeners(socket.SOCK_STREAM, self._port)
        if self._beats & beats or not (self._beats and self._messages):
            return False
        return not self._messages & listeners(socket.SOCK_STREAM, self._port)


def listeners(kind: socket.SocketKind, port: int) -> set[str]:
    """The numbers of the sockets at which somebody listens at a port of this machine. Raises
    OSError."""
    wanted = f":{port:04X}"
    return {
        fields[9]
        for fields in _rows(kind)
        if fields[1].endswith(wanted) and fields[3] == _OPEN[kind]
    }


def _rows(kind: socket.SocketKind) -> Iterator[list[str]]:
    for name in _LISTS[kind]:
        path = Path("/proc/net", name)
        if path.exists():
            yield from map(str.split, path.read_text().splitlines()[1:])
