"""Sorted runs on the local disk: where the reduce side keeps what its memory can't.

A run is a file of frames, each the length of a block (4 bytes, big-endian) and the block. Runs are
in the order in which their pairs came; a merge takes neighbours, and what it makes stands in their
place, so equal keys keep that order.
"""

import contextlib
import functools
import heapq
import itertools
import operator
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mapreduce.data.ordering import Descending, Ordering, Rank
from mapreduce.data.portable_hash import Shape, common_shape, shape_of
from mapreduce.data.shuffle.blocks import (
    BLOCK_BYTES,
    Block,
    Columns,
    Damaged,
    Values,
    decoded,
    encoded,
    encoded_entries,
    flattened,
    lists,
)
from mapreduce.errors import BadPair, ScratchFailed

FAN_IN = 64
"""So many runs are merged at once: each has a file open and a block in memory."""

_LENGTH = struct.Struct(">I")
_LEAST_BLOCK_BYTES = 16 << 10

Ranked = tuple[Rank, Rank, Any, list[Any]]
"""What a merge compares of the key and of the value, and a key with values."""
KEY_RANK = operator.itemgetter(0)


class Run(NamedTuple):
    """A sorted run on disk; `shape` is that of its keys."""

    path: Path
    shape: Shape


class Runs:
    """The runs of one partition, in a folder of their own below `scratch` until `close`.

    `memory_bytes` bounds the blocks that a merge holds.
    """

    def __init__(self, scratch: Path, ordering: Ordering, memory_bytes: int) -> None:
        self._scratch = scratch
        self._folder: Path | None = None
        self._ordering = ordering
        # Objects take up to about ten times what their pickles do.
        share = memory_bytes // (10 * FAN_IN)
        self._block_bytes = min(BLOCK_BYTES, max(_LEAST_BLOCK_BYTES, share))
        self.failure: ScratchFailed | None = None
        self._runs: list[Run] = []
        self._made = 0

    def __len__(self) -> int:
        return len(self._runs)

    def close(self) -> None:
        """Remove all runs."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def write(self, groups: Mapping[Any, list[Any]]) -> None:
        """Write a run of keys with their values. Raises `ScratchFailed` when the disk is full."""
        arranged = self._ordering.arranged

        def values_of(keys: Sequence[Any]) -> Values:
            return flattened(arranged(groups[key]) for key in keys)

        keys = self._ordering.sorted(groups)
        run = encoded(keys, values_of, self._block_bytes)
        self._runs.append(self._stored(run, shape_of(keys)))

    def merged(self) -> Iterator[Ranked]:
        """All entries in order of rank, read as they are asked for."""
        while len(self._runs) > FAN_IN:
            starts = range(0, len(self._runs), FAN_IN)
            self._runs = [self._as_one(self._runs[at : at + FAN_IN]) for at in starts]
        return self._merge(self._runs)

    def _as_one(self, runs: Sequence[Run]) -> Run:
        merged = ((key, values) for _, _, key, values in self._merge(runs))
        one = self._stored(encoded_entries(merged, self._block_bytes), _common_shape(runs))
        for run in runs:
            run.path.unlink()
        return one

    def _merge(self, runs: Sequence[Run]) -> Iterator[Ranked]:
        ranking = self._ordering.ranking(_common_shape(runs))
        sources = [self._ranked(run, ranking) for run in runs]
        compared = operator.itemgetter(0, 1) if self._ordering.sort_values else KEY_RANK
        try:
            # heapq.merge keeps the order of its sources among equals.
            yield from heapq.merge(*sources, key=compared)
        except TypeError as error:
            raise BadPair(
                f"keys or values can't be compared: {error}; give the job a sort_key, or "
                "sort_values a function"
            ) from error

    def _ranked(self, run: Run, ranking: Callable[[Any], Rank] | None) -> Iterator[Ranked]:
        """The entries of a run; if values are sorted, one for each value."""
        blocks = (self._ranked_block(columns, ranking) for columns in self._blocks(run))
        return itertools.chain.from_iterable(blocks)

    def _ranked_block(
        self, columns: Columns, ranking: Callable[[Any], Rank] | None
    ) -> Iterator[Ranked]:
        keys = columns[0]
        ranks: Iterable[Rank] = keys if ranking is None else map(ranking, keys)
        if self._ordering.descending:
            ranks = map(Descending, ranks)
        if not self._ordering.sort_values:
            return zip(ranks, itertools.repeat(None), keys, lists(columns))
        value_rank = self._ordering.value_rank
        return (
            (rank, value_rank(value), key, [value])
            for rank, key, values in zip(ranks, keys, lists(columns))
            for value in values
        )

    def _blocks(self, run: Run) -> Iterator[Columns]:
        try:
            with run.path.open("rb") as file:
                while head := file.read(_LENGTH.size):
                    data = file.read(_LENGTH.unpack(head)[0])
                    yield decoded(data)
        except (OSError, Damaged, struct.error) as error:
            self.failure = ScratchFailed(run.path, f"it can't be read again ({error!r})")
            raise self.failure from error

    def _stored(self, run: Iterable[Block], shape: Shape) -> Run:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="runs-", dir=self._scratch))
        path = self._folder / f"run-{self._made:05d}"
        self._made += 1
        size_bytes = 0
        try:
            with path.open("wb") as file:
                for block in run:
                    size_bytes += len(block.data)
                    file.write(_LENGTH.pack(len(block.data)) + block.data)
        except OSError as error:
            with contextlib.suppress(OSError):
                path.unlink()
            self.failure = ScratchFailed(path, f"{error.strerror} after {size_bytes:,} bytes")
            raise self.failure from error
        return Run(path, shape)


def _common_shape(runs: Sequence[Run]) -> Shape:
    return functools.reduce(common_shape, [run.shape for run in runs])
