"""Many keys of one partition in one request: like each by itself, counted and answered as one."""

from dataclasses import replace

from dynamo.disk.contract import Write, copy_key
from dynamo.protocol.messages import (
    CopiesFetched,
    CopyStored,
    Envelope,
    Failed,
    Failure,
    FetchCopies,
    GetMany,
    GotMany,
    PutDone,
    PutMany,
    StoreCopies,
    StoreCopy,
)
from dynamo.protocol.replica import LOT_BYTES
from dynamo.values.versions import EMPTY, update
from tests.dynamo.protocol.bench import SETTINGS, Bench, key_owned_by, receivers, ring_of

A, B, C = KEYS = ("{lot}a", "{lot}b", "{lot}c")
ITEMS = ((A, b"1"), (B, b"2"), (C, b"3"))
PUT = PutMany(7, ITEMS, written_at=5.0)
GET = GetMany(7, KEYS)
OLD = update(EMPTY, None, "n2-1-1", b"old", 1.0)
NEWER = update(OLD, None, "n2-1-1", b"newer", 9.0)


def values(bench: Bench) -> list[tuple[bytes, ...]]:
    return [bench.copy(key).values for key in KEYS]


def records(bench: Bench) -> list[bytes | None]:
    return [bench.disk.get(copy_key(bench.ring.partition_of(key), key)) for key in KEYS]


def written(*, settings: object = SETTINGS) -> tuple[Bench, StoreCopies]:
    """A node that has taken on a lot, and what it sends the others."""
    bench = Bench(settings=settings)  # type: ignore[arg-type]
    sent = bench.hears(PUT)
    assert sorted(receivers(sent)) == ["n2", "n3"]
    message = sent[0].message
    assert isinstance(message, StoreCopies)
    return bench, message


def test_a_lot_is_written_here_sent_as_one_message_and_answered_at_the_quorum() -> None:
    bench, store = written()
    assert values(bench) == [(b"1",), (b"2",), (b"3",)]
    [done] = bench.hears(CopyStored(store.id), sender="n3")
    assert (done.receiver, done.message) == ("client", PutDone(7, done.message.nodes))
    assert sorted(done.message.nodes) == ["n1", "n3"]
    bench.hears(CopyStored(store.id), sender="n2")
    assert bench.node.coordinator.pending_requests == 0


def test_a_replica_without_copies_keeps_the_records_as_they_came() -> None:
    _, store = written()
    replica = Bench("n2")
    [ack] = replica.hears(store, sender="n1")
    assert ack.message == CopyStored(store.id)
    assert values(replica) == [(b"1",), (b"2",), (b"3",)]
    assert records(replica) == [record for _, record in store.copies]


def test_a_replica_with_a_copy_merges() -> None:
    _, store = written()
    replica = Bench("n2")
    replica.hears(StoreCopy(1, B, OLD), sender="n3")
    replica.hears(store, sender="n1")
    assert sorted(replica.copy(B).values) == [b"2", b"old"]


def test_both_replicas_hold_the_same_afterwards() -> None:
    bench, store = written()
    replica = Bench("n2")
    replica.hears(store, sender="n1")
    assert [replica.copy(key) for key in KEYS] == [bench.copy(key) for key in KEYS]


def test_each_key_replaces_what_was_written_before_it_and_nothing_later() -> None:
    bench = Bench()
    bench.hears(StoreCopy(1, A, OLD), StoreCopy(2, B, NEWER), sender="n2")
    bench.hears(PUT)
    assert bench.copy(A).values == (b"1",)
    assert bench.copy(B).values == (b"newer", b"2")


def test_a_lot_that_arrives_again_changes_nothing() -> None:
    bench, _ = written()
    bench.hears(PUT)
    assert values(bench) == [(b"1",), (b"2",), (b"3",)]


def test_none_deletes() -> None:
    bench, _ = written()
    bench.hears(PutMany(8, ((A, None), (B, None)), written_at=6.0))
    assert values(bench) == [(), (), (b"3",)]


def test_a_record_damaged_on_its_way_is_refused() -> None:
    replica = Bench("n2")
    _, store = written()
    key, record = store.copies[0]
    damaged = StoreCopies(4, ((key, record[:-1] + b"!"),))
    [refused] = replica.hears(damaged, sender="n1")
    assert refused.message == Failed(4, Failure.CORRUPT)
    assert replica.copy(key) == EMPTY


def test_a_lot_without_fsync_asks_nobody_for_one() -> None:
    bench = Bench()
    lot = PutMany(7, ITEMS, 5.0, durable=False)
    step = bench.step(Envelope("client", "n1", lot))
    assert not step.sync
    assert [sent.message.durable for sent in step.envelopes] == [False, False]


def test_keys_of_several_partitions_are_refused_before_anything_is_written() -> None:
    bench = Bench()
    keys = [key_owned_by(bench.ring, owner) for owner in ("n1", "n2")]
    for lot in (PutMany(7, ((keys[0], b"1"), (keys[1], b"2")), 1.0), GetMany(7, tuple(keys))):
        [refused] = bench.hears(lot)
        assert refused.message.reason == Failure.REQUEST
        assert "2" in refused.message.detail
    assert [bench.copy(key) for key in keys] == [EMPTY, EMPTY]


def test_an_empty_lot_is_refused() -> None:
    for lot in (PutMany(7, (), 1.0), GetMany(7, ())):
        [refused] = Bench().hears(lot)
        assert refused.message.reason == Failure.REQUEST


def test_a_lot_fails_at_its_deadline_with_the_numbers() -> None:
    bench, store = written(settings=replace(SETTINGS, w=3, timeout_s=0.4))
    bench.hears(CopyStored(store.id), sender="n2")
    [failed] = bench.at(0.4)
    assert failed.message.reason == Failure.QUORUM
    assert (failed.message.needed, failed.message.silent) == (3, ("n3",))


def test_a_substitute_keeps_each_key_of_a_lot_for_its_owner() -> None:
    _, store = written()
    substitute = Bench("n1", ring=ring_of(4))
    hinted = StoreCopies(9, store.copies, hint_for="n2")
    [ack] = substitute.hears(hinted, sender="n3")[:1]
    assert ack.message == CopyStored(9, hint_for="n2")
    assert substitute.node.handoff.kept == {"n2": len(KEYS)}


def test_a_node_that_holds_no_copy_passes_a_lot_on_and_the_answer_back() -> None:
    ring = ring_of(5)
    key = key_owned_by(ring, "n2", "n3", "n4")
    bench = Bench("n1", ring=ring)
    [asked] = bench.hears(GetMany(7, (key,)))
    assert asked.receiver in ("n2", "n3", "n4")
    assert asked.message.keys == (key,)
    [answer] = bench.hears(GotMany(asked.message.id, (OLD,), ("n2",)), sender=asked.receiver)
    assert (answer.receiver, answer.message) == ("client", GotMany(7, (OLD,), ("n2",)))


# Get ---------------------------------------------------------------------------------------------


def test_a_get_of_a_lot_merges_key_by_key_and_repairs_only_the_keys_that_are_stale() -> None:
    bench = Bench()
    bench.hears(StoreCopy(1, A, OLD), StoreCopy(2, B, NEWER), StoreCopy(3, C, OLD), sender="n2")
    asked = bench.hears(GET)
    assert [a.message for a in asked] == [FetchCopies(asked[0].message.id, KEYS)] * 2
    id = asked[0].message.id
    [done] = bench.hears(CopiesFetched(id, (OLD, OLD, EMPTY)), sender="n2")
    assert done.message == GotMany(7, (OLD, NEWER, OLD), done.message.nodes)
    assert sorted(done.message.nodes) == ["n1", "n2"]
    [repair] = bench.hears(CopiesFetched(id, (OLD, NEWER, OLD)), sender="n3")
    assert repair.receiver == "n2"
    stale = Bench("n2")
    stale.hears(repair.message, sender="n1")
    assert [stale.copy(key) for key in KEYS] == [EMPTY, NEWER, OLD]


def test_the_coordinators_own_stale_copies_are_repaired() -> None:
    bench = Bench()
    [asked, _] = bench.hears(GET)
    full = CopiesFetched(asked.message.id, (OLD, NEWER, EMPTY))
    bench.hears(full, sender="n2")
    bench.hears(full, sender="n3")
    assert [bench.copy(key) for key in KEYS] == [OLD, NEWER, EMPTY]


def test_an_answer_ends_where_it_is_full_and_gives_one_key_at_least() -> None:
    large = update(EMPTY, None, "n2-1-1", bytes(LOT_BYTES), 1.0)
    bench = Bench(settings=replace(SETTINGS, r=1))
    for number, key in enumerate(KEYS):
        bench.hears(StoreCopy(number, key, large), sender="n2")
    [answer] = bench.hears(GET)
    assert answer.message == GotMany(7, (large,), ("n1",))


def test_the_shortest_answer_of_the_quorum_counts() -> None:
    bench = Bench()
    [asked, _] = bench.hears(GET)
    [done] = bench.hears(CopiesFetched(asked.message.id, (OLD, OLD)), sender="n2")
    assert done.message == GotMany(7, (OLD, OLD), done.message.nodes)


def test_a_damaged_copy_is_no_answer_for_its_lot() -> None:
    bench = Bench("n2")
    bench.hears(StoreCopy(1, B, OLD), sender="n1")
    record = records(bench)[1]
    assert record is not None
    disk_key = copy_key(bench.ring.partition_of(B), B)
    bench.disk.commit([Write(disk_key, record[:-1] + b"!")], sync=True)
    [refused, *asked] = bench.hears(FetchCopies(5, KEYS), sender="n1")
    assert refused.message == Failed(5, Failure.CORRUPT)
    assert {envelope.message.key for envelope in asked} == {B}  # from whom it is to be healed
