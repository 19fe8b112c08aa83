"""What a change of the ring moves, and what people are warned of."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo.values.claim import claim
from dynamo.values.moves import Move, moves, warnings
from dynamo.values.ring import Ring

OWNERS = st.lists(st.sampled_from("abcdef"), min_size=16, max_size=16).map(tuple)


@given(OWNERS, OWNERS, st.integers(1, 4))
def test_moves_lead_from_the_present_holders_to_those_of_the_target(
    before: tuple[str, ...], after: tuple[str, ...], n: int
) -> None:
    present, target = Ring(before), Ring(after)
    holders = {p: set(present.partition_owners(p, n)) for p in range(16)}
    found = moves(present, target, n)
    for move in found:
        assert move.takers or move.givers
        assert holders[move.partition] >= set(move.givers)
        assert not holders[move.partition] & set(move.takers)
        holders[move.partition] = holders[move.partition] - set(move.givers) | set(move.takers)
    assert holders == {p: set(target.partition_owners(p, n)) for p in range(16)}
    assert [move.partition for move in found] == sorted({move.partition for move in found})


def test_another_first_owner_of_the_same_nodes_moves_nothing() -> None:
    assert moves(Ring(("a", "b", "a", "b")), Ring(("b", "a", "b", "a")), n=2) == []


def test_a_partition_may_move_though_its_first_owner_stays() -> None:
    assert moves(Ring(("a", "b")), Ring(("a", "c")), n=2) == [
        Move(0, ("c",), ("b",)),
        Move(1, ("c",), ("b",)),
    ]


def test_with_more_members_than_before_some_only_take() -> None:
    assert moves(Ring(("a", "a")), Ring(("a", "b")), n=2) == [
        Move(0, ("b",), ()),
        Move(1, ("b",), ()),
    ]


def test_a_join_gives_the_new_member_its_part_of_all_replicas() -> None:
    names = [f"n{number}" for number in range(1, 9)]
    present = Ring(claim(names[:7], 64, 3))
    target = Ring(claim(names, 64, 3, present.owners))
    found = moves(present, target, 3)
    assert Counter(node for move in found for node in move.takers) == {"n8": 24}
    assert sum(len(move.givers) for move in found) == 24


def test_rings_of_different_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="has 2 partitions, the target 4"):
        moves(Ring(("a", "b")), Ring(("a", "b", "a", "b")), n=2)


# Warnings ----------------------------------------------------------------------------------------

RING = Ring(("a", "b", "c", "d"))


def test_a_good_ring_is_no_cause_for_warnings() -> None:
    assert warnings(RING, 3, {node: f"host-{node}" for node in "abcd"}) == []


def test_lists_shorter_than_n_are_warned_of() -> None:
    hosts = {"a": "h1", "b": "h2"}
    assert warnings(Ring(("a", "b")), 3, hosts) == [
        "every key has 2 replicas, not 3: only 2 members own partitions"
    ]
    assert warnings(Ring(("a",)), 2, {"a": "h1"}) == [
        "every key has 1 replica, not 2: only 1 member owns partitions"
    ]


def test_replicas_on_one_host_are_warned_of_with_how_many_and_where() -> None:
    hosts = {"a": "h1", "b": "h1", "c": "h2", "d": "h2"}
    assert warnings(RING, 2, hosts) == [
        "2 of 4 partitions have two or more replicas on one host though there are 2 hosts: "
        "partition 0 has 2 on h1"
    ]


def test_replicas_that_can_not_be_on_more_hosts_are_no_cause_for_warnings() -> None:
    assert warnings(RING, 3, dict.fromkeys("abcd", "the only host")) == []
    assert warnings(RING, 3, {"a": "h1", "b": "h2", "c": "h1", "d": "h2"}) == []


def test_a_host_without_any_partition_is_another_host_too() -> None:
    hosts = {"a": "h1", "b": "h1", "c": "h1", "d": "h1", "new": "h2"}
    shared, idle = warnings(RING, 3, hosts)
    assert shared.startswith("4 of 4 partitions have two or more replicas on one host")
    assert idle == "new owns no partition"
