"""The process of the JSON worker: a socket, heartbeats and programs around
`mapreduce.jsonwire.worker`."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable

from mapreduce.jsonwire.actions import (
    Abandon,
    Action,
    BeginHeartbeats,
    Drop,
    Event,
    MasterGone,
    Perform,
    Performed,
    Send,
)
from mapreduce.jsonwire.execution import Executor
from mapreduce.jsonwire.guard import Guard
from mapreduce.jsonwire.master import MISSED
from mapreduce.jsonwire.messages import AnyMessage, Heartbeat, Order, encode
from mapreduce.jsonwire.presence import Presence
from mapreduce.jsonwire.shell import Shell
from mapreduce.jsonwire.wire import Inbox, bind
from mapreduce.jsonwire.worker import HOST, Worker

PATIENCE_BEATS = MISSED + 1


def serve_worker(
    master_port: int, port: int, heartbeat_s: float, say: Callable[[str], None]
) -> None:
    """Be a worker that listens at `port` and works for the master at `master_port`, until the
    message `shutdown`, Ctrl-C or SIGTERM; then programs that run for it end too. `say` gets lines
    for people.

    Raises OSError if the port is taken.
    """
    with bind(socket.SOCK_STREAM, HOST, port) as tcp:
        patience_s = heartbeat_s * PATIENCE_BEATS
        worker = Worker(os.getpid(), port, master_port, patience_s)
        asyncio.run(_serve(tcp, worker, heartbeat_s, say))


async def _serve(
    tcp: socket.socket, worker: Worker, heartbeat_s: float, say: Callable[[str], None]
) -> None:
    shell = WorkerShell(worker, heartbeat_s, say)
    server = await Inbox(shell.heard).listen(tcp)
    say(f"listens at {HOST}:{worker.port}, works for port {worker.master_port}; Ctrl-C stops it")
    try:
        await shell.run(worker.begin())
    finally:
        server.close()
        await shell.end()


class WorkerShell(Shell):
    """Carries out what the worker decides; the task under way and the heartbeats are asyncio's
    tasks."""

    def __init__(self, worker: Worker, heartbeat_s: float, say: Callable[[str], None]) -> None:
        super().__init__(lambda text: say(f"worker {worker.pid}: {text}"))
        self._worker = worker
        self._heartbeat_s = heartbeat_s
        self._guard = Guard()
        self._executor = Executor(self._say, self._guard)
        self._beats: asyncio.Task[None] | None = None
        self._work: asyncio.Task[None] | None = None

    def decide(self, event: AnyMessage | Event) -> list[Action]:
        return self._worker.handle(event)

    def perform(self, action: Action) -> None:
        match action:
            case Send():
                self.outbox.send(action)
            case BeginHeartbeats():
                self._beats = asyncio.create_task(self._beat())
            case Drop(host=host, port=port):
                self.outbox.drop(host, port)
            case Perform(order=order):
                self._work = asyncio.create_task(self._perform(order, after=self._work))
            case Abandon():
                if self._work:
                    self._work.cancel()

    async def end(self) -> None:
        """The program that runs ends, and with it what it has started."""
        for task in (self._beats, self._work):
            if task:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        self._guard.close()

    async def _perform(self, order: Order, after: "asyncio.Task[None] | None") -> None:
        if after:
            await asyncio.wait([after])  # one that was abandoned has to end its program first
        try:
            await self._executor.perform(order)
        except Exception as error:  # a worker that is alive must answer, or its job stands still
            self._say(f"a task failed: {error!r}")
        self.heard(Performed(order))

    async def _beat(self) -> None:
        beat, port = encode(Heartbeat(worker_pid=self._worker.pid)), self._worker.master_port
        master = Presence(port)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            while not master.has_gone():
                with contextlib.suppress(OSError):
                    udp.sendto(beat, (HOST, port - 1))
                await asyncio.sleep(self._heartbeat_s)
        self.heard(MasterGone())
