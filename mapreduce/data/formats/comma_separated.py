"""The format "csv": fields between commas, in quotes where they need them.

    file   = *(row end) [row]              end = LF / CR LF
    row    = field *(delimiter field)
    field  = *character / DQUOTE *(character / delimiter / end / DQUOTE DQUOTE) DQUOTE

Source: RFC 4180, read and written by Python's csv module, strictly: what it would have to guess
is an error. As quotes may hold newlines, a file is read from its beginning. With multiline=no it
can be split at any line, and a quote that is open at a line's end is an error. With quotes=no
quotes are characters like any others.
"""

import csv
import io
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar

from mapreduce.data.formats.contract import ReadFormat
from mapreduce.data.formats.lines import decoded, line_blocks, place
from mapreduce.data.formats.rows import BYTE_ORDER_MARK, ReadRows, Row, Rows, WriteRows
from mapreduce.data.slices import Reader, Slice
from mapreduce.errors import BadRecord

DELIMITERS = {
    "comma": ",",
    "semicolon": ";",
    "tab": "\t",
    "pipe": "|",
    "space": " ",
    "colon": ":",
}
BATCH_ROWS = 4096


@dataclass(frozen=True, kw_only=True)
class ReadCsv(ReadRows):
    """(position, fields)."""

    delimiter: str = "comma"
    quotes: bool = True
    multiline: bool = True

    def __post_init__(self) -> None:
        _delimiter(self.delimiter)

    @property
    def splittable(self) -> bool:
        return not (self.quotes and self.multiline)

    def rows(self, part: Slice, reader: Reader) -> Iterator[Rows]:
        starts: list[int] = []
        lines = itertools.chain.from_iterable(self._lines(part, reader, starts))
        parsed = csv.reader(
            lines,
            delimiter=_delimiter(self.delimiter),
            quoting=csv.QUOTE_MINIMAL if self.quotes else csv.QUOTE_NONE,
            strict=True,
        )
        seen = 0
        while True:
            rows, positions = self._some_rows(part, parsed, starts)
            if parsed.line_num == seen:
                return
            if [] in rows:  # blank lines
                positions = [at for at, row in zip(positions, rows) if row]
                rows = [row for row in rows if row]
            yield rows, positions
            del starts[: parsed.line_num - seen]
            seen = parsed.line_num

    def _lines(self, part: Slice, reader: Reader, starts: list[int]) -> Iterator[list[str]]:
        """The lines of each block with their newlines; where they begin is added to `starts`."""
        for position, block in line_blocks(part, reader):
            text = decoded(part, position, block, self.errors)
            lines = list(io.StringIO(text, newline="\n"))
            # With one byte for each character the lines' own lengths give their positions.
            lengths = map(len, lines if len(text) == len(block) else io.BytesIO(block))
            starts += itertools.islice(itertools.accumulate(lengths, initial=position), len(lines))
            if position == 0 and lines:
                lines[0] = lines[0].removeprefix(BYTE_ORDER_MARK)
            yield lines

    def _some_rows(self, part: Slice, parsed: Any, starts: list[int]) -> Rows:
        """Some rows; `starts` begins with the line that is read next."""
        rows: list[Row] = []
        reason = ""
        before = parsed.line_num
        try:
            rows.extend(itertools.islice(parsed, BATCH_ROWS))
        except csv.Error as error:  # the rows before it are there
            reason = str(error)
        simple = not reason and parsed.line_num - before == len(rows)
        lines = range(len(rows) + 1) if simple else _first_lines(rows)
        if not self.multiline and lines[len(rows)] != len(rows):
            rows = rows[: next(at for at in range(len(rows)) if lines[at + 1] != at + 1)]
            reason = "a quote is open at the line's end"
        if reason:
            raise _bad_row(part, starts[lines[len(rows)]], reason)
        return rows, [starts[line] for line in lines[: len(rows)]]


@dataclass(frozen=True, kw_only=True)
class WriteCsv(WriteRows):
    """Rows in Python's default dialect, with LF at their ends."""

    suffix: ClassVar[str] = ".csv"
    delimiter: str = "comma"

    def __post_init__(self) -> None:
        _delimiter(self.delimiter)

    def lines(self, rows: list[list[Any]]) -> list[str]:
        lines: list[str] = []
        # It puts quotes around what is in its lineterminator, CR and LF, and not around others.
        writer = csv.writer(
            SimpleNamespace(write=lines.append),
            delimiter=_delimiter(self.delimiter),
            lineterminator="\r\n",
        )
        writer.writerows(rows)
        return [line[:-2] + "\n" for line in lines]

    def reads_back(self) -> ReadFormat:
        return ReadCsv(
            pairs=self.keys,
            header=bool(self.header),
            delimiter=self.delimiter,
            errors=self.errors,
        )


def _first_lines(rows: list[Row]) -> Sequence[int]:
    """The line in which each row begins, and the one behind all of them: to a row belong as many
    lines as its fields hold newlines, and one more."""
    lines = (1 + sum(field.count("\n") for field in row) for row in rows)
    return list(itertools.accumulate(lines, initial=0))


def _delimiter(given: str) -> str:
    delimiter = DELIMITERS.get(given, given)
    if len(delimiter) != 1 or delimiter in '"\r\n':
        names = ", ".join(DELIMITERS)
        raise ValueError(f"a delimiter is one character, or {names}, not {given!r}")
    return delimiter


def _bad_row(part: Slice, position: int, reason: str) -> BadRecord:
    remedy = "mend the row that begins here, or read the file with quotes=no if quotes are data"
    if "field larger" in reason:
        remedy = (
            "if no quote is left open there, raise the limit in the job's source: "
            "csv.field_size_limit(16 << 20)"
        )
    return BadRecord(f"{place(part, position)}: {reason}; {remedy}")
