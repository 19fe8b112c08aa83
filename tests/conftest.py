"""What holds for every test: it leaves no process behind, and no property of it is timed."""

import gc
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.waiting import wait_until

# The simulations make millions of small objects and hardly a circle of them: to look for circles
# less often saves a twentieth of their time.
gc.set_threshold(50_000, 20, 100)

# A busy machine is slow now and then, in drawing too; a test that hangs meets pytest's own timeout.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_collection_finish() -> None:
    """Modules and tests stay to the end: nobody need look for circles among them again and again,
    which takes another tenth."""
    gc.collect()
    gc.freeze()


def child_processes() -> dict[int, str]:
    """Process id -> command line of this process' children, the interpreter's own helpers apart."""
    children: dict[int, str] = {}
    for task in Path("/proc/self/task").glob("*/children"):
        for pid in map(int, _text(task).split()):
            command = _command_line(pid)
            # multiprocessing keeps one tracker for the life of the interpreter.
            if command and "resource_tracker" not in command:
                children[pid] = command
    return children


def _command_line(pid: int) -> str:
    """The command line of a process, or "" where it has ended (a zombie has none); on which pipe a
    server said that it is ready is no matter."""
    command = _text(Path(f"/proc/{pid}/cmdline")).replace("\0", " ").strip()
    return re.sub(r" --ready-fd \d+", "", command)


def _text(path: Path) -> str:
    """What a file of /proc says, or "" where its thread or process has ended meanwhile."""
    try:
        return path.read_bytes().decode()
    except OSError:
        return ""


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    """Fails a test that leaves a child process behind; a server of its module's that it has ended
    and started again with the same command counts as the same."""
    before = Counter(child_processes().values())
    yield
    if not os.path.isdir("/proc/self/task"):  # noqa: PTH112
        return
    wait_until(
        lambda: Counter(child_processes().values()) <= before,
        timeout_s=5,
        what=f"the end of this test's child processes {child_processes()}",
    )
