"""The format "parquet": Apache Parquet files (parquet.apache.org), by pyarrow, the extra "parquet".

    read:     key: the number of the row in its file; value: a dict by the columns' names. With
              pairs=yes the first column is the key, and the second, or the list of all others,
              the value. A file is read into memory whole.
    written:  the columns `key` and `value`. columns=name,name,... gives other names: with more
              than two, the value is a list or tuple of what stands behind the key. With keys=no
              the columns are the value's alone, which may also be a dict. types=string,int64,...
              are their types; without it they are those of the first 4,096 pairs.

`compress` is the codec inside the file; parts can't be put one behind the other.
"""

import importlib.util
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from mapreduce.api import Pair
from mapreduce.data.formats.contract import (
    BLOCK_PAIRS,
    Batch,
    Encoder,
    ReadFormat,
    checked,
    fitting_pairs,
    shown,
)
from mapreduce.data.formats.ranges import Given, whole_file
from mapreduce.data.slices import Reader, Slice
from mapreduce.errors import BadRecord, JobError

ROW_GROUP_BYTES = 32 << 20
"""About the size of a row group in memory: so much is gathered before it is written."""
BATCH_ROWS = 4096


@dataclass(frozen=True, kw_only=True)
class ReadParquet:
    """(number of the row, dict)."""

    pairs: bool = False

    def __post_init__(self) -> None:
        _check_installed()

    splittable: ClassVar[bool] = False

    def read(self, part: Slice, reader: Reader) -> Iterator[Batch]:
        import pyarrow
        import pyarrow.parquet

        content = pyarrow.BufferReader(b"".join(reader.read(part, part.start, part.stop)))
        number = 0
        try:
            for batch in pyarrow.parquet.ParquetFile(content).iter_batches(BATCH_ROWS):
                if self.pairs:
                    yield Batch(_as_pairs(part, batch))
                else:
                    rows = range(number, number + batch.num_rows)
                    yield Batch(batch.to_pylist(), rows.__iter__)
                number += batch.num_rows
        except (pyarrow.ArrowException, OSError) as error:
            raise BadRecord(
                f"{part.path!r} is not in the format parquet, or is damaged (row {number:,} and "
                f"what follows): {error}"
            ) from None


@dataclass(frozen=True, kw_only=True)
class WriteParquet:
    """Columns."""

    columns: str = ""
    types: str = ""
    keys: bool = True
    compress: Literal["snappy", "gzip", "zstd", "lz4", "brotli", "no"] = "snappy"

    def __post_init__(self) -> None:
        _check_installed()
        names = self.names
        if len(set(names)) != len(names) or not all(names):
            raise ValueError(f"each column has a name of its own, not {self.columns!r}")
        if self.types and len(self.types.split(",")) != len(names):
            raise ValueError(f"types has one type for each of the columns {', '.join(names)}")

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        default = "key,value" if self.keys else "value"
        return (self.columns or default).split(",")

    @property
    def extension(self) -> str:
        return ".parquet"

    @property
    def mergeable(self) -> bool:
        return False

    @property
    def line_separator(self) -> bytes | None:
        return None

    def encoder(self, first_part: bool = True) -> Encoder:
        return ParquetEncoder(self)

    def reads_back(self) -> ReadFormat:
        return ReadParquet(pairs=self.keys)

    def decode(self, blocks: Iterable[bytes], name: str) -> Iterator[Pair]:
        for batch in self.reads_back().read(whole_file(name), Given(iter(blocks))):
            yield from batch.pairs


class ParquetEncoder:
    """Writes one file: row group after row group, and at its end where they are."""

    def __init__(self, form: WriteParquet) -> None:
        self._form = form
        self._schema = _schema_of_types(form)
        self._sink = _Sink()
        self._writer: Any = None
        self._waiting: list[Any] = []
        self._waiting_bytes = 0
        self.next_pairs = BLOCK_PAIRS  # the first tell the types

    def add(self, pairs: list[Pair]) -> bytes:
        batch = self._batch(checked(pairs))
        self.next_pairs = fitting_pairs(len(pairs), batch.nbytes)
        self._waiting.append(batch)
        self._waiting_bytes += batch.nbytes
        if self._waiting_bytes >= ROW_GROUP_BYTES:
            self._write()
        return self._sink.taken()

    def finish(self) -> bytes:
        if self._writer is None and not self._waiting:
            self._waiting.append(self._batch([]))
        if self._waiting:
            self._write()
        self._writer.close()
        return self._sink.taken()

    def _batch(self, pairs: list[Pair]) -> Any:
        import pyarrow

        columns = list(zip(*(_fields(self._form, pair) for pair in pairs))) or [()] * len(
            self._form.names
        )
        try:
            if self._schema is None:
                batch = pyarrow.record_batch(list(map(pyarrow.array, columns)), self._form.names)
                self._schema = batch.schema
                return batch
            arrays = [_array(*column) for column in zip(columns, self._schema.types)]
            return pyarrow.record_batch(arrays, schema=self._schema)
        except (pyarrow.ArrowException, TypeError, OverflowError) as error:
            raise _unfit(self._form, self._schema, pairs, error) from None

    def _write(self) -> None:
        import pyarrow
        import pyarrow.parquet

        if self._writer is None:
            codec = "none" if self._form.compress == "no" else self._form.compress
            self._writer = pyarrow.parquet.ParquetWriter(
                self._sink, self._schema, compression=codec
            )
        self._writer.write_table(pyarrow.Table.from_batches(self._waiting, self._schema))
        self._waiting, self._waiting_bytes = [], 0


class _Sink(io.RawIOBase):
    """A file whose bytes are taken away as they come."""

    def __init__(self) -> None:
        self._blocks: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._blocks.append(bytes(data))
        return len(data)

    def taken(self) -> bytes:
        data = b"".join(self._blocks)
        self._blocks.clear()
        return data


def _check_installed() -> None:
    if importlib.util.find_spec("pyarrow") is None:
        raise JobError(
            "the format parquet needs pyarrow, which is not installed here: "
            "pip install 'dynamo-mapreduce[parquet]'"
        )


def _schema_of_types(form: WriteParquet) -> Any:
    """The types that the user gave, or None."""
    if not form.types:
        return None
    import pyarrow

    try:
        types = [pyarrow.type_for_alias(name) for name in form.types.split(",")]
    except ValueError as error:
        raise JobError(f"a type of types={form.types} does not exist: {error}") from None
    return pyarrow.schema(list(zip(form.names, types)))


def _array(column: Sequence[Any], kind: Any) -> Any:
    """A column of that type, or of its own if that is None."""
    import pyarrow

    array = pyarrow.array(column)
    if kind is None or array.type == kind:
        return array
    pyarrow.array(column, type=kind)  # refuses texts that look like numbers
    return array.cast(kind)  # refuses what would be rounded


def _fields(form: WriteParquet, pair: Pair) -> tuple[Any, ...]:
    """What of a pair stands in the columns."""
    key, value = pair
    names = form.names
    if form.keys and len(names) == 2:
        return key, value
    if not form.keys and isinstance(value, dict):
        return tuple(value.get(name) for name in names)
    if not form.keys and len(names) == 1:
        return (value,)
    fields = ((key,) if form.keys else ()) + (
        tuple(value) if isinstance(value, list | tuple) else (value,)
    )
    if len(fields) != len(names):
        raise BadRecord(
            f"the pair {shown(pair)} gives {len(fields)} fields, and there are the columns "
            f"{', '.join(names)}"
        )
    return fields


def _unfit(form: WriteParquet, schema: Any, pairs: list[Pair], error: Exception) -> BadRecord:
    """Says which pair it was, if one alone can be told."""
    import pyarrow

    types = [None] * len(form.names) if schema is None else schema.types
    remedy = "give the columns' types, as in types=string,double, or write the format pickle"
    for pair in pairs:
        for name, field, kind in zip(form.names, _fields(form, pair), types):
            try:
                _array([field], kind)
            except (pyarrow.ArrowException, TypeError, OverflowError) as reason:
                return BadRecord(
                    f"{name} of the pair {shown(pair)} does not fit its column of "
                    f"{kind or 'no type'}: {reason}; {remedy}"
                )
    return BadRecord(f"the columns hold values of several types: {error}; {remedy}")


def _as_pairs(part: Slice, batch: Any) -> list[Pair]:
    columns = [column.to_pylist() for column in batch.columns]
    if len(columns) < 2:
        raise BadRecord(
            f"{part.path!r} has {len(columns)} columns, and with pairs=yes there are at least two"
        )
    if len(columns) == 2:
        return list(zip(*columns))
    return [(row[0], list(row[1:])) for row in zip(*columns)]
