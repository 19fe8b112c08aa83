"""Others that are warm: each in a process of its own, which starts what it needs, and then says how
long each of several jobs has taken.

    python -m benchmarks.programs.warm_ray tiny 100      a tiny job, a hundred times
    python -m benchmarks.programs.warm_ray tasks 1000    a thousand empty tasks, twice
"""

import json
import time
from collections.abc import Callable
from typing import NamedTuple

from benchmarks.contest import Contestant, python
from benchmarks.measured import measure

PROCESSES = 2
LINES = ["to be or not to be"] * 10
"""What a tiny job counts the words of."""
WARM = 5
"""So many tiny jobs before those that count."""
OTHERS = (
    Contestant("Ray", python("warm_ray"), ("ray",)),
    Contestant("Dask, distributed", python("warm_dask"), ("dask", "distributed")),
    Contestant("PySpark", python("warm_pyspark"), ("pyspark", "java")),
)


class Tail(NamedTuple):
    """Milliseconds: the median, and what 99 of 100 stay below."""

    median_ms: float
    tail_ms: float


def said_seconds(program: Contestant, what: str, number: int) -> list[float]:
    """Run one of the others; how long it says that its jobs took."""
    said = measure([*program.command, what, str(number)]).said
    seconds: list[float] = json.loads(said.splitlines()[-1])
    return seconds


def say_seconds(
    tiny: Callable[[], None], tasks: Callable[[int], None], what: str, number: str
) -> None:
    """The other end of `said_seconds`."""
    if what == "tiny":
        seconds = timed(tiny, int(number) + WARM)[WARM:]
    else:
        tasks(100)
        seconds = timed(lambda: tasks(int(number)), 2)
    print(json.dumps(seconds), flush=True)


def timed(job: Callable[[], object], number: int) -> list[float]:
    """The seconds that a job takes, each time."""
    seconds = []
    for _ in range(number):
        began = time.perf_counter()
        job()
        seconds.append(time.perf_counter() - began)
    return seconds


def tail(seconds: list[float]) -> Tail:
    """
    >>> tail([0.002] * 98 + [0.001, 0.5])
    Tail(median_ms=2.0, tail_ms=500.0)
    """
    ordered = sorted(seconds)
    middle, last = (ordered[int(len(ordered) * share)] * 1000 for share in (0.5, 0.99))
    return Tail(middle, last)


def not_installed(program: Contestant, columns: int) -> str:
    """The row of one of the others that is not there."""
    lacks = f"not installed: {' and '.join(program.missing)}"
    return f"| {program.name} | {lacks} |" + " |" * (columns - 2)
