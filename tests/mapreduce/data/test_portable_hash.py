"""The same partition and order for a key everywhere."""

import os
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapreduce.data.portable_hash import order, partition_of, portable_hash, sorted_keys

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
    ],
)
def test_numbers_that_are_equal_go_to_one_partition(equal: tuple[object, ...]) -> None:
    assert len({portable_hash(key) for key in equal}) == 1


def test_the_hash_does_not_depend_on_the_process() -> None:
    code = (
        "from mapreduce.data.portable_hash import portable_hash as h;"
        "print(h('wal'), h(('a', 1)), h(frozenset(['x', 'y', 'z'])))"
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
