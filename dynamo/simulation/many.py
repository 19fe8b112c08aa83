"""Many seeds on all cores. A module of its own: a spawned process can't import a `__main__`."""

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from typing import NamedTuple

from dynamo.simulation.run import Run

LOT = 5
"""Seeds that a process takes at a time."""


class Verdict(NamedTuple):
    """Whether a seed broke a promise, or raised."""

    seed: int
    is_bad: bool


def verdicts(seeds: range, processes: int, simulate: Callable[[int], Run]) -> Iterator[Verdict]:
    """The verdict on each seed, in order. With several processes `simulate` must be importable."""
    if processes == 1 or len(seeds) < 2 * LOT:
        yield from (judge(seed, simulate) for seed in seeds)
        return
    lots = [(seeds[first : first + LOT], simulate) for first in range(0, len(seeds), LOT)]
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes, leave_interrupts_to_the_parent) as pool:
        for judged in pool.imap(judge_lot, lots):
            yield from judged


def judge(seed: int, simulate: Callable[[int], Run]) -> Verdict:
    """Run one seed. What it raises is shown when it is run once more, to be told of."""
    try:
        return Verdict(seed, bool(simulate(seed).violations))
    except Exception:
        return Verdict(seed, True)


def judge_lot(lot: tuple[range, Callable[[int], Run]]) -> list[Verdict]:
    """What a process of the pool does."""
    seeds, simulate = lot
    return [judge(seed, simulate) for seed in seeds]


def leave_interrupts_to_the_parent() -> None:
    """Control-C ends the parent, which ends the pool."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
