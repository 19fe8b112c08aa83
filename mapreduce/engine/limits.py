"""The limits of a task: its time, which its executor keeps, and its memory, which the kernel does.

Memory is bounded by RLIMIT_DATA (setrlimit(2)), soft, so that the process can serve the next task:
what the process has when the task begins, and `memory_limit_bytes` more. Linux counts all private
memory there, macOS none.
"""

import contextlib
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

MIB = 1 << 20
_STATUS = Path("/proc/self/status")


def too_slow(limit_s: float) -> str:
    """The error of an attempt that was ended.

    >>> print(too_slow(2.5))
    it took longer than its time limit of 2.5 s and was ended: give the job a larger time_limit_s (--time-limit), or 0 for none
    """  # noqa: E501
    return (
        f"it took longer than its time limit of {limit_s:g} s and was ended: give the job a larger "
        "time_limit_s (--time-limit), or 0 for none"
    )


def too_large(limit_bytes: int) -> str:
    """What is said to an error that a memory limit may have brought about."""
    return (
        f"the task had its memory limit of {limit_bytes // MIB:,} MiB: give the job a larger "
        "memory_limit_bytes (--memory-limit), or 0 for none"
    )


def room(place: str, folder: Path) -> str:
    """What is said beside the error of a disk: whose it is, and how much room it has."""
    try:
        return f"on {place}: {shutil.disk_usage(folder).free:,} bytes are free in {folder}"
    except OSError as error:
        return f"on {place}: {error}"


@contextlib.contextmanager
def memory(limit_bytes: int) -> Iterator[None]:
    """Let this process take `limit_bytes` more than it has now, and no more; 0 for no limit. The
    `MemoryError` of who wants more says so."""
    if not limit_bytes:
        yield
        return
    before, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = _data_bytes() + limit_bytes
    owner_s = hard != resource.RLIM_INFINITY and hard < most
    if owner_s:  # the machine's owner allows less: what is said then is said of that
        most = hard
    resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
    try:
        yield
    except MemoryError as error:
        if not owner_s:
            error.add_note(too_large(limit_bytes))
        raise
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (before, hard))


def _data_bytes() -> int:
    """What Linux counts for RLIMIT_DATA of this process so far; 0 elsewhere."""
    with contextlib.suppress(OSError):
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmData:"):
                return int(line.split()[1]) << 10
    return 0
