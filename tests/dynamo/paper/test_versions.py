"""Sections 4.1 to 4.4: the interface, the ring, who holds a key, versions."""

from collections import Counter

from dynamo.protocol.messages import CopyStored, Put, PutDone, StoreCopy
from dynamo.store import MemoryStore
from dynamo.values.claim import claim
from dynamo.values.cluster import found
from dynamo.values.ring import Ring
from dynamo.values.versions import EMPTY, NOTHING_SEEN, Dot, join, reconcile, seen, update
from tests.dynamo.protocol.bench import Bench, key_owned_by, receivers, ring_of

FIVE = ["n1", "n2", "n3", "n4", "n5"]

D1 = update(EMPTY, NOTHING_SEEN, "x", b"D1", 1.0)
D2 = update(D1, D1.context, "x", b"D2", 2.0)
D3 = update(D2, D2.context, "y", b"D3", 3.0)
D4 = update(D2, D2.context, "z", b"D4", 4.0)
"""The versions of figure 3, as the servers Sx, Sy and Sz hold them."""


# 4.1 System interface ----------------------------------------------------------------------------


def test_get_returns_all_conflicting_versions_with_one_context() -> None:
    """4.1: get(key) returns one object, or a list of those in conflict, together with a context."""
    store = MemoryStore()
    store.put("cart", b"book", context=NOTHING_SEEN)
    store.put("cart", b"lamp", context=NOTHING_SEEN)
    reading = store.get("cart")
    assert set(reading.values) == {b"book", b"lamp"}
    assert reading.context


def test_put_replaces_what_its_context_has_seen() -> None:
    """4.1, 4.4: put(key, context, object): the context says which version is being updated."""
    store = MemoryStore()
    store.put("cart", b"book")
    store.put("cart", b"book, lamp", context=store.get("cart").context)
    assert store.get("cart").values == (b"book, lamp",)


def test_put_without_a_context_replaces_what_is_older_and_nothing_newer() -> None:
    """4.1: a put has a context. Here it may have none; it then replaces what was written before it.

    As a put that has seen nothing it would be one more sibling each time, and a program that never
    reads would pile them up without end.
    """
    blind = update(D1, None, "y", b"blind", written_at=2.0)
    assert blind.values == (b"blind",)
    assert set(update(blind, None, "z", b"delayed", written_at=1.5).values) == {
        b"blind",
        b"delayed",
    }


def test_the_hash_of_a_key_decides_who_holds_it() -> None:
    """4.1: a hash of the key makes an identifier, and that decides which nodes hold it.

    Here it is 64 bits of BLAKE2b, not 128 of MD5, and of the text in a key's first braces where
    there are any, so that keys which belong together lie together.
    """
    ring = ring_of(5, partitions=64)
    assert len({ring.partition_of(f"key{number}") for number in range(1000)}) == 64
    assert ring.preference_list("{cart7}:a", 3) == ring.preference_list("{cart7}:b", 3)


# 4.2 Partitioning --------------------------------------------------------------------------------


def test_a_node_that_joins_changes_nothing_between_the_others() -> None:
    """4.2: arrival of a node concerns those it takes from; the others keep what they have."""
    before = claim(FIVE, 64, 3)
    after = claim([*FIVE, "n6"], 64, 3, present=before)
    assert {new for old, new in zip(before, after) if old != new} == {"n6"}


def test_a_node_has_many_places_on_the_ring() -> None:
    """4.2: each node is assigned to multiple points, so that load is even."""
    shares = Counter(claim(FIVE, 64, 3))
    assert sorted(shares.values()) == [12, 13, 13, 13, 13]


def test_who_goes_leaves_its_load_to_many() -> None:
    """4.2: the load of a node that is gone is dispersed over those that remain."""
    before = claim(FIVE, 64, 3)
    after = claim(FIVE[1:], 64, 3, present=before)
    takers = {new for old, new in zip(before, after) if old == "n1"}
    assert takers == {"n2", "n3", "n4", "n5"}


def test_all_nodes_have_equal_shares() -> None:
    """4.2: a node's number of places may follow its capacity. Here all have equal shares, within
    one partition: what a plan says is then easy to check."""
    shares = Counter(claim([f"n{number}" for number in range(7)], 64, 3)).values()
    assert max(shares) - min(shares) <= 1


# 4.3 Replication ---------------------------------------------------------------------------------


def test_a_key_is_held_by_its_coordinator_and_the_next_nodes_around_the_ring() -> None:
    """4.3: the coordinator replicates a key at the N-1 successors around the ring."""
    ring = Ring(("n1", "n2", "n3", "n4"))
    assert ring.partition_owners(0, 3) == ("n1", "n2", "n3")
    assert ring.partition_owners(3, 3) == ("n4", "n1", "n2")


def test_a_preference_list_names_distinct_nodes() -> None:
    """4.3: it skips positions in the ring, so that it holds only distinct nodes."""
    ring = Ring(("n1", "n1", "n2", "n1", "n2", "n3", "n1", "n2"))
    assert ring.partition_owners(0, 3) == ("n1", "n2", "n3")


def test_a_preference_list_reaches_beyond_n_nodes() -> None:
    """4.3: to account for failures, it contains more than N nodes."""
    assert sorted(ring_of(5).walk("cart")) == FIVE


def test_every_node_can_determine_every_preference_list() -> None:
    """4.3: each node can determine which nodes should be in the list for any key."""
    addresses = {name: f"{name}.example:7401" for name in FIVE}
    here = found(addresses, 64, 3).table.reading
    there = found(dict(reversed(addresses.items())), 64, 3).table.reading
    keys = [f"key{number}" for number in range(50)]
    assert [here.preference_list(key, 3) for key in keys] == [
        there.preference_list(key, 3) for key in keys
    ]


# 4.4 Data versioning -----------------------------------------------------------------------------


def test_a_put_is_answered_before_all_replicas_have_it() -> None:
    """4.4: updates are propagated to all replicas asynchronously."""
    bench = Bench()
    sent = bench.hears(Put(7, "cart", b"book", None, 1.0))
    assert sorted(receivers(sent)) == ["n2", "n3"]
    [answer] = bench.hears(CopyStored(sent[0].message.id), sender="n2")
    assert isinstance(answer.message, PutDone)
    assert "n3" not in answer.message.nodes


def test_each_modification_is_a_new_and_immutable_version() -> None:
    """4.4: the result of each modification is a new version; the old one stays as it was."""
    assert D1.values == (b"D1",)
    assert D2.values == (b"D2",)
    assert D1.versions[0].dot != D2.versions[0].dot


def test_an_ancestor_is_forgotten() -> None:
    """4.4: syntactic reconciliation: what another version has seen whole is its ancestor."""
    assert reconcile([D1, D2]) == D2
    assert reconcile([D3, D1]) == D3


def test_branches_are_kept_for_the_client_to_reconcile() -> None:
    """4.4: versions on parallel branches need semantic reconciliation, so both are kept."""
    assert set(reconcile([D3, D4]).values) == {b"D3", b"D4"}


def test_a_client_collapses_branches() -> None:
    """4.4, figure 3: D5, written with the context of both branches, replaces both everywhere."""
    both = reconcile([D3, D4])
    assert both.context == {"x": 2, "y": 1, "z": 1}
    d5 = update(both, both.context, "x", b"D5", 5.0)
    assert d5.context == {"x": 3, "y": 1, "z": 1}
    assert reconcile([D1, D2, D3, D4, d5]) == d5


def test_a_context_says_of_each_actor_how_many_of_its_events_are_known() -> None:
    """4.4: a vector clock is a list of (node, counter) pairs.

    Here each version has a name of its own beside it, a dot, so two siblings that came through one
    node stay apart.
    """
    assert seen(D3.context, Dot("x", 2))
    assert not seen(D3.context, Dot("z", 1))
    beside = update(D1, NOTHING_SEEN, "x", b"beside", 2.0)
    assert set(beside.values) == {b"D1", b"beside"}


def test_clocks_are_never_cut_off() -> None:
    """4.4: beyond ten pairs the oldest is removed, at the risk of false siblings. Here none is:
    a context that forgets would bring back what was replaced."""
    copy = EMPTY
    for number in range(40):
        copy = update(copy, copy.context, f"n{number}", b"v", float(number))
    assert len(copy.context) == 40
    assert reconcile([copy, update(EMPTY, NOTHING_SEEN, "n0", b"old", 0.0)]).values == (b"v",)


def test_a_node_that_starts_again_is_another_actor() -> None:
    """4.4: clocks name servers. Here they name one life of one copy: a server on an old copy of its
    disk would use a count again, and its new write would pass for one that was replaced."""
    bench = Bench()
    bench.hears(Put(1, "cart", b"1", None, 1.0))
    before = bench.copy("cart").context
    bench.restart(incarnation=2)
    bench.hears(Put(2, "cart", b"2", None, 2.0))
    after = bench.copy("cart").context
    assert len(after) == 2
    assert join([before, after]) == after


def test_the_coordinator_makes_the_version_that_all_replicas_hold() -> None:
    """4.4, 4.5: the coordinator generates the clock and sends it along with the new version."""
    ring = ring_of(5)
    key = key_owned_by(ring, "n1", "n2", "n3")
    bench = Bench("n1", ring)
    sent = [e.message for e in bench.hears(Put(7, key, b"book", None, 1.0))]
    copies = [message.siblings for message in sent if isinstance(message, StoreCopy)]
    assert copies == [bench.copy(key)] * 2
