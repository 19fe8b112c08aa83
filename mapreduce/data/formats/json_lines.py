"""The format "jsonlines": a JSON value in each line.

    file   = *(value end) [value]          end = LF / CR LF

    read:     key: the position of the line in its file in bytes; value: what it holds. With
              pairs=yes each line is an array of two, the key and the value.
    written:  [key, value]; with keys=no the value alone.

Blank lines hold nothing. Source: jsonlines.org and RFC 8259; read are NaN, Infinity and -Infinity
too, as other programs write them. JSON has no tuples, sets, bytes and dates: they are written as
arrays, base64 and ISO 8601, and numbers that it lacks as null.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec

from mapreduce.api import Pair
from mapreduce.data.formats.contract import Batch, BlockFormat, Errors, ReadFormat, shown
from mapreduce.data.formats.lines import decoded, line_blocks, place
from mapreduce.data.slices import Reader, Slice
from mapreduce.errors import BadRecord

_DECODER = msgspec.json.Decoder()
_ENCODER = msgspec.json.Encoder()


@dataclass(frozen=True, kw_only=True)
class ReadJsonLines:
    """(position, value)."""

    pairs: bool = False
    errors: Errors = "strict"
    splittable: ClassVar[bool] = True

    def read(self, part: Slice, reader: Reader) -> Iterator[Batch]:
        for position, block in line_blocks(part, reader):
            values, positions = self._values(part, position, block)
            if self.pairs:
                yield Batch(_as_pairs(part, values, positions))
            else:
                yield Batch(values, positions.__iter__)

    def _values(self, part: Slice, position: int, block: bytes) -> tuple[list[Any], list[int]]:
        """What the lines of a block hold, and their positions."""
        lines = block.split(b"\n")
        if not lines[-1]:
            lines.pop()
        positions = [position]
        positions += (position := position + len(line) + 1 for line in lines[:-1])
        try:
            return list(map(_DECODER.decode, lines)), positions
        except (ValueError, RecursionError):  # or a blank line, or NaN
            return self._one_by_one(part, lines, positions)

    def _one_by_one(
        self, part: Slice, lines: list[bytes], positions: list[int]
    ) -> tuple[list[Any], list[int]]:
        found = [
            (_value(part, at, decoded(part, at, line, self.errors)), at)
            for line, at in zip(lines, positions)
            if line.strip()
        ]
        return [value for value, _ in found], [at for _, at in found]


@dataclass(frozen=True, kw_only=True)
class WriteJsonLines(BlockFormat):
    """Arrays of key and value."""

    suffix: ClassVar[str] = ".jsonl"
    keys: bool = True

    def write(self, pairs: list[Pair]) -> bytes:
        values = pairs if self.keys else [value for _, value in pairs]
        try:
            return _ENCODER.encode_lines(values)
        except Exception as error:
            raise _no_json(pairs, error) from None

    def reads_back(self) -> ReadFormat:
        return ReadJsonLines(pairs=self.keys)


def _value(part: Slice, position: int, line: str) -> Any:
    if position == 0 and line.startswith("\ufeff"):  # a byte order mark, three bytes
        line, position = line[1:], position + 3
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        at = position + len(line[: error.pos].encode("utf-8", "surrogatepass"))
        reason = f"{error.msg} at byte {at:,}"
    except (ValueError, RecursionError) as error:
        reason = str(error)
    raise BadRecord(f"{place(part, position)}: no JSON value: {reason}; the line is {shown(line)}")


def _as_pairs(part: Slice, values: list[Any], positions: list[int]) -> list[Pair]:
    if set(map(type, values)) <= {list} and set(map(len, values)) <= {2}:
        return list(map(tuple, values))
    value, position = next(
        (value, at)
        for value, at in zip(values, positions)
        if type(value) is not list or len(value) != 2
    )
    raise BadRecord(
        f"{place(part, position)}: with pairs=yes a line is an array [key, value], not "
        f"{shown(value)}"
    )


def _no_json(pairs: list[Pair], error: Exception) -> BadRecord:
    """Says which pair it was."""
    for pair in pairs:
        try:
            _ENCODER.encode(pair)
        except Exception as reason:
            return BadRecord(
                f"the pair {shown(pair)} can't be written as JSON: {reason}; yield texts, numbers, "
                "lists and dicts, or write the format pickle"
            )
    return BadRecord(f"pairs can't be written as JSON: {error}")
