"""All servers that cluster.ini places on this machine, as background processes.

    <data>/run/KIND-NAME.json     process id, start time and host, so that `down` ends what is ours
    <data>/log/KIND-NAME.log      what the process prints
    <data>/run/lock               held while `up` or `down` work

Nodes are started first, then the master, then the workers. Each process says on a pipe that it
answers; its end closes the pipe, so a failure is known at once. Where there are other hosts, a
server may have to wait for theirs, and `up` does not.
"""

import contextlib
import fcntl
import os
import select
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from cli import processes
from cli.errors import Failure
from cli.processes import Process
from dynamo.config import ClusterConfig

START_S = 30.0
"""How long a server may take until it answers."""
OTHERS_S = 5.0
"""How long `up` waits until it answers where it may have to wait for other hosts."""
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
    host: str
    address: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"

    @property
    def label(self) -> str:
        """What its files are called, and what `mapreduce down` takes."""
        return f"{self.kind}-{self.name}"


class Record(Process, frozen=True):
    """What is noted of a server that was started."""

    host: str = ""


def servers(config: ClusterConfig) -> list[Server]:
    """Everything in cluster.ini, in the order in which it has to start."""
    return [
        *(Server("node", n.name, "cli.dynamo", "serve", n.host, n.address) for n in config.nodes),
        *(
            Server("master", m.name, "cli.mapreduce", "master", m.host, m.address)
            for m in config.masters
        ),
        *(Server("worker", w.name, "cli.mapreduce", "worker", w.host) for w in config.workers),
    ]


class ClusterProcesses:
    """The processes of one cluster.ini: started, found again by later commands, and stopped."""

    def __init__(self, config: ClusterConfig, caller: int | None = None) -> None:
        """`caller` is a file that whoever has called holds open; at its end `up` gives up."""
        self._config = config
        self._caller = [] if caller is None else [caller]
        self._run = config.data / "run"
        self._log = config.data / "log"

    def up(self, say: Say, host: str | None = None) -> None:
        """Start what does not run, of all or of `host`, and wait until each answers.

        If one fails, what this call has started is stopped again, and `Failure` says which one
        and shows the end of its log.
        """
        with self._locked():
            started: list[Server] = []
            try:
                for kind in ("node", "master", "worker"):
                    self._start_kind(kind, host, started, say)
            except BaseException:
                self._stop(started)
                raise

    def down(self, say: Say, host: str | None = None, only: Collection[str] = ()) -> None:
        """Stop everything that `up` has started, workers first; nothing else is touched.

        With `host` what it has started for that host, with `only` what has one of these labels.
        """
        if not self._run.is_dir():
            return
        with self._locked():
            recorded = [
                server
                for server in self._recorded()
                if (host is None or server.host in (host, ""))
                and (not only or server.label in only)
            ]
            for kind in ("worker", "master", "node"):
                self._stop_and_say([s for s in recorded if s.kind == kind and self.process(s)], say)
            for server in recorded:
                self._record(server).unlink(missing_ok=True)

    def retire(self, say: Say, host: str, drain: Callable[[list[str]], None]) -> None:
        """Stop the workers of `host` that cluster.ini does not name; `drain` is given their names
        before."""
        with self._locked():
            wanted = servers(self._config)
            surplus = [
                server
                for server in self.running()
                if (server.kind, server.host) == ("worker", host) and server not in wanted
            ]
            if surplus:
                drain([server.name for server in surplus])
                self._stop_and_say(surplus, say)

    def process(self, server: Server) -> Process | None:
        """The process of a server, or None if it does not run."""
        record = _read_record(self._record(server))
        return Process(record.pid, record.started) if record and record.alive else None

    def running(self) -> dict[Server, Process]:
        """The servers that run, and their processes."""
        found = ((server, self.process(server)) for server in self._recorded())
        return {server: process for server, process in found if process}

    def log(self, server: Server) -> Path:
        """Where a server's output goes."""
        return self._log / f"{server.label}.log"

    def command(self, server: Server) -> list[str]:
        """What runs a server; it is also told on which pipe to say that it answers."""
        config = str(self._config.path.resolve())
        return [sys.executable, "-m", server.module, server.verb, server.name, "--config", config]

    def _record(self, server: Server) -> Path:
        return self._run / f"{server.label}.json"

    def _recorded(self) -> list[Server]:
        """All servers with a record, those that cluster.ini no longer names too."""
        known = {self._record(server): server for server in servers(self._config)}
        return [
            known.get(path) or Server(kind, name, "", "", record.host if record else "")
            for path in sorted(self._run.glob("*-*.json"))
            for (kind, _, name), record in [(path.stem.partition("-"), _read_record(path))]
        ]

    def _start_kind(self, kind: str, host: str | None, started: list[Server], say: Say) -> None:
        """Start all servers of one kind at once, then wait for each."""
        wanted = [s for s in servers(self._config) if s.kind == kind and host in (None, s.host)]
        pipes: dict[Server, int] = {}
        log_starts: dict[Server, int] = {}
        alone = {server.host for server in servers(self._config)} <= {host}
        wait_s = START_S if host is None or alone else OTHERS_S
        deadline = time.monotonic() + wait_s
        try:
            for server in wanted:
                if process := self.process(server):
                    say(f"{server} runs already (process {process.pid})")
                    continue
                log_starts[server] = _size(self.log(server))
                started.append(server)
                pipes[server] = self._launch(server)
            waiting = dict(pipes)
            for server in self._as_they_answer(pipes, deadline, log_starts, wait_s < START_S):
                del waiting[server]
                say(f"{server} answers" + (f" on {server.address}" if server.address else ""))
            for server in waiting:
                say(f"{server} runs, and waits for servers of other hosts")
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
        record = Record(process.pid, process.started, server.host)
        _write_whole(self._record(server), msgspec.json.encode(record))
        return reading

    def _as_they_answer(
        self,
        pipes: Mapping[Server, int],
        deadline: float,
        log_starts: Mapping[Server, int],
        may_wait: bool,
    ) -> Iterator[Server]:
        """Each server as soon as it answers; `Failure` if one ends, or if it is not there in time
        and may not wait for others."""
        waiting = {pipe: server for server, pipe in pipes.items()}
        while waiting:
            wait_s = max(0.0, deadline - time.monotonic())
            readable, _, _ = select.select([*waiting, *self._caller], [], [], wait_s)
            if not waiting.keys() >= set(readable):
                raise Failure("given up: whoever has called `mapreduce up` is gone")
            if may_wait and not readable:
                return
            ended = [waiting[pipe] for pipe in readable if not os.read(pipe, 16)]
            if ended or not readable:
                server = ended[0] if ended else next(iter(waiting.values()))
                what = "has ended" if ended else f"does not answer after {START_S:.0f} s"
                end = _end_of(self.log(server), log_starts[server])
                raise Failure(f"{server} {what}; its log {self.log(server)} ends with:\n{end}")
            for pipe in readable:
                yield waiting.pop(pipe)

    def _stop_and_say(self, running: Sequence[Server], say: Say) -> None:
        stubborn = self._stop(running)
        for server in running:
            say(f"{server} stopped" + (" by force (SIGKILL)" if server in stubborn else ""))

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


def _read_record(path: Path) -> Record | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Record)
    except (OSError, msgspec.MsgspecError):
        return None


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
