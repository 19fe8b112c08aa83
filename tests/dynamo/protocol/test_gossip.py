"""What one node tells of its cluster, and takes in (Dynamo paper, sections 4.8.1 and 4.8.2).

Several nodes at once, with changes and faults: `test_gossip_model.py`.
"""

import math
from collections.abc import Iterable
from dataclasses import replace
from itertools import count

from dynamo.disk.contract import MemoryDisk
from dynamo.disk.staging import Staging
from dynamo.protocol.gossip import FANOUT, RUMOUR_S, Gossiper, load
from dynamo.protocol.membership import Membership
from dynamo.protocol.messages import (
    CommitPlan,
    Envelope,
    Failed,
    Gossip,
    Gossiped,
    Heard,
    Message,
    Rumour,
    StageChange,
)
from dynamo.protocol.settings import Settings
from dynamo.protocol.view import View
from dynamo.values.cluster import (
    Change,
    Cluster,
    Kind,
    Member,
    News,
    Phase,
    Rank,
    Seen,
    Table,
    commit,
    found,
    stage,
)
from tests.dynamo.protocol.bench import cluster_of, ring_of

SETTINGS = Settings(gossip_s=1.0, resend_s=0.5, suspect_s=1.5)
SEVEN = cluster_of(ring_of(7))
FOUNDED = found({name: f"host-of-{name}" for name in ("n1", "n2", "n3")}, partitions=8, n=3)
"""As three nodes make it that have not met."""


class Gossiping:
    """The gossiper of `n1` and its disk; `fills` are the partitions that it was told may lack
    anything."""

    def __init__(
        self,
        cluster: Cluster = SEVEN,
        settings: Settings = SETTINGS,
        silent: bool = False,
        has_old_copies: bool = False,
    ) -> None:
        ids, self.now, self.fills = count(1).__next__, 0.0, list[int]()
        self.disk = MemoryDisk()
        self._staging = Staging(self.disk, read_only=silent)
        self.view = View("n1", cluster)
        self.members = Membership("n1", self.view.members, settings, ids)
        self.synced: list[bool] = []
        """Of each step that wrote anything: whether it asked for an fsync."""
        self.gossip = Gossiper(
            self.view,
            self._staging,
            self.members,
            settings,
            ids,
            "host-of-n1",
            life=7,
            begin_fill=self.fills.extend,
            filling=lambda: self.fills,
            has_old_copies=lambda: has_old_copies,
            silent=silent,
        )

    def hears(self, message: Message, sender: str = "n2") -> list[Message]:
        """The answers, and whatever else is sent in the same step."""
        envelope = Envelope(sender, "n1", message)
        handle = self.gossip.handlers.get(type(message), self.gossip.on_reply)
        return self._step(handle(envelope, self.now))

    def at(self, now: float) -> list[Message]:
        """What is sent when nothing comes until `now`."""
        self.now = now
        return self._step([])

    def _step(self, sent: Iterable[Envelope]) -> list[Message]:
        envelopes = [*sent, *self.gossip.tick(self.now)]
        writes, sync = self._staging.take()
        self.disk.commit(writes, sync=sync)
        self.synced += [sync] if writes else []
        return [envelope.message for envelope in envelopes]

    @property
    def on_disk(self) -> Cluster:
        known = load(self._staging)
        assert known is not None
        return known


def settled(cluster: Cluster = SEVEN, settings: Settings = SETTINGS) -> Gossiping:
    """One that has heard a member and told of its new life, a while ago."""
    gossiping = Gossiping(cluster, settings)
    for asked in gossiping.at(0.0):
        if isinstance(asked, Gossip):
            gossiping.hears(Gossiped(asked.id, None))
    gossiping.at(0.5)
    assert gossiping.gossip.settled
    return gossiping


def seen_by(name: str, rank: Rank, ready: bool = True) -> News:
    return News(None, {}, {name: Seen(rank, ready)})


def rumours(messages: Iterable[Message]) -> list[Rumour]:
    return [message for message in messages if isinstance(message, Rumour)]


NEXT = Rank(SEVEN.table.rank.epoch + 1)
JOINING = commit(stage(SEVEN, Change(Kind.JOIN, "n8", address="host-of-n8"), "n2"), "n2")
"""The seven, with a change under way."""


# Rounds -------------------------------------------------------------------------------------------


def test_in_each_round_a_settled_node_compares_a_digest_with_one_member_and_says_no_more() -> None:
    gossiping = settled()
    for number in range(1, 6):
        wake_at = gossiping.gossip.next_wake()
        assert wake_at < math.inf
        assert gossiping.at(wake_at - 0.01) == []
        [message] = gossiping.at(wake_at)
        assert isinstance(message, Gossip)
        gossiping.hears(Gossiped(message.id, None))
        assert wake_at < number * SETTINGS.gossip_s + 1.0


def test_without_gossip_in_the_background_nothing_happens_until_something_comes() -> None:
    gossiping = settled(settings=replace(SETTINGS, gossip_s=0.0))
    assert gossiping.gossip.next_wake() == math.inf
    assert rumours(gossiping.hears(Rumour(5, seen_by("n3", NEXT))))


def test_a_member_that_leaves_a_comparison_unanswered_is_taken_to_be_down() -> None:
    gossiping = settled()
    gossiping.at(1.0)
    assert len(gossiping.members.up) == 7
    gossiping.at(2.0)
    assert len(gossiping.members.up) == 7  # 1.5 s are its due
    gossiping.at(3.0)
    assert len(gossiping.members.up) == 6


def test_those_that_are_down_are_neither_asked_nor_told() -> None:
    gossiping = settled()
    for name in ("n2", "n3", "n4", "n5"):
        gossiping.members.unanswered(name, gossiping.now)
    gossiping.now = 0.6
    envelope = Envelope("n6", "n1", Rumour(5, seen_by("n3", NEXT)))
    list(gossiping.gossip.handlers[Rumour](envelope, 0.6))
    assert {e.receiver for e in gossiping.gossip.tick(0.6)} == {"n6", "n7"}


# Comparing ----------------------------------------------------------------------------------------


def test_two_that_know_the_same_send_each_other_a_digest_and_nothing_else() -> None:
    gossiping = settled()
    [asked] = gossiping.at(2.0)
    assert isinstance(asked, Gossip)
    assert gossiping.hears(Gossip(9, asked.digest)) == [Gossiped(9, None)]
    assert gossiping.hears(Gossiped(asked.id, None)) == []


def test_who_asks_with_another_digest_is_told_all_that_is_known() -> None:
    gossiping = settled()
    assert gossiping.hears(Gossip(9, b"other")) == [Gossiped(9, gossiping.view.cluster)]


def test_whoever_answers_with_what_it_knows_is_told_what_it_lacks_and_no_more() -> None:
    gossiping = settled()
    theirs = SEVEN._replace(seen={**SEVEN.seen, "n3": Seen(NEXT, True)})
    first, *others = rumours(gossiping.hears(Gossiped(9, theirs)))
    mine = gossiping.view.cluster
    assert first.news == News(None, {"n1": mine.members["n1"]}, {})
    assert mine.seen["n3"] == Seen(NEXT, True)
    assert all(other.news == seen_by("n3", NEXT) for other in others)


# Rumours ------------------------------------------------------------------------------------------


def test_what_is_new_is_told_to_a_few_members_as_the_difference_alone() -> None:
    gossiping = settled()
    heard, *told = gossiping.hears(Rumour(5, seen_by("n3", NEXT)))
    assert heard == Heard(5)
    assert [rumour.news for rumour in rumours(told)] == [seen_by("n3", NEXT)] * FANOUT


def test_what_was_known_before_is_not_told_again() -> None:
    gossiping = settled()
    gossiping.hears(Rumour(5, seen_by("n3", NEXT)))
    gossiping.now += 2 * RUMOUR_S
    assert gossiping.hears(Rumour(6, seen_by("n3", NEXT))) == [Heard(6)]
    assert gossiping.hears(Rumour(7, seen_by("n3", SEVEN.table.rank))) == [Heard(7)]


def test_what_comes_in_short_succession_is_told_together() -> None:
    gossiping = settled()
    gossiping.hears(Rumour(5, seen_by("n3", NEXT)))
    assert gossiping.hears(Rumour(6, seen_by("n4", NEXT))) == [Heard(6)]
    assert gossiping.hears(Rumour(7, seen_by("n5", NEXT))) == [Heard(7)]
    told = rumours(gossiping.at(gossiping.now + RUMOUR_S))
    assert {name for rumour in told for name in rumour.news.seen} == {"n4", "n5"}
    assert len(told) == FANOUT


def test_a_new_table_is_told_with_all_members_and_only_once_it_is_to_be_synced() -> None:
    gossiping = settled()
    gossiping.synced.clear()
    told = rumours(gossiping.hears(Rumour(5, News(*JOINING))))
    assert gossiping.synced == [True]
    assert gossiping.on_disk.table == JOINING.table
    for rumour in told:
        assert rumour.news.table == JOINING.table
        assert rumour.news.members.keys() == JOINING.members.keys()
        assert rumour.news.seen["n1"].rank == JOINING.table.rank


def test_what_others_have_seen_is_worth_no_commit() -> None:
    gossiping = settled()
    gossiping.synced.clear()
    gossiping.hears(Rumour(5, seen_by("n3", NEXT)))
    gossiping.at(5.0)
    assert gossiping.synced == []


def test_a_life_of_another_is_kept_on_disk_in_time_without_fsync() -> None:
    gossiping = settled()
    gossiping.synced.clear()
    again = Member("host-of-n3", version=4, life=99)
    gossiping.hears(Rumour(5, News(None, {"n3": again}, {})))
    assert gossiping.synced == [False]
    assert gossiping.on_disk.members["n3"] == again


# Starting -----------------------------------------------------------------------------------------


def test_the_first_nodes_answer_once_all_of_them_have_met_and_not_before() -> None:
    gossiping = Gossiping(FOUNDED)
    gossiping.at(0.0)
    gossiping.hears(Gossiped(1, FOUNDED))
    gossiping.hears(Rumour(2, seen_by("n2", FOUNDED.table.rank)))
    assert not gossiping.gossip.settled
    gossiping.at(60.0)  # nor does waiting help: there may be an older cluster
    assert not gossiping.gossip.settled
    gossiping.hears(Rumour(3, seen_by("n3", FOUNDED.table.rank)))
    assert gossiping.view.table.rank == Rank(1)
    gossiping.hears(Gossiped(4, None))
    assert gossiping.gossip.settled


def test_a_node_that_starts_again_asks_several_and_settles_when_one_has_answered() -> None:
    gossiping = Gossiping()
    asked = gossiping.at(0.0)
    assert [type(message) for message in asked[:FANOUT]] == [Gossip] * FANOUT
    assert not gossiping.gossip.settled
    gossiping.hears(Gossiped(1, None))
    assert gossiping.gossip.settled


def test_a_node_that_nobody_answers_goes_by_what_its_disk_knows() -> None:
    gossiping = Gossiping()
    gossiping.at(0.0)
    gossiping.at(SETTINGS.suspect_s - 0.1)
    assert not gossiping.gossip.settled
    gossiping.at(SETTINGS.suspect_s)
    assert gossiping.gossip.settled


def test_nobody_hears_of_a_new_life_before_it_is_sure_that_the_disk_is_not_an_old_one() -> None:
    gossiping = Gossiping()
    gossiping.at(0.0)
    [answer] = gossiping.hears(Gossip(9, b"other"))
    assert isinstance(answer, Gossiped) and answer.cluster is not None
    assert answer.cluster.members["n1"] == SEVEN.members["n1"]
    told = rumours(gossiping.hears(Gossiped(1, None)))
    assert all(rumour.news.members["n1"].life == 7 for rumour in told)
    assert told


def test_a_node_that_nobody_answers_leaves_it_to_others_to_tell_of_its_lives() -> None:
    """Who hears of the new life forgets the last one, which this disk may know nothing of."""
    gossiping = Gossiping()
    told = [*gossiping.at(0.0), *gossiping.at(SETTINGS.suspect_s), *gossiping.at(5.0)]
    assert gossiping.gossip.settled
    assert gossiping.on_disk.members["n1"] == SEVEN.members["n1"]
    assert rumours(told) == []
    assert sum(isinstance(message, Gossip) for message in told) > FANOUT  # it goes on asking
    later = Member("host-of-n1", version=1, life=6)
    gossiping.hears(Gossiped(1, SEVEN._replace(members={**SEVEN.members, "n1": later})))
    assert sorted(gossiping.fills) == list(gossiping.view.held)


def test_a_disk_that_others_know_a_later_life_of_is_filled_first_and_outlives_that() -> None:
    gossiping = Gossiping()
    gossiping.at(0.0)
    later = Member("host-of-n1", version=5, life=6)
    gossiping.hears(Gossiped(1, SEVEN._replace(members={**SEVEN.members, "n1": later})))
    assert sorted(gossiping.fills) == list(gossiping.view.held)
    assert gossiping.view.cluster.members["n1"] == Member("host-of-n1", version=6, life=7)


# Who is not heard, and who stays out -------------------------------------------------------------


def test_a_new_node_with_another_number_of_partitions_says_so_and_takes_nothing() -> None:
    gossiping = Gossiping(FOUNDED)
    gossiping.at(0.0)
    gossiping.hears(Gossiped(1, cluster_of(ring_of(4, partitions=16))))
    assert "partitions = 16 in cluster.ini" in gossiping.gossip.misfit
    assert gossiping.view.table == FOUNDED.table
    assert not gossiping.gossip.settled


def test_a_member_is_led_astray_by_no_node_with_another_number_of_partitions() -> None:
    gossiping = settled()
    before = gossiping.view.cluster
    stranger = cluster_of(ring_of(4, partitions=16))
    table = stranger.table._replace(rank=Rank(99))
    assert gossiping.hears(Rumour(5, News(table, stranger.members, stranger.seen))) == [Heard(5)]
    assert gossiping.gossip.misfit == ""
    assert gossiping.view.cluster is before


def test_the_table_of_another_cluster_is_not_taken_in() -> None:
    gossiping = settled()
    other = SEVEN.table._replace(rank=Rank(99), founding="another")
    gossiping.hears(Rumour(5, News(other, SEVEN.members, SEVEN.seen)))
    gossiping.hears(Gossiped(6, SEVEN._replace(table=other)))
    assert gossiping.view.table == SEVEN.table


def test_a_node_whose_disk_takes_no_writes_learns_and_says_nothing_of_itself() -> None:
    gossiping = Gossiping(silent=True)
    gossiping.at(0.0)
    gossiping.hears(Gossiped(1, JOINING))
    cluster = gossiping.view.cluster
    assert cluster.table == JOINING.table
    assert cluster.members["n1"].life == 0  # that of its last life, which could write
    assert cluster.seen["n1"].rank == SEVEN.table.rank  # so the change waits for it
    assert gossiping.fills == [] and gossiping.synced == []


def test_a_node_whose_disk_takes_no_writes_begins_no_change() -> None:
    gossiping = Gossiping(silent=True)
    gossiping.at(0.0)
    join = StageChange(3, Change(Kind.JOIN, "n8", address="host-of-n8"))
    [refused] = gossiping.hears(join, sender="operator")
    assert isinstance(refused, Failed) and "takes no writes" in refused.detail
    assert gossiping.view.table == SEVEN.table


REMOVED = SEVEN.table._replace(
    rank=NEXT,
    members=SEVEN.table.members[1:],
    owners=("n2", "n3", "n4", "n5", "n6", "n7", "n2", "n3"),
    removed=("n1",),
)
BACK = REMOVED._replace(
    rank=Rank(NEXT.epoch + 1),
    phase=Phase.FILLING,
    members=SEVEN.table.members,
    target=SEVEN.table.owners,
    removed=(),
)


def of_table(table: Table) -> Cluster:
    members = {name: Member(f"host-of-{name}") for name in table.members}
    return Cluster(table, members, {})


def test_a_node_that_was_removed_stays_out_while_it_has_its_old_copies() -> None:
    gossiping = Gossiping(of_table(REMOVED), has_old_copies=True)
    gossiping.at(0.0)
    gossiping.hears(Rumour(5, News(*of_table(BACK))))
    assert gossiping.view.table == REMOVED


def test_a_node_that_was_removed_and_is_empty_may_join_again() -> None:
    gossiping = Gossiping(of_table(REMOVED), has_old_copies=False)
    gossiping.at(0.0)
    gossiping.hears(Rumour(5, News(*of_table(BACK))))
    assert gossiping.view.table == BACK
    assert gossiping.fills


# Operators ----------------------------------------------------------------------------------------


def test_a_plan_that_has_changed_since_it_was_shown_is_not_committed() -> None:
    gossiping = settled()
    gossiping.hears(StageChange(3, Change(Kind.LEAVE, "n7")), sender="operator")
    shown = gossiping.view.table.rank
    gossiping.hears(StageChange(4, Change(Kind.LEAVE, "n6")), sender="operator")
    [refused] = gossiping.hears(CommitPlan(5, shown), sender="operator")
    assert isinstance(refused, Failed) and "has changed" in refused.detail
    assert gossiping.view.table.phase is Phase.STABLE


def test_a_node_fills_what_it_gains_by_a_change_and_nothing_else() -> None:
    gossiping = settled()
    leave = commit(stage(SEVEN, Change(Kind.LEAVE, "n7"), "n2"), "n2")
    gossiping.hears(Rumour(5, News(*leave)))
    before, after = leave.table.writing
    gained = {*after.held_by("n1", 3)} - {*before.held_by("n1", 3)}
    assert gained
    assert {*gossiping.fills} == gained


def test_a_node_that_is_leaving_fills_nothing() -> None:
    gossiping = settled()
    gossiping.hears(Rumour(5, News(*commit(stage(SEVEN, Change(Kind.LEAVE, "n1"), "n2"), "n2"))))
    assert gossiping.view.table.leaving == ("n1",)
    assert gossiping.fills == []
