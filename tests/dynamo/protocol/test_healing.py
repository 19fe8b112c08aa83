"""Damaged copies are refused until they have been healed from the other replicas."""

from dataclasses import replace

import pytest

from dynamo.disk.contract import Write, copy_key
from dynamo.protocol.messages import (
    CopyFetched,
    CopyStored,
    Envelope,
    Failed,
    Failure,
    FetchCopy,
    Get,
    GetDone,
    GivenUp,
    GiveUp,
    ListKeys,
    Put,
    PutDone,
    PutMany,
    StoreCopy,
)
from dynamo.values.hashtree import SEGMENTS
from dynamo.values.versions import EMPTY, Siblings, reconcile
from tests.dynamo.protocol.bench import SETTINGS, Bench, receivers, ring_of
from tests.dynamo.protocol.benches import Benches, version

KEY = "colour"
OURS = version("ours", "a-1-1")
THEIRS = version("theirs", "b-1-1")
BOTH = reconcile([OURS, THEIRS])


def damage(bench: Bench, key: str = KEY) -> None:
    place = copy_key(bench.ring.partition_of(key), key)
    stored = bench.disk.get(place)
    assert stored is not None
    bench.disk.commit([Write(place, stored[:-1] + bytes([stored[-1] ^ 1]))], sync=True)


def damaged_bench(copy: Siblings = OURS, **extra: object) -> tuple[Bench, list[Envelope]]:
    """A node that has just met its damaged copy, and what it asks the others."""
    bench = Bench(**extra)  # type: ignore[arg-type]
    bench.hears(StoreCopy(1, KEY, copy), sender="n2")
    damage(bench)
    refused, *asked = bench.hears(StoreCopy(2, KEY, THEIRS), sender="n2")
    assert refused.message == Failed(2, Failure.CORRUPT)
    return bench, asked


def waits_for(bench: Bench) -> str:
    """Why the copy has not been healed yet."""
    reasons: dict[str, str] = bench.node.status(bench.now, bench.now)["damaged"]["waits_for"]
    return reasons[KEY]


# One node ----------------------------------------------------------------------------------------


def test_a_copy_is_healed_when_so_many_have_answered_that_one_of_them_knows_every_write() -> None:
    """N - W + 1 of them: here both others, because each may be the one with the second copy."""
    bench, asked = damaged_bench()
    assert sorted(receivers(asked)) == ["n2", "n3"]
    id = asked[0].message.id
    bench.hears(CopyFetched(id, OURS), sender="n2")
    assert bench.node.replica.read(KEY) is None
    bench.hears(CopyFetched(id, THEIRS), sender="n3")
    assert bench.copy(KEY) == BOTH
    status = bench.node.status(0.0, 0.0)["damaged"]
    assert status == {"found": 1, "healed": 1, "waiting": 0, "waits_for": {}}
    [stored] = bench.hears(StoreCopy(3, KEY, THEIRS), sender="n2")
    assert stored.message == CopyStored(3)


def test_where_all_have_to_store_a_write_one_other_copy_will_do() -> None:
    bench, asked = damaged_bench(settings=replace(SETTINGS, r=1, w=3))
    bench.hears(CopyFetched(asked[0].message.id, OURS), sender="n3")
    assert bench.copy(KEY) == OURS


def test_what_nobody_else_has_heard_of_was_never_acknowledged_and_leaves_nothing() -> None:
    bench, asked = damaged_bench()
    for peer in ("n2", "n3"):
        bench.hears(CopyFetched(asked[0].message.id, EMPTY), sender=peer)
    assert bench.disk.get(copy_key(bench.ring.partition_of(KEY), KEY)) is None
    entries = bench.node.trees.entries(bench.ring.partition_of(KEY), range(SEGMENTS))
    assert not any(found for _, found in entries)


def test_a_healed_copy_is_on_disk_with_its_life_begun_anew() -> None:
    bench, asked = damaged_bench()
    for peer in ("n2", "n3"):
        step = bench.step(Envelope(peer, "n1", CopyFetched(asked[0].message.id, THEIRS)))
    assert step.sync
    bench.hears(Put(9, KEY, b"next", None, 2.0))
    [dot] = [v.dot for v in bench.copy(KEY).versions if v.value == b"next"]
    assert (dot.actor, dot.counter) == ("n1-1-1", 1)


def test_where_another_copy_is_damaged_too_all_others_have_to_answer() -> None:
    bench, asked = damaged_bench(settings=replace(SETTINGS, r=1, w=3))
    id = asked[0].message.id
    bench.hears(Failed(id, Failure.CORRUPT), sender="n2")
    assert bench.node.replica.read(KEY) is None
    bench.hears(CopyFetched(id, OURS), sender="n3")
    assert bench.copy(KEY) == OURS


def test_a_node_that_fills_is_asked_for_what_it_has_which_proves_nothing() -> None:
    bench, asked = damaged_bench(settings=replace(SETTINGS, r=1, w=3))
    id = asked[0].message.id
    [again] = bench.hears(Failed(id, Failure.FILLING), sender="n2")
    assert again.message == FetchCopy(id, KEY, anyway=True)
    bench.hears(CopyFetched(id, EMPTY), sender="n2")
    assert bench.node.replica.read(KEY) is None
    bench.hears(CopyFetched(id, OURS), sender="n3")
    assert bench.copy(KEY) == OURS


def test_while_too_few_answer_the_copy_waits_and_is_tried_again() -> None:
    bench, asked = damaged_bench()
    bench.hears(CopyFetched(asked[0].message.id, OURS), sender="n2")
    assert [e.receiver for e in bench.at(0.6) if isinstance(e.message, FetchCopy)] == ["n3"]
    bench.at(1.2)
    assert not bench.node.members.status()["n3"]
    assert waits_for(bench) == "n3 to answer"
    bench.at(1.2 + SETTINGS.refused_s + 0.1)
    assert waits_for(bench) == "n3 to answer"
    bench.hears(CopyStored(77), sender="n3")  # anything from it: it is up again
    again = [e for e in bench.at(20.0) if isinstance(e.message, FetchCopy)]
    assert sorted(receivers(again)) == ["n2", "n3"]


def test_where_there_is_no_other_copy_it_stays_refused_and_says_so() -> None:
    bench, asked = damaged_bench(ring=ring_of(1), settings=replace(SETTINGS, n=1, r=1, w=1))
    assert asked == []
    assert waits_for(bench) == "no other copy"
    for request in (Put(5, KEY, b"2", None, 2.0), Get(6, KEY)):
        [refused] = bench.hears(request)
        assert refused.message == Failed(request.id, Failure.CORRUPT)


def test_where_all_copies_are_damaged_they_stay_refused() -> None:
    bench, asked = damaged_bench()
    for peer in ("n2", "n3"):
        bench.hears(Failed(asked[0].message.id, Failure.CORRUPT), sender=peer)
    assert waits_for(bench) == "no other copy"
    assert bench.node.replica.read(KEY) is None


def test_few_copies_are_under_way_at_a_time() -> None:
    bench = Bench()
    keys = [f"key {number}" for number in range(50)]
    for key in keys:
        bench.hears(StoreCopy(1, key, OURS), sender="n2")
        damage(bench, key)
    sent = bench.hears(ListKeys(5, "", "", 100))
    asked = [e for e in sent if isinstance(e.message, FetchCopy)]
    assert len({e.message.id for e in asked}) == 8
    while asked:
        sent = bench.step(
            *[Envelope(e.receiver, "n1", CopyFetched(e.message.id, OURS)) for e in asked]
        ).envelopes
        asked = [e for e in sent if isinstance(e.message, FetchCopy)]
    assert all(bench.copy(key) == OURS for key in keys)


# Requests ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "put",
    [
        Put(7, KEY, b"new", None, 2.0),
        Put(7, KEY, b"new", {}, 2.0, condition="absent"),  # type: ignore[arg-type]
        PutMany(7, ((KEY, b"new"),), 2.0),
    ],
    ids=["put", "checked", "lot"],
)
def test_a_put_is_coordinated_by_an_owner_whose_copy_is_sound(put: Put | PutMany) -> None:
    bench, _ = damaged_bench()
    relayed = [e for e in bench.hears(put) if isinstance(e.message, type(put))]
    assert len(relayed) == 1
    assert relayed[0].receiver in ("n2", "n3")
    id = relayed[0].message.id
    [again] = bench.hears(Failed(id, Failure.CORRUPT), sender=relayed[0].receiver)
    assert {again.receiver, relayed[0].receiver} == {"n2", "n3"}  # that one's is damaged as well
    [done] = bench.hears(PutDone(id, ("n2", "n3")), sender=again.receiver)
    assert done.message == PutDone(7, ("n2", "n3"))


def test_nothing_of_a_lot_is_written_where_one_of_its_copies_is_damaged() -> None:
    bench, _ = damaged_bench()
    keys = (f"key {number}" for number in range(100))
    other = next(k for k in keys if bench.ring.partition_of(k) == bench.ring.partition_of(KEY))
    bench.hears(PutMany(7, ((other, b"1"), (KEY, b"1")), 2.0))
    assert bench.copy(other) == EMPTY


def test_an_owner_with_a_damaged_copy_is_asked_to_store_a_put_until_it_can() -> None:
    bench = Bench()
    [to_n2, _] = bench.hears(Put(7, KEY, b"new", None, 2.0))
    id = to_n2.message.id
    assert bench.hears(Failed(id, Failure.CORRUPT), sender="n2") == []
    [done] = bench.hears(CopyStored(id), sender="n3")
    assert sorted(done.message.nodes) == ["n1", "n3"]
    assert receivers(bench.at(1.5)) == ["n2"]
    assert bench.node.members.status()["n2"]  # it answers: it is not taken to be down
    bench.hears(CopyStored(id), sender="n2")
    assert bench.node.coordinator.pending_requests == 0


def test_a_substitute_keeps_what_an_owner_with_a_damaged_copy_can_t_take() -> None:
    ring = ring_of(4)
    bench = Bench(ring=ring)
    names = (f"key {number}" for number in range(1000))
    key = next(k for k in names if ring.preference_list(k, 3) == ("n1", "n2", "n3"))
    [to_n2, _] = bench.hears(Put(7, key, b"new", None, 2.0))
    [hinted] = bench.hears(Failed(to_n2.message.id, Failure.CORRUPT), sender="n2")
    assert (hinted.receiver, hinted.message.hint_for) == ("n4", "n2")


def test_a_get_counts_the_copy_here_again_once_it_is_healed() -> None:
    bench, asked = damaged_bench()
    sent = bench.hears(Get(7, KEY))
    fetch = next(e.message for e in sent if isinstance(e.message, FetchCopy))
    bench.hears(CopyFetched(fetch.id, OURS), sender="n3")
    for peer in ("n2", "n3"):
        bench.hears(CopyFetched(asked[0].message.id, OURS), sender=peer)
    answers = [e.message for e in bench.at(0.6) if isinstance(e.message, GetDone)]
    assert [(done.siblings, sorted(done.nodes)) for done in answers] == [(OURS, ["n1", "n3"])]


# Several nodes -----------------------------------------------------------------------------------


def test_an_acknowledged_write_outlives_damage_though_only_one_other_had_it() -> None:
    """The reason for all this: n3 missed the write, n1's copy of it rots and is written again."""
    benches = Benches()
    benches.hold(KEY, OURS, "n1", "n2")
    damage(benches["n1"])
    benches.send("n1", StoreCopy(1, KEY, THEIRS), sender="client")
    benches.run(0.1)
    benches.down = {"n2"}
    assert benches["n1"].copy(KEY) == OURS


def test_the_scrub_finds_what_nobody_reads_and_it_is_healed() -> None:
    benches = Benches(settings=replace(SETTINGS, rebuild_s=60.0))
    benches.run(1.0)
    keys = [f"key {number}" for number in range(20)]
    for key in keys:
        benches.hold(key, OURS, "n1", "n2", "n3")
        damage(benches["n1"], key)
    benches.run(100.0)
    assert all(benches["n1"].copy(key) == OURS for key in keys)
    assert benches["n1"].node.healing.healed == len(keys)


def test_two_copies_that_are_damaged_at_once_are_healed_from_the_third() -> None:
    benches = Benches()
    benches.hold(KEY, OURS, "n1", "n2", "n3")
    for name in ("n1", "n2"):
        damage(benches[name])
        benches.send(name, FetchCopy(1, KEY))
    benches.run(1.0)
    assert benches["n1"].copy(KEY) == benches["n2"].copy(KEY) == OURS


def test_damage_is_healed_when_the_owners_are_back() -> None:
    benches = Benches()
    benches.hold(KEY, OURS, "n1", "n2", "n3")
    damage(benches["n1"])
    benches.down = {"n3"}
    benches.send("n1", FetchCopy(1, KEY))
    benches.run(30.0)
    assert waits_for(benches["n1"]) == "n3 to answer"
    benches.down = set()
    benches.run(10.0)
    assert benches["n1"].copy(KEY) == OURS


# Giving up ---------------------------------------------------------------------------------------


def test_a_copy_that_nobody_can_heal_is_given_up_when_somebody_says_so() -> None:
    bench = Bench(ring=ring_of(1), settings=replace(SETTINGS, n=1, r=1, w=1))
    bench.hears(Put(1, KEY, b"lost", None, 1.0))
    damage(bench)
    [refused] = bench.hears(Put(2, KEY, b"new", None, 2.0))
    assert refused.message == Failed(2, Failure.CORRUPT)
    bench.step()
    [given_up] = bench.hears(GiveUp(3, KEY))
    assert given_up.message == GivenUp(3)
    assert bench.copy(KEY) == EMPTY
    assert bench.node.healing.waiting == 0
    [done] = bench.hears(Put(4, KEY, b"new", None, 2.0))
    assert isinstance(done.message, PutDone)
    for later in range(1, 30):
        bench.at(float(later))
    assert bench.copy(KEY).values == (b"new",)
    assert bench.node.status(30.0, 30.0)["damaged"]["waits_for"] == {}


def test_what_may_yet_be_healed_or_is_whole_is_not_given_up() -> None:
    bench, asked = damaged_bench()
    before = bench.disk.get(copy_key(bench.ring.partition_of(KEY), KEY))
    refused = [e.message for e in bench.hears(GiveUp(3, KEY)) if e.receiver == "client"]
    detail = "n1 may yet heal its copy, and waits for the other replicas to answer"
    assert refused == [Failed(3, Failure.REQUEST, detail)]
    assert bench.disk.get(copy_key(bench.ring.partition_of(KEY), KEY)) == before
    for peer in ("n2", "n3"):
        bench.hears(CopyFetched(asked[0].message.id, OURS), sender=peer)
    [refused_too] = bench.hears(GiveUp(4, KEY))
    assert refused_too.message == Failed(4, Failure.REQUEST, "the copy on n1 is not damaged")
    assert bench.copy(KEY) == OURS


def test_a_get_that_meets_damaged_copies_alone_says_so() -> None:
    bench, _ = damaged_bench()
    asked = bench.hears(Get(9, KEY))
    id = next(e.message.id for e in asked if e.receiver == "n2")
    bench.hears(Failed(id, Failure.CORRUPT), sender="n2")
    failed = [e.message for e in bench.at(10.0) if e.receiver == "client"]
    assert isinstance(failed[0], Failed)
    assert failed[0].detail == "damaged on n1 and n2, see `dynamo explain`"


def test_where_all_copies_are_damaged_one_that_is_given_up_frees_the_others() -> None:
    bench, asked = damaged_bench()
    id = asked[0].message.id
    for peer in ("n2", "n3"):
        bench.hears(Failed(id, Failure.CORRUPT), sender=peer)
    assert waits_for(bench) == "no other copy"
    [given_up] = bench.hears(GiveUp(3, KEY))
    assert given_up.message == GivenUp(3)
    other, asked = damaged_bench()
    other.hears(Failed(asked[0].message.id, Failure.CORRUPT), sender="n3")
    other.hears(CopyFetched(asked[0].message.id, bench.copy(KEY)), sender="n2")
    assert other.copy(KEY) == EMPTY
    assert other.node.healing.waiting == 0
