"""Byte formats: what a record is in a file, read and written in large blocks.

    text     read:  a record is a line; key: its position in the file in bytes, value: the line.
             written:  str(key) TAB str(value) newline, as UTF-8; nothing is escaped.
    pickle   a file of frames, each a length and a CRC-32 (big-endian, 4 bytes each) before a
             pickled list of pairs. Python objects as they are; can't be read from its middle.

A line ends with a newline (LF), or with CR LF; neither belongs to it. A lone CR is data. The last
line needs no end. Text is UTF-8: "text" refuses other bytes and says where they are,
"text:errors=replace" reads them as U+FFFD.

A record belongs to the slice in which it begins: a slice that may begin inside a line leaves out
what comes before the first newline, and one that ends inside a line reads on to its end. So slices
that cover a file give each of its lines once, wherever the cuts are.
"""

import itertools
import operator
import pickle
import struct
import sys
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from mapreduce.api import Pair
from mapreduce.data.inputs import Reader, Slice
from mapreduce.errors import BadRecord, JobError


class Batch(NamedTuple):
    """Some records; `size` is their number."""

    pairs: Iterable[Pair]
    size: int


READ_ON_BYTES = 64 << 10
"""How much is read at once behind a slice that ends inside a record."""

_FRAME = struct.Struct(">II")
_FRAME_PAIRS = 4096


class InputFormat(NamedTuple):
    """How records are read. `errors` as in `bytes.decode`."""

    name: str
    errors: str = "strict"

    @property
    def splittable(self) -> bool:
        """False if a file has to be read from its beginning."""
        return self.name == "text"

    def read(self, part: Slice, reader: Reader) -> Iterator[Batch]:
        """The records that begin in a slice."""
        if self.name == "text":
            return _text_batches(part, _line_blocks(part, reader), self.errors)
        return _pickle_batches(part, reader)


def input_format(name: str) -> InputFormat:
    """The input format of that name; raises JobError for one that does not exist."""
    known = {
        "text": InputFormat("text"),
        "text:errors=replace": InputFormat("text", "replace"),
        "pickle": InputFormat("pickle"),
    }
    if name not in known:
        raise JobError(f"no input format {name!r}; there are {', '.join(known)}")
    return known[name]


def check_output_format(name: str) -> None:
    """Raise JobError if there is no output format of that name."""
    if name not in _WRITERS:
        raise JobError(f"no output format {name!r}; there are {', '.join(_WRITERS)}")


def encode(name: str, pairs: Iterable[Pair]) -> Iterator[tuple[bytes, int]]:
    """Blocks of output in that format, each with its number of records."""
    check_output_format(name)
    write = _WRITERS[name]
    pairs = iter(pairs)
    while batch := list(itertools.islice(pairs, _FRAME_PAIRS)):
        if set(map(type, batch)) != {tuple} or set(map(len, batch)) != {2}:
            batch = [_pair(given) for given in batch]
        yield write(batch), len(batch)


def _pair(given: Any) -> Pair:
    """What user code gave, if it is a pair."""
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise BadRecord(f"{str(given)[:60]!r} is no pair: yield pairs (key, value)")
    return given[0], given[1]


# Text --------------------------------------------------------------------------------------------


def _line_blocks(part: Slice, reader: Reader) -> Iterator[tuple[int, bytes]]:
    """The whole lines that begin in a slice, in large blocks, each with its position in the file.

    Every block but the last one of a file ends with a newline.
    """
    if part.starts_record:
        position, blocks = part.start, reader.read(part, part.start, part.stop)
    else:
        # The byte before the slice tells whether a line begins exactly at its start.
        position = part.start - 1
        position, blocks = _skip_line(position, reader.read(part, position, part.stop))
    unfinished: list[bytes] = []
    for block in blocks:
        cut = block.rfind(b"\n") + 1
        if cut:
            lines = b"".join([*unfinished, block[:cut]])
            yield position, lines
            position += len(lines)
            unfinished = []
        if cut < len(block):
            unfinished.append(block[cut:])
    if unfinished:
        yield position, b"".join([*unfinished, _end_of_line(part, reader)])


def _skip_line(position: int, blocks: Iterator[bytes]) -> tuple[int, Iterator[bytes]]:
    """Where the line after the first newline begins, and the blocks from there."""
    for block in blocks:
        cut = block.find(b"\n") + 1
        if cut:
            return position + cut, itertools.chain([block[cut:]], blocks)
        position += len(block)
    return position, iter(())


def _end_of_line(part: Slice, reader: Reader) -> bytes:
    """The bytes behind the slice up to the next newline, or to the file's end."""
    found: list[bytes] = []
    start = part.stop
    while block := b"".join(reader.read(part, start, start + READ_ON_BYTES)):
        newline = block.find(b"\n")
        if newline >= 0:
            found.append(block[: newline + 1])
            break
        found.append(block)
        start += len(block)
    return b"".join(found)


def _text_batches(part: Slice, blocks: Iterable[tuple[int, bytes]], errors: str) -> Iterator[Batch]:
    for position, block in blocks:
        text = _decoded(part, position, block, errors)
        lines = text.replace("\r\n", "\n").split("\n")
        # With one byte for each character the lines' own lengths give their positions.
        simple = len(text) == len(block) and "\r" not in text
        lengths = map(len, lines if simple else block.split(b"\n"))
        if not lines[-1]:
            lines.pop()
        starts = itertools.accumulate(lengths, initial=position)
        positions = map(operator.add, starts, itertools.count())  # one newline for each line
        yield Batch(zip(positions, lines), len(lines))


def _decoded(part: Slice, position: int, block: bytes, errors: str) -> str:
    try:
        return block.decode("utf-8", errors)
    except UnicodeDecodeError as error:
        raise BadRecord(
            f"{part.path!r} is not UTF-8 at byte {position + error.start:,} "
            f"({block[error.start : error.start + 4].hex(' ')}): convert it, or read it with "
            "the input format text:errors=replace"
        ) from None


def _write_text(pairs: list[Pair]) -> bytes:
    text = "".join([f"{key}\t{value}\n" for key, value in pairs])
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise BadRecord(f"the output {text[error.start]!r} can't be written as UTF-8") from None


# Pickle ------------------------------------------------------------------------------------------


def _pickle_batches(part: Slice, reader: Reader) -> Iterator[Batch]:
    buffer = bytearray()
    blocks = reader.read(part, part.start, part.stop)
    while _fill(buffer, blocks, _FRAME.size):
        size, checksum = _FRAME.unpack_from(buffer)
        whole = _fill(buffer, blocks, _FRAME.size + size)
        body = bytes(memoryview(buffer)[_FRAME.size : _FRAME.size + size])
        if not whole or zlib.crc32(body) != checksum:
            raise BadRecord(f"{part.path!r} is not in the format pickle, or is damaged")
        pairs = pickle.loads(body)
        yield Batch(pairs, len(pairs))
        del buffer[: _FRAME.size + size]
    if buffer:
        raise BadRecord(f"{part.path!r} is not in the format pickle, or is cut off")


def _fill(buffer: bytearray, blocks: Iterator[bytes], size: int) -> bool:
    """Add blocks until `buffer` holds `size` bytes; False if there are no more."""
    while len(buffer) < size:
        block = next(blocks, None)
        if block is None:
            return False
        buffer += block
    return True


def _write_pickle(pairs: list[Pair]) -> bytes:
    body = pickle.dumps(pairs, protocol=5)
    return _FRAME.pack(len(body), zlib.crc32(body)) + body


_WRITERS = {"text": _write_text, "pickle": _write_pickle}


def decode_output(output_format: str, blocks: Iterable[bytes], name: str) -> Iterator[Pair]:
    """The pairs of a part of a job's output; of "text" as texts, cut at the first tab."""
    whole = Slice(name, 0, sys.maxsize)
    given = _Given(iter(blocks))
    if output_format == "pickle":
        for batch in _pickle_batches(whole, given):
            yield from batch.pairs
        return
    for batch in InputFormat("text").read(whole, given):
        for _, line in batch.pairs:
            key, _, value = line.partition("\t")
            yield key, value


class _Given:
    """A reader of what has been read already."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks

    def prepare(self, slices: object) -> None:
        pass

    def read(self, part: Slice, start: int, stop: int) -> Iterator[bytes]:
        return self._blocks
