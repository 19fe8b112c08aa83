"""Records as lines that executables read, many at a time.

    line  = key [SEP value] LF

A key without a value, here with None, is a line of the key alone. Everything is bytes. How lines
are cut into keys and values again says `mapreduce.data.shuffle.lines`. (The lines of Hadoop
Streaming; there such a line has an empty value.)
"""

import itertools
import operator
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from mapreduce.api import Pair
from mapreduce.data.formats import Batch
from mapreduce.data.formats.lines import LineBatch

FEED_BYTES = 256 << 10
"""What is put together at once, about."""
_FIRST_RECORDS = 64
_MOST_RECORDS = 8192
_VALUE = operator.itemgetter(1)


def lines_of_batches(batches: Iterable[Batch]) -> Iterator[bytes]:
    """The values of all records, each a line; where they were lines they go as they are."""
    for batch in batches:
        if isinstance(batch, LineBatch):
            yield batch.take_text()
        else:
            yield from lines_of_values(batch.pairs)


def lines_of_values(records: Iterator[Pair]) -> Iterator[bytes]:
    """The values of records, each a line, in large blocks.

    >>> list(lines_of_values(iter([(0, b"to be"), (6, "or"), (9, {"not": 2})])))
    [b'to be\\nor\\n{"not":2}\\n']
    """
    count = _FIRST_RECORDS
    while values := list(map(_VALUE, itertools.islice(records, count))):
        block = _joined(values)
        yield block
        count = _next_count(len(values), len(block))


def lines_of_pairs(records: Iterator[Pair], separator: bytes) -> Iterator[bytes]:
    """Pairs as lines, in large blocks.

    >>> list(lines_of_pairs(iter([("to", 1), (b"be", None)]), b"\\t"))
    [b'to\\t1\\nbe\\n']
    """
    count = _FIRST_RECORDS
    while some := list(itertools.islice(records, count)):
        block = b"".join(_line(key, value, separator) for key, value in some)
        yield block
        count = _next_count(len(some), len(block))


def lines_of_groups(
    groups: Iterable[tuple[Any, Iterator[Any]]], separator: bytes
) -> Iterator[bytes]:
    """Keys, each with its values, as a line for each value.

    >>> list(lines_of_groups([(b"a", iter([b"1", b"2"])), (b"b", iter([None]))], b"\\t"))
    [b'a\\t1\\na\\t2\\nb\\n']
    """
    ready: list[bytes] = []
    size = 0
    for key, values in groups:
        while some := list(itertools.islice(values, _MOST_RECORDS)):
            block = _lines_of_key(as_bytes(key), some, separator)
            ready.append(block)
            size += len(block)
            if size >= FEED_BYTES:
                yield b"".join(ready)
                ready, size = [], 0
            if len(some) < _MOST_RECORDS:
                break
    if ready:
        yield b"".join(ready)


def _lines_of_key(key: bytes, values: list[Any], separator: bytes) -> bytes:
    head = key + separator
    try:
        return head + (b"\n" + head).join(values) + b"\n"
    except TypeError:  # not all of them are bytes
        return b"".join(_line(key, value, separator) for value in values)


def _line(key: Any, value: Any, separator: bytes) -> bytes:
    if value is None:
        return as_bytes(key) + b"\n"
    return as_bytes(key) + separator + as_bytes(value) + b"\n"


def _joined(values: list[Any]) -> bytes:
    values.append(b"")
    try:
        return b"\n".join(values)
    except TypeError:
        return b"\n".join(map(as_bytes, values))


def _next_count(count: int, size_bytes: int) -> int:
    fitting = count * FEED_BYTES // max(size_bytes, 1)
    return max(1, min(fitting, 4 * count, _MOST_RECORDS))


def as_bytes(given: Any) -> bytes:
    """A key or a value as a program reads it: text as UTF-8, what is no text as JSON.

    >>> as_bytes("wāl"), as_bytes(7), as_bytes(["a", 1.5]), as_bytes(b"any")
    (b'w\\xc4\\x81l', b'7', b'["a",1.5]', b'any')
    """
    if isinstance(given, bytes):
        return given
    if isinstance(given, str):
        return given.encode("utf-8", "surrogateescape")
    return msgspec.json.encode(given)


# Partitions --------------------------------------------------------------------------------------


class FirstFields(msgspec.Struct, frozen=True):
    """A `do_hash` of the first fields of keys: all keys that share them come to one partition.

    >>> first = FirstFields(1, separator=".")
    >>> first(b"11.12.1") == first(b"11.14.2") != first(b"12.12.1")
    True
    """

    count: int
    separator: str = "\t"

    def __call__(self, key: Any) -> int:
        separator = self.separator.encode()
        return zlib.crc32(separator.join(as_bytes(key).split(separator)[: self.count]))
