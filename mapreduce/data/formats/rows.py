"""Rows of fields, common to "csv" and "tsv".

    read:     key: the position of the row in its file in bytes; value: its fields, a list of texts,
              or with header=yes a dict by the names in the file's first line. With pairs=yes the
              first field is the key, and the second, or the list of all others, is the value.
    written:  str(key) and then str(value); a list or tuple as value gives several fields. With
              keys=no the value alone. header=name,name,... writes names at the top of a file.

Blank lines are no rows. A byte order mark at a file's beginning is left out.
"""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from mapreduce.api import Pair
from mapreduce.data.formats.contract import Batch, BlockFormat, Errors, shown
from mapreduce.data.formats.lines import encoded, place
from mapreduce.data.slices import Reader, Slice
from mapreduce.errors import BadRecord

Row = list[str]
Rows = tuple[list[Row], list[int]]
"""Rows, and the position in the file of each."""

BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True, kw_only=True)
class ReadRows(ABC):
    """The base of formats whose records are rows."""

    header: bool = False
    pairs: bool = False
    errors: Errors = "strict"

    @property
    @abstractmethod
    def splittable(self) -> bool:
        """False if a file has to be read from its beginning."""

    @abstractmethod
    def rows(self, part: Slice, reader: Reader) -> Iterator[Rows]:
        """The rows that begin in a slice, the header among them."""

    def read(self, part: Slice, reader: Reader) -> Iterator[Batch]:
        lots = self.rows(part, reader)
        names: Row = []
        if self.header:
            names, lots = self._names(part, reader, lots)
        for rows, positions in lots:
            if self.header:
                _check_lengths(part, rows, positions, names)
            if self.pairs:
                _check_pairs(part, rows, positions)
                yield Batch([(row[0], row[1] if len(row) == 2 else row[1:]) for row in rows])
            elif self.header:
                yield Batch([dict(zip(names, row)) for row in rows], positions.__iter__)
            else:
                yield Batch(rows, positions.__iter__)

    def _names(
        self, part: Slice, reader: Reader, lots: Iterator[Rows]
    ) -> tuple[Row, Iterator[Rows]]:
        """The names in the file's first line, and the rows of the slice without it."""
        if part.start == 0:
            first = lots
        else:
            first_line = msgspec.structs.replace(part, start=0, stop=1, starts_record=True)
            first = self.rows(first_line, reader)
        rows, positions = next((lot for lot in first if lot[0]), ([], []))
        if not rows and part.start == 0:
            return [], lots
        if not rows or positions[0] != 0:
            raise BadRecord(f"{part.path!r} has no header: its first line is blank")
        names = rows[0]
        if len(set(names)) != len(names):
            raise BadRecord(f"the header of {part.path!r} names a field twice: {shown(names)}")
        if part.start == 0:
            lots = itertools.chain([(rows[1:], positions[1:])], lots)
        return names, lots


def _check_lengths(part: Slice, rows: list[Row], positions: list[int], names: Row) -> None:
    if set(map(len, rows)) <= {len(names)}:
        return
    for row, position in zip(rows, positions):
        if len(row) != len(names):
            raise BadRecord(
                f"{place(part, position)}: the header names {len(names)} fields, and the row has "
                f"{len(row)}: {shown(row)}; mend it, or read the rows with header=no"
            )


def _check_pairs(part: Slice, rows: list[Row], positions: list[int]) -> None:
    if min(map(len, rows), default=2) >= 2:
        return
    row, position = next((row, at) for row, at in zip(rows, positions) if len(row) < 2)
    raise BadRecord(
        f"{place(part, position)}: with pairs=yes a row has at least two fields, a key and its "
        f"value: {shown(row)}"
    )


# Writing -----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class WriteRows(BlockFormat, ABC):
    """The base of formats that write rows."""

    header: str = ""
    keys: bool = True
    errors: Errors = "strict"

    @abstractmethod
    def lines(self, rows: list[list[Any]]) -> list[str]:
        """A text for each row, with its newline. No field is bytes."""

    def head(self) -> bytes:
        return "".join(self.lines([list(self._names)])).encode() if self.header else b""

    def write(self, pairs: list[Pair]) -> bytes:
        rows = list(self._rows(pairs))
        if bytes in set(map(type, itertools.chain.from_iterable(rows))):
            raise _no_text(rows, pairs)
        if self.header and not set(map(len, rows)) <= {len(self._names)}:
            raise self._other_length(rows, pairs)
        return encoded(self.lines(rows), pairs, self.errors)

    @property
    def _names(self) -> Row:
        return self.header.split(",")

    def _rows(self, pairs: Iterable[Pair]) -> Iterator[list[Any]]:
        for key, value in pairs:
            fields = value if isinstance(value, list | tuple) else (value,)
            yield [key, *fields] if self.keys else [*fields]

    def _other_length(self, rows: list[list[Any]], pairs: list[Pair]) -> BadRecord:
        wanted = len(self._names)
        row, pair = next((r, p) for r, p in zip(rows, pairs) if len(r) != wanted)
        return BadRecord(
            f"the pair {shown(pair)} gives {len(row)} fields, and the header {self.header} names "
            f"{wanted}"
        )


def _no_text(rows: list[list[Any]], pairs: list[Pair]) -> BadRecord:
    pair = next(p for row, p in zip(rows, pairs) if any(type(field) is bytes for field in row))
    return BadRecord(
        f"the pair {shown(pair)} holds bytes, and rows are text: decode them, or write the format "
        "pickle or raw"
    )
