"""From map to reduce: partition, combine, sort, store as pieces, merge, group.

A map task's pairs are gathered by key, folded by the combiner when they grow many, and written as
sorted runs: one *piece* for each partition and run, cut into blocks of about 1 MiB. A run is
written when the task ends, or earlier when even the folded pairs are too large for memory.

A block is

    4 bytes  CRC-32 of the rest, big-endian
    zstd     pickle, protocol 5: (keys, counts, values)

`keys` are in order; `counts` says how many of the values belong to each key, and is None where
that is one each. A key's values may go on in the next block. The values of a key reach the reducer
in the order of map tasks, and for each of these in the order in which it emitted them.
"""

import heapq
import itertools
import operator
import pickle
import struct
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import zstandard

from dynamo.store import VALUE_LIMIT_BYTES
from mapreduce.api import Pair
from mapreduce.data.portable_hash import Order, order, partition_of, sorted_keys
from mapreduce.errors import BadRecord, PieceLost

BLOCK_BYTES = 1 << 20
"""The size a block is aimed at, before compression."""
MAX_BLOCK_BYTES = 4 << 20
"""A block of several values that is larger after compression is cut in two."""
MAP_MEMORY_BYTES = 96 << 20
"""The estimated size of gathered pairs at which they are folded, or written as a run."""
REDUCE_MEMORY_BYTES = 64 << 20
"""Pieces of up to this size together are grouped in memory, larger ones merged block by block."""
MAX_BATCH_PAIRS = 16_384
CUT_VALUES = 1024
"""A key with more values than this is cut, so that no block has to hold all of them."""
KEY_BYTES = 200
"""What a distinct key takes in memory beside its content, about."""

_CHECKSUM = struct.Struct(">I")
_WINDOW_BLOCKS = 64
_WINDOW_BYTES = 8 << 20


class Piece(msgspec.Struct, frozen=True, array_like=True):
    """One sorted run that one map attempt made for one partition, stored as `blocks` keys.

    `records` counts values; `size_bytes` is the size before compression.
    """

    map_index: int
    attempt: int
    partition: int
    run: int
    blocks: int
    records: int
    size_bytes: int


Put = Callable[[int, int, int, bytes], None]
"""Stores one block: put(partition, run, block, data)."""
Fetch = Callable[[Sequence[tuple[Piece, int]]], Sequence[bytes | None]]
"""Reads blocks, each given by its piece and number; None for one that is missing."""
Combine = Callable[[Any, Iterator[Any]], Iterable[Pair] | None]
"""`Reducer.reduce` of a combiner."""
Group = tuple[Any, Iterator[Any]]
"""A key, and its values."""


# Map side ----------------------------------------------------------------------------------------


class Collector:
    """Gathers the pairs of one map attempt and writes them as pieces.

    `put` stores a block. `combine` folds the values of a key; None leaves them as they are.
    """

    def __init__(
        self,
        map_index: int,
        attempt: int,
        partitions: int,
        put: Put,
        combine: Combine | None = None,
        memory_bytes: int = MAP_MEMORY_BYTES,
    ) -> None:
        self.output_records = 0
        self.combine_input_records = 0
        self.combine_output_records = 0
        self._map_index, self._attempt = map_index, attempt
        self._partitions = partitions
        self._put = put
        self._combine = combine
        self._memory_bytes = memory_bytes
        self._groups: defaultdict[Any, list[Any]] = defaultdict(list)
        self._kept = 0
        """How many values in the groups have been counted: those left by the last fold."""
        self._held_bytes = 0
        self._pieces: list[Piece] = []
        self._runs = 0

    def collect(self, pairs: Iterable[Pair]) -> None:
        """Gather all of `pairs`. Raises `BadRecord` for what is no pair or has no hashable key."""
        try:
            self._gather(iter(pairs))
        except (TypeError, ValueError) as error:
            trace = error.__traceback__
            if trace is None or trace.tb_next is None or trace.tb_next.tb_next is None:
                raise BadRecord(f"{error}: a mapper must yield pairs (key, value)") from None
            raise  # from the user's own code

    def _gather(self, pairs: Iterator[Pair]) -> None:
        """The loop that a word count spends its time in."""
        batch = 16
        for pair in pairs:
            groups = self._groups
            key, value = pair
            groups[key].append(value)
            for key, value in itertools.islice(pairs, batch):
                groups[key].append(value)
            # One pair in a batch is measured: enough to know a text from a picture.
            pair_bytes = len(_pickled(pair))
            self._held_bytes += (batch + 1) * pair_bytes
            if self._held_bytes + len(groups) * KEY_BYTES > self._memory_bytes:
                self._shrink()
            batch = min(batch * 2, MAX_BATCH_PAIRS, self._memory_bytes // (2 * pair_bytes) + 1)

    def finish(self) -> tuple[Piece, ...]:
        """Write what is left; the pieces of all runs, in order of run and partition."""
        self._count()
        self._fold()
        self._write_run()
        return tuple(self._pieces)

    def _shrink(self) -> None:
        """Make room: fold, and write a run if that does not help enough."""
        gathered = self._count()
        kept = self._fold()
        self._held_bytes = self._held_bytes * kept // max(gathered, 1)
        if self._held_bytes + len(self._groups) * KEY_BYTES > self._memory_bytes // 2:
            self._write_run()

    def _count(self) -> int:
        """How many values there are; those that are new since the last fold are output."""
        gathered = sum(map(len, self._groups.values()))
        self.output_records += gathered - self._kept
        self._kept = gathered
        return gathered

    def _fold(self) -> int:
        """Combine each key's values; returns how many there are now."""
        combine = self._combine
        if combine is None:
            return self._kept
        kept = 0
        groups = self._groups
        for key, values in groups.items():
            count = len(values)
            if count > 1:
                groups[key] = folded = _folded(combine, key, values)
                self.combine_input_records += count
                count = len(folded)
                self.combine_output_records += count
            kept += count
        self._kept = kept
        return kept

    def _write_run(self) -> None:
        groups, self._groups = self._groups, defaultdict(list)
        self._kept = self._held_bytes = 0
        if not groups:
            return
        run, self._runs = self._runs, self._runs + 1
        for partition, keys in enumerate(_partitioned(groups, self._partitions)):
            if keys:
                self._pieces.append(self._write_piece(partition, run, sorted_keys(keys), groups))

    def _write_piece(
        self, partition: int, run: int, keys: list[Any], groups: dict[Any, list[Any]]
    ) -> Piece:
        count = records = size_bytes = 0
        for block in _blocks(keys, groups):
            self._put(partition, run, count, block.data)
            count += 1
            records += block.records
            size_bytes += block.size_bytes
        return Piece(self._map_index, self._attempt, partition, run, count, records, size_bytes)


def _partitioned(keys: Iterable[Any], partitions: int) -> list[list[Any]]:
    """The keys of each partition."""
    parts: list[list[Any]] = [[] for _ in range(partitions)]
    try:
        for key in keys:
            parts[partition_of(key, partitions)].append(key)
    except TypeError as error:
        raise BadRecord(str(error)) from None
    return parts


def _folded(combine: Combine, key: Any, values: list[Any]) -> list[Any]:
    """A key's values after the combiner, which has to keep the key."""
    folded = []
    for new_key, value in combine(key, iter(values)) or ():
        if new_key is not key and new_key != key:
            raise BadRecord(
                f"the combiner made a pair with the key {new_key!r} from values of {key!r}: "
                "a combiner must keep the key it is given"
            )
        folded.append(value)
    return folded


# Blocks ------------------------------------------------------------------------------------------


_Entry = tuple[Any, list[Any]]


class _Block(NamedTuple):
    data: bytes
    records: int
    size_bytes: int


def _blocks(keys: Iterable[Any], groups: dict[Any, list[Any]]) -> Iterator[_Block]:
    """A sorted run as blocks; how many values fit into one is learnt from the one before."""
    limit = 4 * CUT_VALUES
    entries: list[_Entry] = []
    held = 0
    for entry in _entries(keys, groups):
        entries.append(entry)
        held += len(entry[1])
        if held >= limit:
            blocks = _encoded(entries)
            yield from blocks
            limit = BLOCK_BYTES * held // sum(block.size_bytes for block in blocks) + 1
            entries, held = [], 0
    if entries:
        yield from _encoded(entries)


def _entries(keys: Iterable[Any], groups: dict[Any, list[Any]]) -> Iterator[_Entry]:
    """Each key with its values; a key with many comes several times, with some of them."""
    for key in keys:
        values = groups[key]
        if len(values) <= CUT_VALUES:
            yield key, values
        else:
            for start in range(0, len(values), CUT_VALUES):
                yield key, values[start : start + CUT_VALUES]


def _encoded(entries: list[_Entry]) -> list[_Block]:
    """The entries as one block, or as several where one would be too large to be stored."""
    keys = [key for key, _ in entries]
    counts: list[int] | None = [len(values) for _, values in entries]
    flat = list(itertools.chain.from_iterable([values for _, values in entries]))
    if len(flat) == len(keys):
        counts = None
    body = _pickled((keys, counts, flat))
    packed = zstandard.compress(body, 1)
    if len(packed) > MAX_BLOCK_BYTES:
        if len(flat) > 1:
            first, second = _halves(entries)
            return _encoded(first) + _encoded(second)
        if len(packed) > VALUE_LIMIT_BYTES - _CHECKSUM.size:
            raise BadRecord(
                f"a single pair of {len(packed):,} bytes, compressed, is over the limit of "
                f"{VALUE_LIMIT_BYTES:,}; its key is {str(keys[0])[:60]!r}"
            )
    data = _CHECKSUM.pack(zlib.crc32(packed)) + packed
    return [_Block(data, len(flat), len(body))]


def _halves(entries: list[_Entry]) -> tuple[list[_Entry], list[_Entry]]:
    if len(entries) > 1:
        middle = len(entries) // 2
        return entries[:middle], entries[middle:]
    [(key, values)] = entries
    middle = len(values) // 2
    return [(key, values[:middle])], [(key, values[middle:])]


def _pickled(value: Any) -> bytes:
    try:
        return pickle.dumps(value, protocol=5)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise BadRecord(
            f"a pair can't be sent to its reducer: {error}; keys and values have to be picklable"
        ) from error


def _decoded(piece: Piece, data: bytes | None) -> tuple[list[Any], list[int] | None, list[Any]]:
    """Keys, counts and values of one block; PieceLost if it is missing or damaged."""
    if data is None:
        raise PieceLost(piece.map_index, f"a block for partition {piece.partition} is missing")
    packed = data[_CHECKSUM.size :]
    if len(data) < _CHECKSUM.size or _CHECKSUM.unpack_from(data)[0] != zlib.crc32(packed):
        raise PieceLost(
            piece.map_index, f"a block for partition {piece.partition} fails its checksum"
        )
    return pickle.loads(zstandard.decompress(packed))  # type: ignore[no-any-return]


# Reduce side -------------------------------------------------------------------------------------


def grouped(
    pieces: Iterable[Piece], fetch: Fetch, memory_bytes: int = REDUCE_MEMORY_BYTES
) -> Iterator[Group]:
    """Every key of one partition with all its values, in the order of `sorted_keys`.

    Values come in order of map task and emission. Raises `PieceLost` for a block that `fetch`
    does not find, or that is damaged.
    """
    ordered = sorted(pieces, key=lambda piece: (piece.map_index, piece.run))
    if sum(piece.size_bytes for piece in ordered) <= memory_bytes:
        return _grouped_in_memory(ordered, fetch)
    return _merged(ordered, fetch)


def _grouped_in_memory(pieces: Sequence[Piece], fetch: Fetch) -> Iterator[Group]:
    groups: defaultdict[Any, list[Any]] = defaultdict(list)
    for piece, data in _read_ahead(pieces, fetch):
        keys, counts, values = _decoded(piece, data)
        if counts is None:
            for key, value in zip(keys, values):
                groups[key].append(value)
        else:
            rest = iter(values)
            for key, count in zip(keys, counts):
                groups[key] += itertools.islice(rest, count)
    for key in sorted_keys(groups):
        yield key, iter(groups.pop(key))


def _read_ahead(pieces: Iterable[Piece], fetch: Fetch) -> Iterator[tuple[Piece, bytes | None]]:
    """All blocks in order, many small ones in one round trip."""
    wanted = [(piece, index) for piece in pieces for index in range(piece.blocks)]
    while wanted:
        sizes = itertools.accumulate(piece.size_bytes // piece.blocks for piece, _ in wanted)
        fitting = itertools.takewhile(lambda size: size <= _WINDOW_BYTES, sizes)
        count = max(1, sum(1 for _ in itertools.islice(fitting, _WINDOW_BLOCKS)))
        window, wanted = wanted[:count], wanted[count:]
        yield from ((piece, data) for (piece, _), data in zip(window, fetch(window)))


def _merged(pieces: Sequence[Piece], fetch: Fetch) -> Iterator[Group]:
    """Like `_grouped_in_memory`, with one block of each piece in memory."""
    failures: list[Exception] = []
    runs = [_run(piece, fetch, failures) for piece in pieces]
    by_order = operator.itemgetter(0)
    # heapq.merge keeps the order of its inputs among equal keys: that of the map tasks.
    entries = heapq.merge(*runs, key=by_order)
    for _, same in itertools.groupby(entries, by_order):
        yield _group(same)
    if failures:
        # It was raised where user code read its values, and that code went on in spite of it.
        raise failures[0]


def _group(same: Iterator[tuple[Order, Any, list[Any]]]) -> Group:
    """The entries of one key as one group; of equal keys the first stands for all."""
    _, key, values = next(same)
    others = (value for _, _, more in same for value in more)
    return key, itertools.chain(values, others)


def _run(
    piece: Piece, fetch: Fetch, failures: list[Exception]
) -> Iterator[tuple[Order, Any, list[Any]]]:
    try:
        for index in range(piece.blocks):
            [data] = fetch([(piece, index)])
            keys, counts, values = _decoded(piece, data)
            rest = iter(values)
            for key, count in zip(keys, counts or itertools.repeat(1)):
                yield order(key), key, list(itertools.islice(rest, count))
    except Exception as error:
        failures.append(error)
        raise
