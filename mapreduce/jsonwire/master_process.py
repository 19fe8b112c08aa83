"""The process of the JSON master: sockets, folders and a clock around
`mapreduce.jsonwire.master`."""

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from threading import Thread

from mapreduce.jsonwire import files
from mapreduce.jsonwire.actions import (
    Action,
    CopyOutput,
    Drop,
    Event,
    Group,
    ListInput,
    MakeFolders,
    Send,
)
from mapreduce.jsonwire.master import Master
from mapreduce.jsonwire.messages import AnyMessage
from mapreduce.jsonwire.shell import Clock, Shell
from mapreduce.jsonwire.wire import Heartbeats, Inbox, bind
from mapreduce.jsonwire.worker import HOST


def serve_master(port: int, heartbeat_s: float, missed: int, say: Callable[[str], None]) -> None:
    """Be the master that listens at `port`, and at `port` - 1 for heartbeats, until the message
    `shutdown`, Ctrl-C or SIGTERM. `say` gets lines for people.

    The folder `var` is made anew, after the ports are taken: a second master by mistake changes
    nothing. Raises OSError if a port is taken or the folder can't be made.
    """
    with (
        bind(socket.SOCK_STREAM, HOST, port) as tcp,
        bind(socket.SOCK_DGRAM, HOST, port - 1) as udp,
    ):
        files.make_var()
        asyncio.run(_serve(tcp, udp, Master(heartbeat_s, missed), heartbeat_s, say))


async def _serve(
    tcp: socket.socket,
    udp: socket.socket,
    master: Master,
    heartbeat_s: float,
    say: Callable[[str], None],
) -> None:
    shell = MasterShell(master, heartbeat_s, say)
    loop = asyncio.get_running_loop()
    beats, _ = await loop.create_datagram_endpoint(lambda: Heartbeats(shell.heard), sock=udp)
    server = await Inbox(shell.heard).listen(tcp)
    port = tcp.getsockname()[1]
    say(f"master listens at {HOST}:{port}, for heartbeats at {port - 1}; Ctrl-C stops it")
    try:
        await shell.run([])
    finally:
        server.close()
        beats.close()


class MasterShell(Shell):
    """Carries out what the master decides. Work on files is done beside, in a thread, so that a
    large job keeps nobody from registering; it may be left in the middle at the end."""

    def __init__(self, master: Master, heartbeat_s: float, say: Callable[[str], None]) -> None:
        super().__init__(say, tick_s=heartbeat_s / 4)
        self._master = master
        self._clock = Clock(longest_s=heartbeat_s)

    def decide(self, event: AnyMessage | Event) -> list[Action]:
        return self._master.handle(event, self._clock.now())

    def perform(self, action: Action) -> None:
        match action:
            case Send():
                self.outbox.send(action)
            case Drop(host=host, port=port):
                self.outbox.drop(host, port)
            case MakeFolders(folders=folders):
                self._make(folders)
            case ListInput() | Group() | CopyOutput():
                Thread(target=files.work_on, args=(action, self.heard), daemon=True).start()

    def _make(self, folders: list[str]) -> None:
        try:
            for folder in folders:
                Path(folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:  # the job will not get far, but others may
            self._say(f"no folders for a job: {error}")
