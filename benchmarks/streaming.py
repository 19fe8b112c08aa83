"""Executables beside a shell: a job of a map and a reduce task, and `cat | map | sort | reduce`.

words    the map writes each word with a 1, the reduce adds up: 17 million short lines, few keys
python   the same with a map in Python, a program that costs more than what is around it
pages    the map takes three fields of each line of a log, the reduce counts: as many lines, hardly
         two of which are the same. Here nothing can be counted, and all has to be sorted.

The programs are awk's (mawk) but for the map of "python"; `sort` is GNU's, with LC_ALL=C and as
many threads as it likes. Three rounds in which they take turns; the outputs are compared. Then the
word count with splits of 8 MiB, in one slot and in all.
"""

import random
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks import cache, zipf
from benchmarks.contest import PROCESSES

SIZE_BYTES = 100_000_000
ROUNDS = 3
AIM = 1.3
_EXAMPLES = Path(__file__).parents[1] / "examples" / "streaming"
_PAGES = r"""awk '{print $3 "\t" $1 " " $5}'"""
_COUNT = (
    r"""awk -F'\t' '$1 != k && NR > 1 {print k "\t" n; n = 0} {k = $1; n++} END {print k "\t" n}'"""
)


class Load(NamedTuple):
    """Two programs, and what they read."""

    name: str
    text: Path
    mapper: str
    reducer: str


class Took(NamedTuple):
    """Seconds on the wall, and of processors."""

    wall_s: float
    processor_s: float


def main() -> None:
    text, log = zipf.text(SIZE_BYTES), log_of(SIZE_BYTES)
    add_up = str(_EXAMPLES / "sum.awk")
    loads = (
        Load("words", text, str(_EXAMPLES / "words.awk"), add_up),
        Load("python", text, f"python3 {_EXAMPLES / 'words.py'}", add_up),
        Load("pages", log, _PAGES, _COUNT),
    )
    print("| | shell, s | job, s | ratio | shell, CPU s | job, CPU s | ratio |")
    print("|---|---:|---:|---:|---:|---:|---:|", flush=True)
    for load in loads:
        _report(load, [_round(load) for _ in range(ROUNDS)])
    print(f"\naim: at most {AIM} times the shell's time\n")
    _report_slots(loads[0])


def log_of(size_bytes: int) -> Path:
    """A log of requests, hardly two lines of which are alike."""

    def write(path: Path) -> None:
        draw, written = random.Random(3), 0
        with path.open("w") as file:
            while written < size_bytes:
                host = f"10.{draw.randrange(256)}.{draw.randrange(256)}"
                page = f"/page/{draw.randrange(10**6)}"
                written += file.write(f"{host} GET {page} 200 {draw.randrange(9999)} {'x' * 20}\n")

    return cache.made(f"log-{size_bytes}.txt", write)


def _round(load: Load) -> tuple[Took, Took]:
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        by_shell, by_job = Path(folder, "shell"), Path(folder, "job")
        programs = f"cat {load.text} | {load.mapper} | LC_ALL=C sort | {load.reducer} > {by_shell}"
        shell = _timed(["bash", "-c", f"export mapreduce_map_input_file=; {programs}"])
        job = _timed(_job(load, by_job, 1000))
        if by_shell.read_bytes() != (by_job / "part-00000").read_bytes():
            sys.exit(f"{load.name}: the job gave something else than the shell")
    return shell, job


def _job(load: Load, output: Path, split_mib: int) -> list[str]:
    command = [sys.executable, "-m", "cli.mapreduce", "run", str(load.text), "-o", str(output)]
    programs = ["--mapper", load.mapper, "--reducer", load.reducer]
    return [*command, *programs, "--split-mib", str(split_mib), "--processes", str(PROCESSES)]


def _timed(command: list[str]) -> Took:
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    wall_s = time.perf_counter() - began
    if done.returncode:
        sys.exit(f"{shlex.join(command)} failed:\n{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return Took(wall_s, spent)


def _report(load: Load, rounds: list[tuple[Took, Took]]) -> None:
    columns = []
    for field in Took._fields:
        shell = [getattr(took, field) for took, _ in rounds]
        job = [getattr(took, field) for _, took in rounds]
        ratio = statistics.median(ours / theirs for theirs, ours in zip(shell, job))
        columns.append(
            f"{statistics.median(shell):.1f} | {statistics.median(job):.1f} | {ratio:.2f}"
        )
    print(f"| {load.name} | {' | '.join(columns)} |", flush=True)


def _report_slots(load: Load) -> None:
    """The same job in one process and in all: with all slots in use it takes as much less time."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        one = [*_job(load, Path(folder, "one"), 8), "--processes", "1"]
        every = [*_job(load, Path(folder, "all"), 8), "--reducers", str(PROCESSES)]
        alone, together = _timed(one), _timed(every)
    used = [f"{took.processor_s / took.wall_s:.2f}" for took in (alone, together)]
    print(
        f"{load.name} in splits of 8 MiB: {alone.wall_s:.1f} s in 1 slot, {together.wall_s:.1f} s "
        f"in {PROCESSES}; processors in use: {' and '.join(used)}"
    )


if __name__ == "__main__":
    main()
