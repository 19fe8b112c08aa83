"""A worker sees from outside whether its master is still the same one."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from mapreduce.jsonwire.presence import Presence
from tests.mapreduce.jsonwire.site import HOST, free_port

pytestmark = pytest.mark.skipif(
    not Path("/proc/net/udp").exists(), reason="this system does not list its sockets"
)
PORT = free_port()


class Sockets:
    """Those of a master, or of something like one."""

    def __init__(self) -> None:
        self._open: dict[str, socket.socket] = {}

    def open(self, *kinds: str) -> None:
        for kind in kinds:
            self.close(kind)
            tcp = kind == "tcp"
            made = socket.socket(type=socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((HOST, PORT if tcp else PORT - 1))
            if tcp:
                made.listen()
            self._open[kind] = made

    def close(self, *kinds: str) -> None:
        for kind in kinds:
            if kind in self._open:
                self._open.pop(kind).close()


@pytest.fixture
def master() -> Iterator[Sockets]:
    master = Sockets()
    with contextlib.ExitStack() as stack:
        stack.callback(master.close, "tcp", "udp")
        yield master


@pytest.mark.parametrize("restarted", [(), ("tcp", "udp")])
def test_one_that_has_ended_or_was_started_anew_has_gone(
    master: Sockets, restarted: tuple[str, ...]
) -> None:
    master.open("tcp", "udp")
    presence = Presence(PORT)
    assert not presence.has_gone()
    master.close("tcp", "udp")
    master.open(*restarted)
    assert presence.has_gone()


def test_where_the_lists_can_t_be_read_nobody_is_missed(
    master: Sockets, monkeypatch: pytest.MonkeyPatch
) -> None:
    master.open("tcp", "udp")
    presence = Presence(PORT)
    assert not presence.has_gone()
    master.close("tcp", "udp")

    def refused(*_: object) -> str:
        raise PermissionError

    monkeypatch.setattr(Path, "read_text", refused)
    assert not presence.has_gone()
    monkeypatch.undo()
    assert presence.has_gone()


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_one_that_keeps_either_socket_has_not(master: Sockets, kind: str) -> None:
    master.open("tcp", "udp")
    presence = Presence(PORT)
    assert not presence.has_gone()
    master.open(kind)
    assert not presence.has_gone()
    master.close(kind)
    assert not presence.has_gone()


def test_one_that_never_listens_for_heartbeats_is_not_missed(master: Sockets) -> None:
    master.open("tcp")
    presence = Presence(PORT)
    assert not presence.has_gone()
    master.close("tcp")
    assert not presence.has_gone()


def test_one_that_began_late_to_listen_for_heartbeats_is_missed(master: Sockets) -> None:
    master.open("tcp")
    presence = Presence(PORT)
    master.open("udp")
    assert not presence.has_gone()
    master.close("tcp", "udp")
    assert presence.has_gone()
