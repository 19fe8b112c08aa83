"""The same work by several programs, in turn, until each has had its rounds; a table of the result.

A program is given the path of a folder that is not there yet and its inputs, and leaves text files
`part-*` in that folder. All must have written the same lines as the first of them, or the benchmark
stops. All inputs are in the page cache before the first program runs.
"""

import importlib.util
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from benchmarks.measured import ROOT, Measure, measure

PROCESSES = 2
"""What each program may use, so that tables of different machines can be compared."""
ROUNDS = 3
QUICK_S = 20.0
"""A program that takes longer has one round."""
SINCE_READY = "seconds since ready:"
"""How a program says what it took without its own start."""


class Contestant(NamedTuple):
    """A program: `command` is run with the output folder and the inputs behind it. It is left out
    where a Python module or an executable that it `needs` is not installed."""

    name: str
    command: tuple[str, ...]
    needs: tuple[str, ...] = ()

    @property
    def missing(self) -> list[str]:
        return [name for name in self.needs if not _installed(name)]


class Aim(NamedTuple):
    """`one` takes at most `ratio` times what `other` takes."""

    one: str
    other: str
    ratio: float


Answer = tuple[int, int]
"""How many lines there are, and the sum of their hashes, which is the same for any order."""
Check = Callable[[Path], Answer]
Results = dict[Contestant, list[Measure]]


def ours(job: str) -> tuple[str, ...]:
    """The command of one of our jobs on the `local` runner."""
    return python("our_jobs", job)


def python(program: str, *arguments: str) -> tuple[str, ...]:
    """The command of one of `benchmarks/programs`, as a module."""
    return sys.executable, "-m", f"benchmarks.programs.{program}", *arguments


def mrjob(program: str, *options: str) -> tuple[str, ...]:
    """The command of an mrjob script on its `local` runner, which is given files, not modules."""
    path = ROOT / "benchmarks" / "programs" / f"{program}.py"
    cores = str(PROCESSES)
    return (
        *(sys.executable, str(path), "--runner", "local", "--num-cores", cores, "--quiet"),
        *("--no-cat-output", *options, "--output-dir"),
    )


def pipeline(script: str) -> tuple[str, ...]:
    """The command of a shell script in which $1 is the output folder and $2... are the inputs."""
    return "sh", "-ec", f'mkdir "$1"; export LC_ALL=C; {script}', "sh"


def any_order(folder: Path) -> Answer:
    """What the parts in a folder hold."""
    count = total = 0
    for part in sorted(folder.glob("part-*")):
        hashes = list(map(hash, part.read_bytes().splitlines()))
        count += len(hashes)
        total += sum(hashes)
    return count, total


def in_order(folder: Path) -> Answer:
    """What the parts in a folder hold; stops the benchmark where lines, in the order of the parts'
    names, are not in order."""
    last = b""
    for part in sorted(folder.glob("part-*")):
        lines = [last, *part.read_bytes().splitlines()]
        if any(one > other for one, other in pairwise(lines)):
            raise SystemExit(f"{part} is not in order")
        last = lines[-1]
    return any_order(folder)


def hold(
    contestants: Sequence[Contestant],
    inputs: Sequence[Path],
    aims: Sequence[Aim] = (),
    check: Check = any_order,
) -> None:
    """Let all contestants that are installed run, and print the table. Ratios are to the first."""
    for path in inputs:
        path.read_bytes()
    results = play([each for each in contestants if not each.missing], inputs, check)
    print("| | seconds | ratio | without its start | largest process |")
    print("|---|---:|---:|---:|---:|")
    for each in contestants:
        print(_row(each, results.get(each, []), results[contestants[0]]))
    print()
    for aim in aims:
        _print_aim(aim, {each.name: measures for each, measures in results.items()})


def play(contestants: Sequence[Contestant], inputs: Sequence[Path], check: Check) -> Results:
    """All rounds, in turn; the quick contestants have more of them."""
    results: Results = {each: [] for each in contestants}
    expected = None
    for number in range(ROUNDS):
        for each, measures in results.items():
            if number and measures[0].seconds > QUICK_S:
                continue
            found, answer = one_round(each, inputs, check)
            expected = expected or answer
            if answer != expected:
                raise SystemExit(
                    f"{each.name} wrote {answer[0]:,} lines, {contestants[0].name} "
                    f"{expected[0]:,}, and they are not the same"
                )
            measures.append(found)
            print(f"  {number + 1}  {each.name:40} {found.seconds:6.2f} s", file=sys.stderr)
    return results


def one_round(program: Contestant, inputs: Sequence[Path], check: Check) -> tuple[Measure, Answer]:
    """Run a program once, and look at what it has written."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        output = Path(folder, "output")
        found = measure([*program.command, str(output), *map(str, inputs)])
        return found, check(output)


def ratio(ones: Sequence[Measure], others: Sequence[Measure]) -> float:
    """How many times longer one program takes than another: the median over the rounds that both
    had, because what else the machine does is much the same within a round."""
    return statistics.median(one.seconds / other.seconds for one, other in zip(ones, others))


def _row(contestant: Contestant, measures: Sequence[Measure], by_hand: Sequence[Measure]) -> str:
    if not measures:
        lacks = " and ".join(contestant.missing)
        how = "pip install 'dynamo-mapreduce[bench]'"
        return f"| {contestant.name} | not installed: {lacks} ({how}) | | | |"
    seconds = statistics.median(each.seconds for each in measures)
    times = ratio(measures, by_hand)
    ready = [since for each in measures if (since := _since_ready(each.said)) is not None]
    without = f"{statistics.median(ready):.1f}" if ready else ""
    peak = max(each.peak_bytes for each in measures) >> 20
    memory = f"{peak} MiB" if peak else ""
    return f"| {contestant.name} | {seconds:.1f} | {times:.2f} | {without} | {memory} |"


def _since_ready(said: str) -> float | None:
    _, found, rest = said.rpartition(SINCE_READY)
    return float(rest.split()[0]) if found else None


def _print_aim(aim: Aim, results: dict[str, list[Measure]]) -> None:
    if aim.one in results and aim.other in results:
        times = ratio(results[aim.one], results[aim.other])
        print(f"{aim.one}: {times:.2f} times {aim.other} (aim: at most {aim.ratio})")


def _installed(name: str) -> bool:
    return shutil.which(name) is not None or importlib.util.find_spec(name) is not None
