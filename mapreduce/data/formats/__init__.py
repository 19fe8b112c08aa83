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

import itertools
from collections.abc import Iterable, Iterator, Mapping

from mapreduce.api import Pair
from mapreduce.data.formats.comma_separated import ReadCsv, WriteCsv
from mapreduce.data.formats.contract import Batch, Encoder, ReadFormat, WriteFormat
from mapreduce.data.formats.fixed import ReadFixed
from mapreduce.data.formats.json_lines import ReadJsonLines, WriteJsonLines
from mapreduce.data.formats.lines import ReadPairs, ReadText, WriteText
from mapreduce.data.formats.options import name_of, parse
from mapreduce.data.formats.parquet import ReadParquet, WriteParquet
from mapreduce.data.formats.pickled import ReadPickle, WritePickle
from mapreduce.data.formats.raw import WriteRaw
from mapreduce.data.formats.tab_separated import ReadTsv, WriteTsv
from mapreduce.data.formats.whole import ReadWhole

__all__ = [
    "Batch",
    "Encoder",
    "ReadFormat",
    "WriteFormat",
    "decode_output",
    "encode",
    "reading",
    "reading_back",
    "writing",
]

INPUT_FORMATS: Mapping[str, type[ReadFormat]] = {
    "text": ReadText,
    "pairs": ReadPairs,
    "csv": ReadCsv,
    "tsv": ReadTsv,
    "jsonlines": ReadJsonLines,
    "pickle": ReadPickle,
    "whole": ReadWhole,
    "fixed": ReadFixed,
    "parquet": ReadParquet,
}
OUTPUT_FORMATS: Mapping[str, type[WriteFormat]] = {
    "text": WriteText,
    "csv": WriteCsv,
    "tsv": WriteTsv,
    "jsonlines": WriteJsonLines,
    "pickle": WritePickle,
    "raw": WriteRaw,
    "parquet": WriteParquet,
}


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
