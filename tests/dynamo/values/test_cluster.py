"""Laws of the gossiped cluster: merging, changes and their phases."""

from collections.abc import Callable
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo.values.cluster import (
    Change,
    Cluster,
    Kind,
    Member,
    News,
    Phase,
    Rank,
    Seen,
    advance,
    all_have_seen,
    clear,
    commit,
    depart,
    found,
    merge,
    news,
    stage,
)

NAMES = ("n1", "n2", "n3", "n4")
CHANGES = [
    Change(Kind.JOIN, "n5", address="n5:1"),
    Change(Kind.LEAVE, "n2"),
    Change(Kind.REPLACE, "n3", by="n6", address="n6:1"),
    Change(Kind.REMOVE, "n4"),
    Change(Kind.REMOVE, "n2"),
]


def says(cluster: Cluster, *names: str, ready: bool = True) -> Cluster:
    """These nodes have seen the table, and are ready or not."""
    said = {name: Seen(cluster.table.rank, ready) for name in names}
    return cluster._replace(seen={**cluster.seen, **said})


def at_rest(names: tuple[str, ...] = NAMES, n: int = 3) -> Cluster:
    cluster = advance(says(found({name: f"{name}:1" for name in names}, 8, n), *names))
    return says(cluster, *names)


def begun(change: Change, cluster: Cluster | None = None, by: str = "n1") -> Cluster:
    return commit(stage(cluster or at_rest(), change, by), by)


def all_say(cluster: Cluster, *, ready: bool = True) -> Cluster:
    return advance(says(cluster, *cluster.table.live, ready=ready))


# Merging: of states that nodes can really come to ------------------------------------------------

Nodes = dict[str, Cluster]
Act = Callable[[Nodes, str, str, Change], Cluster]


def _start_again(nodes: Nodes, me: str, other: str, change: Change) -> Cluster:
    mine = nodes[me]
    if me not in mine.members:
        return mine
    member = mine.members[me]
    again = member._replace(version=member.version + 1, life=member.life + 7)
    return mine._replace(members={**mine.members, me: again})


def _say(nodes: Nodes, me: str, other: str, change: Change) -> Cluster:
    cluster = nodes[me]
    return advance(says(cluster, me) if me in cluster.table.live else cluster)


ACTS: list[Act] = [
    lambda nodes, me, other, change: merge(nodes[me], nodes[other]),
    lambda nodes, me, other, change: merge(nodes[me], nodes[other]),
    _say,
    _say,
    _start_again,
    lambda nodes, me, other, change: stage(nodes[me], change, me),
    lambda nodes, me, other, change: commit(nodes[me], me),
    lambda nodes, me, other, change: clear(nodes[me], me),
    lambda nodes, me, other, change: depart(nodes[me], me),
]


@st.composite
def reached(draw: st.DrawFn) -> list[Cluster]:
    """What some nodes know after doing and hearing this and that, in any order."""
    start = draw(st.sampled_from([at_rest(), found({name: f"{name}:1" for name in NAMES}, 8, 3)]))
    nodes = dict.fromkeys((*NAMES, "n5", "n6"), start)
    name = st.sampled_from(sorted(nodes))
    steps = st.tuples(st.sampled_from(ACTS), name, name, st.sampled_from(CHANGES))
    for act, me, other, change in draw(st.lists(steps, max_size=40)):
        known, act_of = nodes[me], act
        if me not in known.table.members and act_of not in ACTS[:2]:
            continue  # who is no member may listen, and nothing else
        try:
            nodes[me] = act_of(nodes, me, other, change)
        except ValueError:
            continue
    return list(nodes.values())


@given(reached(), st.randoms())
def test_whatever_nodes_tell_each_other_in_whatever_order_they_end_with_the_same(
    states: list[Cluster], random: object
) -> None:
    one, two, three = states[:3]
    assert merge(one, two) == merge(two, one)
    assert merge(one, merge(two, three)) == merge(merge(one, two), three)
    assert merge(one, one) == one
    assert merge(merge(one, two), two) == merge(one, two)
    assert reduce(merge, states) == reduce(merge, reversed(states))


@given(reached())
def test_nobody_goes_back(states: list[Cluster]) -> None:
    for one in states:
        assert advance(one).table.rank >= one.table.rank
        for other in states:
            merged = merge(one, other)
            assert merged.table.rank == max(one.table.rank, other.table.rank)
            for name, seen in merged.seen.items():
                assert seen >= one.seen.get(name, seen)


@given(reached())
def test_every_member_can_be_reached(states: list[Cluster]) -> None:
    for cluster in states:
        assert cluster.members.keys() == {*cluster.table.members}
        assert {*cluster.table.owners, *cluster.table.target} <= cluster.members.keys()


@given(reached())
def test_news_tell_another_all_that_it_lacks_and_nothing_else(states: list[Cluster]) -> None:
    for one in states:
        for known in states:
            merged = merge(one, known)
            difference = news(merged, known)
            assert merge(known, difference) == merged
            assert bool(difference) == (merged != known)
            if merged.table.rank == known.table.rank:
                assert difference.table is None


def test_what_is_told_of_a_node_that_is_no_member_is_forgotten() -> None:
    cluster = at_rest()
    stranger = News(None, {"n9": Member("n9:1", 3)}, {"n9": Seen(cluster.table.rank, True)})
    assert merge(cluster, stranger) == cluster


# Founding ----------------------------------------------------------------------------------------


def test_founders_of_one_configuration_found_the_same_cluster_each_by_itself() -> None:
    addresses = {name: f"{name}:1" for name in NAMES}
    backwards = dict(reversed(addresses.items()))
    assert found(addresses, 8, 3) == found(backwards, 8, 3)
    assert found(addresses, 8, 3).table.rank != found(addresses, 8, 2).table.rank
    moved = {**addresses, "n4": "elsewhere:1"}
    assert found(addresses, 8, 3).table.founding != found(moved, 8, 3).table.founding


def test_a_cluster_of_fewer_founders_wins() -> None:
    """A node that is new in the configuration would found a cluster that includes it."""
    old = found({name: f"{name}:1" for name in NAMES}, 8, 3)
    new = found({name: f"{name}:1" for name in (*NAMES, "n5")}, 8, 3)
    assert merge(new, old).table == merge(old, new).table == old.table


def test_any_cluster_that_has_begun_wins_over_one_that_is_being_founded() -> None:
    alone = found({"n5": "n5:1"}, 8, 3)
    assert merge(alone, at_rest()).table == at_rest().table


def test_a_cluster_begins_when_all_founders_have_met() -> None:
    cluster = found({name: f"{name}:1" for name in NAMES}, 8, 3)
    assert advance(says(cluster, "n1", "n2", "n3")).table.rank.epoch == 0
    assert advance(says(cluster, *NAMES)).table.rank == Rank(1)


def test_nothing_is_staged_before_all_founders_have_met() -> None:
    cluster = says(found({name: f"{name}:1" for name in NAMES}, 8, 3), "n1", "n3")
    with pytest.raises(ValueError, match="first nodes have not all met yet: n2, n4"):
        stage(cluster, CHANGES[0], "n1")


# A change and its phases -------------------------------------------------------------------------


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_a_change_goes_through_its_phases_and_ends(change: Change) -> None:
    filling = begun(change)
    old, new = filling.table.owners, filling.table.target
    assert filling.table.phase is Phase.FILLING
    assert filling.table.reading.owners == old
    assert [ring.owners for ring in filling.table.writing] == [old, new]
    switching = all_say(filling)
    assert switching.table.phase is Phase.SWITCHING
    assert switching.table.reading.owners == new
    assert [ring.owners for ring in switching.table.writing] == [old, new]
    stable = all_say(switching)
    assert stable.table.phase is Phase.STABLE
    assert stable.table.owners == new
    assert [ring.owners for ring in stable.table.writing] == [new]
    assert stable.table.rank.epoch == filling.table.rank.epoch + 2
    gone = change.node if change.kind is not Kind.JOIN else ""
    assert gone not in stable.table.owners
    assert (change.joins or "n1") in stable.table.owners
    assert all_say(stable) == says(stable, *stable.table.live)


def test_a_phase_waits_for_every_member_to_have_seen_the_one_before() -> None:
    filling = begun(CHANGES[0])
    assert not all_have_seen(filling)
    for absent in filling.table.live:
        others = [name for name in filling.table.live if name != absent]
        assert advance(says(filling, *others)).table == filling.table


def test_nobody_reads_of_new_owners_before_all_have_filled_up() -> None:
    filling = begun(CHANGES[0])
    waits = says(says(filling, *filling.table.live), "n5", ready=False)
    assert advance(waits).table == filling.table
    assert advance(says(waits, "n5")).table.phase is Phase.SWITCHING


def test_a_node_that_leaves_stays_a_member_until_it_departs() -> None:
    stable = all_say(all_say(begun(Change(Kind.LEAVE, "n2"))))
    assert "n2" in stable.table.members
    with pytest.raises(ValueError, match="a change is under way"):
        stage(stable, CHANGES[0], "n1")
    left = depart(stable, "n2")
    assert "n2" not in left.table.members
    assert left.table.rank > stable.table.rank
    assert "n2" not in left.members


def test_a_node_that_is_in_use_can_not_depart() -> None:
    for cluster in (at_rest(), begun(Change(Kind.LEAVE, "n2"))):
        with pytest.raises(ValueError, match="n2 is still in use"):
            depart(cluster, "n2")


# The dead ----------------------------------------------------------------------------------------


def test_the_dead_hold_nothing_up_and_are_refused_for_good() -> None:
    filling = begun(Change(Kind.REMOVE, "n4"))
    assert filling.table.removed == ("n4",)
    stable = all_say(all_say(filling))
    assert stable.table.phase is Phase.STABLE
    assert stable.table.members == ("n1", "n2", "n3")
    assert (stable.table.dead, stable.table.removed) == ((), ("n4",))


@pytest.mark.parametrize("phase", [Phase.FILLING, Phase.SWITCHING])
@pytest.mark.parametrize("name", ["n3", "n5"])
def test_a_removal_unblocks_the_change_under_way_and_is_carried_out_behind_it(
    phase: Phase, name: str
) -> None:
    cluster = begun(CHANGES[0])
    if phase is Phase.SWITCHING:
        cluster = all_say(cluster)
    target = cluster.table.target
    others = [other for other in cluster.table.live if other != name]
    assert advance(says(cluster, *others)).table == cluster.table
    removed = begun(Change(Kind.REMOVE, name), cluster)
    # One member may be a phase ahead, and read by the target: it must stay what it was.
    assert (removed.table.target, removed.table.phase) == (target, phase)
    while removed.table.target == target:
        removed = all_say(removed)
    assert removed.table.owners == target
    removed = all_say(removed)
    assert (removed.table.phase, removed.table.dead) == (Phase.FILLING, (name,))
    stable = all_say(all_say(removed))
    assert name not in (*stable.table.members, *stable.table.owners)
    assert stable.table.removed == (name,)


def test_a_removal_is_lost_where_a_member_was_a_phase_ahead_already() -> None:
    filling = begun(CHANGES[0])
    ahead = all_say(filling)
    removed = begun(Change(Kind.REMOVE, "n3"), filling)
    assert merge(removed, ahead).table == ahead.table
    again = begun(Change(Kind.REMOVE, "n3"), ahead)
    assert again.table.dead == ("n3",)


def test_of_two_changes_committed_at_once_one_is_seen_to_be_lost() -> None:
    one = begun(CHANGES[0], by="n1")
    other = begun(CHANGES[1], by="n2")
    both = merge(one, other)
    assert both.table == other.table
    assert both.table.rank != one.table.rank  # what the one who committed the other can tell by
    assert "n5" not in both.members
    assert both.table.staged == ()


def test_a_node_that_was_removed_may_join_again() -> None:
    stable = all_say(all_say(begun(Change(Kind.REMOVE, "n4"))))
    stable = says(stable, *stable.table.live)
    assert begun(Change(Kind.JOIN, "n4", address="n4:2"), stable).table.removed == ()


# What is refused, and why ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (Change(Kind.JOIN, "n1", address="n9:1"), "n1 is a member already; members: n1, n2, n3, n"),
        (Change(Kind.JOIN, "n5", address="n1:1"), "n1:1 is the address of n1"),
        (Change(Kind.JOIN, "n5"), "the address of n5 is missing"),
        (Change(Kind.LEAVE, "n9"), "n9 is no member; members: n1, n2, n3, n4"),
        (Change(Kind.REPLACE, "n9", by="n5", address="n5:1"), "n9 is no member"),
        (Change(Kind.REPLACE, "n2", by="n3", address="n5:1"), "n3 is a member already"),
        (Change(Kind.REMOVE, "n1"), "n1 answers, so it is not dead"),
    ],
    ids=str,
)
def test_a_change_that_can_not_be_made_is_refused(change: Change, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        stage(at_rest(), change, "n1")


def test_a_node_is_changed_once_in_a_plan() -> None:
    cluster = stage(at_rest(), Change(Kind.LEAVE, "n2"), "n1")
    for change in (
        Change(Kind.REMOVE, "n2"),
        Change(Kind.REPLACE, "n2", by="n5", address="n5:1"),
    ):
        with pytest.raises(ValueError, match="leave n2 is staged already; `dynamo plan --clear`"):
            stage(cluster, change, "n1")


def test_only_removals_are_taken_while_a_change_is_under_way() -> None:
    filling = begun(CHANGES[0])
    with pytest.raises(ValueError, match="a change is under way: see `dynamo transfers`"):
        stage(filling, Change(Kind.LEAVE, "n2"), "n1")
    assert stage(filling, Change(Kind.REMOVE, "n2"), "n1").table.staged


def test_a_plan_that_was_overtaken_by_another_change_is_not_committed() -> None:
    planned = stage(at_rest(), Change(Kind.LEAVE, "n2"), "n1")
    filling = begun(CHANGES[0])
    overtaken = filling._replace(table=filling.table._replace(staged=planned.table.staged))
    with pytest.raises(ValueError, match="a change is under way"):
        commit(overtaken, "n1")


def test_an_empty_plan_is_not_committed() -> None:
    with pytest.raises(ValueError, match="nothing is staged; see `dynamo join --help`"):
        commit(at_rest(), "n1")


def test_clearing_forgets_the_plan_and_changes_nothing_where_there_is_none() -> None:
    planned = stage(at_rest(), CHANGES[0], "n1")
    assert clear(planned, "n2").table.staged == ()
    assert clear(planned, "n2").table.rank > planned.table.rank
    assert clear(at_rest(), "n2") == at_rest()


def test_the_last_member_stays() -> None:
    alone = at_rest(("n1",), 1)
    with pytest.raises(ValueError, match="n1 is the last member; a cluster needs one"):
        stage(alone, Change(Kind.LEAVE, "n1"), "n1")


def test_below_n_members_nodes_leave_one_at_a_time() -> None:
    """With three replicas a write may be on the two that leave, and nobody takes over for them."""
    three = at_rest(NAMES[:3])
    one_leaves = stage(three, Change(Kind.LEAVE, "n2"), "n1")
    with pytest.raises(ValueError, match="below 3 members they leave one at a time"):
        stage(one_leaves, Change(Kind.LEAVE, "n3"), "n1")
    replaced = Change(Kind.REPLACE, "n3", by="n5", address="n5:1")
    assert stage(stage(three, replaced, "n1"), Change(Kind.JOIN, "n6", address="n6:1"), "n1")


def test_partitions_can_not_be_shared_by_more_nodes() -> None:
    eight = at_rest(tuple(f"n{number}" for number in range(1, 9)))
    with pytest.raises(ValueError, match="8 partitions can't be shared by more nodes"):
        stage(eight, Change(Kind.JOIN, "n9", address="n9:1"), "n1")
