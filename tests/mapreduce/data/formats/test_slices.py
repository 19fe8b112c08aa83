"""Splits cut no record and repeat none, in any format that is cut at all."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mapreduce.api import Pair
from tests.mapreduce.data.formats.reads import encoded, read

texts = st.text(alphabet="ab é€😀\n\r\x0b\x85\u2028 \t", max_size=60).map(str.encode)
cuttings = st.lists(st.integers(0, 250))
sizes = st.lists(st.integers(1, 20), min_size=1)


def lines_of(content: bytes) -> list[Pair]:
    """The definition of lines, slowly."""
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


@given(texts, cuttings, sizes)
@example(b"", [], [1])
@example(b"\n", [], [1])
@example("€".encode(), [1, 2], [1])
@example(b"\r\n\r\n", [1, 2, 3], [1])
def test_lines(content: bytes, cuts: Sequence[int], block_sizes: Sequence[int]) -> None:
    assert read("text", content, cuts, block_sizes) == lines_of(content)


@pytest.mark.parametrize("name", ["pairs"])
@given(texts, cuttings, sizes)
def test_what_is_in_lines(
    name: str, content: bytes, cuts: Sequence[int], block_sizes: Sequence[int]
) -> None:
    assert read(name, content, cuts, block_sizes) == read(name, content)


@given(st.lists(st.lists(st.tuples(st.integers(), st.binary()), max_size=3)), cuttings, sizes)
def test_frames(frames: list[list[Any]], cuts: Sequence[int], block_sizes: Sequence[int]) -> None:
    content = b"".join(encoded("pickle", frame) for frame in frames)
    assert read("pickle", content, cuts, block_sizes) == [p for frame in frames for p in frame]
