"""Counting how large values are, in buckets of equal ratio: durations, batch sizes, lengths.

Each bucket ends nine hundredths above the one before it (an eighth of an octave), so a percentile
is told at most that much too high, however many values there were. Histograms of several nodes, or
of several seconds, are added to one as if all had been counted in one place; percentiles could not
be. HdrHistogram does the same with finer buckets, in Python at some microseconds a value.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence

BOUNDS = tuple(2 ** (eighth / 8) for eighth in range(-17 * 8, 20 * 8 + 1))
"""Where each bucket ends: in seconds from 8 microseconds to 12 days, in pieces to a million."""


class Histogram(Counter[int]):
    """How many values fell into each bucket, by the bucket's place in `BOUNDS`.

    >>> seconds = Histogram.of([0.125] * 98 + [0.25, 2.0])
    >>> [seconds.percentile(share) for share in (50, 99, 100)]
    [0.125, 0.25, 2.0]
    >>> (seconds + seconds).total()
    200
    """

    @classmethod
    def of(cls, values: Iterable[float]) -> "Histogram":
        """The histogram of `values`."""
        return cls(bucket(value) for value in values)

    @classmethod
    def of_pairs(cls, pairs: Iterable[Sequence[float]]) -> "Histogram":
        """The histogram that `pairs` told of."""
        found = cls()
        for bound, count in pairs:
            found[bucket(bound)] += int(count)
        return found

    def pairs(self) -> list[list[float]]:
        """Where each bucket that holds anything ends, with its count; plain lists, to be sent."""
        return [[BOUNDS[place], self[place]] for place in sorted(self) if self[place]]

    def percentile(self, share: float) -> float:
        """The value that `share` percent of all do not exceed, up to a bucket; 0.0 for none."""
        wanted = self.total() * share / 100
        below = 0
        for place in sorted(self):
            below += self[place]
            if below and below >= wanted:
                return BOUNDS[place]
        return 0.0

    def __add__(self, other: Counter[int]) -> "Histogram":  # type: ignore[override]
        return Histogram(super().__add__(other))


def bucket(value: float) -> int:
    """The place in `BOUNDS` of the bucket that `value` falls into; what is too large, in the last.

    >>> BOUNDS[bucket(4)], bucket(0.0)
    (4.0, 0)
    """
    return min(bisect_left(BOUNDS, value), len(BOUNDS) - 1)
