"""Which of its records an attempt works on: nearly always all. `mapreduce.engine.skipping` asks for
some of them, and for all but some."""

import reprlib
from collections.abc import Iterator
from typing import Any

from mapreduce.data.formats import Batch
from mapreduce.data.shuffle import Group
from mapreduce.engine.orders import Skipped, TaskOrder


class Selection:
    """The records of one attempt, or the groups of a reduce task, as they are read."""

    def __init__(self, order: TaskOrder) -> None:
        self.records = 0
        """How many have been read, those left out too."""
        self.skipped: list[Skipped] = []
        self._probe = order.probe
        self._without = order.without

    @property
    def is_done(self) -> bool:
        """True for a probe that has read all of its range; an empty range is to count them all."""
        return self._probe is not None and 0 < self._probe[1] <= self.records

    def of_batch(self, batch: Batch, input: str) -> Iterator[Batch]:
        """Those that are chosen of a batch, which is of the file `input`."""
        first = self.records
        self.records += batch.size
        if self._probe is None and not self._without:
            yield batch
            return
        for number in self._without:
            if first <= number < self.records:
                [(key, _)] = batch.part(number - first, number - first + 1).pairs
                self._skip(number, input, key)
        for start, stop in chosen(first, self.records, self._probe, self._without):
            yield batch.part(start - first, stop - first)

    def of_groups(self, groups: Iterator[Group]) -> Iterator[Group]:
        """Those that are chosen of the groups of a partition."""
        return groups if self._probe is None and not self._without else self._chosen(groups)

    def _chosen(self, groups: Iterator[Group]) -> Iterator[Group]:
        for number, group in enumerate(groups):
            self.records = number + 1
            if number in self._without:
                self._skip(number, "", group[0])
            elif self._probe is None or self._probe[0] <= number < self._probe[1]:
                yield group
            if self.is_done:
                break

    def _skip(self, number: int, input: str, key: Any) -> None:
        skipped = Skipped(number=number, input=input, position=reprlib.repr(key))
        self.skipped.append(skipped)


def chosen(
    start: int, stop: int, probe: tuple[int, int] | None, without: tuple[int, ...]
) -> Iterator[tuple[int, int]]:
    """Which of the records from `start` up to `stop` are worked on.

    >>> list(chosen(10, 20, None, (3, 12, 19))), list(chosen(10, 20, (15, 30), ()))
    ([(10, 12), (13, 19)], [(15, 20)])
    """
    if probe is not None:
        start, stop = max(start, probe[0]), min(stop, probe[1])
    for number in without:
        if start <= number < stop:
            if start < number:
                yield start, number
            start = number + 1
    if start < stop:
        yield start, stop
