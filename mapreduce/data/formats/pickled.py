"""The format "pickle": Python objects as they are, in frames that can be found from anywhere.

    file   = *frame
    frame  = magic (8 bytes)  CRC-32 of the body (4, big-endian)  length of the body (8)  body
    magic  = mark 00
    body   = a pickled list of pairs, protocol 5, in which `mark 01` stands for each `mark`

`mark` is seven bytes. As it is never followed by 00 in a body, whoever begins to read inside a
frame finds the next one by its magic, whatever the pairs hold, be it a file of this very format.
"""

import pickle
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from mapreduce.api import Pair
from mapreduce.data.formats.contract import Batch, BlockFormat, ReadFormat, shown
from mapreduce.data.formats.lines import place
from mapreduce.data.formats.ranges import bytes_from, stop_of
from mapreduce.data.slices import Reader, Slice
from mapreduce.errors import BadRecord

MARK = b"\x93MRpair"  # no byte occurs twice, so it can't overlap with itself
MAGIC = MARK + b"\0"
ESCAPED = MARK + b"\1"
_HEAD = struct.Struct(">8sIQ")


@dataclass(frozen=True, kw_only=True)
class ReadPickle:
    """The pairs that were written. Only read what you trust: a pickle can run any program."""

    splittable: ClassVar[bool] = True

    def read(self, part: Slice, reader: Reader) -> Iterator[Batch]:
        window = _Window(part, reader)
        # `starts_record` speaks of lines.
        if part.start > 0 and not window.find(MAGIC, stop_of(part)):
            return
        while window.position < stop_of(part) and window.fill(1):
            yield Batch(_pairs(window, part))
        # What follows is the next slice's. It would not find a frame without its magic.
        if window.fill(1) and (not window.fill(len(MAGIC)) or not window.begins(MAGIC)):
            raise _damaged(part, window.position)


@dataclass(frozen=True, kw_only=True)
class WritePickle(BlockFormat):
    """Any pairs of objects that pickle."""

    def write(self, pairs: list[Pair]) -> bytes:
        try:
            body = pickle.dumps(pairs, protocol=5)
        except Exception as error:
            raise _unpicklable(pairs, error) from None
        if MARK in body:
            body = body.replace(MARK, ESCAPED)
        return _HEAD.pack(MAGIC, zlib.crc32(body), len(body)) + body

    def reads_back(self) -> ReadFormat:
        return ReadPickle()


def _pairs(window: "_Window", part: Slice) -> list[Any]:
    """The pairs of the frame at the beginning of the window, which moves behind it."""
    start = window.position
    if not window.fill(_HEAD.size):
        raise _damaged(part, start)
    magic, checksum, size = _HEAD.unpack(window.take(_HEAD.size))
    if magic != MAGIC or not window.fill(size):
        raise _damaged(part, start)
    body = window.take(size)
    if zlib.crc32(body) != checksum:
        raise _damaged(part, start)
    try:
        pairs: list[Any] = pickle.loads(body.replace(ESCAPED, MARK) if MARK in body else body)
    except Exception as error:
        raise BadRecord(
            f"{place(part, start)}: these pickled pairs can't be loaded here: "
            f"{type(error).__name__}: {error}"
        ) from error
    return pairs


def _damaged(part: Slice, position: int) -> BadRecord:
    return BadRecord(
        f"{place(part, position)}: no whole frame of the format pickle; the file has another "
        "format, or is damaged or cut off"
    )


def _unpicklable(pairs: list[Pair], error: Exception) -> BadRecord:
    """Says which pair it was."""
    for pair in pairs:
        try:
            pickle.dumps(pair, protocol=5)
        except Exception as reason:
            return BadRecord(f"the pair {shown(pair)} can't be pickled: {reason}")
    return BadRecord(f"pairs can't be pickled: {error}")


class _Window:
    """The bytes of a file from a slice's start on, as far as they are needed."""

    def __init__(self, part: Slice, reader: Reader) -> None:
        self.position = part.start
        """The position in the file of the window's first byte."""
        self._buffer = bytearray()
        self._blocks = bytes_from(part, reader, part.start)

    def fill(self, size: int) -> bool:
        """Make the window at least `size` bytes large; False if the file has no more."""
        while len(self._buffer) < size:
            block = next(self._blocks, None)
            if block is None:
                return False
            self._buffer += block
        return True

    def take(self, size: int) -> bytes:
        """Cut off the first `size` bytes."""
        data = bytes(memoryview(self._buffer)[:size])
        del self._buffer[:size]
        self.position += size
        return data

    def begins(self, data: bytes) -> bool:
        return self._buffer.startswith(data)

    def find(self, data: bytes, stop: int) -> bool:
        """Move to where `data` begins before `stop`; False if it does not."""
        while self.position < stop and self.fill(len(data)):
            at = self._buffer.find(data)
            if at >= 0:
                self.take(at)
                return self.position < stop
            self.take(len(self._buffer) - len(data) + 1)
        return False
