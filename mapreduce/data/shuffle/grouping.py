"""The reduce side: the pieces of a partition become groups, a key with all its values.

Pieces are fetched in order of map task and run, many small blocks in one round trip, and gathered
by key. If that takes more than the memory allows, what is held is written to the local disk as a
sorted run, and in the end the runs are merged: then the memory holds a block of each run, and the
values of a key come one after the other however many they are.

Pieces of lines are merged by the system's `sort`. For a `PartitionReducer` the pieces of each map
task are gathered by themselves (`by_map`).
"""

import contextlib
import itertools
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from mapreduce.data.ordering import PLAIN, Ordering
from mapreduce.data.pieces import MEMORY_BYTES, Fetch, Group, Piece
from mapreduce.data.shuffle.blocks import Columns, decoded
from mapreduce.data.shuffle.columns import Same
from mapreduce.data.shuffle.linemerging import common_form, merged_lines
from mapreduce.data.shuffle.lines import LineGroups
from mapreduce.data.shuffle.reading import Fetched, opened, read_ahead
from mapreduce.data.shuffle.runs import KEY_RANK, Ranked, Runs
from mapreduce.data.shuffle.sizes import LIST_BYTES, POINTER_BYTES, deep_size, sampled_size


def grouped(
    pieces: Iterable[Piece],
    fetch: Fetch,
    *,
    scratch: Path,
    ordering: Ordering = PLAIN,
    memory_bytes: int = MEMORY_BYTES,
    counters: Counter[str] | None = None,
) -> Iterator[Group]:
    """Every key of one partition with all its values, in the order that `ordering` says.

    Values come in order of map task and emission, unless the ordering sorts them. All pieces have
    been fetched when the first group comes. Sorted runs go to a folder below `scratch` that
    is removed at the end; `counters` counts them.

    Raises `PieceLost` for a block that `fetch` does not find or that is damaged, `BadRecord` for
    keys or values that can't be compared, `ScratchFailed` when the local disk is full.
    """
    pieces = list(pieces)
    if form := common_form(pieces):
        return LineGroups(merged_lines(pieces, fetch, form, scratch), form)
    return _gathered(read_ahead(pieces, fetch), scratch, ordering, memory_bytes, counters)


def by_map(
    pieces: Iterable[Piece],
    fetch: Fetch,
    *,
    scratch: Path,
    ordering: Ordering = PLAIN,
    memory_bytes: int = MEMORY_BYTES,
    counters: Counter[str] | None = None,
) -> Iterator[Group]:
    """Every map task that has pairs for one partition, named as in "map-00003", with these, in
    order of the tasks.

    The pairs of a task come in order of their keys, and those of one key in order of emission. They
    are gathered when they are read: what other tasks gave takes no memory then. Raises what
    `grouped` raises.
    """
    for map_index, blocks in itertools.groupby(read_ahead(pieces, fetch), _map_of):
        groups = _gathered(blocks, scratch, ordering, memory_bytes, counters)
        yield f"map-{map_index:05d}", ((key, value) for key, values in groups for value in values)


def _map_of(fetched: Fetched) -> int:
    piece, _ = fetched
    return piece.map_index


def _gathered(
    blocks: Iterable[Fetched],
    scratch: Path,
    ordering: Ordering,
    memory_bytes: int,
    counters: Counter[str] | None,
) -> Iterator[Group]:
    """The pairs of some blocks by key."""
    runs = Runs(scratch, ordering, memory_bytes)
    gathering = _Gathering(runs, memory_bytes, counters)
    with contextlib.closing(runs):
        for fetched in blocks:
            gathering.add(opened(fetched, decoded))
        groups = gathering.merged() if runs else gathering.in_memory(ordering)
        yield from groups if ordering.group_key is None else _by_group(groups, ordering.group_key)
        if runs.failure is not None:
            # It was raised where user code read its values, and that code went on in spite of it.
            raise runs.failure


class _Gathering:
    """Pairs by key: those that came last in memory, those before in `runs`."""

    def __init__(self, runs: Runs, memory_bytes: int, counters: Counter[str] | None) -> None:
        self.runs = runs
        self._memory_bytes = memory_bytes
        self._counters = Counter[str]() if counters is None else counters
        self._groups: defaultdict[Any, list[Any]] = defaultdict(list)
        self._keys_bytes = 0
        self._values_bytes = 0

    def add(self, columns: Columns) -> None:
        """Take the pairs of a block."""
        keys, counts, values = columns
        groups = self._groups
        before = len(groups)
        if counts is None:
            for key, value in zip(keys, values):
                groups[key].append(value)
        else:
            rest = iter(values)
            for key, count in zip(keys, counts):
                groups[key] += itertools.islice(rest, count)
        new = len(groups) - before
        self._keys_bytes += new * (sampled_size(keys) // max(len(keys), 1) + LIST_BYTES)
        if isinstance(values, Same):  # and has hardly more than one key with many of them
            self._values_bytes += deep_size(values.value) + len(values) * POINTER_BYTES // 2
        else:
            self._values_bytes += sampled_size(values) + len(values) * POINTER_BYTES
        if sys.getsizeof(groups) + self._keys_bytes + self._values_bytes > self._memory_bytes:
            self._spill()

    def in_memory(self, ordering: Ordering) -> Iterator[Group]:
        groups = self._groups
        for key in ordering.sorted(groups):
            yield key, iter(ordering.arranged(groups.pop(key)))

    def merged(self) -> Iterator[Group]:
        if self._groups:
            self._spill()
        for _, same in itertools.groupby(self.runs.merged(), KEY_RANK):
            yield _group(same)

    def _spill(self) -> None:
        self.runs.write(self._groups)
        self._counters["spills"] += 1
        self._counters["spilled_records"] += sum(map(len, self._groups.values()))
        self._groups = defaultdict(list)
        self._keys_bytes = self._values_bytes = 0


def _group(same: Iterator[Ranked]) -> Group:
    """The entries of one key as one group; of equal keys the first stands for all."""
    _, _, key, values = next(same)
    others = (value for _, _, _, more in same for value in more)
    return key, itertools.chain(values, others)


def _by_group(groups: Iterator[Group], group_key: Callable[[Any], Any]) -> Iterator[Group]:
    """All keys of a group as one."""
    for group, same in itertools.groupby(groups, lambda given: group_key(given[0])):
        yield group, itertools.chain.from_iterable(values for _, values in same)
