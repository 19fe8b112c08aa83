"""Byte formats: what a record is in a file, and how pairs become bytes.

Each format has a module with its grammar; here are their names. A name may have options, as in
"csv:header=yes"; docs/formats.md has them all.

>>> pairs = [("be", 2), ("or", 1)]
>>> content = b"".join(block for block, _ in encode("text", pairs))
>>> content
b'be\\t2\\nor\\t1\\n'
>>> list(decode_output("text", [content], "part-00000"))
[('be', '2'), ('or', '1')]
"""

import importlib
import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from mapreduce.api import Pair
from mapreduce.data.formats.contract import Batch, BlockEncoder, Encoder, ReadFormat, WriteFormat
from mapreduce.data.formats.options import name_of, parse

__all__ = [
    "Batch",
    "BlockEncoder",
    "Encoder",
    "ReadFormat",
    "WriteFormat",
    "decode_output",
    "encode",
    "reading",
    "reading_back",
    "writing",
]

Format = TypeVar("Format")


class Formats(Mapping[str, type[Format]]):
    """Formats by name, each imported when it is asked for: a process that runs tasks needs one or
    two, and all of them would make its start a tenth longer."""

    def __init__(self, **places: str) -> None:
        self._places = places

    def __getitem__(self, name: str) -> type[Format]:
        module, _, made = self._places[name].partition(".")
        found: Any = importlib.import_module(f"{__name__}.{module}")
        return getattr(found, made)  # type: ignore[no-any-return]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, name: object) -> bool:
        return name in self._places


INPUT_FORMATS: Mapping[str, type[ReadFormat]] = Formats(
    text="lines.ReadText",
    pairs="lines.ReadPairs",
    csv="comma_separated.ReadCsv",
    tsv="tab_separated.ReadTsv",
    jsonlines="json_lines.ReadJsonLines",
    pickle="pickled.ReadPickle",
    whole="whole.ReadWhole",
    fixed="fixed.ReadFixed",
    parquet="parquet.ReadParquet",
)
OUTPUT_FORMATS: Mapping[str, type[WriteFormat]] = Formats(
    text="lines.WriteText",
    csv="comma_separated.WriteCsv",
    tsv="tab_separated.WriteTsv",
    jsonlines="json_lines.WriteJsonLines",
    pickle="pickled.WritePickle",
    raw="raw.WriteRaw",
    parquet="parquet.WriteParquet",
)


def reading(name: str) -> ReadFormat:
    """The input format of that name; raises JobError for one that does not exist.

    >>> reading("text:errors=replace").splittable
    True
    """
    return parse("input", name, INPUT_FORMATS)


def writing(name: str) -> WriteFormat:
    """The output format of that name; raises JobError for one that does not exist.

    >>> writing("text:compress=zstd").extension
    '.zst'
    """
    return parse("output", name, OUTPUT_FORMATS)


def reading_back(output_format: str) -> str:
    """The input format that reads files of an output format as the pairs that were written; with
    keys=no, which leaves keys out, as values with a key of the file. Raises JobError if there is
    none.

    >>> reading_back("csv:header=word,count:compress=gzip")
    'csv:header=yes:pairs=yes'
    """
    return name_of(writing(output_format).reads_back(), INPUT_FORMATS)


def encode(
    name: str, pairs: Iterable[Pair], *, first_part: bool = True
) -> Iterator[tuple[bytes, int]]:
    """A file of `pairs` in blocks, each with its number of records. A block may be empty, as
    compression gathers what it is given; the last one has no records."""
    encoder = writing(name).encoder(first_part)
    pairs = iter(pairs)
    while batch := list(itertools.islice(pairs, encoder.next_pairs)):
        yield encoder.add(batch), len(batch)
    if rest := encoder.finish():
        yield rest, 0


def decode_output(name: str, blocks: Iterable[bytes], part_name: str) -> Iterator[Pair]:
    """The pairs of a part of a job's output in the format `name`; of formats of text as texts.
    Raises JobError for a format that can't be read back."""
    return writing(name).decode(blocks, part_name)
