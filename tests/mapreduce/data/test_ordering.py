"""Keys, groups and values come in the order the job asks for, from memory and from merged runs."""

import itertools
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mapreduce.api import Pair
from mapreduce.data.ordering import Ordering
from mapreduce.data.portable_hash import partition_of
from mapreduce.data.shuffle import Collector, Piece, grouped, runs
from mapreduce.errors import BadPair

Groups = list[tuple[Any, list[Any]]]


def shuffled(
    maps: Sequence[Sequence[Pair]],
    ordering: Ordering,
    scratch: Path,
    *,
    map_memory: int = 1 << 20,
    reduce_memory: int = 1 << 20,
) -> list[Groups]:
    """What the reducers of two partitions see."""
    stored: dict[tuple[int, int, int, int], bytes] = {}
    pieces: list[Piece] = []
    for index, pairs in enumerate(maps):

        def put(partition: int, run: int, block: int, data: bytes, index: int = index) -> None:
            stored[index, partition, run, block] = data

        collector = Collector(index, 1, 2, put, ordering=ordering, memory_bytes=map_memory)
        collector.collect(pairs)
        pieces += collector.finish()
    random.Random(1).shuffle(pieces)

    def fetch(wanted: Sequence[tuple[Piece, int]]) -> list[bytes | None]:
        return [stored[p.map_index, p.partition, p.run, block] for p, block in wanted]

    return [
        [
            (key, list(values))
            for key, values in grouped(
                [piece for piece in pieces if piece.partition == partition],
                fetch,
                scratch=scratch,
                ordering=ordering,
                memory_bytes=reduce_memory,
            )
        ]
        for partition in range(2)
    ]


def evaluated(maps: Sequence[Sequence[Pair]], ordering: Ordering) -> list[Groups]:
    """The same, one plain step after the other."""
    values_of: defaultdict[Any, list[Any]] = defaultdict(list)
    for key, value in itertools.chain.from_iterable(maps):
        values_of[key].append(value)
    parts: list[Groups] = []
    for partition in range(2):
        group_key = ordering.group_key or (lambda key: key)
        keys = [key for key in values_of if partition_of(group_key(key), 2) == partition]
        keys.sort(key=ordering.rank, reverse=ordering.descending)
        groups: dict[Any, list[Any]] = {}
        for key in keys:
            values = values_of[key]
            if ordering.sort_values:
                values = sorted(values, key=ordering.value_rank)
            groups.setdefault(group_key(key), []).extend(values)
        parts.append(list(groups.items()))
    return parts


def without_case(key: Any) -> str:
    return key.lower() if isinstance(key, str) else ""


def first_of_tuple(key: Any) -> Any:
    return key[0] if isinstance(key, tuple) else key


keys = st.sampled_from(
    ["a", "b", "B", "A", "é", 1, 1.0, True, 2, None, b"a", ("a", 1), ("a", 2), ("B", 3)]
)
maps = st.lists(
    st.lists(st.tuples(keys, st.sampled_from([1, 5, -3, "x", 2.5])), max_size=30), max_size=4
)
orderings = st.builds(
    Ordering,
    st.sampled_from([None, without_case]),
    st.booleans(),
    st.sampled_from([None, first_of_tuple]),
    st.sampled_from([False, True, str]),
)
memories = st.sampled_from([1, 3000, 1 << 20])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(maps, orderings, memories, memories)
def test_every_choice_gives_what_a_sequential_evaluation_gives(
    tmp_path: Path,
    given_maps: list[list[Pair]],
    ordering: Ordering,
    map_memory: int,
    reduce_memory: int,
) -> None:
    found = shuffled(
        given_maps, ordering, tmp_path, map_memory=map_memory, reduce_memory=reduce_memory
    )
    assert found == evaluated(given_maps, ordering)


@pytest.mark.parametrize("sort_values", [False, True])
@pytest.mark.parametrize("descending", [False, True])
def test_more_runs_than_are_merged_at_once_are_merged_in_passes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, descending: bool, sort_values: bool
) -> None:
    monkeypatch.setattr(runs, "FAN_IN", 3)
    ordering = Ordering(descending=descending, sort_values=sort_values)
    generator = random.Random(4)
    maps = [
        [(generator.randrange(9), generator.randrange(99)) for _ in range(20)] for _ in range(40)
    ]
    assert shuffled(maps, ordering, tmp_path, reduce_memory=1) == evaluated(maps, ordering)


def test_composite_keys_make_a_secondary_sort(tmp_path: Path) -> None:
    """As in Hadoop: the group is the user, and the values come in order of time."""
    maps = [[(("ann", 3), "c"), (("bo", 1), "x")], [(("ann", 1), "a"), (("ann", 2), "b")]]
    ordering = Ordering(group_key=lambda key: key[0])
    groups = [group for part in shuffled(maps, ordering, tmp_path) for group in part]
    assert sorted(groups) == [("ann", ["a", "b", "c"]), ("bo", ["x"])]


@dataclass(frozen=True)
class Plain:
    number: int


class Incomparable:
    def __init__(self, number: int) -> None:
        self.number = number

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Incomparable) and self.number == other.number

    def __hash__(self) -> int:
        return hash(self.number)

    def __repr__(self) -> str:
        return f"Incomparable({self.number})"


def test_objects_are_ordered_by_their_fields_or_a_sort_key(tmp_path: Path) -> None:
    plain = [Plain(2), Plain(10), Plain(1)]
    assert Ordering().sorted(plain) == [Plain(1), Plain(2), Plain(10)]
    strange = [Incomparable(2), Incomparable(10), Incomparable(1)]
    by_number = Ordering(sort_key=lambda key: key.number)
    assert [key.number for key in by_number.sorted(strange)] == [1, 2, 10]


def test_what_has_no_order_is_named_with_the_remedy() -> None:
    with pytest.raises(BadPair, match=r"Incomparable\(2\).*sort_key"):
        Ordering().sorted([Incomparable(2), Incomparable(1)])
    with pytest.raises(BadPair, match=r"the keys 1 and 'a' can't be compared: .*sort_key"):
        Ordering(sort_key=lambda key: key).sorted([1, "a"])
    with pytest.raises(BadPair, match=r"values can't be sorted: .*sort_values"):
        Ordering(sort_values=True).arranged([{"a": 1}, {"b": 2}])
