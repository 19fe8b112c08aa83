"""The names of formats, and what is said of wrong ones."""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mapreduce.data import formats
from mapreduce.data.codecs import decompressed
from mapreduce.data.slices import Slice
from mapreduce.errors import BadRecord, JobError
from tests.mapreduce.data.formats.reads import BytesReader, decoded, encoded


def test_unknown_formats_are_refused_with_what_there_is() -> None:
    with pytest.raises(JobError, match="no input format 'xml'; there are text, pairs"):
        formats.reading("xml")
    with pytest.raises(JobError, match="no output format 'xml'; there are text"):
        formats.writing("xml")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("text:colour=red", r"has no option 'colour=red'.*; it has errors=strict\|replace"),
        ("text:errors", "has no option 'errors'"),
        ("text:errors=strict:errors=strict", "has no option 'errors=strict' .once."),
        ("text:errors=maybe", "errors of the input format text is strict or replace or"),
        ("pickle:size=1", "it has none"),
    ],
)
def test_so_are_options_and_their_values(name: str, says: str) -> None:
    with pytest.raises(JobError, match=says):
        formats.reading(name)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("text", "pairs"),
        ("text:keys=no:compress=xz", "text"),
        ("csv:header=a,b:delimiter=colon", "csv:header=yes:pairs=yes:delimiter=colon"),
        ("tsv:errors=replace", "tsv:pairs=yes:errors=replace"),
        ("jsonlines", "jsonlines:pairs=yes"),
        ("pickle:compress=lz4", "pickle"),
        ("parquet:columns=a,b", "parquet:pairs=yes"),
    ],
)
def test_the_input_format_that_reads_an_output_back_has_a_name(written: str, read: str) -> None:
    assert formats.reading_back(written) == read
    assert formats.reading(read) == formats.writing(written).reads_back()


@pytest.mark.parametrize(
    ("name", "extension"),
    [
        ("text", ""),
        ("text:compress=gzip", ".gz"),
        ("csv", ".csv"),
        ("tsv:compress=bzip2", ".tsv.bz2"),
        ("jsonlines:compress=zstd", ".jsonl.zst"),
        ("pickle:compress=lz4", ".lz4"),
        ("raw:compress=xz", ".xz"),
        ("parquet:compress=zstd", ".parquet"),
    ],
)
def test_extensions(name: str, extension: str) -> None:
    assert formats.writing(name).extension == extension


@pytest.mark.parametrize("compress", ["no", "gzip", "bzip2", "xz", "zstd", "lz4"])
@pytest.mark.parametrize("name", ["text", "csv", "tsv", "jsonlines", "pickle", "raw"])
def test_every_output_format_is_written_in_every_codec(name: str, compress: str) -> None:
    pairs: list[Any] = [(str(at), b"x" if name == "raw" else "y") for at in range(5000)]
    content = encoded(f"{name}:compress={compress}", pairs)
    path = "file" + formats.writing(f"{name}:compress={compress}").extension
    assert b"".join(decompressed(path, [content])) == encoded(name, pairs)
    damaged = content[:-1] + (b"\xff" if compress == "no" else b"")
    if name != "raw":
        assert decoded(f"{name}:compress={compress}", content) == pairs
        with pytest.raises(BadRecord, match="'part-00000'"):
            decoded(f"{name}:compress={compress}", damaged)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("text", b"to\nbe\n"),
        ("pairs", b"to\t1\nbe\t2\n"),
        ("csv", b"to,1\nbe,2\n"),
        ("csv:header=yes", b"a,b\nto,1\nbe,2\n"),
        ("tsv:pairs=yes", b"to\t1\nbe\t2\n"),
        ("jsonlines", b"1\n2\n"),
        ("fixed:size=2", b"to" + b"be"),
        ("pickle", encoded("pickle", [("to", 1), ("be", 2)])),
        ("parquet", encoded("parquet", [("to", 1), ("be", 2)])),
    ],
)
def test_every_batch_says_which_record_was_taken_last(name: str, content: bytes) -> None:
    reads = formats.reading(name).read(Slice("file", 0, len(content)), BytesReader(content))
    [batch] = [batch for batch in reads if batch.size]
    assert batch.size == 2
    assert batch.current() is None
    for pair in batch.pairs:
        assert batch.current() == pair
    assert batch.current() == pair


@pytest.mark.parametrize("name", ["text", "csv", "tsv", "jsonlines", "pickle", "raw", "parquet"])
def test_large_pairs_are_encoded_few_at_a_time(name: str) -> None:
    encoder = formats.writing(name).encoder()
    letter: Any = b"x" if name in ("pickle", "raw") else "x"
    for count, length, following in [
        (encoder.next_pairs, 1, min(encoder.next_pairs * 8, 4096)),
        (4096, 1, 4096),
        (8, 1_000_000, 4),
        (1, 3_000_000, 1),
        (1, 1, 8),
    ]:
        encoder.add([(0, letter * length) for _ in range(count)])
        assert encoder.next_pairs == following


def table(title: str) -> Mapping[str, set[str]]:
    """The formats of a table in docs/formats.md, and the options in its last column."""
    text = Path(__file__).parents[4].joinpath("docs/formats.md").read_text("utf-8")
    section = text.partition(f"## {title}\n")[2].partition("| option |")[0]
    rows = re.findall(r"^\| `(\w+)` \|.*\|(.*)\|$", section, re.MULTILINE)
    return {name: set(re.findall(r"`(\w+)`", options)) for name, options in rows}


@pytest.mark.parametrize(
    ("title", "known"), [("Input", formats.INPUT_FORMATS), ("Output", formats.OUTPUT_FORMATS)]
)
def test_the_document_has_all_formats_and_options(title: str, known: Any) -> None:
    options = {name: {f.name for f in dataclasses.fields(kind)} for name, kind in known.items()}
    assert table(title) == options
