"""JSON lines: what other programs write is read, and what is none is named."""

import datetime
from typing import Any

import pytest

from mapreduce.errors import BadRecord
from tests.mapreduce.data.formats.reads import decoded, encoded, read


def test_values_come_with_the_positions_of_their_lines() -> None:
    content = '{"é": [1, null]}\r\n\n  \n"x"\n 12345678901234567890123 '.encode()
    wanted = [(0, {"é": [1, None]}), (23, "x"), (27, 12345678901234567890123)]
    assert read("jsonlines", content) == wanted


def test_what_only_some_programs_write_is_read_too() -> None:
    content = '\ufeff1\n[NaN, Infinity]\n"\\ud800"\n1e999\n'.encode()
    assert str(read("jsonlines", content)) == str(
        [(0, 1), (5, [float("nan"), float("inf")]), (21, "\ud800"), (30, float("inf"))]
    )


@pytest.mark.parametrize("block_size", [3, 1 << 20])
@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"é": oops}', "byte 6: no JSON value: Expecting value at byte 13; the line is .*oops"),
        ("1 2", "byte 6: no JSON value: Extra data at byte 8"),
        ("[" * 100_000, "byte 6: no JSON value: "),
        ("1" * 5000, "byte 6: no JSON value: "),
    ],
)
def test_a_bad_line_is_refused_with_its_place(line: str, says: str, block_size: int) -> None:
    with pytest.raises(BadRecord, match="'file', " + says) as caught:
        read("jsonlines", f'"é"\n\n{line}\n3\n'.encode(), block_sizes=[block_size])
    assert len(str(caught.value)) < 400


def test_other_bytes_than_utf8_are_refused_or_treated_as_the_job_says() -> None:
    content = b'"a"\n"\xff"\n'
    with pytest.raises(BadRecord, match=r"'file', byte 5: not UTF-8 \(ff"):
        read("jsonlines", content, block_sizes=[2])
    assert read("jsonlines:errors=replace", content) == [(0, "a"), (4, "\ufffd")]


def test_arrays_as_pairs() -> None:
    assert read("jsonlines:pairs=yes", b'["a", 1]\n[[1, 2], null]\n') == [("a", 1), ([1, 2], None)]
    with pytest.raises(BadRecord, match=r"byte 6: with pairs=yes a line is an array .*, not \[1\]"):
        read("jsonlines:pairs=yes", b"[1,2]\n[1]\n")


def test_output_is_an_array_of_key_and_value() -> None:
    pairs: list[Any] = [("é", {"a": [1.5, None, True]}), ((1, "x"), datetime.date(2024, 5, 1))]
    content = '["é",{"a":[1.5,null,true]}]\n[[1,"x"],"2024-05-01"]\n'.encode()
    assert encoded("jsonlines", pairs) == content
    assert decoded("jsonlines", content) == [
        ("é", {"a": [1.5, None, True]}),
        ([1, "x"], "2024-05-01"),
    ]
    assert encoded("jsonlines:keys=no", [("a", 1), ("b", None)]) == b"1\nnull\n"
    assert decoded("jsonlines:keys=no", b"1\nnull\n") == [(0, 1), (2, None)]


@pytest.mark.parametrize("bad", [object(), {(1, 2): 3}, "\ud800", 1j])
def test_what_json_can_not_hold_is_refused_with_its_pair(bad: Any) -> None:
    with pytest.raises(BadRecord, match=r"the pair \('bad', .* can't be written as JSON: .*pickle"):
        encoded("jsonlines", [("a", 1), ("bad", bad)])
