"""Splits cut no record and repeat none; formats give back what was written."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapreduce.api import Pair
from mapreduce.data import records
from mapreduce.data.inputs import Slice
from mapreduce.errors import BadRecord, JobError


class BytesReader:
    """A file in memory, read in blocks of any size."""

    def __init__(self, content: bytes, block_bytes: int = 1 << 20) -> None:
        self.content = content
        self.block_bytes = block_bytes

    def prepare(self, slices: Sequence[Slice]) -> None:
        pass

    def read(self, part: Slice, start: int, stop: int) -> Iterator[bytes]:
        stop = min(stop, len(self.content))
        for at in range(start, stop, self.block_bytes):
            yield self.content[at : min(at + self.block_bytes, stop)]


def read(
    content: bytes, cuts: Sequence[int] = (), block_bytes: int = 1 << 20, name: str = "text"
) -> list[Pair]:
    """All records of slices cut at `cuts`, which may be anywhere."""
    reader = BytesReader(content, block_bytes)
    borders = [0, *sorted(set(cuts) - {0, len(content)}), len(content)]
    found: list[Pair] = []
    for start, stop in itertools.pairwise(borders):
        part = Slice("file", start, stop, starts_record=start == 0)
        for batch in records.input_format(name).read(part, reader):
            pairs = list(batch.pairs)
            assert len(pairs) == batch.size
            found += pairs
    return found


def expected(content: bytes) -> list[Pair]:
    """The definition of the format, slowly."""
    found: list[Pair] = []
    position = 0
    while position < len(content):
        newline = content.find(b"\n", position)
        stop = len(content) if newline < 0 else newline
        line = content[position:stop]
        if newline >= 0 and line.endswith(b"\r"):
            line = line[:-1]
        found.append((position, line.decode()))
        position = stop + 1
    return found


texts = st.text(alphabet="ab é€😀\n\r\x0b\x85\u2028 \t", max_size=60).map(str.encode)


@given(texts, st.lists(st.integers(0, 120)), st.integers(1, 20))
def test_slices_give_each_line_once_wherever_they_are_cut(
    content: bytes, cuts: list[int], block_bytes: int
) -> None:
    cuts = [cut for cut in cuts if cut < len(content)]
    assert read(content, cuts, block_bytes) == expected(content)


def test_only_newlines_end_lines() -> None:
    assert read("a\x0bb\u2028c\x85d\re\n".encode()) == [(0, "a\x0bb\u2028c\x85d\re")]


def test_crlf_is_an_end_of_line_and_counts_in_positions() -> None:
    assert read(b"a\r\nb\r\n") == [(0, "a"), (3, "b")]


def test_a_line_longer_than_a_slice_belongs_to_where_it_begins() -> None:
    content = b"x" * 300_000 + b"\nend"
    assert read(content, [100_000, 200_000]) == [(0, "x" * 300_000), (300_001, "end")]


def test_other_bytes_than_utf8_are_refused_with_their_place() -> None:
    with pytest.raises(BadRecord, match=r"'file' is not UTF-8 at byte 6 \(ff"):
        read(b"fine\nb\xff\n", [3])


def test_or_replaced_if_the_job_says_so() -> None:
    pairs = read(b"a\xff\n\xe2\x82\nb\n", name="text:errors=replace")
    assert pairs == [(0, "a�"), (3, "�"), (6, "b")]


def test_unknown_formats_are_refused() -> None:
    with pytest.raises(JobError, match="no input format 'xml'; there are text"):
        records.input_format("xml")
    with pytest.raises(JobError, match="no output format 'xml'; there are text"):
        records.check_output_format("xml")


def encoded(name: str, pairs: Sequence[Pair]) -> bytes:
    blocks = list(records.encode(name, pairs))
    assert sum(count for _, count in blocks) == len(pairs)
    return b"".join(block for block, _ in blocks)


def test_text_output_is_key_tab_value() -> None:
    assert encoded("text", [("é", 1), ((1, 2), None)]) == "é\t1\n(1, 2)\tNone\n".encode()


def test_text_output_that_is_no_unicode_is_refused() -> None:
    with pytest.raises(BadRecord, match="can't be written as UTF-8"):
        encoded("text", [("\ud800", 1)])


@given(st.lists(st.tuples(st.text(), st.lists(st.integers() | st.none()))), st.integers(1, 50))
def test_pickles_come_back_as_they_were(pairs: list[Any], block_bytes: int) -> None:
    content = encoded("pickle", pairs)
    assert read(content, block_bytes=block_bytes, name="pickle") == pairs
    assert list(records.decode_output("pickle", [content], "part")) == pairs


@pytest.mark.parametrize("damage", [b"", b"\0\0\0", b"\0\0\0\1aaaab"])
def test_a_damaged_pickle_file_is_refused(damage: bytes) -> None:
    content = encoded("pickle", [("a", 1)])
    with pytest.raises(BadRecord, match="pickle"):
        read((content + damage) if damage else content[:-1], name="pickle")


def test_many_pairs_are_several_frames() -> None:
    pairs = [(number, str(number)) for number in range(10_000)]
    assert read(encoded("pickle", pairs), name="pickle", block_bytes=1000) == pairs


@pytest.mark.parametrize("name", ["text", "pickle"])
@pytest.mark.parametrize("bad", [5, "ab", ("a",), ("a", 1, 2)])
def test_what_is_no_pair_is_not_written(name: str, bad: Any) -> None:
    with pytest.raises(BadRecord, match="is no pair"):
        encoded(name, [("a", 1), bad])
