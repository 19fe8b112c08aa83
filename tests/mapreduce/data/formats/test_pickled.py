"""Frames of pickles: found from anywhere, and never mistaken."""

import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapreduce.data.formats.pickled import ESCAPED, MAGIC, MARK
from mapreduce.errors import BadRecord
from tests.mapreduce.data.formats.reads import decoded, encoded, read


@given(st.lists(st.tuples(st.text(), st.lists(st.integers() | st.none()))), st.integers(1, 50))
def test_pickles_come_back_as_they_were(pairs: list[Any], block_size: int) -> None:
    content = encoded("pickle", pairs)
    assert read("pickle", content, block_sizes=[block_size]) == pairs
    assert decoded("pickle", content) == pairs


def test_many_pairs_are_several_frames() -> None:
    pairs = [(number, str(number)) for number in range(10_000)]
    content = encoded("pickle", pairs)
    assert content.count(MAGIC) > 3
    assert read("pickle", content, block_sizes=[1000]) == pairs


@pytest.mark.parametrize("inside", [MAGIC, MARK, ESCAPED, MARK + MARK, encoded("pickle", [(1, 2)])])
def test_what_looks_like_a_frame_inside_data_is_data(inside: bytes) -> None:
    frames = [[(frame, inside)] for frame in range(3)]
    pieces = [encoded("pickle", pairs) for pairs in frames]
    content = b"".join(pieces)
    for cut in range(len(content)):
        assert read("pickle", content, [cut], [7]) == [(0, inside), (1, inside), (2, inside)]


@pytest.mark.parametrize("damage", [b"", b"\0\0\0", b"\0\0\0\1aaaab", MAGIC])
def test_a_damaged_pickle_file_is_refused(damage: bytes) -> None:
    content = encoded("pickle", [("a", 1)])
    with pytest.raises(BadRecord, match=r"'file', byte \d+: no whole frame of the format pickle"):
        read("pickle", (content + damage) if damage else content[:-1])


@pytest.mark.parametrize("cut", range(0, 100, 9))
def test_damage_is_never_skipped_wherever_slices_begin(cut: int) -> None:
    content = b"".join(encoded("pickle", [(number, "x")]) for number in range(3))
    for at in range(len(content)):
        damaged = bytearray(content)
        damaged[at] ^= 1
        with pytest.raises(BadRecord, match="pickle"):
            read("pickle", bytes(damaged), [cut])


def test_what_does_not_pickle_is_named() -> None:
    with pytest.raises(BadRecord, match=r"the pair \('lock', <unlocked .* can't be pickled"):
        encoded("pickle", [("a", 1), ("lock", threading.Lock())])


class Gone:
    """Its class does not exist any more where it is read."""


def test_what_does_not_load_names_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    content = encoded("pickle", [("a", Gone())])
    monkeypatch.delitem(globals(), "Gone")
    with pytest.raises(BadRecord, match=r"'file', byte 0: .* can't be loaded here: AttributeError"):
        read("pickle", content)
