"""Lines of executables: cut into keys and values, and put together again; many at a time.

    line  = key [SEP value] LF
    key   = field *(SEP field)        as many fields as the job says, one by default

A line with no more fields than a key has is a key without a value, here with None. Everything is
bytes: nothing is decoded, and any separator but the newline will do. (The lines of Hadoop
Streaming; there such a line has an empty value.)
"""

import functools
import itertools
import operator
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from mapreduce.api import Pair
from mapreduce.data.shuffle import Columns, Same

FEED_BYTES = 256 << 10
"""What is put together at once, about."""
_FIRST_RECORDS = 64
_MOST_RECORDS = 8192
_VALUE = operator.itemgetter(1)


# Lines into pairs --------------------------------------------------------------------------------


def columns_of(
    blocks: Iterable[bytes], separator: bytes = b"\t", fields: int = 1
) -> Iterator[Columns]:
    """The keys and values of what a program writes, in blocks that are cut anywhere.

    >>> [[*zip(*some)] for some in columns_of([b"to\\t1\\nbe", b"\\t1\\nor\\n"])]
    [[(b'to', b'1')], [(b'be', b'1'), (b'or', None)]]
    >>> [[*zip(*some)] for some in columns_of([b"a.b.c.d\\ne.f"], b".", 2)]
    [[(b'a.b', b'c.d')], [(b'e.f', None)]]
    """
    cut = functools.partial(_cut, separator=separator, fields=fields)
    return map(cut, _whole_lines(blocks))


def _whole_lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes cut behind newlines; the last line gets one if it has none."""
    unfinished: list[bytes] = []
    for block in blocks:
        end = block.rfind(b"\n") + 1
        if end:
            yield b"".join([*unfinished, block[:end]])
            unfinished = []
        if end < len(block):
            unfinished.append(block[end:])
    if unfinished:
        yield b"".join([*unfinished, b"\n"])


def _cut(block: bytes, separator: bytes, fields: int) -> Columns:
    """A block of lines. Those with one field as the key are cut in C, as far as their lines are
    alike; which they are is told by counting."""
    count = block.count(b"\n")
    if fields == 1:
        found = block.count(separator)
        if not found:
            return Columns(block[:-1].split(b"\n"), Same(None, count))
        # The value that the last line has: perhaps all have it.
        value = block[block.rfind(separator) + len(separator) : -1]
        end = separator + value + b"\n"
        if found == count == block.count(end):
            return Columns(block.split(end)[:-1], Same(value, count))
        if found == count and len(separator) == 1 and _alternates(block, separator, count):
            both = block[:-1].replace(b"\n", separator).split(separator)
            return Columns(both[::2], both[1::2])
    lines = block[:-1].split(b"\n")
    if fields == 1:
        cut = [line.partition(separator) for line in lines]
        return Columns([key for key, _, _ in cut], [end if at else None for _, at, end in cut])
    pairs = [_pair(line.split(separator, fields), separator, fields) for line in lines]
    return Columns([key for key, _ in pairs], [value for _, value in pairs])


def _alternates(block: bytes, separator: bytes, count: int) -> bool:
    """True if every line has one separator."""
    marks = block.translate(None, _all_but(separator + b"\n"))
    return marks == (separator + b"\n") * count


@functools.cache
def _all_but(kept: bytes) -> bytes:
    return bytes(set(range(256)) - set(kept))


def _pair(found: list[bytes], separator: bytes, fields: int) -> tuple[bytes, bytes | None]:
    if len(found) <= fields:
        return separator.join(found), None
    return separator.join(found[:fields]), found[fields]


# Records into lines ------------------------------------------------------------------------------


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
