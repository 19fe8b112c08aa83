"""What a process and all that it has started take of the machine, measured from outside: proc(5).

Descent is complete as long as the first of them lives: a task's process adopts orphans
(`killing.adopt_orphans`), and so does the first process of a sandbox.
"""

import contextlib
import errno
import math
import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

from mapreduce.engine import killing

_PROC = "/proc"
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_BLOCK_BYTES = 512
"""The unit of `st_blocks` (stat(2))."""
_ENTRY_BYTES = 4096
"""What an empty file is taken for: it needs a name and an inode, of which a disk has so many."""
_HIDDEN = (errno.ENAMETOOLONG, errno.EACCES)
"""A folder deeper than a path can name, and one without rights."""
_TELLS_CHILDREN = Path(f"/proc/self/task/{os.getpid()}/children").exists()


def members(leader: int) -> list[int]:
    """A process and all its descendants, those that have ended and nobody has waited for too."""
    if not _TELLS_CHILDREN:  # a kernel without CONFIG_PROC_CHILDREN
        return [leader, *killing.descendants(leader)]
    found, waiting = [], [leader]
    while waiting:
        process = waiting.pop()
        found.append(process)
        waiting += _children(process)
    return found


def _children(process: int) -> Iterator[int]:
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"{_PROC}/{process}/task"):  # noqa: PTH208  # fifty times a second
            yield from map(int, _read(f"{_PROC}/{process}/task/{thread}/children").split())


def stop(leader: int) -> None:
    """Stop all members; those that are born meanwhile as well."""
    stopped: set[int] = set()
    while new := set(members(leader)) - stopped:
        for process in new:
            killing.send(process, signal.SIGSTOP)
        stopped |= new


def go_on(leader: int) -> None:
    for process in members(leader):
        killing.send(process, signal.SIGCONT)


def cpu_s(processes: list[int]) -> float:
    """Seconds of processor time of these and of all children that they have waited for."""
    ticks = 0
    for process in processes:
        fields = _read(f"{_PROC}/{process}/stat").rpartition(b")")[2].split()
        ticks += sum(map(int, fields[11:15]))
    return ticks / _TICKS_PER_S


def memory_bytes(processes: list[int], enough: int) -> int:
    """What these take of memory, shared pages counted once; where a quick sum that counts them
    several times is below `enough`, that."""
    quick = sum(_memory_bytes(p, "status", ("RssAnon", "RssShmem", "VmSwap")) for p in processes)
    if quick < enough:
        return quick
    wanted = ("Pss_Anon", "Pss_Shmem", "SwapPss")
    return sum(_memory_bytes(process, "smaps_rollup", wanted) for process in processes)


def _memory_bytes(process: int, file: str, names: tuple[str, ...]) -> int:
    kib = 0
    for line in _read(f"{_PROC}/{process}/{file}").splitlines():
        name, _, value = line.partition(b":")
        if name.decode() in names:
            kib += int(value.split()[0])
    return kib << 10


def disk_bytes(folder: str, processes: list[int]) -> float:
    """What the files in a folder take, and the files without a name that these processes hold;
    infinite where somebody has made folders that can't be looked into."""
    return _folder_bytes(folder) + sum(_unnamed(processes).values())


def _folder_bytes(folder: str) -> float:
    total, waiting = 0.0, [folder]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    with contextlib.suppress(FileNotFoundError):
                        taken = entry.stat(follow_symlinks=False).st_blocks * _BLOCK_BYTES
                        total += max(taken, _ENTRY_BYTES)
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except OSError as error:
            if error.errno in _HIDDEN:
                return math.inf
    return total


def _unnamed(processes: list[int]) -> dict[tuple[int, int], int]:
    """Files that were deleted and are open, those in memory (memfd_create(2)) too."""
    found = {}
    for process in processes:
        with contextlib.suppress(OSError):
            for fd in os.listdir(f"{_PROC}/{process}/fd"):  # noqa: PTH208
                with contextlib.suppress(OSError):
                    held = os.stat(f"{_PROC}/{process}/fd/{fd}")  # noqa: PTH116
                    if stat.S_ISREG(held.st_mode) and not held.st_nlink:
                        found[held.st_dev, held.st_ino] = held.st_blocks * _BLOCK_BYTES
    return found


def _read(path: str) -> bytes:
    """A file of /proc; empty if its process has gone."""
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            return file.read()
    except OSError:
        return b""
