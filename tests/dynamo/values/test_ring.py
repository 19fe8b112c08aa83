"""The ring: every key has its nodes, shares are even, little moves."""

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


@given(MEMBERS, PARTITIONS, N)
def test_shares_differ_by_one_at_most(members: list[str], partitions: int, n: int) -> None:
    owned = Counter(claim(members, partitions, n))
    assert set(owned) == set(members)
    assert max(owned.values()) - min(owned.values()) <= 1


@pytest.mark.parametrize("count", range(4, 17))
def test_in_a_new_ring_neighbours_within_n_differ(count: int) -> None:
    owners = ring_of(count, n=3).owners
    for place, owner in enumerate(owners):
        assert owner not in (owners[(place + 1) % 64], owners[(place + 2) % 64])


@given(MEMBERS, MEMBERS, PARTITIONS)
def test_nothing_moves_that_need_not(before: list[str], after: list[str], partitions: int) -> None:
    present = claim(before, partitions, 3)
    changed = claim(after, partitions, 3, present)
    kept_shares = Counter(present) & Counter(changed)
    moved = sum(old != new for old, new in zip(present, changed))
    assert moved == partitions - kept_shares.total()


def test_the_present_table_is_kept_when_nothing_changes() -> None:
    present = claim(["a", "b", "c"], 16, 3)
    assert claim(["c", "a", "b"], 16, 3, present) == present


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
    with pytest.raises(ValueError, match="at least one member"):
        claim([], 8, 3)
    with pytest.raises(ValueError, match="9 members can't share 8"):
        claim([str(number) for number in range(9)], 8, 3)
