"""All servers that cluster.ini places on this machine, as background processes.

    <data>/run/KIND-NAME.json     process id and start time, so that `down` ends only what is ours
    <data>/log/KIND-NAME.log      what the process prints
    <data>/run/lock               held while `up` or `down` work

Nodes are started first, then the master, then the workers. Each process says on a pipe that it
answers; its end closes the pipe, so a failure is known at once.
"""

import contextlib
import fcntl
import os
import select
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from cli import processes
from cli.errors import Failure
from cli.processes import Process
from dynamo.config import ClusterConfig

START_S = 30.0
"""How long a server may take until it answers."""
STOP_S = 10.0
"""How long a server may take to end by itself before it is killed."""
LOG_LINES = 8
"""The lines of a log that are shown when a server fails."""

Say = Callable[[str], None]


class Server(msgspec.Struct, frozen=True):
    """One process of the cluster. `module` and `verb` are the command that runs it."""

    kind: str
    name: str
    module: str
    verb: str
    address: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def servers(config: ClusterConfig) -> list[Server]:
    """Everything in cluster.ini, in the order in which it has to start."""
    return [
        *(Server("node", n.name, "cli.dynamo", "serve", n.address) for n in config.nodes),
        *(Server("master", m.name, "cli.mapreduce", "master", m.address) for m in config.masters),
        *(Server("worker", w.name, "cli.mapreduce", "worker") for w in config.workers),
    ]


class ClusterProcesses:
    """The processes of one cluster.ini: started, found again by later commands, and stopped."""

    def __init__(self, config: ClusterConfig) -> None:
        self._config = config
        self._run = config.data / "run"
        self._log = config.data / "log"

    def up(self, say: Say) -> None:
        """Start what does not run and wait until each answers.

        If one fails, what this call has started is stopped again, and `Failure` says which one
        and shows the end of its log.
        """
        with self._locked():
            started: list[Server] = []
            try:
                for kind in ("node", "master", "worker"):
                    self._start_kind(kind, started, say)
            except BaseException:
                self._stop(started)
                raise

    def down(self, say: Say) -> None:
        """Stop everything that `up` has started, workers first; nothing else is touched."""
        if not self._run.is_dir():
            return
        with self._locked():
            recorded = self._recorded()
            for kind in ("worker", "master", "node"):
                running = [s for s in recorded if s.kind == kind and self.process(s)]
                stubborn = self._stop(running)
                for server in running:
                    killed = server in stubborn
                    say(f"{server} stopped" + (" by force (SIGKILL)" if killed else ""))
            for server in recorded:
                self._record(server).unlink(missing_ok=True)

    def process(self, server: Server) -> Process | None:
        """The process of a server, or None if it does not run."""
        try:
            process = msgspec.json.decode(self._record(server).read_bytes(), type=Process)
        except (OSError, msgspec.MsgspecError):
            return None
        return process if process.alive else None

    def running(self) -> dict[Server, Process]:
        """The servers that run, and their processes."""
        found = ((server, self.process(server)) for server in self._recorded())
        return {server: process for server, process in found if process}

    def log(self, server: Server) -> Path:
        """Where a server's output goes."""
        return self._log / f"{server.kind}-{server.name}.log"

    def command(self, server: Server) -> list[str]:
        """What runs a server; it is also told on which pipe to say that it answers."""
        config = str(self._config.path.resolve())
        return [sys.executable, "-m", server.module, server.verb, server.name, "--config", config]

    def _record(self, server: Server) -> Path:
        return self._run / f"{server.kind}-{server.name}.json"

    def _recorded(self) -> list[Server]:
        """All servers with a record, those that cluster.ini no longer names too."""
        known = {self._record(server): server for server in servers(self._config)}
        return [
            known.get(path) or Server(kind, name, module="", verb="")
            for path in sorted(self._run.glob("*-*.json"))
            for kind, _, name in [path.stem.partition("-")]
        ]

    def _start_kind(self, kind: str, started: list[Server], say: Say) -> None:
        """Start all servers of one kind at once, then wait for each."""
        wanted = [server for server in servers(self._config) if server.kind == kind]
        pipes: dict[Server, int] = {}
        log_starts: dict[Server, int] = {}
        deadline = time.monotonic() + START_S
        try:
            for server in wanted:
                if process := self.process(server):
                    say(f"{server} runs already (process {process.pid})")
                    continue
                log_starts[server] = _size(self.log(server))
                started.append(server)
                pipes[server] = self._launch(server)
            for server in self._as_they_answer(pipes, deadline, log_starts):
                say(f"{server} answers" + (f" on {server.address}" if server.address else ""))
        finally:
            for pipe in pipes.values():
                os.close(pipe)

    def _launch(self, server: Server) -> int:
        """Start a server, record it, and return the pipe on which it says that it answers."""
        reading, writing = os.pipe()
        command = [*self.command(server), "--ready-fd", str(writing)]
        try:
            process = processes.start(command, self.log(server), pass_fds=[writing])
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        _write_whole(self._record(server), msgspec.json.encode(process))
        return reading

    def _as_they_answer(
        self, pipes: Mapping[Server, int], deadline: float, log_starts: Mapping[Server, int]
    ) -> Iterator[Server]:
        """Each server as soon as it answers; `Failure` if one ends, or is not there in time."""
        waiting = {pipe: server for server, pipe in pipes.items()}
        while waiting:
            wait_s = max(0.0, deadline - time.monotonic())
            readable, _, _ = select.select(list(waiting), [], [], wait_s)
            ended = [waiting[pipe] for pipe in readable if not os.read(pipe, 16)]
            if ended or not readable:
                server = ended[0] if ended else next(iter(waiting.values()))
                what = "has ended" if ended else f"does not answer after {START_S:.0f} s"
                end = _end_of(self.log(server), log_starts[server])
                raise Failure(f"{server} {what}; its log {self.log(server)} ends with:\n{end}")
            for pipe in readable:
                yield waiting.pop(pipe)

    def _stop(self, running: Sequence[Server]) -> list[Server]:
        """End the processes of servers, and forget them; returns those that were killed."""
        found = {server: process for server in running if (process := self.process(server))}
        with processes.uninterrupted():
            killed = processes.stop(found.values(), STOP_S)
        for server in running:
            self._record(server).unlink(missing_ok=True)
        return [server for server, process in found.items() if process in killed]

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Two commands that start and stop at once would undo each other's work."""
        self._run.mkdir(parents=True, exist_ok=True)
        self._log.mkdir(parents=True, exist_ok=True)
        with (self._run / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Failure(
                    "another `mapreduce up` or `down` is at work on this cluster; wait for it"
                ) from None
            yield


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _end_of(log: Path, start: int) -> str:
    """The last lines that were written to a log behind `start`."""
    lines = log.read_bytes()[start:].decode(errors="replace").rstrip().splitlines()
    return "\n".join(f"    {line}" for line in lines[-LOG_LINES:]) or "    (nothing)"


def _write_whole(path: Path, data: bytes) -> None:
    """Replace a file in one step, so that nobody reads half of it."""
    partial = path.with_suffix(".new")
    partial.write_bytes(data)
    partial.replace(path)
