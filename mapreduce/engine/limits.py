"""The limits of a task: its time, which its executor keeps, and its memory, which the kernel does.

Memory is bounded by RLIMIT_DATA (setrlimit(2)), soft, so that the process can serve the next task:
what the process has when the task begins, and `memory_limit_bytes` more. Linux counts all private
memory there, macOS none.
"""

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path

from mapreduce.engine.orders import JobSpec
from mapreduce.errors import JobError

MIB = 1 << 20
_STATUS = Path("/proc/self/status")


def check(spec: JobSpec) -> None:
    """Raise for limits that no task could keep to."""
    if spec.time_limit_s < 0:
        raise JobError(f"time_limit_s is 0 for none, or more, not {spec.time_limit_s:g}")
    if spec.memory_limit_bytes < 0 or spec.skip_bad_records < 0:
        raise JobError("memory_limit_bytes and skip_bad_records are 0 for none, or more")
    if 0 < spec.memory_limit_bytes < spec.memory_bytes:
        raise JobError(
            f"a task is to hold {spec.memory_bytes:,} bytes before it spills (memory_bytes), and "
            f"may take {spec.memory_limit_bytes:,} (memory_limit_bytes): the limit has to be more"
        )


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


@contextlib.contextmanager
def memory(limit_bytes: int) -> Iterator[None]:
    """Let this process take `limit_bytes` more than it has now, and no more; 0 for no limit. The
    `MemoryError` of who wants more says so."""
    if not limit_bytes:
        yield
        return
    before, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = _data_bytes() + limit_bytes
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
    try:
        yield
    except MemoryError as error:
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
