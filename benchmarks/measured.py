"""One program under measurement: how long it takes, and how much memory its largest process has.

Memory is the high-water mark of a process' resident set (VmHWM in /proc/PID/status, proc(5)), read
twenty times a second of the program and all its descendants. Linux only: elsewhere it's 0.
"""

import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
SAMPLE_S = 0.05


class Measure(NamedTuple):
    """What one run of a program took, and what it said on its standard output."""

    seconds: float
    peak_bytes: int
    said: str


def measure(command: Sequence[str]) -> Measure:
    """Run a program in the repository's folder to its end; stops the benchmark if it fails."""
    ended = threading.Event()
    peak = [0]
    began = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        sampler = threading.Thread(target=_sample, args=(process.pid, peak, ended))
        sampler.start()
        said, complained = process.communicate()
        seconds = time.perf_counter() - began
        ended.set()
        sampler.join()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{complained[-4000:]}")
    return Measure(seconds, peak[0], said)


def _sample(program: int, peak: list[int], ended: threading.Event) -> None:
    """Raise `peak[0]` to the largest process seen, until the program has ended."""
    while not ended.wait(SAMPLE_S):
        peak[0] = max(peak[0], *map(peak_bytes, family(program)))


def family(process: int) -> Iterator[int]:
    """The ids of a process and of all its descendants."""
    yield process
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        for child in _text(children).split():
            yield from family(int(child))


def peak_bytes(process: int) -> int:
    """The most memory that a process has had; 0 once it has ended."""
    for line in _text(Path(f"/proc/{process}/status")).splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    return 0


def _text(path: Path) -> str:
    """What a file of /proc says, or "" where its process has ended meanwhile."""
    try:
        return path.read_text()
    except OSError:
        return ""
