"""Sorted runs as blocks: what is stored of a piece, and of a run on a local disk.

A block is

    4 bytes  CRC-32 of the rest, big-endian
    zstd     pickle, protocol 5: (keys, counts, values), or `Lines`

`keys` are in order; `counts` says how many of the values belong to each key, and is None where
that is one each. A key's values may go on in the next block, or under the same key once more.
`values` is a list, or a `Same`. `Lines` are whole lines of executables in order of their keys.
"""

import itertools
import pickle
import struct
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import zstandard

from dynamo.store import VALUE_LIMIT_BYTES
from mapreduce.data.shuffle.columns import Same
from mapreduce.data.shuffle.lines import Lines
from mapreduce.data.shuffle.sizes import deep_size, sampled_size
from mapreduce.errors import BadPair

BLOCK_BYTES = 1 << 20
"""The size a block is aimed at, before compression."""
MAX_BLOCK_BYTES = 4 << 20
"""A block of several values that is larger after compression is cut in two."""
CUT_VALUES = 1024
"""A key with more values than this is cut, so that no block has to hold all of them."""
CUT_SAME = 1 << 16
"""The same for values that are one and the same object."""

_CHECKSUM = struct.Struct(">I")
_FIRST_KEYS = 256
_LARGEST = 8
"""A block's values take at most so many times its size in memory, about."""

Values = tuple[list[int] | None, Sequence[Any]]
"""How many values belong to each of some keys, None where that is one each; and the values."""
Columns = tuple[list[Any], list[int] | None, Sequence[Any]]
"""Keys, how many values belong to each, and the values."""
Entry = tuple[Any, list[Any]]


class _Zstd(threading.local):
    """One of each for a thread: to make them takes longer than to compress a small block."""

    def __init__(self) -> None:
        self.compress = zstandard.ZstdCompressor(level=1).compress
        self.decompress = zstandard.ZstdDecompressor().decompress


_zstd = _Zstd()


class Block(NamedTuple):
    """An encoded block; `size_bytes` is its size before compression."""

    data: bytes
    records: int
    size_bytes: int


class Damaged(Exception):
    """A block fails its checksum."""


def encoded(
    keys: Sequence[Any],
    values_of: Callable[[Sequence[Any]], Values],
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[Block]:
    """A sorted run as blocks. How many keys fit into one is learnt from the one before.

    `values_of` gives the values of some keys: how many each has (None: one), and all of them.
    Raises `BadPair` for what can't be pickled.
    """
    start, step = 0, _FIRST_KEYS
    while start < len(keys):
        some = list(keys[start : start + step])
        start += step
        counts, values = values_of(some)
        size_bytes = 0
        for block in _blocks(some, counts, values, block_bytes):
            yield block
            size_bytes += block.size_bytes
        # Twice as many at most: a few small keys tell little about those that follow.
        step = max(1, min(2 * step, block_bytes * len(some) // max(size_bytes, 1)))


def encoded_entries(entries: Iterable[Entry], block_bytes: int) -> Iterator[Block]:
    """Like `encoded`, of keys with their values one by one; none has more than `CUT_VALUES`."""
    limit = CUT_VALUES
    held: list[Entry] = []
    count = held_bytes = 0
    for entry in entries:
        held.append(entry)
        count += len(entry[1])
        held_bytes += deep_size(entry[0]) + sampled_size(entry[1], 1)
        if count >= limit or held_bytes > _LARGEST * block_bytes:
            size_bytes = 0
            for block in _joined(held):
                yield block
                size_bytes += block.size_bytes
            limit = max(1, min(2 * limit, block_bytes * count // size_bytes))
            held, count, held_bytes = [], 0, 0
    if held:
        yield from _joined(held)


def encoded_lines(lines: Iterable[Lines], block_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
    """A sorted run of lines as blocks."""
    held: list[Lines] = []
    held_bytes = 0
    for some in lines:
        held.append(some)
        held_bytes += len(some.text)
        if held_bytes >= block_bytes:
            yield from _encoded_lines(_as_one(held))
            held, held_bytes = [], 0
    if held:
        yield from _encoded_lines(_as_one(held))


def decoded(data: bytes) -> Columns:
    """What a block holds. Raises `Damaged`."""
    held = _unpacked(data)
    if isinstance(held, Lines):
        keys, values = held.columns()
        return list(keys), None, values
    return held


def decoded_lines(data: bytes) -> Lines:
    """What a block of lines holds. Raises `Damaged`."""
    held = _unpacked(data)
    assert isinstance(held, Lines)
    return held


def _unpacked(data: bytes) -> Columns | Lines:
    packed = data[_CHECKSUM.size :]
    if len(data) < _CHECKSUM.size or _CHECKSUM.unpack_from(data)[0] != zlib.crc32(packed):
        raise Damaged
    return pickle.loads(_zstd.decompress(packed))  # type: ignore[no-any-return]


def is_whole(data: bytes) -> bool:
    """True if a block has its right checksum."""
    size = _CHECKSUM.size
    return len(data) >= size and _CHECKSUM.unpack_from(data)[0] == zlib.crc32(
        memoryview(data)[size:]
    )


def lists(columns: Columns) -> Iterator[list[Any]]:
    """The values of each key of a block."""
    _, counts, values = columns
    if counts is None:
        return ([value] for value in values)
    rest = iter(values)
    return (list(itertools.islice(rest, count)) for count in counts)


def _blocks(
    keys: list[Any], counts: list[int] | None, values: Sequence[Any], block_bytes: int
) -> Iterable[Block]:
    if isinstance(values, Same):
        assert counts is not None
        return _encoded(*_cut_counts(keys, counts), values)
    is_large = sampled_size(keys) + sampled_size(values) > _LARGEST * block_bytes
    if counts is None:
        if not is_large:
            return _encoded(keys, counts, values)
        counts = [1] * len(keys)
    if 0 in counts:  # a combiner left nothing of these keys
        keys = list(itertools.compress(keys, counts))
        counts = list(filter(None, counts))
    if not keys:
        return ()
    if max(counts) <= CUT_VALUES and not is_large:
        return _encoded(keys, counts, values)
    return encoded_entries(_cut(keys, counts, values, block_bytes), block_bytes)


def _cut_counts(keys: list[Any], counts: list[int]) -> tuple[list[Any], list[int]]:
    """Keys with at most so many values that a list of them is small; some come several times.

    >>> _cut_counts(["a", "b"], [70_000, 2])
    (['a', 'a', 'b'], [65536, 4464, 2])
    """
    if max(counts) <= CUT_SAME:
        return keys, counts
    cut = [
        (key, min(CUT_SAME, count - start))
        for key, count in zip(keys, counts)
        for start in range(0, count, CUT_SAME)
    ]
    return [key for key, _ in cut], [count for _, count in cut]


def flattened(lists: Iterable[list[Any]]) -> Values:
    """The values of some keys, from a list for each.

    >>> flattened([[1], [2]]), flattened([[1, 2], [3]])
    ((None, [1, 2]), ([2, 1], [1, 2, 3]))
    """
    lists = list(lists)
    counts = list(map(len, lists))
    values = list(itertools.chain.from_iterable(lists))
    return (None if len(values) == len(counts) and min(counts, default=1) else counts), values


def _cut(
    keys: Iterable[Any], counts: Iterable[int], values: Sequence[Any], block_bytes: int
) -> Iterator[Entry]:
    """Each key with its values; a key with many comes several times, with some of them."""
    value_bytes = sampled_size(values) // len(values)
    most = max(1, min(CUT_VALUES, block_bytes // value_bytes))
    rest = iter(values)
    for key, count in zip(keys, counts):
        for start in range(0, count, most):
            yield key, list(itertools.islice(rest, min(most, count - start)))


def _joined(some: Sequence[Entry]) -> list[Block]:
    counts, values = flattened(values for _, values in some)
    return _encoded([key for key, _ in some], counts, values)


def _encoded(keys: list[Any], counts: list[int] | None, values: Sequence[Any]) -> list[Block]:
    """One block, or several where one would be too large to be stored."""
    body = pickled((keys, counts, values))
    packed = _zstd.compress(body)
    if len(packed) > MAX_BLOCK_BYTES:
        if len(values) > 1:
            return [block for half in _halves(keys, counts, values) for block in _encoded(*half)]
        _check_fits(packed, keys[0])
    return [_block(packed, len(values), len(body))]


def _halves(keys: list[Any], counts: list[int] | None, values: Sequence[Any]) -> Iterator[Columns]:
    middle = max(1, len(keys) // 2)
    if len(keys) > 1:
        border = middle if counts is None else sum(counts[:middle])
        yield keys[:middle], counts and counts[:middle], values[:border]
        yield keys[middle:], counts and counts[middle:], values[border:]
    else:
        half = len(values) // 2
        yield keys, [half], values[:half]
        yield keys, [len(values) - half], values[half:]


def _as_one(some: Sequence[Lines]) -> Lines:
    return Lines(b"".join(lines.text for lines in some), some[0].form)


def _encoded_lines(lines: Lines) -> list[Block]:
    """Like `_encoded`."""
    body = pickle.dumps(lines, protocol=5)
    packed = _zstd.compress(body)
    if len(packed) > MAX_BLOCK_BYTES:
        text, form = lines
        if middle := text.find(b"\n", len(text) // 2, -1) + 1 or text.rfind(b"\n", 0, -1) + 1:
            halves = Lines(text[:middle], form), Lines(text[middle:], form)
            return [block for half in halves for block in _encoded_lines(half)]
        _check_fits(packed, lines.columns().keys[0])
    return [_block(packed, lines.records, len(body))]


def _check_fits(packed: bytes, key: Any) -> None:
    """Raise `BadPair` for a single pair that is too large to be stored."""
    if len(packed) > VALUE_LIMIT_BYTES - _CHECKSUM.size:
        raise BadPair(
            f"a single pair of {len(packed):,} bytes, compressed, is over the limit of "
            f"{VALUE_LIMIT_BYTES:,}; its key is {str(key)[:60]!r}: write large values to "
            "files, and yield their names"
        ).late(lambda given: len(pickle.dumps(given, protocol=5)) > VALUE_LIMIT_BYTES)


def _block(packed: bytes, records: int, size_bytes: int) -> Block:
    return Block(_CHECKSUM.pack(zlib.crc32(packed)) + packed, records, size_bytes)


def pickled(columns: Columns) -> bytes:
    """The columns as a pickle; `BadPair` names the pair that has none."""
    try:
        return pickle.dumps(columns, protocol=5)
    except Exception as error:  # whatever an object's own __reduce__ raises
        keys, counts, values = columns
        owners = itertools.chain.from_iterable(
            map(itertools.repeat, keys, counts or [1] * len(keys))
        )
        key, value = next(
            ((k, v) for k, v in zip(owners, values) if not _pickles((k, v))), (None,) * 2
        )
        raise BadPair(
            f"the pair ({repr(key)[:60]}, {repr(value)[:60]}) can't be sent to its reducer: "
            f"{error}; keys and values have to be picklable: yield plain data, or objects of "
            "classes at the top level of a module"
        ).late(lambda given: not _pickles(given)) from error


def _pickles(value: Any) -> bool:
    try:
        pickle.dumps(value, protocol=5)
    except Exception:
        return False
    return True
