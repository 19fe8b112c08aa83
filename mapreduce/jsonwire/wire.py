"""Messages on sockets: one TCP connection for each, heartbeats in UDP datagrams.

`Inbox` reads, `Outbox` sends. A message ends where its JSON object is whole, or with the stream;
its bytes may come in many segments. What is no message is reported and passed over. Whoever
connects and says nothing keeps nobody else waiting.
"""

import asyncio
import contextlib
import math
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mapreduce.jsonwire.actions import Event, Report, Send, Undelivered
from mapreduce.jsonwire.messages import (
    AnyMessage,
    Heartbeat,
    Incomplete,
    NotAMessage,
    decode,
    encode,
)

LIMIT_BYTES = 64 * 1024 * 1024
SILENCE_S = 10.0
"""So long a connection may say nothing before its message is whole."""
TURN_S = 0.5
"""So long a message waits for those whose connections came before its own."""
AGAIN_S = 0.1
"""The pause before a message is tried again."""
CONNECT_S = 2.0
"""So long a connection may wait for being accepted, before another is tried."""
BACKLOG = 1024

Heard = Callable[[AnyMessage | Event | Report], None]


async def read_message(reader: asyncio.StreamReader) -> AnyMessage:
    """The message that comes on a connection; `NotAMessage` if none does."""
    data = bytearray()
    while True:
        segment = await asyncio.wait_for(reader.read(1 << 18), SILENCE_S)
        data += segment
        if len(data) > LIMIT_BYTES:
            raise NotAMessage(f"more than {LIMIT_BYTES:,} bytes")
        if not segment:
            return decode(data)
        if data[-256:].rstrip().endswith((b"}", b"]")):  # else it can't be whole
            with contextlib.suppress(Incomplete):
                return decode(data)


class Inbox:
    """Reads the messages that come to a port of this machine, and hands them to `heard` in the
    order in which their connections came."""

    def __init__(self, heard: Heard) -> None:
        self._heard = heard
        self._last = asyncio.Event()
        self._last.set()

    async def listen(self, listener: socket.socket) -> asyncio.Server:
        return await asyncio.start_server(self._serve, sock=listener, backlog=BACKLOG)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        before, mine = self._last, asyncio.Event()
        self._last = mine
        try:
            message = await read_message(reader)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(before.wait(), TURN_S)
            self._heard(message)
        except (NotAMessage, TimeoutError) as error:
            reason = str(error) or f"{SILENCE_S:g} s of silence"
            self._heard(Report(f"no message: {reason}; ignored"))
        except (OSError, asyncio.CancelledError):
            pass  # it has gone in the middle; or this process ends, of which asyncio would complain
        finally:
            mine.set()
            writer.close()


class Heartbeats(asyncio.DatagramProtocol):
    """Reads the datagrams that come to a port; what is no heartbeat is passed over in silence."""

    def __init__(self, heard: Heard) -> None:
        self._heard = heard

    def datagram_received(self, data: bytes, address: Any) -> None:
        with contextlib.suppress(NotAMessage):
            message = decode(data)
            if isinstance(message, Heartbeat):
                self._heard(message)


@dataclass
class Line:
    """What is on its way to one address, the first one first."""

    waiting: asyncio.Queue[Send] = field(default_factory=asyncio.Queue)
    sender: "asyncio.Task[None] | None" = None


class Outbox:
    """Sends messages, those to one address in order, each on a connection of its own."""

    def __init__(self, heard: Heard) -> None:
        self._heard = heard
        self._lines: dict[tuple[str, int], Line] = {}

    def send(self, what: Send) -> None:
        line = self._lines.setdefault((what.host, what.port), Line())
        line.waiting.put_nowait(what)
        if line.sender is None:
            line.sender = asyncio.create_task(self._send_all(line))

    def drop(self, host: str, port: int) -> None:
        """Forget what could not be delivered there so far."""
        line = self._lines.pop((host, port), None)
        if line and line.sender:
            line.sender.cancel()

    async def flush(self, timeout_s: float) -> None:
        """Return when all has been sent or given up, or when the time is over."""
        lines = [line.waiting.join() for line in self._lines.values()]
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*lines), timeout_s)

    def close(self) -> None:
        for address in list(self._lines):
            self.drop(*address)

    async def _send_all(self, line: Line) -> None:
        while True:
            what = await line.waiting.get()
            await self._deliver(what)
            line.waiting.task_done()

    async def _deliver(self, what: Send) -> None:
        now = asyncio.get_running_loop().time
        deadline, tried = now() + what.patience_s, False
        while True:
            try:
                await send_once(what)
                return
            except TimeoutError:  # it listens, but is busy: if it lives, its heartbeats will tell
                deadline = now() + what.patience_s
            except (OSError, ValueError) as error:  # the last: no name of a host
                if math.isinf(deadline) and not tried:
                    self._heard(Report(f"nobody listens at port {what.port} yet; trying on"))
                tried = True
                if now() >= deadline:
                    self._heard(Undelivered(what.host, what.port, str(error) or "no answer"))
                    return
            await asyncio.sleep(AGAIN_S)


async def send_once(what: Send) -> None:
    """Connect, write the whole message at once, close. Raises TimeoutError if whoever listens does
    not accept the connection, OSError if nobody listens or takes the message.

    Who has accepted it may take its time to read: many do what they were told before first.
    """
    connecting = asyncio.open_connection(what.host, what.port)
    _, writer = await asyncio.wait_for(connecting, CONNECT_S)
    try:
        writer.write(encode(what.message))
        await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):  # whoever has read the whole object may close first
            await writer.wait_closed()
    except BaseException:
        writer.transport.abort()  # the rest must not follow when it has been sent again
        raise


def bind(kind: socket.SocketKind, host: str, port: int) -> socket.socket:
    """A socket at this address; OSError, that names the port, if it is taken."""
    made = socket.socket(socket.AF_INET, kind)
    try:
        if kind is socket.SOCK_STREAM:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.setblocking(False)
    except OSError as error:
        made.close()
        of = "TCP" if kind is socket.SOCK_STREAM else "UDP"
        raise OSError(f"{error.strerror}: {of} port {port} of {host}") from None
    return made
