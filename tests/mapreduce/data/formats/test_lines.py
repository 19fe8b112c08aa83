"""Lines of text, and what else is in lines."""

from typing import Any

import pytest

from mapreduce.data import formats
from mapreduce.data.slices import Slice
from mapreduce.errors import BadRecord
from tests.mapreduce.data.formats.reads import BytesReader, decoded, encoded, read


def test_only_newlines_end_lines() -> None:
    assert read("text", "a\x0bb\u2028c\x85d\re\n".encode()) == [(0, "a\x0bb\u2028c\x85d\re")]


def test_crlf_is_an_end_of_line_and_counts_in_positions() -> None:
    assert read("text", b"a\r\nb\r\n") == [(0, "a"), (3, "b")]


def test_a_line_longer_than_a_slice_belongs_to_where_it_begins() -> None:
    content = b"x" * 300_000 + b"\nend"
    assert read("text", content, [100_000, 200_000]) == [(0, "x" * 300_000), (300_001, "end")]


TEXT_FORMATS = ["text", "pairs"]


@pytest.mark.parametrize("name", TEXT_FORMATS)
@pytest.mark.parametrize("block_size", [2, 4, 1 << 20])
def test_other_bytes_than_utf8_are_refused_with_their_place(name: str, block_size: int) -> None:
    content = "ü\tne\n€\n".encode() + b"b\xff\n"
    with pytest.raises(BadRecord, match=r"'file', byte 11: not UTF-8 \(ff") as caught:
        read(name, content, [3], [block_size])
    assert "errors=replace" in str(caught.value)


def test_in_compressed_files_positions_are_those_of_the_content() -> None:
    with pytest.raises(BadRecord, match=r"byte 1 of its content"):
        read("text", b"b\xff\n", path="a.txt.gz")


@pytest.mark.parametrize(
    ("errors", "lines"),
    [
        ("replace", [(0, "a\ufffd"), (3, "\ufffd"), (6, "b")]),
        ("ignore", [(0, "a"), (3, ""), (6, "b")]),
        ("surrogateescape", [(0, "a\udcff"), (3, "\udce2\udc82"), (6, "b")]),
    ],
)
def test_or_treated_as_the_job_says(errors: str, lines: list[Any]) -> None:
    assert read(f"text:errors={errors}", b"a\xff\n\xe2\x82\nb\n") == lines


def test_bytes_read_with_surrogateescape_are_written_as_they_were() -> None:
    content = b"a\xff\n\xe2\x82\n"
    lines = read("text:errors=surrogateescape", content)
    assert encoded("text:errors=surrogateescape:keys=no", lines) == content


def test_pairs_are_cut_at_the_first_tab() -> None:
    content = b"a\t1\t2\r\nno tab\n\t\n"
    assert read("pairs", content) == [("a", "1\t2"), ("no tab", ""), ("", "")]


def test_text_output_is_key_tab_value() -> None:
    pairs = [("é", 1), ((1, 2), None)]
    assert encoded("text", pairs) == "é\t1\n(1, 2)\tNone\n".encode()
    assert decoded("text", encoded("text", pairs)) == [("é", "1"), ("(1, 2)", "None")]


def test_without_keys_it_is_lines() -> None:
    assert encoded("text:keys=no", [(0, "to"), (3, "be")]) == b"to\nbe\n"
    assert decoded("text:keys=no", b"to\nbe\n") == [(0, "to"), (3, "be")]


def test_text_output_that_is_no_unicode_is_refused_with_its_pair() -> None:
    with pytest.raises(BadRecord, match=r"of the pair \('b\\ud800', 1\) can't be written as UTF-8"):
        encoded("text", [("€", 1), ("b\ud800", 1)])


def test_a_batch_says_which_record_was_taken_last() -> None:
    content = "to\nbé\nor\n".encode()
    [batch] = formats.reading("text").read(Slice("file", 0, len(content)), BytesReader(content))
    assert batch.current() is None
    for pair in batch.pairs:
        assert batch.current() == pair
    assert batch.current() == (7, "or")


@pytest.mark.parametrize("name", ["text", "pickle"])
@pytest.mark.parametrize("bad", [5, "ab", ("a",), ("a", 1, 2)])
def test_what_is_no_pair_is_not_written(name: str, bad: Any) -> None:
    with pytest.raises(BadRecord, match="is no pair"):
        encoded(name, [("a", 1), bad])
