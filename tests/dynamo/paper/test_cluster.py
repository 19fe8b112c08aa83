"""Sections 4.7 to 4.9 and 6.2: replicas that agree, who is a member, nodes that come and go."""

from collections import Counter
from dataclasses import replace

from dynamo.protocol.messages import CommitPlan, Gossip, Lost, Pong, StageChange
from dynamo.values.claim import claim
from dynamo.values.cluster import Change, Kind, Phase, commit, found, merge, stage
from dynamo.values.hashtree import HashTree, differing_children
from dynamo.values.moves import moves, warnings
from dynamo.values.ring import Ring
from tests.dynamo.protocol.bench import SETTINGS, Bench, cluster_of, key_owned_by, ring_of
from tests.dynamo.protocol.benches import Benches, version

RING = ring_of(4)
GOSSIPING = replace(SETTINGS, gossip_s=1.0)
JOIN = Change(Kind.JOIN, "n5", address="127.0.0.1:7405")


def tree(changed: int | None = None) -> HashTree:
    """A tree over 64 segments, one of which may be another."""
    made = HashTree(segments=64, width=8)
    for segment in range(64):
        made.put(segment, bytes([segment + (segment == changed)]) * 16)
    return made


# 4.7 Replica synchronisation ---------------------------------------------------------------------


def test_equal_roots_mean_that_nothing_needs_to_be_exchanged() -> None:
    """4.7: if the roots of two trees are equal, so are the leaves: nothing has to be exchanged."""
    assert tree().root == tree().root
    assert tree(changed=7).root != tree().root


def test_a_walk_goes_down_only_where_trees_differ() -> None:
    """4.7: branches are checked one by one; only those that differ are followed."""
    here, there = tree(), tree(changed=19)
    level1 = differing_children(here.children(0, [0]), there.children(0, [0]))
    assert level1 == [19 // 8]
    assert differing_children(here.children(1, level1), there.children(1, level1)) == [19]


def test_replicas_agree_again_without_a_read() -> None:
    """4.7: anti-entropy keeps replicas synchronised where hints were lost."""
    benches = Benches(3)
    benches.hold("cart", version("book"), "n1", "n2")
    benches.run(25.0)
    assert benches["n3"].copy("cart") == version("book")


def test_a_change_of_members_leaves_every_key_in_its_partition() -> None:
    """4.7: a tree for each key range has the drawback that ranges change when nodes join. Here
    ranges are partitions, which never change, so a tree outlives every change of the ring."""
    before = Ring(claim(["n1", "n2", "n3"], 64, 3))
    after = Ring(claim(["n1", "n2", "n3", "n4"], 64, 3, present=before.owners), epoch=2)
    keys = [f"key{number}" for number in range(100)]
    assert [*map(before.partition_of, keys)] == [*map(after.partition_of, keys)]


# 4.8 Membership and failure detection ------------------------------------------------------------


def test_a_failure_is_no_change_of_membership() -> None:
    """4.8.1: an outage rarely means a permanent departure, so it moves no partitions."""
    bench = Bench("n1", RING)
    before = bench.node.view.cluster
    bench.hears(Lost(99), sender="n2")
    assert bench.node.members.status()["n2"] is False
    assert bench.node.view.cluster == before


def test_any_member_takes_an_explicit_change() -> None:
    """4.8.1: an administrator connects to a node and issues the change; that node writes it down.

    Here it is first staged, for people to see what it would move, and then committed.
    """
    bench = Bench("n2", RING)
    bench.hears(StageChange(7, JOIN))
    assert bench.node.view.table.phase is Phase.STABLE
    bench.hears(CommitPlan(8, bench.node.view.table.rank))
    assert "n5" in bench.node.view.table.members
    bench.restart(incarnation=2)
    assert "n5" in bench.node.view.table.members  # it was on its disk


def test_gossip_spreads_a_change_to_who_did_not_know_it() -> None:
    """4.8.1: nodes that compare what they know reconcile it, and come to the same view."""
    benches = Benches(4, GOSSIPING)
    benches.send("n1", StageChange(7, JOIN))
    benches.run(5.0)
    assert [bench.node.view.table.staged for bench in benches.benches.values()] == [(JOIN,)] * 4


def test_histories_are_merged_alike_in_any_order() -> None:
    """4.8.1: membership histories of two nodes are reconciled; all views converge."""
    known = cluster_of(RING)
    one, two = stage(known, JOIN, "n1"), stage(known, Change(Kind.LEAVE, "n4"), "n2")
    assert merge(one, two) == merge(two, one)
    assert merge(merge(known, one), two) == merge(known, merge(one, two))


def test_each_second_a_node_compares_with_one_picked_at_random() -> None:
    """4.8.1: each node contacts a peer chosen at random every second."""
    benches = Benches(4, GOSSIPING)
    benches.run(30.0)
    asked = [e.receiver for e in benches.seen if isinstance(e.message, Gossip) and e.sender == "n1"]
    assert set(asked) == {"n2", "n3", "n4"}
    assert 25 <= len(asked) <= 35


def test_nodes_that_know_the_same_seeds_found_the_same_cluster() -> None:
    """4.8.2: seeds are known to all nodes, so that no ring stays divided. Here those that
    cluster.ini names make one table without asking anybody; an older cluster prevails."""
    seeds = {"n1": "a:7401", "n2": "b:7401", "n3": "c:7401"}
    assert found(seeds, 8, 3) == found(dict(reversed(seeds.items())), 8, 3)
    old = cluster_of(Ring(("n1", "n2", "n3", "n4", "n1", "n2", "n3", "n4")))
    assert merge(found(seeds, 8, 3), old).table == old.table


def test_who_does_not_answer_is_down_for_who_asked_and_for_nobody_else() -> None:
    """4.8.3: a purely local notion of failure suffices; nobody needs a global view of it."""
    benches = Benches(4, GOSSIPING)
    benches.drops = lambda e: {e.sender, e.receiver} == {"n1", "n2"}
    benches.run(20.0)
    assert benches["n1"].node.members.status() == {"n2": False, "n3": True, "n4": True}
    assert benches["n3"].node.members.status() == {"n1": True, "n2": True, "n4": True}


def test_who_is_down_is_asked_now_and_then_and_found_again() -> None:
    """4.8.3: a node that took another to be down retries it periodically."""
    bench = Bench("n1", RING)
    bench.hears(Lost(99), sender="n2")
    assert [bench.at(at)[0].receiver for at in (1.0, 2.0)] == ["n2", "n2"]
    bench.hears(Pong(1), sender="n2")
    assert bench.node.members.status()["n2"] is True


# 4.9 Adding and removing nodes, 6.2 Strategy 3 ----------------------------------------------------


def test_a_new_node_is_given_its_ranges_by_those_who_held_them() -> None:
    """4.9: existing nodes hand over keys of which they are no longer in charge, and no others."""
    before = Ring(claim(["n1", "n2", "n3", "n4"], 64, 3))
    after = Ring(claim(["n1", "n2", "n3", "n4", "n5"], 64, 3, present=before.owners), epoch=2)
    found_moves = moves(before, after, 3)
    assert {taker for move in found_moves for taker in move.takers} == {"n5"}
    assert all(set(move.givers) <= {"n1", "n2", "n3", "n4"} for move in found_moves)


def test_until_the_transfer_is_confirmed_the_old_owners_are_asked() -> None:
    """4.9: a confirmation round sees to it that the new node has what it is in charge of.

    Here reads go by the old owners until all new ones are ready and everybody knows; meanwhile a
    write needs a quorum of both.
    """
    table = commit(stage(cluster_of(RING), JOIN, "n1"), "n1").table
    assert table.phase is Phase.FILLING
    assert "n5" not in table.reading.members
    assert [("n5" in ring.members) for ring in table.writing] == [False, True]


def test_what_a_node_holds_and_should_not_goes_to_its_owners_and_is_dropped() -> None:
    """4.9: once the keys have been handed over, they are removed from who held them before."""
    benches = Benches(4)
    key = key_owned_by(benches.ring, "n1", "n2", "n3")
    benches.hold(key, version("book"), "n4")
    benches.run(60.0)
    assert [benches[name].copy(key) for name in ("n1", "n2", "n3")] == [version("book")] * 3
    assert benches.copies("n4") == {}


def test_the_hash_space_is_cut_into_equal_partitions() -> None:
    """6.2, strategy 3: Q partitions of one size; where they begin depends on no node."""
    ring = Ring(("n1",) * 64)
    counts = Counter(ring.partition_of(f"key{number}") for number in range(64_00))
    assert len(counts) == 64
    assert max(counts.values()) < 2 * 100


def test_each_of_s_nodes_owns_q_over_s_partitions_whoever_comes_and_goes() -> None:
    """6.2, strategy 3: a node that leaves gives its partitions to the others, one that joins takes
    from them, so that each has Q/S."""
    owners = claim(["n1", "n2", "n3", "n4"], 64, 3)
    for members in (["n1", "n2", "n3"], ["n1", "n2", "n3", "n5", "n6"]):
        owners = claim(members, 64, 3, present=owners)
        shares = Counter(owners)
        assert sorted(shares) == members
        assert max(shares.values()) - min(shares.values()) <= 1


def test_replicas_on_one_host_are_warned_of() -> None:
    """4.6: a preference list spans several data centres. Here a plan warns where two replicas would
    be on one host, and leaves it to who made the plan."""
    ring = Ring(claim(["n1", "n2", "n3", "n4"], 8, 3))
    one_host = {"n1": "a", "n2": "a", "n3": "b", "n4": "c"}
    assert warnings(ring, 3, one_host)
    assert warnings(ring, 3, {name: name for name in one_host}) == []
