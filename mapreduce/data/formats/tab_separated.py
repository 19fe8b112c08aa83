r"""The format "tsv": a row is a line, its fields are between tabs.

    file   = *(row end) [row]              end = LF / CR LF
    row    = field *(TAB field)
    field  = *(character / "\t" / "\n" / "\r" / "\\") / "\N"

In a field a backslash and a letter stand for a tab, a newline and a carriage return, two
backslashes for one, and \N alone for None; any other backslash is itself. With escapes=no every
backslash is itself when read. Source: Linear TSV (dataprotocols.org/linear-tsv), which is what
PostgreSQL's COPY writes.
"""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from mapreduce.data.formats.contract import ReadFormat
from mapreduce.data.formats.lines import line_blocks, split_lines
from mapreduce.data.formats.rows import BYTE_ORDER_MARK, ReadRows, Rows, WriteRows
from mapreduce.data.slices import Reader, Slice

_NONE = r"\N"
_STANDS_FOR = {r"\t": "\t", r"\n": "\n", r"\r": "\r", r"\\": "\\"}
_ESCAPE = re.compile(r"\\[tnr\\]")
_ESCAPES = str.maketrans({character: text for text, character in _STANDS_FOR.items()})


@dataclass(frozen=True, kw_only=True)
class ReadTsv(ReadRows):
    """(position, fields)."""

    escapes: bool = True
    splittable: ClassVar[bool] = True

    def rows(self, part: Slice, reader: Reader) -> Iterator[Rows]:
        for position, block in line_blocks(part, reader):
            lines = split_lines(part, position, block, self.errors)
            texts, positions = lines.texts, list(lines.positions())[: len(lines.texts)]
            if position == 0 and texts:
                texts[0] = texts[0].removeprefix(BYTE_ORDER_MARK)
            rows: list[Any] = [line.split("\t") for line in texts if line]
            if len(rows) != len(texts):
                positions = [at for at, line in zip(positions, texts) if line]
            if self.escapes and b"\\" in block:
                rows = [[_unescaped(field) for field in row] for row in rows]
            yield rows, positions


@dataclass(frozen=True, kw_only=True)
class WriteTsv(WriteRows):
    """Rows with tabs."""

    suffix: ClassVar[str] = ".tsv"

    def lines(self, rows: list[list[Any]]) -> list[str]:
        lines = ["\t".join(map(str, row)) + "\n" for row in rows]
        if _needs_escapes("".join(lines), rows):
            lines = ["\t".join(map(_escaped, row)) + "\n" for row in rows]
        return lines

    def reads_back(self) -> ReadFormat:
        return ReadTsv(pairs=self.keys, header=bool(self.header), errors=self.errors)


def _unescaped(field: str) -> str | None:
    if "\\" not in field:
        return field
    if field == _NONE:
        return None
    return _ESCAPE.sub(lambda found: _STANDS_FOR[found[0]], field)


def _needs_escapes(text: str, rows: list[list[Any]]) -> bool:
    """True if there are other tabs and newlines in the lines than those between fields and rows."""
    return (
        "\\" in text
        or "\r" in text
        or text.count("\n") != len(rows)
        or text.count("\t") != sum(map(len, rows)) - len(rows)
        or type(None) in set(map(type, itertools.chain.from_iterable(rows)))
    )


def _escaped(field: Any) -> str:
    if field is None:
        return _NONE
    return str(field).translate(_ESCAPES)
