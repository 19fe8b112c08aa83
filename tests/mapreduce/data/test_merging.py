"""Parts that reducers have sorted become one sequence in order, whatever format they are in."""

import errno
import operator
import os
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapreduce.api import Pair
from mapreduce.data import formats, merging
from mapreduce.data.merging import Sorted
from mapreduce.data.portable_hash import partition_of, sorted_keys
from mapreduce.errors import JobError

PARTITIONS = 3


def written(pairs: Sequence[Pair], output_format: str) -> bytes:
    return b"".join(block for block, _ in formats.encode(output_format, pairs))


def in_order(parts: Sequence[Sequence[Pair]], output_format: str, descending: bool) -> list[Pair]:
    """The parts written in a format, read back and merged."""
    files = []
    for number, part in enumerate(parts):
        name, data = f"part-{number:05d}", written(part, output_format)
        files.append(Sorted(name, partial(formats.decode_output, output_format, [data], name)))
    way = merging.way_of(files, descending, texts=output_format in merging.TEXTS)
    return list(merging.merged(files, way, descending))


def parts_of(keys: set[Any], descending: bool) -> list[list[Pair]]:
    """What the reducers of a job give for these keys."""
    ordered = sorted_keys(keys)[:: -1 if descending else 1]
    partitions = [(key, partition_of(key, PARTITIONS)) for key in ordered]
    return [[(key, 1) for key, at in partitions if at == part] for part in range(PARTITIONS)]


words = st.text(st.characters(blacklist_characters="\t\n\r", blacklist_categories=["Cs"]))
plain = st.integers() | words
KEYS = {
    "texts": ("text", st.sets(st.from_regex(r"[a-z][a-z0-9é]*", fullmatch=True))),
    "ints as texts": ("text", st.sets(st.integers())),
    "floats as texts": ("tsv", st.sets(st.floats(-1e9, 1e9))),
    "ints and texts": ("pickle", st.sets(plain)),
    "tuples as lists": ("jsonlines", st.sets(st.tuples(st.integers(), words))),
    "anything": ("pickle", st.sets(st.none() | plain | st.binary() | st.tuples(plain, plain))),
}


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize(("output_format", "keys"), KEYS.values(), ids=KEYS.keys())
@settings(max_examples=15, deadline=None, database=None)
@given(data=st.data())
def test_what_reducers_have_sorted_comes_in_one_order(
    output_format: str, keys: st.SearchStrategy[Any], descending: bool, data: st.DataObject
) -> None:
    chosen = data.draw(keys)
    found = in_order(parts_of(chosen, descending), output_format, descending)
    one_part = [(key, 1) for key in sorted_keys(chosen)[:: -1 if descending else 1]]
    expected = formats.decode_output(output_format, [written(one_part, output_format)], "one")
    assert found == list(expected)


def test_equal_keys_come_in_order_of_their_parts() -> None:
    parts = [[("a", 1), ("b", 2)], [("a", 3), ("a", 4)]]
    values = [value for _, value in in_order(parts, "pickle", descending=False)]
    assert values == [1, 3, 4, 2]


def test_a_part_out_of_order_is_named_with_both_keys() -> None:
    with pytest.raises(JobError, match=r"part-00001 is not in order .*: 'b' comes behind 'c'"):
        in_order([[("a", 1)], [("c", 1), ("b", 1)]], "text", descending=False)


def test_no_more_than_one_pair_of_each_part_is_read_ahead() -> None:
    read: list[str] = []

    def part(name: str) -> Sorted:
        def pairs() -> Any:
            for number in range(10):
                read.append(name)
                yield (name, number), 0

        return Sorted(name, pairs)

    files = [part("a"), part("b")]
    found = merging.merged(files, merging.way_of(files))
    read.clear()
    assert [next(found)[0] for _ in range(3)] == [("a", 0), ("a", 1), ("a", 2)]
    assert (operator.countOf(read, "a"), operator.countOf(read, "b")) == (3, 1)


def test_of_many_files_few_are_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    read_now, most = 0, 0

    def pairs(number: int) -> Iterator[Pair]:
        nonlocal read_now, most
        read_now += 1
        most = max(most, read_now)
        yield from [(f"{number % 7}", number), (f"{number % 7 + 10}", number)]
        read_now -= 1

    numbers = range(2 * merging.AT_ONCE * merging.AT_ONCE)
    files = [Sorted(f"part-{number:05d}", partial(pairs, number)) for number in numbers]
    found = list(merging.merged(files, merging.way_of(files[:1])))
    assert found == sorted((key for n in numbers for key in pairs(n)), key=lambda p: int(p[0]))
    assert most <= merging.AT_ONCE
    assert list(tmp_path.iterdir()) == []


def test_a_local_disk_without_room_for_many_files_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(merging.pickle, "dump", full)
    files = [Sorted("part", lambda: iter([("a", 1)]))] * (merging.AT_ONCE + 1)
    with pytest.raises(JobError, match=r"No space left on device.*TMPDIR"):
        list(merging.merged(files, merging.way_of(files)))
    assert list(tmp_path.iterdir()) == []
