"""The same partition and order for a key everywhere."""

import math
import os
import pickle
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import PurePosixPath
from typing import NamedTuple
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapreduce.data.portable_hash import order, partition_of, portable_hash, sorted_keys


class Colour(Enum):
    RED = "r"
    BLUE = "b"


@dataclass(frozen=True)
class Place:
    name: str
    floor: int = 0
    note: str = field(default="", compare=False)


class Version(NamedTuple):
    major: int
    minor: int


class Name:
    """A key as people write them by hand."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.parts = text.split()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Name) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __lt__(self, other: "Name") -> bool:
        return self.text < other.text


IN_ROME = timezone(timedelta(hours=1))
EVERY_KIND = [
    "wal", b"wal", 1, 1.5, None, ("a", 1), frozenset(["x", "y", "z"]), Decimal("0.1"),
    Fraction(1, 3), 2j, date(2020, 2, 29), datetime(2020, 2, 29, 12), time(12), timedelta(days=2),
    datetime(2020, 2, 29, 12, tzinfo=IN_ROME), UUID(int=7), Colour.RED, Place("hall", 2),
    Version(3, 11), Name("ann lee"), Colour, (Colour.BLUE, Place("attic")), PurePosixPath("/a/b"),
]  # fmt: skip

plain_keys = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
)
keys = st.recursive(
    plain_keys,
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3),
    max_leaves=6,
)


@given(keys, keys)
def test_equal_keys_hash_equal_and_sort_equal(one: object, other: object) -> None:
    if one == other:
        assert portable_hash(one) == portable_hash(other)
    assert (order(one) == order(other)) == (one == other)


@given(st.frozensets(keys, max_size=6))
def test_the_order_is_total(some: frozenset[object]) -> None:
    assert sorted_keys(list(some)) == sorted_keys(list(some)[::-1])


@pytest.mark.parametrize(
    "equal",
    [
        (1, 1.0, True),
        (0, 0.0, -0.0, False),
        (2**70, float(2**70)),
        ((1, "a"), (1.0, "a"), (True, "a")),
        (frozenset([1, 2]), frozenset([2.0, 1.0])),
        (1, Decimal(1), Decimal("1.00"), Fraction(1), 1 + 0j),
        (0.5, Decimal("0.5"), Fraction(1, 2)),
        (math.inf, Decimal("Infinity")),
        (Version(3, 11), (3, 11)),
        (Place("hall", 1, "dark"), Place("hall", 1, "bright")),
        (datetime(2020, 1, 1, 12, tzinfo=IN_ROME), datetime(2020, 1, 1, 11, tzinfo=UTC)),
        (time(12, tzinfo=IN_ROME), time(11, tzinfo=UTC)),
        (Name("ann lee"), Name("ann lee")),
    ],
)
def test_keys_that_are_equal_go_to_one_partition(equal: tuple[object, ...]) -> None:
    assert len(set(equal)) == 1
    assert len({portable_hash(key) for key in equal}) == 1


def test_the_hash_does_not_depend_on_the_process() -> None:
    code = (
        "from tests.mapreduce.data.test_portable_hash import EVERY_KIND\n"
        "from mapreduce.data.portable_hash import portable_hash\n"
        "print([portable_hash(key) for key in EVERY_KIND])"
    )
    seeds = ["1", "2", "3"]
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in seeds
    }
    assert len(told) == 1


def test_keys_of_every_kind_differ_stay_themselves_in_a_pickle_and_have_an_order() -> None:
    assert len({portable_hash(key) for key in EVERY_KIND}) == len(EVERY_KIND)
    for key in EVERY_KIND:
        copy = pickle.loads(pickle.dumps(key))
        assert portable_hash(copy) == portable_hash(key)
    ordered = [key for key in EVERY_KIND if key != 2j and key is not Colour]
    assert set(sorted_keys(ordered)) == set(ordered)
    assert sorted_keys(ordered) == sorted_keys(ordered[::-1])


def test_what_equals_nothing_but_itself_and_what_has_no_portable_form_are_refused() -> None:
    class Bare:
        """Equal to nothing but itself."""

    with pytest.raises(TypeError, match=r"equals nothing but itself.*frozen dataclass"):
        portable_hash(Bare())
    with pytest.raises(TypeError, match=r"has no form that is the same.*partitioner"):
        portable_hash(re.compile("a"))


def test_keys_are_spread_over_the_partitions() -> None:
    counts = Counter(partition_of(f"word{number}", 7) for number in range(7000))
    assert set(counts) == set(range(7))
    assert max(counts.values()) < 2 * min(counts.values())


def test_keys_of_one_type_sort_as_python_sorts_them() -> None:
    assert sorted_keys(["b", "a", "é"]) == ["a", "b", "é"]
    assert sorted_keys([3, 2.5, True]) == [True, 2.5, 3]


@pytest.mark.parametrize("bad", [[1], {"a": 1}, object(), ("a", [1]), float("nan")])
def test_what_can_not_be_a_key_is_refused(bad: object) -> None:
    with pytest.raises(TypeError, match="can't be a key"):
        portable_hash(bad)
