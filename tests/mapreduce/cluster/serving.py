"""A master or worker as a process of its own, over a store in a folder.

python -m tests.mapreduce.cluster.serving master PORT FOLDER
python -m tests.mapreduce.cluster.serving worker NAME SLOTS MASTER_PORT FOLDER
"""

import functools
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType

import zerorpc

from mapreduce.cluster import master, worker
from mapreduce.cluster.connection import Connection
from mapreduce.engine.scheduler import Policy
from mapreduce.runners.folderstore import FolderStore
from tests.waiting import wait_until

ROOT = Path(__file__).parents[3]


def free_port() -> int:
    """A port of 127.0.0.1 that was free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class OneNode(FolderStore):
    """The folder as the store of a cluster whose only node is "folder"."""

    def locate(self, key: str, *, n: int | None = None) -> tuple[str, ...]:
        return ("folder",)


class Cluster:
    """A master and workers, each a process; `store` is the folder they all use."""

    def __init__(self, folder: Path, workers: int = 2, slots: int = 2) -> None:
        self.folder = folder
        self.store = FolderStore(folder)
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.connection = Connection(self.address)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.start_master()
        for number in range(1, workers + 1):
            self.start_worker(f"w{number}", slots)
        self.wait_for_workers(workers)

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for name in sorted(self.processes, reverse=True):
            self.end(name, signal.SIGTERM)

    def start_master(self) -> None:
        self._start("m1", "master", str(self.port))
        wait_until(self.answers, 10.0, "the master to answer")

    def answers(self) -> bool:
        client = zerorpc.Client(f"tcp://{self.address}", timeout=0.3, heartbeat=None)
        try:
            return client.workers() is not None
        except zerorpc.TimeoutExpired:
            return False
        finally:
            client.close()

    def start_worker(self, name: str, slots: int = 2) -> None:
        self._start(name, "worker", name, str(slots), str(self.port))

    def wait_for_workers(self, count: int) -> None:
        wait_until(lambda: len(self.connection.workers()) == count, 10.0, f"{count} workers")

    def _start(self, name: str, *arguments: str) -> None:
        command = [sys.executable, "-m", "tests.mapreduce.cluster.serving", *arguments]
        with (self.folder.parent / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [*command, str(self.folder)], cwd=ROOT, stdout=log, stderr=log
            )

    def log(self, name: str) -> str:
        return (self.folder.parent / f"{name}.log").read_text()

    def end(self, name: str, number: int) -> int:
        process = self.processes.pop(name)
        process.send_signal(number)
        return process.wait(10.0)


def main(kind: str, *arguments: str) -> None:
    if kind == "master":
        port, folder = arguments
        policy = Policy(worker_timeout_s=2.0)
        master.serve("m1", "127.0.0.1", int(port), OneNode(folder), lambda: None, policy)
    else:
        name, slots, master_port, folder = arguments
        open_store = functools.partial(FolderStore, folder)
        worker.serve(name, "folder", int(slots), f"127.0.0.1:{master_port}", open_store)


if __name__ == "__main__":
    main(*sys.argv[1:])
