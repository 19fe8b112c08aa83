"""The bytes of slices, and of what follows them.

A record belongs to the slice in which it begins. So a slice that may begin inside a record leaves
out what comes before the first that begins in it, and one that ends inside a record reads on to
the record's end: slices that cover a file give each of its records once, wherever the cuts are.
"""

import sys
from collections.abc import Iterator, Sequence

from mapreduce.data.slices import Reader, Slice

READ_ON_BYTES = 64 << 10
"""How much is read at once behind a slice that ends inside a record."""


def stop_of(part: Slice) -> int:
    """The position up to which records begin in a slice. One that is read to the file's end has
    all of them: its `stop` may be the size of a compressed file, or unknown."""
    return part.stop if part.splittable else sys.maxsize


def bytes_from(part: Slice, reader: Reader, start: int) -> Iterator[bytes]:
    """The bytes of a slice from `start` on, and then those behind it up to the file's end."""
    stop = max(start, part.stop)
    yield from reader.read(part, start, stop)
    yield from bytes_behind(part, reader, stop)


def bytes_behind(part: Slice, reader: Reader, start: int) -> Iterator[bytes]:
    """The bytes from `start`, at the end of a slice or behind it, up to the file's end, read in
    small blocks as they are needed."""
    if not part.splittable:
        return
    while block := b"".join(reader.read(part, start, start + READ_ON_BYTES)):
        yield block
        start += len(block)


def whole_file(name: str) -> Slice:
    """All of a file whose bytes are given."""
    return Slice(name, 0, 0, splittable=False)


class Given:
    """A reader of one file whose bytes are given."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks

    def prepare(self, slices: Sequence[Slice]) -> None:
        """Nothing to look up."""

    def read(self, part: Slice, start: int, stop: int) -> Iterator[bytes]:
        return self._blocks
