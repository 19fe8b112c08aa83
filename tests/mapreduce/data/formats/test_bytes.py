"""Whole files, records of fixed size, raw bytes."""

from typing import Any

import pytest

from mapreduce.data import formats
from mapreduce.errors import BadRecord, JobError
from tests.mapreduce.data.formats.reads import decoded, encoded, read


def test_a_whole_file_is_one_record() -> None:
    content = "é\r\n\n€".encode()
    assert read("whole", content, block_sizes=[1]) == [("file", "é\r\n\n€")]
    assert read("whole:bytes=yes", b"\xff\n") == [("file", b"\xff\n")]
    assert read("whole:errors=ignore", b"a\xff") == [("file", "a")]
    assert not formats.reading("whole").splittable
    with pytest.raises(BadRecord, match=r"'file', byte 2: not UTF-8"):
        read("whole", b"ab\xff", block_sizes=[1])


def test_records_larger_than_blocks_and_slices() -> None:
    content = b"".join(bytes([number]) * 100_000 for number in range(3))
    found = read("fixed:size=100000", content, [10, 99_999, 100_000, 250_000], [1000])
    assert [(at, set(data)) for at, data in found] == [(0, {0}), (100_000, {1}), (200_000, {2})]


@pytest.mark.parametrize("cuts", [[], [2], [9]])
def test_a_file_that_is_no_multiple_of_the_size_is_refused(cuts: list[int]) -> None:
    with pytest.raises(BadRecord, match="'file', byte 8: the file ends after 3 of the 4 bytes"):
        read("fixed:size=4", b"x" * 11, cuts, [3])


@pytest.mark.parametrize("name", ["fixed", "fixed:size=0", "fixed:size=-1", "fixed:size=many"])
def test_the_size_is_given_and_at_least_one(name: str) -> None:
    with pytest.raises(JobError, match="size"):
        formats.reading(name)


def test_raw_output_is_the_values() -> None:
    pairs: list[Any] = [("a", b"\xff"), (None, bytearray(b"\n")), (1, b"")]
    assert encoded("raw", pairs) == b"\xff\n"
    with pytest.raises(BadRecord, match=r"the pair \('a', 'text'\) is not bytes.*value.encode"):
        encoded("raw", [("b", b""), ("a", "text")])
    with pytest.raises(JobError, match="raw has no records to read back"):
        decoded("raw", b"\xff")
