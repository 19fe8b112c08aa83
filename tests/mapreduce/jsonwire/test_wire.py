"""Messages on sockets: one connection each, whole however they come; junk keeps nobody waiting."""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable

import pytest

from mapreduce.jsonwire import wire
from mapreduce.jsonwire.actions import Report, Send, Undelivered
from mapreduce.jsonwire.messages import Heartbeat, NewSortJob, NewWorkerJob, Shutdown, encode
from mapreduce.jsonwire.wire import Heartbeats, Inbox, Outbox, bind

HOST = "127.0.0.1"
BIG = NewWorkerJob([f"input/file-{i:07}" for i in range(20_000)], "map.py", "out", 7)


class Site:
    """An inbox and an outbox, and what they have heard."""

    def __init__(self) -> None:
        self.heard: list[object] = []
        self.outbox = Outbox(self.heard.append)
        self.socket = bind(socket.SOCK_STREAM, HOST, 0)
        self.port = self.socket.getsockname()[1]

    async def listen(self) -> asyncio.Server:
        return await Inbox(self.heard.append).listen(self.socket)

    async def until(self, count: int) -> list[object]:
        async with asyncio.timeout(20):
            while len(self.heard) < count:
                await asyncio.sleep(0.005)
        return self.heard

    def send(self, message: object, patience_s: float = 10.0) -> None:
        self.outbox.send(Send(HOST, self.port, message, patience_s))  # type: ignore[arg-type]


def on_a_site(play: Callable[[Site], Awaitable[None]], listening: bool = True) -> None:
    async def run() -> None:
        site = Site()
        server = await site.listen() if listening else None
        try:
            await play(site)
        finally:
            site.outbox.close()
            if server:
                server.close()
            site.socket.close()

    asyncio.run(run())


def test_messages_come_as_they_were_sent_in_order_also_large_ones() -> None:
    async def play(site: Site) -> None:
        sent = [BIG, Shutdown(), BIG, *(NewSortJob([], str(i), 7) for i in range(50))]
        for message in sent:
            site.send(message)
        assert await site.until(len(sent)) == sent

    assert len(encode(BIG)) > 6 * 65536
    on_a_site(play)


def test_a_message_may_come_in_many_segments_and_end_without_the_stream() -> None:
    async def play(site: Site) -> None:
        data = json.dumps({"message_type": "heartbeat", "x": "}", "worker_pid": 7}).encode()
        reader, writer = await asyncio.open_connection(HOST, site.port)
        for at in range(0, len(data), 3):
            writer.write(data[at : at + 3])
            await writer.drain()
            await asyncio.sleep(0.001)
        assert await site.until(1) == [Heartbeat(7)]
        assert await reader.read() == b"", "the connection is closed without an answer"
        writer.close()

    on_a_site(play)


@pytest.mark.parametrize("end", [b"", b"\n", b" \r\n\r\n"])
def test_what_stands_behind_a_message_may_be_space(end: bytes) -> None:
    async def play(site: Site) -> None:
        _, writer = await asyncio.open_connection(HOST, site.port)
        writer.write(encode(Shutdown()) + end)
        writer.close()
        assert await site.until(1) == [Shutdown()]

    on_a_site(play)


@pytest.mark.parametrize(
    "junk", [b"", b"[]", b"{}", b"\xff\x00", b'{"message_type": ', b"GET / HTTP/1.1\r\n\r\n", b"7"]
)
def test_junk_is_reported_and_the_next_message_heard(junk: bytes) -> None:
    async def play(site: Site) -> None:
        _, writer = await asyncio.open_connection(HOST, site.port)
        writer.write(junk)
        writer.close()
        site.send(Shutdown())
        heard = await site.until(2)
        assert isinstance(heard[0], Report)
        assert heard[1] == Shutdown()

    on_a_site(play)


def test_who_connects_and_says_nothing_keeps_nobody_waiting_for_long() -> None:
    async def play(site: Site) -> None:
        _, silent = await asyncio.open_connection(HOST, site.port)
        _, half = await asyncio.open_connection(HOST, site.port)
        half.write(b'{"message_type"')
        site.send(Shutdown())
        assert await site.until(1) == [Shutdown()]
        silent.close()
        half.close()

    on_a_site(play)


def test_silence_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "SILENCE_S", 0.05)

    async def play(site: Site) -> None:
        _, silent = await asyncio.open_connection(HOST, site.port)
        assert await site.until(1) == [Report("no message: 0.05 s of silence; ignored")]
        silent.close()

    on_a_site(play)


def test_more_than_anybody_means_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "LIMIT_BYTES", 1000)

    async def play(site: Site) -> None:
        _, writer = await asyncio.open_connection(HOST, site.port)
        writer.write(b" " * 2000)
        [report] = await site.until(1)
        assert "more than 1,000 bytes" in str(report)
        writer.close()

    on_a_site(play)


def test_a_message_is_tried_again_until_somebody_listens() -> None:
    async def play(site: Site) -> None:
        site.send(Shutdown())
        await asyncio.sleep(2.5 * wire.AGAIN_S)
        server = await site.listen()
        assert await site.until(1) == [Shutdown()]
        server.close()

    on_a_site(play, listening=False)


def test_what_nobody_takes_is_told_when_patience_ends() -> None:
    async def play(site: Site) -> None:
        site.send(Shutdown(), patience_s=0.0)
        [told] = await site.until(1)
        assert isinstance(told, Undelivered)
        assert (told.host, told.port) == (HOST, site.port)

    on_a_site(play, listening=False)


@pytest.mark.parametrize("host", ["x" * 100, "127.0.0.1\0"])
def test_an_address_that_nobody_has_is_told_like_one_where_nobody_listens(host: str) -> None:
    async def play(site: Site) -> None:
        site.outbox.send(Send(host, 6001, Shutdown(), patience_s=0.0))
        [told] = await site.until(1)
        assert isinstance(told, Undelivered)

    on_a_site(play)


def test_who_listens_and_is_busy_gets_its_message_however_long_that_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its queue of connections is full, as of one that does its tasks before it accepts the next:
    that is not the silence of one who does not listen."""
    monkeypatch.setattr(wire, "CONNECT_S", 0.05)

    async def play(site: Site) -> None:
        site.socket.listen(0)
        _, first = await asyncio.open_connection(HOST, site.port)
        site.send(Shutdown(), patience_s=0.0)
        await asyncio.sleep(2 * (wire.CONNECT_S + wire.AGAIN_S))
        assert site.heard == []
        server = await site.listen()
        first.close()
        assert (await site.until(2))[1] == Shutdown()
        server.close()

    on_a_site(play, listening=False)


def test_who_accepts_and_reads_later_gets_a_large_message_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wire, "CONNECT_S", 0.05)
    names = [f"input/file-{i:07}" for i in range(600_000)]
    message = NewSortJob(names, "out", 7)  # more than the system holds for a connection

    async def play(site: Site) -> None:
        site.socket.listen(5)
        site.send(message)
        await asyncio.sleep(4 * wire.CONNECT_S)
        server = await site.listen()
        assert await site.until(1) == [message]
        await site.outbox.flush(10.0)
        assert site.heard == [message]
        server.close()

    on_a_site(play, listening=False)


def test_what_is_dropped_never_comes() -> None:
    async def play(site: Site) -> None:
        site.send(NewSortJob([], "old", 7))
        await asyncio.sleep(wire.AGAIN_S / 2)  # it has been refused, and will be tried again
        site.outbox.drop(HOST, site.port)
        site.send(NewSortJob([], "new", 7))
        server = await site.listen()
        assert await site.until(1) == [NewSortJob([], "new", 7)]
        server.close()

    on_a_site(play, listening=False)


def test_flushing_waits_for_what_is_on_its_way_but_not_for_ever() -> None:
    async def play(site: Site) -> None:
        for _ in range(20):
            site.send(Shutdown())
        await site.outbox.flush(10.0)
        assert await site.until(20) == [Shutdown()] * 20
        site.outbox.send(Send(HOST, 1, Shutdown(), patience_s=1000.0))
        await site.outbox.flush(0.1)

    on_a_site(play)


def test_datagrams_are_heartbeats_or_nothing() -> None:
    heard: list[object] = []
    beats = Heartbeats(heard.append)
    for data in (
        b"",
        b"[]",
        b"\xff",
        b'{"message_type": "heartbeat"}',
        encode(Shutdown()),
        encode(Heartbeat(7)),
    ):
        beats.datagram_received(data, None)
    assert heard == [Heartbeat(7)]


def test_a_port_that_is_taken_is_named() -> None:
    with bind(socket.SOCK_DGRAM, HOST, 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"UDP port {port} of {HOST}"):
            bind(socket.SOCK_DGRAM, HOST, port)
