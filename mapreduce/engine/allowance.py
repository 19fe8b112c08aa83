"""What the owner of a machine lets the tasks of a worker take of it: a donated machine stays its
owner's. These are the limits of cluster.ini, as opposed to those of the job (`engine.limits`).

A worker's whole memory and disk are divided by its slots, open files and processes count for each
task. The task's own process has the kernel keep what it can (setrlimit(2), hard), for itself and
for all that it starts; `engine.warden` measures the sum from outside.
"""

import errno
import math
import os
import resource
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from mapreduce.errors import ProgramFailed

MIB = 1 << 20
Mode = Literal["none", "limits", "bwrap"]
_PAGE_BYTES = resource.getpagesize()
_LAST_IN_LINE = 19
"""The priority of a process that gives way to any other (nice(2))."""


class Door(msgspec.Struct, frozen=True, array_like=True):
    """A folder of this machine that a sandboxed task sees too, at another place."""

    here: str
    inside: str
    writable: bool = False


class Allowance(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a worker's tasks may take, in the words of its section in cluster.ini; 0: anything.

    >>> allowance = Allowance(worker="w1", slots=2, sandbox="limits", memory_mb=600)
    >>> allowance.task_memory_bytes >> 20
    300
    >>> print(allowance.exceeded("memory_mb", 310 << 20))
    it took 310 MiB of memory; worker w1 allows a task 300 MiB (memory_mb = 600 for its 2 slots, [worker w1] in cluster.ini): that is its owner's decision, so let a task need less, or run it on other workers
    """  # noqa: E501

    worker: str = ""
    slots: int = 1
    sandbox: Mode = "none"
    cpu_share: float = 0.0
    """A part of 1: of all processors of the machine."""
    memory_mb: int = 0
    disk_mb: int = 0
    open_files: int = 0
    processes: int = 0
    home: str = ""
    """Where tasks' scratch folders are; "" for the system's folder for temporary files."""
    doors: tuple[Door, ...] = ()

    @property
    def boxed(self) -> bool:
        """True if tasks run in a sandbox of bubblewrap."""
        return self.sandbox == "bwrap"

    @property
    def limited(self) -> bool:
        """True if there is anything to measure."""
        return any((self.cpu_share, self.memory_mb, self.disk_mb, self.processes))

    @property
    def task_memory_bytes(self) -> int:
        return self.memory_mb * MIB // self.slots

    @property
    def task_disk_bytes(self) -> int:
        return self.disk_mb * MIB // self.slots

    def exceeded(self, key: str, taken: float) -> str:
        """The error of a task that took too much of `key`: bytes (infinite: nobody can tell),
        processes, or seconds beyond."""
        what, allowed = {
            "cpu_share": (f"{taken:.1f} s of processor time too much, though stopped", "a share"),
            "memory_mb": (f"{_mib(taken)} of memory", _mib(self.task_memory_bytes)),
            "disk_mb": (f"{_mib(taken)} of disk for its files", _mib(self.task_disk_bytes)),
            "processes": (f"{taken:.0f} processes", f"{self.processes}"),
        }[key]
        return f"it took {what}; worker {self.worker} allows a task {allowed} {self._why(key)}"

    def explained(self, error: BaseException) -> str:
        """What is said to an error that the owner's decision may have brought about, or ""."""
        return "\n".join(dict.fromkeys(map(self._explained, _chain(error)))).strip()

    def _explained(self, error: BaseException) -> str:
        number = error.errno if isinstance(error, OSError) else None
        if isinstance(error, MemoryError) and self.memory_mb:
            allowed = f"{_mib(self.task_memory_bytes)} of memory"
            return f"worker {self.worker} allows a task {allowed} {self._why('memory_mb')}"
        if number == errno.EMFILE and self.open_files:
            allowed = f"{self.open_files} open files"
            return f"worker {self.worker} allows a process {allowed} {self._why('open_files')}"
        status = error.status if isinstance(error, ProgramFailed) else 0
        if self.disk_mb and (number == errno.EFBIG or status == -signal.SIGXFSZ):
            allowed = f"{_mib(self.task_disk_bytes)} of disk"
            return f"worker {self.worker} allows a task {allowed} {self._why('disk_mb')}"
        outside = isinstance(error, OSError) and _is_outside(error)
        if self.boxed and (outside or status is None):
            return self.closed
        return ""

    @property
    def closed(self) -> str:
        """What a sandbox is, for an error."""
        return (
            f"worker {self.worker} runs tasks in a sandbox (sandbox = bwrap in cluster.ini, its "
            "owner's decision): without network, and with no files but Python, the system's "
            "programs, and what comes with the job; only /tmp can be written to"
        )

    def _why(self, key: str) -> str:
        value = getattr(self, key)
        shown = f"{value:.0%}" if key == "cpu_share" else value
        shared = f" for its {self.slots} slots" if key in _SHARED and self.slots > 1 else ""
        return (
            f"({key} = {shown}{shared}, [worker {self.worker}] in cluster.ini): that is its "
            "owner's decision, so let a task need less, or run it on other workers"
        )


UNLIMITED = Allowance()

_SHARED = ("memory_mb", "disk_mb", "cpu_share")
_NO_NETWORK = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ECONNREFUSED, errno.EADDRNOTAVAIL)


def _mib(size_bytes: float) -> str:
    if size_bytes == math.inf:
        return "an amount that can't be measured, in folders too deep or closed to its owner,"
    return f"{size_bytes / MIB:,.0f} MiB"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that led to it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _is_outside(error: OSError) -> bool:
    """True for an error that a program has which looks for something outside of its sandbox."""
    if isinstance(error, socket.gaierror) or error.errno in (*_NO_NETWORK, errno.EROFS):
        return True
    name = str(error.filename or "")
    return error.errno == errno.ENOENT and name.startswith("/") and not name.startswith("/tmp/")


# In the task's process ---------------------------------------------------------------------------


def keep(allowance: Allowance) -> None:
    """Bind this process, and all that it will start, to what the kernel can keep."""
    if allowance.open_files:
        _limit(resource.RLIMIT_NOFILE, allowance.open_files)
    if allowance.disk_mb:
        _limit(resource.RLIMIT_FSIZE, allowance.task_disk_bytes)
    if allowance.memory_mb:
        _limit(resource.RLIMIT_DATA, allowance.task_memory_bytes + _unused_bytes() + _STACKS_BYTES)
    if allowance.cpu_share:
        os.setpriority(os.PRIO_PROCESS, 0, _LAST_IN_LINE)


_STACKS_BYTES = 64 << 20
"""What threads may reserve for their stacks and not use."""


def _limit(kind: int, most: int) -> None:
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(kind, (most, most))


def _unused_bytes() -> int:
    """What this process has reserved and not used: RLIMIT_DATA counts it as well."""
    _, resident, shared, _, _, data, _ = map(int, Path("/proc/self/statm").read_text().split())
    return max(0, data - (resident - shared)) * _PAGE_BYTES
