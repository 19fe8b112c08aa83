"""The ring: every key has its nodes, and for those that are down others stand in."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo.values.ring import Placement, Ring, claim, routing_part

MEMBERS = st.integers(1, 16).map(lambda count: [f"n{number}" for number in range(count)])
PARTITIONS = st.sampled_from((16, 32, 64))
N = st.integers(1, 5)


def ring_of(count: int, n: int = 3, partitions: int = 64) -> Ring:
    return Ring(claim([f"n{number}" for number in range(count)], partitions, n))


@pytest.mark.parametrize(
    ("key", "part"),
    [
        ("plain", "plain"),
        ("file:{4f2a:00003}:00007", "4f2a:00003"),
        ("a{}b", "a{}b"),
        ("a{b", "a{b"),
        ("a}b{c}", "c"),
        ("{x}{y}", "x"),
        ("{x", "{x"),
    ],
)
def test_the_first_braces_hold_the_routing_part(key: str, part: str) -> None:
    assert routing_part(key) == part


@given(MEMBERS, PARTITIONS, N, st.text())
def test_a_key_has_n_distinct_nodes_or_all_there_are(
    members: list[str], partitions: int, n: int, key: str
) -> None:
    ring = Ring(claim(members, partitions, n))
    nodes = ring.preference_list(key, n)
    assert len(nodes) == len(set(nodes)) == min(n, len(members))
    assert nodes[0] == ring.owners[ring.partition_of(key)]
    assert nodes == ring.partition_owners(ring.partition_of(key), n)
    assert ring.preference_list(f"other {{{key}}}", n) == nodes or not key or "}" in key


def test_the_place_of_a_key_is_fixed_for_ever() -> None:
    """Data on disk depends on it: a change of the hash needs a migration."""
    ring = ring_of(5)
    places = [ring.partition_of(key) for key in ("colour", "/books/emma.txt", "ключ")]
    assert places == [23, 18, 19]


def test_keys_spread_over_all_partitions() -> None:
    ring = ring_of(4)
    spread = Counter(ring.partition_of(f"key{number}") for number in range(6400))
    assert len(spread) == 64
    assert max(spread.values()) < 2 * 100


def test_owners_that_are_up_stand_for_themselves() -> None:
    ring = ring_of(5)
    everyone = ring.members
    owners = ring.preference_list("colour", 3)
    assert ring.placements("colour", 3, everyone) == [Placement(node) for node in owners]


def test_a_substitute_stands_in_for_each_owner_that_is_down() -> None:
    ring = ring_of(5)
    owners = ring.preference_list("colour", 3)
    up = set(ring.members) - {owners[1]}
    placed = ring.placements("colour", 3, up)
    assert [(place.hint_for or place.node) for place in placed] == list(owners)
    assert placed[1].node not in owners
    assert placed[1].hint_for == owners[1]


@given(
    st.lists(st.sampled_from("abcdefgh"), min_size=16, max_size=16), N, st.sets(st.integers(0, 7))
)
def test_a_walk_around_the_ring_decides_who_takes_part(
    owners: list[str], n: int, down: set[int]
) -> None:
    ring = Ring(tuple(owners))
    partition = ring.partition_of("colour")
    walk = list(dict.fromkeys(owners[partition:] + owners[:partition]))
    up = {node for number, node in enumerate("abcdefgh") if number not in down}
    rest = iter([node for node in walk[n:] if node in up])
    expected = [
        Placement(node) if node in up else Placement(next(rest, ""), hint_for=node)
        for node in walk[:n]
    ]
    assert ring.preference_list("colour", n) == tuple(walk[:n])
    assert list(ring.walk("colour")) == walk
    for _ in range(2):  # what was walked once is known the second time
        assert ring.placements("colour", n, up) == [place for place in expected if place.node]
    for count in (n, 8, 1, n + 1):
        assert ring.partition_owners(partition, count) == tuple(walk[:count])


def test_with_too_few_nodes_up_the_list_is_short_and_names_nobody_twice() -> None:
    ring = ring_of(4)
    owners = ring.preference_list("colour", 3)
    placed = ring.placements("colour", 3, {owners[0]})
    assert placed == [Placement(owners[0])]
    substitute = next(node for node in ring.members if node not in owners)
    assert ring.placements("colour", 3, {substitute}) == [Placement(substitute, owners[0])]
    assert ring.placements("colour", 3, set()) == []


def test_what_can_be_no_ring_is_refused() -> None:
    with pytest.raises(ValueError, match="power of two"):
        Ring(("a", "b", "c"))
    with pytest.raises(ValueError, match="power of two"):
        Ring(())
