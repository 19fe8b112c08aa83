"""The map side: pairs are gathered by key, combined, partitioned, sorted, and stored as pieces.

A task that gathers more than its memory allows folds what it holds with the combiner; if that does
not help enough, it writes all it holds as one sorted run, which makes a piece for each partition,
and begins anew. The runs of one task are not merged here, as Hadoop does: the reducer merges runs
in any case, and takes those of one task like those of several. A merge on this side would read and
write everything once more to spare the reducer some round trips, which are batched anyway.
"""

import itertools
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from mapreduce.api import Pair
from mapreduce.data.ordering import PLAIN, Ordering
from mapreduce.data.pieces import MEMORY_BYTES, Group, Piece, Put
from mapreduce.data.shuffle.blocks import encoded
from mapreduce.data.shuffle.columns import Same
from mapreduce.data.shuffle.combining import CombineAll, Combiner
from mapreduce.data.shuffle.counting import Counted
from mapreduce.data.shuffle.holding import LOOK_PAIRS, Holding, Rest
from mapreduce.data.shuffle.lines import LinePairs
from mapreduce.data.shuffle.listing import Listed
from mapreduce.data.shuffle.placing import Partition, Placing
from mapreduce.data.shuffle.storing import Storing
from mapreduce.errors import BadPair


class Collector:
    """Gathers the pairs of one map attempt and writes them as pieces.

    `put` stores a block. `combine` folds the values of a key; None leaves them as they are.
    `partition` says which partition a key belongs to, see `Placing`.
    `memory_bytes` bounds the memory for pairs.

    >>> stored = []
    >>> collector = Collector(0, 1, 1, lambda *block: stored.append(block))
    >>> collector.collect([("to", 1), ("be", 1), ("to", 1)])
    >>> [(piece.partition, piece.records) for piece in collector.finish()]
    [(0, 3)]
    """

    def __init__(
        self,
        map_index: int,
        attempt: int,
        partitions: int,
        put: Put,
        *,
        combine: Combiner | None = None,
        partition: Partition | None = None,
        ordering: Ordering = PLAIN,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        self.output_records = 0
        self.combine_input_records = 0
        self.combine_output_records = 0
        self.spills = 0
        """How many runs were written because memory was full."""
        self.spilled_records = 0
        self._storing = Storing(map_index, attempt, put)
        self._placing = Placing(partitions, partition, ordering.group_key)
        self._ordering = ordering
        self._memory_bytes = memory_bytes
        self._combine_all = combine if isinstance(combine, CombineAll) else None
        self._held: Holding = Counted(None if isinstance(combine, CombineAll) else combine)
        self._pieces: list[Piece] = []
        self._runs = 0

    def collect(self, pairs: Iterable[Pair]) -> None:
        """Gather all of `pairs`. Raises `BadPair` for what is no pair or has no hashable key."""
        if isinstance(pairs, LinePairs):
            for lines in pairs.lines():
                self._collect_column(*lines.columns())
        else:
            self._collect(iter(pairs))

    def _collect_column(self, keys: Sequence[Any], values: Sequence[Any]) -> None:
        held = self._held
        is_taken = False
        if isinstance(values, Same) and isinstance(held, Counted):
            is_taken = held.gather_same(keys, values.value)
        if not is_taken:
            self._collect(zip(keys, values))
        elif held.held_bytes > self._memory_bytes:
            self._make_room()

    def _collect(self, rest: Rest) -> None:
        while rest is not None:
            self._held, rest = _gathered(self._held, rest, self._memory_bytes)
            if rest is not None:
                self._make_room()

    def finish(self) -> tuple[Piece, ...]:
        """Write what is left; the pieces of all runs, in order of run and partition."""
        self._write_run()
        return tuple(self._pieces)

    def _make_room(self) -> None:
        self._held.shrink()
        if self._held.held_bytes > self._memory_bytes // 2:
            self.spills += 1
            self.spilled_records += self._write_run()

    def _write_run(self) -> int:
        """Write all that is held as a run; returns the number of its records."""
        before = len(self._pieces)
        try:
            held = self._held = self._held.sorted_out()
            self.output_records += held.records
            if self._combine_all is not None and held.groups:
                held = self._held = self._all_combined(held, self._combine_all)
            if held.groups:
                self._write_pieces(held.groups)
        except BadPair as error:
            error.late()
            raise
        self.combine_input_records += held.combine_input_records
        self.combine_output_records += held.combine_output_records
        self._held = held.emptied()
        return sum(piece.records for piece in self._pieces[before:])

    def _all_combined(self, held: Holding, combine: CombineAll) -> Holding:
        """What the combiner makes of all that is held."""
        keys = self._ordering.sorted(held.groups)
        self.combine_input_records += held.records
        groups = _groups(keys, held)
        made, _ = _gathered(Counted(None), iter(combine.function(groups)), sys.maxsize)
        self.combine_output_records += made.records
        return made.sorted_out()

    def _write_pieces(self, keys: Collection[Any]) -> None:
        run, self._runs = self._runs, self._runs + 1
        for partition, some in enumerate(self._partitioned(keys)):
            if some:
                blocks = encoded(self._ordering.sorted(some), self._held.values_of)
                self._pieces.append(self._storing.piece(partition, run, blocks))

    def _partitioned(self, keys: Collection[Any]) -> list[list[Any]]:
        """The keys of each partition."""
        parts: list[list[Any]] = [[] for _ in range(self._placing.partitions)]
        for key, number in zip(keys, self._placing.numbers(keys)):
            parts[number].append(key)
        return parts


def _gathered(held: Holding, pairs: Iterator[Pair], limit_bytes: int) -> tuple[Holding, Rest]:
    """Take pairs, in whatever way they can be held, until they end or are more than the limit."""
    rest = held.gather(pairs, limit_bytes)
    while rest is not None and held.held_bytes <= limit_bytes:
        if isinstance(held, Counted):
            held = held.with_other_values()
        elif isinstance(held, Listed):
            held = held.as_paired()
        rest = held.gather(rest, limit_bytes)
    return held, rest


def _groups(keys: list[Any], held: Holding) -> Iterator[Group]:
    """Keys with the values that are held of them."""
    for start in range(0, len(keys), LOOK_PAIRS):
        some = keys[start : start + LOOK_PAIRS]
        counts, values = held.values_of(some)
        rest = iter(values)
        for key, count in zip(some, counts or itertools.repeat(1)):
            yield key, itertools.islice(rest, count)
