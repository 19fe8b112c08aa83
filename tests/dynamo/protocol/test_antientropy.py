"""Anti-entropy (Dynamo paper, section 4.7): owners that missed writes agree again, unread."""

from dataclasses import replace

import pytest

from dynamo.disk.contract import COPIES, FILLING, Write, copy_key, index_key
from dynamo.protocol.exchange import ENTRIES_LISTED, SEGMENTS_ASKED
from dynamo.protocol.messages import (
    CopiesFetched,
    CopiesListed,
    CopyFetched,
    CopyStored,
    Envelope,
    Failed,
    Failure,
    FetchCopies,
    FetchCopy,
    Get,
    GetDone,
    GetRoots,
    ListCopies,
    ListSegments,
    Put,
    RootsDone,
    SegmentsListed,
    StoreCopies,
    StoreCopy,
)
from dynamo.protocol.repairs import WINDOW_BYTES
from dynamo.values.hashtree import segment_of
from dynamo.values.ring import Ring
from dynamo.values.versions import Siblings, reconcile, update, values_bytes
from tests.dynamo.protocol.bench import SETTINGS, Bench
from tests.dynamo.protocol.benches import COMPARING, Benches, version

ROUND_S = 15.0
"""Longer than a round of all with all takes."""


def keys_of(ring: Ring, partition: int, count: int) -> list[str]:
    keys = (f"key {number}" for number in range(100_000))
    found = (key for key in keys if ring.partition_of(key) == partition)
    return [next(found) for _ in range(count)]


def agree(benches: Benches, *names: str) -> bool:
    held = [benches.copies(name) for name in names or benches.ring.members]
    return all(copies == held[0] for copies in held)


# Rounds ------------------------------------------------------------------------------------------


def test_owners_that_missed_writes_get_them_though_nobody_reads() -> None:
    benches = Benches()
    for number in range(100):
        names = [("n1",), ("n2", "n3"), ("n3",), ("n1", "n2", "n3")][number % 4]
        benches.hold(f"key {number}", version("v"), *names)
    assert not agree(benches)
    benches.run(ROUND_S)
    assert agree(benches)
    assert len(benches.copies("n1")) == 100
    assert sum(bench.node.antientropy.repaired for bench in benches.benches.values()) >= 125


def test_copies_that_differ_on_both_sides_are_merged_on_both() -> None:
    benches = Benches()
    one, other = version("1", "n1-1-1"), version("2", "n2-1-1")
    benches.hold("colour", one, "n1")
    benches.hold("colour", other, "n2")
    benches.run(ROUND_S)
    for name in benches.ring.members:
        assert benches[name].copy("colour") == reconcile([one, other])


def test_what_a_node_has_seen_replaced_does_not_come_back() -> None:
    benches = Benches()
    old = version("old")
    deleted = update(old, old.context, "n2-1-1", None, 2.0)
    benches.hold("colour", old, "n1")
    benches.hold("colour", deleted, "n2", "n3")
    benches.run(ROUND_S)
    assert [benches[name].copy("colour") for name in benches.ring.members] == [deleted] * 3


def test_owners_that_agree_say_no_more_than_their_roots() -> None:
    benches = Benches()
    for number in range(50):
        benches.hold(f"key {number}", version("v"), "n1", "n2", "n3")
    benches.run(ROUND_S)
    assert set(benches.carried) == {"GetRoots", "RootsDone"}


def test_a_walk_costs_what_differs_and_not_what_there_is() -> None:
    benches = Benches()
    for number in range(500):
        benches.hold(f"key {number}", version("v"), "n1", "n2", "n3")
    benches.hold("key 7", update(version("v"), {}, "n1-1-1", b"w", 2.0), "n1")
    benches.run(ROUND_S)
    assert agree(benches)
    listed = [e.message for e in benches.seen if isinstance(e.message, SegmentsListed)]
    assert sum(len(entries) for list_ in listed for _, entries in list_.segments) <= 3 * len(listed)
    assert 1 <= benches.carried["FetchCopies"] + benches.carried["StoreCopies"] <= 6


def test_a_node_that_was_down_is_asked_soon_after_it_is_back() -> None:
    benches = Benches(settings=replace(COMPARING, anti_entropy_s=1000.0))
    benches.run(1.0)
    benches.down.add("n3")
    benches.hold("colour", version("v"), "n1", "n2")
    benches.send("n1", Put(1, "colour", b"v", None, 1.0))
    benches.run(5.0)
    benches.down.clear()
    benches.run(5.0)
    assert agree(benches)


def test_what_a_node_missed_a_moment_ago_is_in_the_trees_it_is_compared_by() -> None:
    benches = Benches(settings=replace(COMPARING, anti_entropy_s=1000.0))
    for name, peer in (("n1", "n2"), ("n2", "n1"), ("n3", "n1")):
        benches.send(name, GetRoots(1, tuple(range(8)), 1000.0), sender=peer)
    benches.run(1.0)  # now there are trees, young enough for this period
    benches.down.add("n3")
    benches.send("n1", Put(1, "colour", b"v", None, 1.0))
    benches.run(5.0)
    benches.down.clear()
    benches.run(5.0)
    assert agree(benches)


def test_without_anti_entropy_nothing_is_compared() -> None:
    benches = Benches(settings=SETTINGS)
    benches.hold("colour", version("v"), "n1")
    benches.run(100.0)
    assert benches.carried == {}


def test_each_pair_compares_once_in_a_period() -> None:
    benches = Benches()
    benches.run(100.0)
    assert 55 <= benches.carried["GetRoots"] <= 70  # six ordered pairs, ten periods


# Lots --------------------------------------------------------------------------------------------


def hold_in_one_partition(benches: Benches, count: int, *names: str) -> list[str]:
    keys = keys_of(benches.ring, 3, count)
    for key in keys:
        benches.hold(key, version("v"), *names)
    return keys


def two_benches() -> Benches:
    """Two nodes of which only n1 asks."""
    benches = Benches(2, settings=replace(COMPARING, n=2, w=1, r=1))
    benches.drops = not_from_n1
    return benches


def not_from_n1(envelope: Envelope) -> bool:
    return isinstance(envelope.message, GetRoots) and envelope.sender != "n1"


def repairs(benches: Benches) -> int:
    """Messages that carried copies, or asked for some."""
    return benches.carried["FetchCopies"] + benches.carried["StoreCopies"]


@pytest.mark.parametrize("name", ["n1", "n2"])
def test_hundreds_of_keys_that_one_lacks_take_a_few_messages(name: str) -> None:
    """What n1 has it pushes, what n2 has it fetches."""
    benches = two_benches()
    hold_in_one_partition(benches, 300, name)
    benches.run(ROUND_S)
    assert agree(benches)
    assert 3 <= repairs(benches) <= 8
    assert benches["n1"].node.antientropy.repaired == 300


def test_hundreds_of_copies_that_differ_are_merged_on_both_sides_in_a_few_messages() -> None:
    benches = two_benches()
    one, other = version("1", "n1-1-1"), version("2", "n2-1-1")
    keys = keys_of(benches.ring, 3, 300)
    for key in keys:
        benches.hold(key, one, "n1")
        benches.hold(key, other, "n2")
    benches.run(ROUND_S)
    assert agree(benches)
    assert benches["n1"].copy(keys[0]) == reconcile([one, other])
    assert 6 <= repairs(benches) <= 16


def damage(benches: Benches, name: str, keys: list[str]) -> None:
    places = [copy_key(3, key) for key in keys]
    benches[name].disk.commit([Write(place, b"rubbish") for place in places], sync=True)


@pytest.mark.parametrize("damaged", ["n1", "n2"])
def test_damaged_copies_keep_no_others_from_being_given(damaged: str) -> None:
    """n2 is fetched from; n1 leaves out what it can't read."""
    benches = two_benches()
    other = "n1" if damaged == "n2" else "n2"
    keys = hold_in_one_partition(benches, 300, damaged)
    damage(benches, damaged, keys[::100])
    benches.run(ROUND_S)
    assert set(benches.copies(other)) == {
        copy_key(3, key) for key in keys if key not in keys[::100]
    }


def test_damaged_copies_keep_no_others_from_being_taken() -> None:
    benches = two_benches()
    keys = hold_in_one_partition(benches, 300, "n1")
    damage(benches, "n2", [keys[7]])  # without an index entry, so that n1 takes it to be missing
    benches.drops = lambda e: not_from_n1(e) or isinstance(e.message, FetchCopy)  # nobody heals
    benches.run(ROUND_S)
    disk = benches["n2"].disk
    assert [key for key in keys if disk.get(copy_key(3, key)) in (None, b"rubbish")] == [keys[7]]


def test_a_peer_that_is_filling_gives_what_it_has() -> None:
    benches = two_benches()
    keys = hold_in_one_partition(benches, 300, "n2")
    benches["n2"].node.antientropy.begin_fill([3])
    benches.run(ROUND_S)
    assert set(benches.copies("n1")) == {copy_key(3, key) for key in keys}


def test_a_copy_that_is_damaged_where_a_lot_goes_is_healed_and_the_lot_arrives() -> None:
    benches = Benches()
    keys = hold_in_one_partition(benches, 300, "n1", "n3")
    benches.hold(keys[7], version("old", "n2-1-1"), "n2")
    benches["n2"].disk.commit([Write(copy_key(3, keys[7]), b"rubbish")], sync=True)
    benches.run(3 * ROUND_S)
    assert benches["n2"].copy(keys[7]) == version("v")
    assert agree(benches)


@pytest.mark.parametrize("name", ["n1", "n2"])
def test_copies_too_large_for_one_lot_go_in_several(name: str) -> None:
    benches = two_benches()
    hold_in_one_partition(benches, 200, name)  # by which copies are taken to be small
    for key in keys_of(benches.ring, 4, 12):
        benches.hold(key, version("v" * (1 << 20)), name)
    weights = []

    def weigh(envelope: Envelope) -> bool:
        message = envelope.message
        if isinstance(message, CopiesFetched):
            weights.append(sum(map(values_bytes, message.siblings)))
        elif isinstance(message, StoreCopies):
            weights.append(sum(len(stored) for _, stored in message.copies))
        return not_from_n1(envelope)

    benches.drops = weigh
    benches.run(ROUND_S)
    assert agree(benches)
    assert len(benches.copies("n1")) == 212
    assert max(weights) <= WINDOW_BYTES + (2 << 20)


def test_what_comes_twice_counts_once() -> None:
    benches = two_benches()
    hold_in_one_partition(benches, 200, "n1")
    hold_in_one_partition(benches, 100, "n2")
    for key in keys_of(benches.ring, 4, 100):
        benches.hold(key, version("v"), "n2")
    seen = set()

    def double(envelope: Envelope) -> bool:
        message = envelope.message
        place = (envelope.receiver, type(message), message.id)
        carrying = isinstance(message, FetchCopies | StoreCopies | CopiesFetched | CopyStored)
        if carrying and place not in seen:
            seen.add(place)
            benches.send(envelope.receiver, message, sender=envelope.sender)
        return not_from_n1(envelope)

    benches.drops = double
    benches.run(ROUND_S)
    assert seen
    assert agree(benches)
    assert benches["n1"].node.antientropy.repaired == 200


def test_any_message_with_a_lot_may_be_lost() -> None:
    benches = Benches()
    hold_in_one_partition(benches, 300, "n1")
    hold_in_one_partition(benches, 10, "n2")
    heard = iter(range(10_000))
    carrying = FetchCopies | StoreCopies | CopiesFetched | CopyStored
    benches.drops = lambda e: isinstance(e.message, carrying) and next(heard) % 3 == 0
    benches.run(4 * ROUND_S)
    assert agree(benches)


# What goes wrong ---------------------------------------------------------------------------------


def test_a_peer_that_falls_silent_holds_up_nobody() -> None:
    benches = Benches()
    silent = {"RootsDone", "NodesDone", "SegmentsListed", "CopiesFetched", "CopyStored"}
    benches.drops = lambda e: e.sender == "n3" and type(e.message).__name__ in silent
    for number in range(20):
        benches.hold(f"key {number}", version("v"), "n1")
    benches.run(3 * ROUND_S)
    assert agree(benches, "n1", "n2")
    assert agree(benches, "n1", "n3")  # which asks, and can be answered


def test_a_peer_that_leaves_a_comparison_unanswered_is_taken_to_be_down() -> None:
    benches = Benches()
    benches.drops = lambda e: e.sender == "n3"
    benches.run(2 * ROUND_S)
    assert "n3" not in benches["n1"].node.members.up
    assert "n2" in benches["n1"].node.members.up


def test_who_has_nothing_to_fill_compares_no_sooner_for_it() -> None:
    benches = Benches()
    benches.run(0.1)
    benches.seen.clear()
    benches["n1"].node.antientropy.begin_fill([])
    benches.run(0.5)
    assert not [e for e in benches.seen if isinstance(e.message, GetRoots) and e.sender == "n1"]


@pytest.mark.parametrize("lost", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
def test_any_message_may_be_lost(lost: int) -> None:
    benches = Benches()
    heard = iter(range(10_000))
    benches.drops = lambda e: e.sender != "client" and next(heard) % 10 == lost
    for number in range(20):
        benches.hold(f"key {number}", version("v"), "n1")
    benches.run(10 * ROUND_S)
    assert agree(benches)


def test_a_peer_that_starts_again_in_the_middle_is_asked_again() -> None:
    benches = Benches()
    for number in range(200):
        benches.hold(f"key {number}", version("v"), "n1")
    restarted: list[Envelope] = []

    def restart_once(envelope: Envelope) -> bool:
        if isinstance(envelope.message, ListSegments) and not restarted:
            restarted.append(envelope)
            benches[envelope.receiver].restart(incarnation=2)
            return True
        return False

    benches.drops = restart_once
    benches.run(3 * ROUND_S)
    assert restarted
    assert agree(benches)


def test_a_damaged_copy_is_skipped_and_keeps_no_other_from_agreeing() -> None:
    benches = Benches()
    for number in range(20):
        benches.hold(f"key {number}", version("v"), "n1")
    place = copy_key(benches.ring.partition_of("key 7"), "key 7")
    benches["n1"].disk.commit([Write(place, b"rubbish")], sync=True)
    benches.run(ROUND_S)
    assert len(benches.copies("n2")) == len(benches.copies("n3")) == 19


def test_a_peer_that_takes_no_writes_is_still_read() -> None:
    benches = Benches()
    benches.hold("here", version("v"), "n1")
    benches.hold("there", version("v"), "n2")

    refusals = []

    def refuse(envelope: Envelope) -> bool:
        refused = envelope.receiver == "n2" and isinstance(envelope.message, StoreCopies)
        if refused:
            refusals.append(envelope)
            failed = Failed(envelope.message.id, Failure.OVERLOADED, "full")
            benches.send(envelope.sender, failed, sender="n2")
        return refused

    benches.drops = refuse
    benches.run(ROUND_S)
    assert refusals
    assert benches["n1"].copy("there") == version("v")
    assert agree(benches, "n1", "n3")


def test_an_entry_without_a_copy_is_removed_where_it_is_met() -> None:
    benches = Benches()
    key, partition = "gone", benches.ring.partition_of("gone")
    place = index_key(partition, segment_of(key), key)
    benches["n1"].disk.commit([Write(place, b"12345678")], sync=True)
    benches.run(2 * ROUND_S)
    assert benches["n1"].disk.get(place) is None
    before = benches.carried.total()
    benches.run(ROUND_S)
    assert set(benches.carried) >= {"GetRoots"}
    assert benches.carried.total() - before <= 20  # roots only


def test_a_copy_without_an_entry_is_found_and_its_partition_indexed_anew() -> None:
    benches = Benches()
    first, second = keys_of(benches.ring, 3, 2)
    for key in (first, second):
        benches.hold(key, version("v"), "n1", "n2", "n3")
        place = index_key(3, segment_of(key), key)
        benches["n1"].disk.commit([Write(place, None)], sync=True)
    benches.run(2 * ROUND_S)
    assert [benches["n1"].disk.get(index_key(3, segment_of(k), k)) for k in (first, second)] == [
        benches["n2"].disk.get(index_key(3, segment_of(k), k)) for k in (first, second)
    ]


# What an answer may cost -------------------------------------------------------------------------


def test_lists_of_segments_are_cut_at_a_sensible_size() -> None:
    bench = Bench()
    keys = keys_of(bench.ring, 0, ENTRIES_LISTED + 500)
    for key in keys:
        bench.node.replica.merge(key, version("v"), durable=True)
    bench.step()
    wanted = tuple(sorted({segment_of(key) for key in keys}))
    answered = 0
    while answered < len(wanted):
        asked = ListSegments(1, 0, wanted[answered:])
        [answer] = bench.hears(asked, sender="n2")
        assert isinstance(answer.message, SegmentsListed)
        assert 1 <= len(answer.message.segments) <= SEGMENTS_ASKED
        answered += len(answer.message.segments)


def test_roots_are_told_once_the_partition_has_been_hashed() -> None:
    bench = Bench()
    bench.node.replica.merge("colour", version("v"), durable=True)
    bench.step()
    partition = bench.ring.partition_of("colour")
    [first] = bench.hears(GetRoots(1, (partition,), 10.0), sender="n2")
    assert first.message == RootsDone(1, (), ())
    [second] = bench.hears(GetRoots(2, (partition,), 10.0), sender="n2")
    assert isinstance(second.message, RootsDone)
    assert [p for p, _ in second.message.roots] == [partition]


def test_while_much_is_written_a_tree_may_be_as_old_as_the_asker_says() -> None:
    bench = Bench()
    bench.hears(GetRoots(1, (0,), 10.0), sender="n2")
    key = keys_of(bench.ring, 0, 1)[0]
    bench.node.replica.merge(key, version("v"), durable=True)
    bench.at(5.0)
    [old] = bench.hears(GetRoots(2, (0,), 10.0), sender="n2")
    [young] = bench.hears(GetRoots(3, (0,), 1.0), sender="n2")
    [now] = bench.hears(GetRoots(4, (0,), 1.0), sender="n2")
    roots = [dict(e.message.roots).get(0) for e in (old, young, now)]  # type: ignore[union-attr]
    assert roots[0] is not None
    assert roots[1] is None
    assert roots[2] not in (None, roots[0])


# Filling -----------------------------------------------------------------------------------------


def lose_disk(benches: Benches, name: str) -> None:
    """A node starts on an empty disk, and knows that it should not be empty."""
    disk = benches[name].disk
    disk.commit([Write(key, None) for key, _ in disk.scan(b"", b"\xff")], sync=True)
    benches[name].restart(incarnation=9)
    benches[name].node.antientropy.begin_fill(range(8))


def filled(benches: Benches, name: str) -> bool:
    return not benches[name].node.wholeness.filling


def test_a_lost_disk_is_filled_from_the_others_and_then_whole() -> None:
    benches = Benches(settings=replace(COMPARING, anti_entropy_s=0.0))
    for number in range(100):
        benches.hold(f"key {number}", version("v"), "n1", "n2" if number % 2 else "n3")
    benches.run(1.0)
    lose_disk(benches, "n1")
    benches.run(10.0)
    assert filled(benches, "n1")
    assert len(benches.copies("n1")) == 100
    assert list(benches["n1"].disk.scan(*FILLING)) == []


def test_one_of_the_others_is_not_enough_and_two_are() -> None:
    benches = Benches()
    benches.hold("colour", version("v"), "n1", "n3")
    benches.down.add("n3")
    lose_disk(benches, "n1")
    benches.run(3 * ROUND_S)
    assert not filled(benches, "n1")
    assert benches["n1"].copy("colour") == Siblings({}, ())
    benches.down.clear()
    benches.run(ROUND_S)
    assert filled(benches, "n1")
    assert benches["n1"].copy("colour") == version("v")


def test_where_all_fill_they_know_together_what_there_is_to_know() -> None:
    benches = Benches()
    for name in benches.ring.members:
        benches[name].node.antientropy.begin_fill(range(8))
    benches.hold("one", version("v"), "n1")
    benches.hold("two", version("v"), "n2")
    benches.run(2 * ROUND_S)
    assert all(filled(benches, name) for name in benches.ring.members)
    assert agree(benches)


def test_a_fill_survives_a_restart_of_the_node_that_is_filling() -> None:
    bench = Bench()
    bench.node.antientropy.begin_fill([2, 5])
    bench.step()
    bench.restart(incarnation=2)
    assert sorted(bench.node.wholeness.filling) == [2, 5]


def test_a_node_with_nobody_to_fill_from_is_whole() -> None:
    benches = Benches(1, settings=replace(COMPARING, n=1, r=1, w=1))
    benches["n1"].node.antientropy.begin_fill(range(8))
    benches.run(1.0)
    assert filled(benches, "n1")


def filling_bench(key: str) -> Bench:
    bench = Bench()
    bench.step()
    bench.node.antientropy.begin_fill([bench.ring.partition_of(key)])
    bench.step()  # asks the others what they have
    return bench


def test_a_filling_node_never_says_that_there_is_nothing() -> None:
    bench = filling_bench("colour")
    [refused] = bench.hears(FetchCopy(1, "colour"), sender="n2")
    assert refused.message == Failed(1, Failure.FILLING)
    [told] = bench.hears(FetchCopy(2, "colour", anyway=True), sender="n2")
    assert told.message == CopyFetched(2, Siblings({}, ()))
    [refused] = bench.hears(FetchCopies(5, ("colour",)), sender="n2")
    assert refused.message == Failed(5, Failure.FILLING)
    [told] = bench.hears(FetchCopies(6, ("colour",), anyway=True), sender="n2")
    assert told.message == CopiesFetched(6, (Siblings({}, ()),))
    stored, *_ = bench.hears(StoreCopy(3, "colour", version("v")), sender="n2")
    assert stored.message.id == 3
    assert bench.copy("colour") == version("v")
    [page] = bench.hears(ListCopies(4, "", "", 10), sender="n2")
    assert page.message == CopiesListed(
        4, (), more=False, epoch=1, filling=(bench.ring.partition_of("colour"),)
    )


def test_a_filling_node_passes_requests_on_instead_of_coordinating_them() -> None:
    bench = filling_bench("colour")
    [passed_on] = bench.hears(Get(7, "colour"))
    assert passed_on.receiver in ("n2", "n3")
    assert isinstance(passed_on.message, Get)
    id = passed_on.message.id
    failed = Failed(id, Failure.FILLING)
    [again] = bench.hears(failed, sender=passed_on.receiver)
    assert {passed_on.receiver, again.receiver} == {"n2", "n3"}
    done = GetDone(again.message.id, version("v"), ("n2", "n3"))
    [answer] = bench.hears(done, sender=again.receiver)
    assert answer.message == GetDone(7, version("v"), ("n2", "n3"))
    [refused] = bench.hears(Get(8, "colour"), sender="n3")  # passed on to here: not in a circle
    assert refused.message == Failed(8, Failure.FILLING)


def test_a_fill_takes_no_tree_from_before_it_began() -> None:
    """An old tree may lack what its node acknowledged a moment before this one lost its disk."""
    benches = Benches(settings=replace(COMPARING, anti_entropy_s=1000.0))
    benches.hold("old", version("v"), "n1", "n2", "n3")
    for partition in range(8):
        benches.send("n2", GetRoots(1, (partition,), 1000.0), sender="n3")
    benches.run(1.0)
    partition = benches.ring.partition_of("old")
    late = keys_of(benches.ring, partition, 3)[-1]
    benches.hold(late, version("v"), "n2")
    lose_disk(benches, "n1")
    benches.run(20.0)
    assert filled(benches, "n1")
    assert benches["n1"].copy(late) == version("v")


# Status ------------------------------------------------------------------------------------------


def test_the_status_tells_of_rounds_and_fills() -> None:
    benches = Benches()
    benches.hold("colour", version("v"), "n1")
    benches.run(ROUND_S)
    status = benches["n2"].node.status(benches.now, benches.now)["anti_entropy"]
    assert set(status["peers"]) == {"n1", "n3"}
    assert status["peers"]["n1"]["partitions"] == 8
    assert 0.0 <= status["peers"]["n1"]["age_s"] <= ROUND_S
    assert status["repaired"] + benches["n1"].node.antientropy.repaired > 0
    benches.down.update(("n1", "n3"))
    benches["n2"].node.antientropy.begin_fill([3])
    benches.run(30.0)
    status = benches["n2"].node.status(benches.now, benches.now)["anti_entropy"]
    assert status["filling"] == {"3": []}
    assert status["peers"]["n1"]["waits_for"] == "n1 to answer"


def test_no_copy_is_lost_on_the_way() -> None:
    """All of the disk is where it was, and the others have got it too."""
    benches = Benches()
    for number in range(300):
        benches.hold(f"key {number}", version(str(number)), "n2")
    before = dict(benches["n2"].disk.scan(*COPIES))
    benches.run(ROUND_S)
    after = dict(benches["n2"].disk.scan(*COPIES))
    assert {key: after[key] for key in before} == before
    assert agree(benches)
