"""A master or worker as a process of its own, over a store in a folder.

python -m tests.mapreduce.cluster.serving master NAME PLACES FOLDER
python -m tests.mapreduce.cluster.serving worker NAME SLOTS PLACES FOLDER

PLACES are the masters' addresses, and those of their election, as JSON: {NAME: [ADDRESS, ADDRESS]}.
"""

import functools
import io
import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from cli.local_cluster import free_ports
from dynamo import files
from dynamo.config import MasterConfig
from dynamo.store import Written
from mapreduce.cluster import master, worker
from mapreduce.cluster.connection import Connection
from mapreduce.engine.scheduler import Policy
from mapreduce.runners.folderstore import FolderStore
from tests.waiting import wait_until

ROOT = Path(__file__).parents[3]
TEXT = "".join(f"line {n} of to be or not to be, n{n % 7}\n" for n in range(1000))


class OneNode(FolderStore):
    """The folder as the store of a cluster whose only node is "folder". While there is a file
    `hold` beside the folder, commits wait before their second part."""

    def put(self, key: str, value: bytes, **options: Any) -> Written:
        if re.fullmatch("/out/.*/part-00001", key):
            wait_until(lambda: not self._hold.exists(), 60.0, "the end of the hold")
        return super().put(key, value, **options)

    @property
    def _hold(self) -> Path:
        return self._folder.parent / "hold"

    def locate(self, key: str, *, n: int | None = None) -> tuple[str, ...]:
        return ("folder",)


class Cluster:
    """Masters and workers, each a process; `store` is the folder they all use."""

    def __init__(self, folder: Path, workers: int = 2, slots: int = 2, masters: int = 1) -> None:
        self.folder = folder
        self.store = FolderStore(folder)
        ports = iter(free_ports(2 * masters))
        self.places = {
            f"m{number}": [
                f"127.0.0.1:{next(ports)}",
                f"127.0.0.1:{next(ports)}" if masters > 1 else "",
            ]
            for number in range(1, masters + 1)
        }
        self.address = self.places["m1"][0]
        self.connection = Connection([address for address, _ in self.places.values()])
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        try:
            for name in self.places:
                self.start_master(name)
            self.wait_for_leader()
            for number in range(1, workers + 1):
                self.start_worker(f"w{number}", slots)
            self.wait_for_workers(workers)
        except BaseException:
            self.end_all()
            raise

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end_all()

    def end_all(self) -> None:
        for name in sorted(self.processes, reverse=True):
            self.end(name, signal.SIGTERM)

    def start_master(self, name: str = "m1") -> None:
        self._start(name, "master", name, json.dumps(self.places))

    def wait_for_leader(self, timeout_s: float = 10.0) -> str:
        """The name of the master that leads, as soon as one does."""
        wait_until(lambda: self.leaders(), timeout_s, "a master that leads")
        return self.leaders()[0]

    def leaders(self) -> list[str]:
        """The masters that say of themselves that they lead."""
        return [said["master"] for said in self.connection.standings().values() if said["leads"]]

    def hold_commits(self) -> None:
        """Let commits wait in their middle."""
        (self.folder.parent / "hold").touch()

    def let_commits_go_on(self) -> None:
        (self.folder.parent / "hold").unlink()

    def start_worker(self, name: str, slots: int = 2, cut_off_from: str = "") -> None:
        """A worker, of which one master may be out of reach."""
        places = dict(self.places)
        if cut_off_from:
            places[cut_off_from] = [f"127.0.0.1:{free_ports(1)[0]}", ""]
        self._start(name, "worker", name, str(slots), json.dumps(places))

    def wait_for_workers(self, count: int) -> None:
        wait_until(lambda: len(self.connection.workers()) == count, 30.0, f"{count} workers")

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


def with_books(folder: Path, workers: int = 2) -> Cluster:
    """A cluster over a new folder, with eight files below /books."""
    folder.mkdir()
    cluster = Cluster(folder, workers)
    for part in range(8):
        text = io.BytesIO(TEXT[part * 17 :].encode())
        files.write(cluster.store, f"/books/{part}.txt", text)
    return cluster


def master_configs(places: dict[str, list[str]], folder: Path) -> list[MasterConfig]:
    """The masters, with folders beside that of the store."""
    return [
        MasterConfig(name, address, election, folder.parent / f"{name}.raft")
        for name, (address, election) in places.items()
    ]


def main(kind: str, name: str, *arguments: str) -> None:
    *given, places_given, folder = arguments
    places = json.loads(places_given)
    if kind == "master":
        masters = master_configs(places, Path(folder))
        me = next(master for master in masters if master.name == name)
        policy = Policy(worker_timeout_s=2.0, backup_after_s=60.0)  # tasks that wait are not slow
        master.serve(me, masters, OneNode(folder), lambda: None, policy)
    else:
        open_store = functools.partial(FolderStore, folder)
        addresses = [address for address, _ in places.values()]
        worker.serve(name, "folder", int(given[0]), addresses, open_store)


if __name__ == "__main__":
    main(*sys.argv[1:])
