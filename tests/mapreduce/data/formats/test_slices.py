"""Splits cut no record and repeat none, in any format that is cut at all."""

import json
import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mapreduce.api import Pair
from mapreduce.data.formats.tab_separated import _unescaped
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


def test_long_random_text_in_random_slices_and_blocks() -> None:
    chance = random.Random(20)
    for _ in range(5):
        lines = ["é€x "[chance.randrange(4)] * chance.choice([0, 3, 50, 9000]) for _ in range(99)]
        content = chance.choice(["\n", "\r\n"]).join(lines).encode()
        cuts = [chance.randrange(len(content)) for _ in range(40)]
        block_sizes = [chance.choice([1, 2, 100, 70_000]) for _ in range(5)] + [5000]
        assert read("text", content, cuts, block_sizes) == lines_of(content)


@given(texts, cuttings, sizes)
@example(b"", [], [1])
@example(b"\n", [], [1])
@example("€".encode(), [1, 2], [1])
@example(b"\r\n\r\n", [1, 2, 3], [1])
def test_lines(content: bytes, cuts: Sequence[int], block_sizes: Sequence[int]) -> None:
    assert read("text", content, cuts, block_sizes) == lines_of(content)


fields = st.text(alphabet='ab é€"\\\\Nt\t,;', max_size=4)
rows = st.lists(st.lists(fields, min_size=1, max_size=3))
ends = st.sampled_from(["\n", "\r\n"])


def table(rows: Sequence[Sequence[str]], delimiter: str, end: str, finished: bool) -> bytes:
    """Rows of fields in which the delimiter and quotes don't occur."""
    unsafe = str.maketrans("", "", delimiter + '"')
    lines = [delimiter.join(field.translate(unsafe) for field in row) for row in rows]
    return (end.join(lines) + (end if finished else "")).encode()


@pytest.mark.parametrize(
    ("name", "delimiter"),
    [
        ("tsv", "\t"),
        ("tsv:escapes=no", "\t"),
        ("csv:multiline=no", ","),
        ("csv:quotes=no:delimiter=semicolon", ";"),
    ],
)
@given(rows, ends, st.booleans(), cuttings, sizes)
def test_rows(
    name: str,
    delimiter: str,
    rows: list[list[str]],
    end: str,
    finished: bool,
    cuts: Sequence[int],
    block_sizes: Sequence[int],
) -> None:
    content = table(rows, delimiter, end, finished)
    wanted = [(at, line.split(delimiter)) for at, line in lines_of(content) if line]
    if name == "tsv":
        wanted = [(at, list(map(_unescaped, row))) for at, row in wanted]
    assert read(name, content, cuts, block_sizes) == wanted


@pytest.mark.parametrize("name", ["tsv:header=yes", "csv:header=yes:multiline=no"])
@given(st.integers(0, 6), st.booleans(), ends, cuttings, sizes)
def test_rows_below_a_header(
    name: str, count: int, bom: bool, end: str, cuts: Sequence[int], block_sizes: Sequence[int]
) -> None:
    delimiter = "\t" if "tsv" in name else ","
    names, values = ["é", "number"], [["€" * number, str(number)] for number in range(count)]
    content = ("\ufeff".encode() if bom else b"") + table([names, *values], delimiter, end, True)
    found = read(name, content, cuts, block_sizes)
    assert [value for _, value in found] == [dict(zip(names, row)) for row in values]
    assert [at for at, _ in found] == [at for at, _ in lines_of(content)][1:]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=4,
)


@given(st.lists(json_values, max_size=5), st.booleans(), ends, cuttings, sizes)
def test_json_lines(
    values: list[Any], ascii: bool, end: str, cuts: Sequence[int], block_sizes: Sequence[int]
) -> None:
    lines = [json.dumps(value, ensure_ascii=ascii) for value in values]
    content = end.join([*lines, "", " "]).encode("utf-8", "replace")
    wanted = [(at, json.loads(line)) for at, line in lines_of(content) if line.strip()]
    assert str(read("jsonlines", content, cuts, block_sizes)) == str(wanted)  # nan != nan


@given(st.integers(1, 9), st.binary(max_size=60), cuttings, sizes)
def test_records_of_fixed_size(
    size: int, data: bytes, cuts: Sequence[int], block_sizes: Sequence[int]
) -> None:
    content = data[: len(data) // size * size]
    wanted = [(at, content[at : at + size]) for at in range(0, len(content), size)]
    assert read(f"fixed:size={size}", content, cuts, block_sizes) == wanted


@given(texts, cuttings, sizes)
def test_pairs_in_lines(content: bytes, cuts: Sequence[int], block_sizes: Sequence[int]) -> None:
    wanted = [line.partition("\t")[::2] for _, line in lines_of(content)]
    assert read("pairs", content, cuts, block_sizes) == wanted


@given(st.lists(st.lists(st.tuples(st.integers(), st.binary()), max_size=3)), cuttings, sizes)
def test_frames(frames: list[list[Any]], cuts: Sequence[int], block_sizes: Sequence[int]) -> None:
    content = b"".join(encoded("pickle", frame) for frame in frames)
    assert read("pickle", content, cuts, block_sizes) == [p for frame in frames for p in frame]
