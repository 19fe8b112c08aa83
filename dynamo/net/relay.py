"""Sockets of a folder by which processes without network reach the nodes of a cluster, and nobody
else: in a network namespace of their own there is no TCP, but a folder can be opened to them.

For each member there is a Unix socket, named by its address ("host:port"). Whoever connects to it
is connected to that node over TCP, and what comes is passed on, byte by byte, both ways: what
ZeroMQ says over "ipc" and over "tcp" is the same. If either end hangs up, so does the other.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType

import gevent
import zerorpc
from gevent import socket
from gevent.pool import Pool
from gevent.server import StreamServer

from dynamo.net.asking import ask
from dynamo.net.following import FOLLOW_S, REQUEST_ID
from dynamo.net.hub import HubThread
from dynamo.net.link import SILENCE_S
from dynamo.protocol.messages import GetRing, RingDone

_PIECE_BYTES = 256 << 10
"""So much is passed on at once."""
_BACKLOG = 64


class Relay:
    """Has a socket in `folder` for each member of the cluster that those at `seeds` belong to, and
    follows as members come and go. Works in a thread of its own, until it is closed."""

    def __init__(self, seeds: Sequence[str], folder: str | Path) -> None:
        self._folder = Path(folder)
        self._context = zerorpc.Context()
        self._servers: dict[str, StreamServer] = {}
        self._conversations = Pool()
        self._hub = HubThread("store-relay")
        listening: Future[None] = Future()
        self._hub.post(lambda: self._start(seeds, listening))
        listening.result()

    def __enter__(self) -> "Relay":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up on everybody, and remove the sockets."""
        self._hub.post(self._stop)
        self._hub.close()
        self._context.destroy(linger=0)

    def _start(self, seeds: Sequence[str], listening: "Future[None]") -> None:
        try:
            self._serve(seeds)
        except Exception as error:
            listening.set_exception(error)
        else:
            self._follower = gevent.spawn(self._follow, seeds)
            listening.set_result(None)

    def _stop(self) -> None:
        self._follower.kill()
        self._serve([])
        self._conversations.kill()

    def _follow(self, seeds: Sequence[str]) -> None:
        """Ask now and then who the members are: whoever is known may have gone by then."""
        while True:
            for address in list(dict.fromkeys([*self._servers, *seeds])):
                found = ask(address, GetRing(REQUEST_ID), SILENCE_S, self._context)
                if isinstance(found, RingDone):
                    self._serve(found.addresses.values())
                    break
            gevent.sleep(FOLLOW_S)

    def _serve(self, addresses: Iterable[str]) -> None:
        """Listen for these nodes and no others."""
        wanted = set(addresses)
        for address in self._servers.keys() - wanted:
            self._servers.pop(address).close()
            (self._folder / address).unlink(missing_ok=True)
        for address in wanted - self._servers.keys():
            server = StreamServer(
                self._listener(address), partial(self._converse, address), spawn=self._conversations
            )
            server.start()
            self._servers[address] = server

    def _listener(self, address: str) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self._folder / address))
        listener.listen(_BACKLOG)
        return listener

    def _converse(self, address: str, caller: socket.socket, _: object) -> None:
        """Pass on what `caller` and a node say, until one of them hangs up."""
        host, _, port = address.rpartition(":")
        with suppress(OSError), socket.create_connection((host, int(port)), SILENCE_S) as node:
            node.settimeout(None)
            node.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            ways = [gevent.spawn(_pass_on, caller, node), gevent.spawn(_pass_on, node, caller)]
            try:
                gevent.wait(ways, count=1)
            finally:
                gevent.killall(ways)


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(_PIECE_BYTES):
            sink.sendall(piece)
