"""Background processes that outlive the command that started them, and how to end just those.

A process is known by its id *and* its start time: an id alone may by now belong to a stranger.
"""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

POLL_S = 0.02


class Process(msgspec.Struct, frozen=True, order=True):
    """A process that was alive once. `started` is the system's own text for its start time."""

    pid: int
    started: str

    @property
    def alive(self) -> bool:
        """True while this very process runs; one that has ended but was not awaited does not."""
        child = _children.get(self)
        if child is None:
            return start_time(self.pid) == self.started
        # Its first thread may have ended before the others: /proc then calls it a zombie too soon.
        if child.poll() is None:
            return True
        _children.pop(self, None)
        return False

    def signal(self, number: int) -> None:
        """Send a signal; nothing happens if the process has ended."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


_children: dict[Process, subprocess.Popen[bytes]] = {}
"""What this process has started itself and must await, or it would stay as a zombie."""


def start(command: list[str], log: Path, pass_fds: Iterable[int] = ()) -> Process:
    """Start a process in a session of its own, so that Ctrl-C and a closed terminal spare it."""
    with log.open("ab") as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=tuple(pass_fds),
        )
    process = Process(child.pid, start_time(child.pid) or "")
    _children[process] = child
    return process


def stop(processes: Iterable[Process], grace_s: float) -> list[Process]:
    """End processes: SIGTERM, and SIGKILL for what is still there after `grace_s` seconds.

    Their descendants go with them. Returns those that needed SIGKILL.
    """
    processes = list(processes)
    family = descendants(processes)
    for process in processes:
        process.signal(signal.SIGTERM)
    wait_for(lambda: not any(process.alive for process in processes), grace_s)
    stubborn = [process for process in processes if process.alive]
    for process in [*stubborn, *descendants(stubborn), *family]:
        process.signal(signal.SIGKILL)
    wait_for(lambda: not any(process.alive for process in [*processes, *family]), 5.0)
    return stubborn


def descendants(processes: Iterable[Process]) -> list[Process]:
    """The children of processes that are alive, and theirs in turn."""
    parents: dict[int, list[int]] = {}
    for pid, parent in _parents().items():
        parents.setdefault(parent, []).append(pid)
    waiting = [process.pid for process in processes if process.alive]
    found: list[Process] = []
    while waiting:
        children = parents.get(waiting.pop(), [])
        waiting += children
        found += [Process(pid, started) for pid in children if (started := start_time(pid))]
    return found


def wait_for(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Poll `condition` until it holds; False if it does not within `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C and SIGTERM wait until the block is done: for tidying up that must not be half done.

    Outside the main thread, where Python delivers no signals, it changes nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda number, _: waiting.append(number)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before):
            signal.signal(number, handler)
        for held_back in dict.fromkeys(waiting):
            signal.raise_signal(held_back)


def start_time(pid: int) -> str | None:
    """When the process `pid` started, as a text that never changes; None if it has ended."""
    if not _HAS_PROC:
        state, _, started = _ps("state=,lstart=", "-p", str(pid)).partition(" ")
        return None if state[:1] in ("", "Z") else started.strip()
    fields = _stat(pid)
    return None if not fields or fields[0] in "ZX" else fields[19]


def _parents() -> dict[int, int]:
    """Process id -> its parent's, for all processes of this machine."""
    if not _HAS_PROC:
        pairs = map(str.split, _ps("pid=,ppid=", "-A").splitlines())
        return {int(pid): int(parent) for pid, parent in pairs}
    pids = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    return {pid: int(fields[1]) for pid in pids if (fields := _stat(pid))}


def _stat(pid: int) -> list[str]:
    """What proc(5) calls the fields of stat from the third, the state, on; [] without process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    return stat[stat.rindex(")") + 2 :].split()  # the name, in brackets, may hold spaces


def _ps(columns: str, *which: str) -> str:
    command = ["ps", "-o", columns, *which]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


_HAS_PROC = Path("/proc/self/stat").exists()
