"""Lines of text, the records of "text" and the ground of all other text formats.

    file  = *(line end) [line]
    end   = LF / CR LF

A line ends with a newline (LF), or with CR LF; neither belongs to it. A lone CR is data. The last
line needs no end. Text is UTF-8; what becomes of other bytes says the option `errors`.

    text   read:     key: the position of the line in its file in bytes; value: the line, as text,
                     or with bytes=yes as it is.
           written:  str(key) TAB str(value) LF, or with keys=no str(value) LF; nothing is escaped.
                     Where the key is bytes, both are written as they are, without a TAB if the
                     value is None.
    pairs  read:     what "text" has written: key and value as texts, cut at the first TAB;
                     a line without one is a key whose value is empty.
"""

import functools
import itertools
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, overload

from mapreduce.api import Pair
from mapreduce.data.codecs import codec_of
from mapreduce.data.formats.contract import Batch, BlockFormat, Errors, ReadFormat, shown
from mapreduce.data.formats.ranges import bytes_behind
from mapreduce.data.locations import file_name
from mapreduce.data.slices import Reader, Slice
from mapreduce.errors import BadRecord


@dataclass(frozen=True, kw_only=True)
class ReadText:
    """(position, line)."""

    errors: Errors = "strict"
    bytes: bool = False
    splittable: ClassVar[bool] = True

    def read(self, part: Slice, reader: Reader) -> Iterator[Batch]:
        for position, block in line_blocks(part, reader):
            if self.bytes:
                yield LineBatch(position, block)
            else:
                lines = split_lines(part, position, block, self.errors)
                yield Batch(lines.texts, lines.positions)


@dataclass(frozen=True, kw_only=True)
class ReadPairs:
    """(key, value) of lines with a tab."""

    errors: Errors = "strict"
    splittable: ClassVar[bool] = True

    def read(self, part: Slice, reader: Reader) -> Iterator[Batch]:
        for position, block in line_blocks(part, reader):
            texts = split_lines(part, position, block, self.errors).texts
            yield Batch([line.partition("\t")[::2] for line in texts])


@dataclass(frozen=True, kw_only=True)
class WriteText(BlockFormat):
    """str(key) TAB str(value)."""

    keys: bool = True
    errors: Errors = "strict"

    @property
    def line_separator(self) -> bytes | None:
        return b"\t" if self.keys else None

    def write(self, pairs: list[Pair]) -> bytes:
        if bytes in set(map(type, map(_KEY, pairs))):
            return self._of_bytes(pairs)
        if self.keys:
            lines = [f"{key}\t{value}\n" for key, value in pairs]
        else:
            lines = [f"{value}\n" for _, value in pairs]
        return encoded(lines, pairs, self.errors)

    def _of_bytes(self, pairs: list[Pair]) -> bytes:
        keys, values = zip(*pairs)
        if self.keys and set(map(type, keys)) == {bytes}:
            kinds = set(map(type, values))
            if kinds == {bytes}:
                tabs, ends = itertools.repeat(b"\t"), itertools.repeat(b"\n")
                return b"".join(itertools.chain.from_iterable(zip(keys, tabs, values, ends)))
            if kinds == {type(None)}:
                return b"\n".join([*keys, b""])
        return b"".join(self._written(key, value) for key, value in pairs)

    def _written(self, key: Any, value: Any) -> bytes:
        """One line, of bytes and whatever else."""
        given = ([key] if self.keys else []) + ([] if value is None else [value])
        fields = [
            field if isinstance(field, bytes) else str(field).encode("utf-8", self.errors)
            for field in given
        ]
        return b"\t".join(fields) + b"\n"

    def reads_back(self) -> ReadFormat:
        return (ReadPairs if self.keys else ReadText)(errors=self.errors)


_KEY = operator.itemgetter(0)


# Reading -----------------------------------------------------------------------------------------


class LineBatch(Batch):
    """The lines of a block that begins at `position`, without their ends, as they are; they are cut
    when somebody asks for them as records.

    >>> list(LineBatch(10, b"to\\r\\nbe\\n").pairs), LineBatch(0, b"to\\r\\nbe").take_text()
    ([(10, b'to'), (14, b'be')], b'to\\nbe\\n')
    """

    __slots__ = ("_text",)

    def __init__(self, position: int, block: bytes) -> None:
        text = block.replace(b"\r\n", b"\n") if b"\r" in block else block
        self._text = text if text.endswith(b"\n") else text + b"\n"
        super().__init__(_Cut(self._text), lambda: _positions(position, block))

    def take_text(self) -> bytes:
        """All records as whole lines, in place of `pairs`."""
        self._unread = iter(())
        return self._text


class _Cut(Sequence[bytes]):
    """Lines without their ends."""

    def __init__(self, text: bytes) -> None:
        self._text = text

    @functools.cached_property
    def _lines(self) -> list[bytes]:
        return self._text[:-1].split(b"\n")

    def __len__(self) -> int:
        return self._text.count(b"\n")

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._lines)

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        return self._lines[index]


def _positions(position: int, block: bytes) -> Iterator[int]:
    """Where each line of a block begins that begins at `position`."""
    with_newlines = map(operator.add, map(len, block.split(b"\n")), itertools.repeat(1))
    return itertools.accumulate(with_newlines, initial=position)


class Lines(NamedTuple):
    """The lines of a block."""

    texts: list[str]
    positions: Callable[[], Iterator[int]]
    """Gives the position in the file of each line; costs nothing until it is asked."""


def split_lines(part: Slice, position: int, block: bytes, errors: Errors) -> Lines:
    """The lines of a block that begins at `position`, without their ends."""
    text = decoded(part, position, block, errors)
    cr = "\r" in text
    lines = (text.replace("\r\n", "\n") if cr else text).split("\n")
    if not lines[-1]:
        lines.pop()

    def positions() -> Iterator[int]:
        # With one byte for each character the lines' own lengths give their positions.
        simple = not cr and len(text) == len(block)
        lengths = map(len, lines if simple else block.split(b"\n"))
        with_newlines = map(operator.add, lengths, itertools.repeat(1))
        return itertools.accumulate(with_newlines, initial=position)

    return Lines(lines, positions)


def decoded(part: Slice, position: int, data: bytes, errors: Errors) -> str:
    """The text of bytes at `position`. Raises `BadRecord` where they are none."""
    try:
        return data.decode("utf-8", errors)
    except UnicodeDecodeError as error:
        raise BadRecord(
            f"{place(part, position + error.start)}: not UTF-8 "
            f"({data[error.start : error.start + 4].hex(' ')}); convert the file, or read it with "
            "the option errors=replace, ignore or surrogateescape, as in text:errors=replace"
        ) from None


def place(part: Slice, position: int) -> str:
    """Where something is, for messages."""
    unpacked = " of its content" if codec_of(file_name(part.path)) else ""
    return f"{part.path!r}, byte {position:,}{unpacked}"


def line_blocks(part: Slice, reader: Reader) -> Iterator[tuple[int, bytes]]:
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
        yield position, b"".join([*unfinished, *_end_of_line(part, reader)])


def _skip_line(position: int, blocks: Iterator[bytes]) -> tuple[int, Iterator[bytes]]:
    """Where the line after the first newline begins, and the blocks from there."""
    for block in blocks:
        cut = block.find(b"\n") + 1
        if cut:
            return position + cut, itertools.chain([block[cut:]], blocks)
        position += len(block)
    return position, iter(())


def _end_of_line(part: Slice, reader: Reader) -> Iterator[bytes]:
    """The bytes behind the slice up to the next newline, or to the file's end."""
    for block in bytes_behind(part, reader, part.stop):
        cut = block.find(b"\n") + 1
        yield block[:cut] if cut else block
        if cut:
            return


# Writing -----------------------------------------------------------------------------------------


def encoded(lines: Iterable[str], pairs: list[Pair], errors: Errors) -> bytes:
    """Lines as UTF-8; the n-th is that of the n-th pair."""
    lines = list(lines)
    try:
        return "".join(lines).encode("utf-8", errors)
    except UnicodeEncodeError:
        for line, pair in zip(lines, pairs):
            if not line.isascii():
                _check_unicode(line, pair, errors)
        raise


def _check_unicode(line: str, pair: Pair, errors: Errors) -> None:
    try:
        line.encode("utf-8", errors)
    except UnicodeEncodeError as error:
        raise BadRecord(
            f"{line[error.start]!r} of the pair {shown(pair)} can't be written as UTF-8; write it "
            "with the option errors=surrogateescape, if it was read so, or errors=replace"
        ) from None
