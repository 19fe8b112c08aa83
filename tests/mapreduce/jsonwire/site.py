"""Real processes of our master and worker in a folder, and counterparts that follow the text alone.

The counterparts share nothing with the product: plain sockets, `json`, and what the text says.
"""

import contextlib
import json
import os
import queue
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.waiting import wait_until

LONG_S = 30.0
"""How long anything may take, on a busy machine."""
HEARTBEAT_S = 0.2
HOST = "127.0.0.1"
Json = dict[str, Any]

MAP = """#!/usr/bin/env python3
import sys
for line in sys.stdin:
    for word in line.split():
        print(word + "\\t1")
"""
REDUCE = """#!/bin/bash
awk -F '\\t' '{ count[$1] += $2 } END { for (word in count) print word "\\t" count[word] }'
"""
HELD = """#!/bin/bash
echo $PPID >> {name}.held-by
while [ -e {name}.hold ]; do sleep 0.02; done
exec {command} "$@"
"""


class Site:
    """A folder with input, a mapper and a reducer, and the processes that were started in it."""

    heartbeat_s = HEARTBEAT_S

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.master: subprocess.Popen[bytes] | None = None
        self.workers: list[subprocess.Popen[bytes]] = []
        self.program("map.py", MAP)
        self.program("reduce.sh", REDUCE)
        (folder / "in").mkdir()
        for number in range(5):
            text = f"to be or not to be, that is n{number}\n" * (number + 1)
            (folder / "in" / f"f{number}").write_text(text)

    def program(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def start_master(self) -> None:
        self.master = self._start("master", str(self.port))
        wait_until(lambda: "master listens" in self.said("master"), LONG_S, "the master")

    def start_worker(self, number: int = 0) -> subprocess.Popen[bytes]:
        """The n-th one listens at the master's port + n."""
        number = number or len(self.workers) + 1
        worker = self._start("worker", str(self.port), str(self.port + number))
        self.workers.append(worker)
        return worker

    def _start(self, what: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "cli.mapreduce", "json", what, *arguments]
        command += ["--heartbeat", str(self.heartbeat_s)]
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path} if what == "worker" else None
        with (self.folder / f"{what}.log").open("ab") as log:
            return subprocess.Popen(command, stderr=log, cwd=self.folder, env=environment)

    def said(self, what: str) -> str:
        return (self.folder / f"{what}.log").read_text()

    def wait_for(self, text: str, what: str = "master") -> None:
        wait_until(lambda: text in self.said(what), LONG_S, f"{text!r} in {self.said(what)!r}")

    def tell(self, **message: object) -> None:
        tell(self.port, **message)

    def job(self, **changes: object) -> None:
        job: Json = {
            "message_type": "new_master_job",
            "input_directory": "in",
            "output_directory": "out",
            "mapper_executable": "./map.py",
            "reducer_executable": "reduce.sh",
            "num_mappers": 4,
            "num_reducers": 2,
        }
        self.tell(**{**job, **changes})

    def check(self, job: int = 0, output: str = "out") -> None:
        """The text's own two checks, and the output folder."""
        truth = self.shell("cat in/* | ./map.py | sort | ./reduce.sh | sort")
        assert truth
        assert self.shell(f"cat var/job-{job}/reducer-output/* | sort") == truth
        assert self.shell(f"cat {output}/* | sort") == truth

    def shell(self, command: str) -> bytes:
        environment = {**os.environ, "LC_ALL": "C"}
        return subprocess.check_output(command, shell=True, cwd=self.folder, env=environment)

    def close(self) -> None:
        for process in [*self.workers, *([self.master] if self.master else [])]:
            process.kill()
            process.wait()


@contextlib.contextmanager
def site_in(folder: Path) -> Iterator[Site]:
    site = Site(folder)
    try:
        yield site
    finally:
        site.close()


def free_port() -> int:
    """A port that is free with that below it for UDP, and some above it. It is none of those that
    the system gives to connections, so it stays free."""
    while True:
        port = random.randrange(20_000, 32_000)
        if _free(socket.SOCK_DGRAM, port - 1) and all(
            _free(socket.SOCK_STREAM, one) for one in range(port, port + 5)
        ):
            return port


def _free(kind: socket.SocketKind, port: int) -> bool:
    with socket.socket(type=kind) as made, contextlib.suppress(OSError):
        made.bind((HOST, port))
        return True
    return False


def tell(port: int, **message: object) -> None:
    """One message on one connection, as the text says."""
    with socket.create_connection((HOST, port), timeout=LONG_S) as connection:
        connection.sendall(json.dumps(message).encode())


class Scripted:
    """Somebody who listens at a port, and keeps the messages that come, each until the end of its
    stream: so it sees if a connection carries more than one, or stays open."""

    def __init__(self, port: int, listening: bool = True) -> None:
        self.port = port
        self.messages: queue.Queue[Json] = queue.Queue()
        self._ended = threading.Event()
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((HOST, port))
        self._thread = threading.Thread(target=self._listen)
        if listening:
            self.listen()

    def listen(self) -> None:
        self._socket.listen(50)
        self._socket.settimeout(0.05)
        self._thread.start()

    def _listen(self) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(TimeoutError):
                connection, _ = self._socket.accept()
                connection.settimeout(LONG_S)
                with connection, connection.makefile("rb") as stream:
                    self.messages.put(json.loads(stream.read()))

    def next(self, *kinds: str) -> Json:
        """The next message, which must be of one of these kinds."""
        message = self.messages.get(timeout=LONG_S)
        assert not kinds or message["message_type"] in kinds, message
        return message

    def close(self) -> None:
        self._ended.set()
        if self._thread.ident:
            self._thread.join()
        self._socket.close()


class ScriptedMaster(Scripted):
    """A master at `port`, with a socket for heartbeats below it."""

    def __init__(self, port: int, listening: bool = True) -> None:
        super().__init__(port, listening)
        self._udp = socket.socket(type=socket.SOCK_DGRAM)
        self._udp.bind((HOST, port - 1))
        self._udp.settimeout(LONG_S)

    def heartbeat(self) -> Json:
        beat: Json = json.loads(self._udp.recv(4096))
        return beat

    def close(self) -> None:
        super().close()
        self._udp.close()


class ScriptedWorker(Scripted):
    """A worker of any pid that does its tasks when `work` is called. It sends heartbeats until it
    is told to be `silent`."""

    def __init__(self, master_port: int, port: int, pid: int, listening: bool = True) -> None:
        super().__init__(port, listening)
        self.master_port = master_port
        self.pid = pid
        self.silent = False
        self._beats = threading.Thread(target=self._beat)
        tell(
            master_port,
            message_type="register",
            worker_host="localhost",
            worker_port=port,
            worker_pid=pid,
        )

    def acknowledged(self) -> Json:
        ack = self.next("register_ack")
        self._beats.start()
        return ack

    def _beat(self) -> None:
        beat = json.dumps({"message_type": "heartbeat", "worker_pid": self.pid}).encode()
        with socket.socket(type=socket.SOCK_DGRAM) as udp:
            while not self._ended.wait(HEARTBEAT_S):
                if not self.silent:
                    udp.sendto(beat, (HOST, self.master_port - 1))

    def work(self, folder: Path) -> Json:
        """Do the next task and answer."""
        task = self.next("new_worker_job", "new_sort_job")
        self.answer(task, folder)
        return task

    def answer(self, task: Json, folder: Path) -> None:
        assert task["worker_pid"] == self.pid
        if task["message_type"] == "new_sort_job":
            contents = [(folder / f).read_bytes() for f in task["input_files"]]
            lines = sorted(line for content in contents for line in content.splitlines(True))
            (folder / task["output_file"]).write_bytes(b"".join(lines))
            told: Json = {"output_file": task["output_file"]}
        else:
            names = [os.path.basename(f) for f in task["input_files"]]  # noqa: PTH119
            outputs = [f"{task['output_directory']}/{name}" for name in names]
            for source, target in zip(task["input_files"], outputs):
                with (folder / source).open() as stdin, (folder / target).open("w") as stdout:
                    program = folder / task["executable"]
                    subprocess.check_call([program], stdin=stdin, stdout=stdout, cwd=folder)
            told = {"output_files": outputs}
        status = {"message_type": "status", **told, "status": "finished", "worker_pid": self.pid}
        tell(self.master_port, **status)

    def close(self) -> None:
        super().close()
        if self._beats.ident:
            self._beats.join()


def end(process: subprocess.Popen[bytes]) -> int:
    """The exit status of a process that is about to end."""
    return process.wait(timeout=LONG_S)


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def pause(seconds: float) -> None:
    """A foreign worker's slowness, which is what is tried there."""
    time.sleep(seconds)
