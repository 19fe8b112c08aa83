"""Sorted files become the reducers' files: by bytes, each key in one of them, in bounded memory."""

import random
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapreduce.jsonwire import grouping
from mapreduce.jsonwire.grouping import deal_keys

LINES = st.lists(st.text(alphabet="ab\t\x01 \xe9", max_size=5).map(str.encode), max_size=30)


def key_of(line: bytes) -> bytes:
    return line.partition(b"\t")[0]


def hands(lines: list[bytes], count: int) -> list[list[bytes]]:
    dealt: list[list[bytes]] = [[] for _ in range(count)]
    for hand, line in deal_keys([line + b"\n" for line in lines], count):
        dealt[hand].append(line.removesuffix(b"\n"))
    return dealt


@given(LINES, st.integers(1, 4))
def test_all_lines_of_a_key_go_to_one_hand_and_keys_are_dealt_evenly(
    lines: list[bytes], count: int
) -> None:
    dealt = hands(sorted(lines), count)
    assert sorted(line for hand in dealt for line in hand) == sorted(lines)
    assert all(hand == sorted(hand) for hand in dealt)
    places = defaultdict(set)
    for place, hand in enumerate(dealt):
        for line in hand:
            places[key_of(line)].add(place)
    assert all(len(places) == 1 for places in places.values())
    keys = [len({key_of(line) for line in hand}) for hand in dealt]
    assert max(keys) - min(keys) <= 1


def test_a_key_without_a_tab_is_the_same_as_with_one_though_others_stand_between() -> None:
    assert hands([b"a", b"a\x01", b"a\x01\t1", b"a\t1", b"b"], 3) == [
        [b"a", b"a\t1"],
        [b"a\x01", b"a\x01\t1"],
        [b"b"],
    ]


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Groups files of these bytes, and gives what is in the reducers' files."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scratch").mkdir()

    def call(count: int, *contents: bytes) -> list[bytes]:
        names = [f"sorted_{i}" for i in range(len(contents))]
        for name, content in zip(names, contents):
            Path(name).write_bytes(content)
        groups = [f"input_{i}" for i in range(count)]
        grouping.group(names, groups, "scratch")
        return [Path(name).read_bytes() for name in groups]

    return call


def test_files_are_merged_and_dealt(group) -> None:
    assert group(2, b"a\t1\nc\t1\n", b"a\t2\nb\t1\n") == [b"a\t1\na\t2\nc\t1\n", b"b\t1\n"]


def test_more_reducers_than_keys_leave_empty_files(group) -> None:
    assert group(3, b"a\t1\n") == [b"a\t1\n", b"", b""]
    assert group(2) == [b"", b""]
    assert group(2, b"", b"") == [b"", b""]


def test_the_order_is_that_of_bytes_and_not_of_a_locale(group, monkeypatch) -> None:
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    lines = ["B\t1", "a\t1", "b\t1", "é\t1", "\U0001f600\t1"]
    data = "".join(f"{line}\n" for line in lines).encode()
    assert group(1, data) == [data]


def test_what_a_worker_has_sorted_in_another_order_is_sorted_again(group) -> None:
    as_in_a_locale = b"a\t1\nB\t1\nb\t1\n"
    assert group(1, as_in_a_locale, b"B\t2\na\t2\n") == [b"B\t1\nB\t2\na\t1\na\t2\nb\t1\n"]


def test_a_last_line_without_an_end_stays_a_line(group) -> None:
    assert group(1, b"a\t1", b"b\t1") == [b"a\t1\nb\t1\n"]


def test_more_reducers_than_files_may_be_open_at_once(group, monkeypatch) -> None:
    monkeypatch.setattr(grouping, "BUFFER_BYTES", 5000)
    lines = [b"%05d\t1\n" % i for i in range(3000)]
    random.Random(1).shuffle(lines)
    contents = [b"".join(sorted(lines[i::4])) for i in range(4)]
    given = group(1500, *contents)
    assert given == [b"%05d\t1\n%05d\t1\n" % (i, i + 1500) for i in range(1500)]


def test_a_file_that_can_t_be_read_is_an_error_that_names_the_command(group, tmp_path) -> None:
    (tmp_path / "sorted_0").mkdir()
    with pytest.raises(OSError, match=r"sort.*exit status"):
        grouping.group(["sorted_0"], ["input_0"], "scratch")
