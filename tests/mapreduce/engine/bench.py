"""An executor to test, over a store in a folder."""

import functools
import os
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from dynamo.store import Store
from mapreduce.engine.allowance import UNLIMITED, Allowance
from mapreduce.engine.executor import Executor, Outcome
from mapreduce.engine.orders import PhaseOrder, TaskOrder
from mapreduce.runners.folderstore import FolderStore
from tests.mapreduce.engine.jobs import map_order
from tests.waiting import wait_until


class Bench:
    """An executor over a store in a folder, and what it has said."""

    def __init__(self, folder: Path, slots: int = 1, allowance: Allowance = UNLIMITED) -> None:
        self.folder = folder
        self.allowance = allowance
        self.store: Store = FolderStore(folder / "store")
        self.done: SimpleQueue[Outcome] = SimpleQueue()
        os.environ["MAPREDUCE_BENCH"] = str(folder)  # by which `others` finds its processes
        open_store = functools.partial(FolderStore, folder / "store")
        self.executor = Executor(
            slots, open_store, self.done.put, files="local", allowance=allowance
        )

    def order(
        self, setup: str, *, job: str = "job", number: int = 1, index: int = 0, **fields: Any
    ) -> tuple[PhaseOrder, TaskOrder]:
        """A task, with its phase, whose mapper runs `setup`, some statements, and then nothing.
        `fields` are those of its `JobSpec`."""
        body = "\n        ".join(setup.splitlines())
        source = (
            "import os, sys, time, signal, subprocess, itertools\n"
            "class MyMapper:\n"
            "    def setup(self):\n"
            f"        {body}\n"
            "    def map(self, key, value):\n"
            "        yield value, len(value)\n"
            "    def cleanup(self): ...\n"
            "class MyReducer: ...\n"
        )
        return map_order(self.store, source, job=job, number=number, index=index, **fields)

    def run(self, setup: str, **options: object) -> Outcome:
        self.executor.start(*self.order(setup, **options))  # type: ignore[arg-type]
        return self.done.get(timeout=30)

    def others(self) -> list[int]:
        """Living processes that come from this bench and are no children of this process."""
        mark = f"MAPREDUCE_BENCH={self.folder}\0".encode()
        marked = [
            int(p.parent.name) for p in Path("/proc").glob("[0-9]*/environ") if mark in read(p)
        ]
        return [pid for pid in marked if alive(pid) and not is_child(pid)]

    def told(self, name: str) -> str:
        """What user code has written into a file, once it is there."""
        path = self.folder / name
        wait_until(lambda: path.exists() and path.read_text().endswith("\n"), 20, name)
        return path.read_text().strip()

    def tell(self, name: str, value: str) -> str:
        """A statement of user code that writes a file."""
        return f"open({str(self.folder / name)!r}, 'w').write(str({value}) + '\\n')"


def read(path: Path) -> bytes:
    """A file of /proc, empty if its process has gone or is another user's."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def stat(pid: int) -> list[bytes]:
    """State, parent and so on (proc(5)); empty for a process that has gone."""
    return read(Path(f"/proc/{pid}/stat")).rpartition(b")")[2].split()


def alive(pid: int) -> bool:
    """True unless the process is gone or a zombie."""
    return stat(pid)[:1] not in ([], [b"Z"])


def is_child(pid: int) -> bool:
    """True for children of this process."""
    return stat(pid)[1:2] == [str(os.getpid()).encode()]
