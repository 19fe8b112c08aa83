"""What a node takes of its machine: room on disk, memory, processor time."""

import os
import resource
import time
from functools import cache
from pathlib import Path
from typing import Any

from gevent.hub import get_hub

from dynamo.disk.contract import Disk, copy_range

LOOK_S = 5.0
"""How old the figures of the disk may be: to look means to ask for every file of it."""


class Resources:
    """Looks after the room that `disk` takes, in a thread and not too often."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._disk_status: dict[str, Any] = {}
        self._look_at = 0.0

    def status(self, partitions: int) -> dict[str, Any]:
        """In plain values. Blocks its greenlet while it looks at the disk."""
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_S
            usage = get_hub().threadpool.apply(self._disk.usage)
            sizes = [self._disk.size(*copy_range(p, "", "")) for p in range(partitions)]
            self._disk_status = {**usage._asdict(), "partition_bytes": sizes}
        return {"disk": self._disk_status, "process": self._process()}

    def _process(self) -> dict[str, Any]:
        used = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "pid": os.getpid(),
            "version": _version(),
            "memory_bytes": memory_bytes(),
            "peak_memory_bytes": used.ru_maxrss * 1024,
            "processor_s": used.ru_utime + used.ru_stime,
        }


def memory_bytes() -> int | None:
    """The memory this process has now; None where the system does not tell by /proc."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


@cache
def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # not at the start: takes 10 ms

    try:
        return version("dynamo-mapreduce")
    except PackageNotFoundError:
        return "unknown"  # run from a folder that nobody has installed
