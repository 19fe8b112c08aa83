"""Time to live and ephemeral copies at a node: read as absent, dropped, and not let in again."""

from dynamo.disk.contract import CLUSTER, EXPIRIES, INDEXED, MemoryDisk
from dynamo.protocol.messages import (
    CopyFetched,
    CopyStored,
    Envelope,
    Failed,
    Failure,
    FetchCopy,
    Get,
    GetDone,
    KeysListed,
    ListKeys,
    Put,
    StoreCopy,
)
from dynamo.protocol.settings import Settings
from dynamo.values import versions
from dynamo.values.versions import EMPTY, update
from tests.dynamo.protocol.bench import Bench, receivers, ring_of

ALONE = Settings(n=1, r=1, w=1, clock_slack_s=60.0, sweep_batch=4, rebuild_s=0.0, reap_after_s=0.0)
PASSING = update(EMPTY, None, "n2-1-1~", b"1", written_at=0.0, expires_at=10.0)


def alone(disk: MemoryDisk | None = None) -> Bench:
    return Bench(ring=ring_of(1), settings=ALONE, disk=disk)


def put(key: str, value: bytes | None = b"1", ttl_s: float = 10.0, at: float = 0.0) -> Put:
    return Put(1, key, value, None, at, expires_at=at + ttl_s, ephemeral=True, durable=False)


def lasting(key: str, value: bytes | None, at: float) -> Put:
    return Put(1, key, value, None, at)


def values(bench: Bench, key: str) -> tuple[bytes, ...]:
    [done] = bench.hears(Get(2, key))
    assert isinstance(done.message, GetDone)
    return done.message.siblings.values


def run_sweep(bench: Bench, until: float) -> None:
    """Step the node whenever it wants to be, up to `until`."""
    while (wake_at := bench.node.next_wake()) is not None and wake_at <= until:
        bench.at(max(wake_at, bench.now))


def kept(bench: Bench) -> int:
    """How many things there are on the disk, notes of expiries among them; no marks."""
    return sum(key not in (CLUSTER, INDEXED) for key, _ in bench.disk.scan(b"", b"\xff"))


# Time to live ------------------------------------------------------------------------------------


def test_an_expired_value_is_neither_got_nor_listed_and_keeps_its_context() -> None:
    bench = alone()
    bench.hears(Put(1, "colour", b"green", None, 0.0, expires_at=10.0))
    assert values(bench, "colour") == (b"green",)
    bench.now = 10.0
    [done] = bench.hears(Get(2, "colour"))
    assert isinstance(done.message, GetDone)
    assert done.message.siblings.values == ()
    assert done.message.siblings.context == bench.copy("colour").context
    [listed] = bench.hears(ListKeys(3, "", "", 10))
    assert isinstance(listed.message, KeysListed)
    assert listed.message.keys == ()


def test_an_expired_value_of_a_lasting_key_stays_as_if_a_tombstone() -> None:
    bench = alone()
    bench.hears(Put(1, "colour", b"green", None, 0.0, expires_at=10.0))
    bench.at(1e6)
    run_sweep(bench, 2e6)
    assert versions.is_dead(bench.copy("colour"), 1e6)
    assert not versions.is_dead(bench.copy("colour"), 9.0)


def test_copies_that_expired_alike_need_no_repair_and_differing_ones_get_the_whole_copy() -> None:
    bench = Bench()
    bench.now = 50.0
    old = update(EMPTY, None, "n2-1-1", b"1", written_at=1.0, expires_at=10.0)
    bench.hears(StoreCopy(5, "colour", old), sender="n2")
    id = bench.hears(Get(7, "colour"))[0].message.id
    bench.hears(CopyFetched(id, EMPTY), sender="n3")
    [repair] = bench.hears(CopyFetched(id, old), sender="n2")
    assert isinstance(repair.message, StoreCopy)
    assert (repair.receiver, repair.message.siblings) == ("n3", old)


# Ephemeral copies --------------------------------------------------------------------------------


def test_an_ephemeral_copy_is_dropped_a_slack_behind_its_time_and_leaves_nothing() -> None:
    bench = alone()
    bench.hears(put("piece"))
    run_sweep(bench, 69.9)
    assert bench.copy("piece").versions
    run_sweep(bench, 75.0)
    assert kept(bench) == 0
    assert bench.node.next_wake() is None
    assert bench.node.expiry.dropped == 1


def test_many_are_dropped_in_slices() -> None:
    bench = alone()
    bench.hears(*(put(f"piece {number}") for number in range(10)))
    assert kept(bench) == 20
    bench.now = 100.0
    dropped = []
    while (wake_at := bench.node.next_wake()) is not None:
        before = kept(bench)
        bench.at(max(wake_at, bench.now))
        dropped.append((before - kept(bench)) // 2)
    assert sum(dropped) == 10
    assert max(dropped) == ALONE.sweep_batch


def test_what_a_restarted_node_finds_is_dropped_too() -> None:
    disk = MemoryDisk()
    alone(disk).hears(put("piece"))
    bench = alone(disk)
    run_sweep(bench, 200.0)
    assert kept(bench) == 0


def test_a_step_without_fsync_writes_copy_and_note_together() -> None:
    bench = alone()
    step = bench.node.step([], 0.0, 0.0)
    assert not step.writes
    bench.hears(put("piece"))
    assert kept(bench) == 2
    assert not bench.node.step([], 0.0, 0.0).sync


def test_a_copy_that_was_put_again_lives_on() -> None:
    bench = alone()
    bench.hears(put("piece", b"1", ttl_s=10.0))
    bench.now = 5.0
    bench.hears(put("piece", b"2", ttl_s=1000.0, at=5.0))
    run_sweep(bench, 500.0)
    assert values(bench, "piece") == (b"2",)
    run_sweep(bench, 2000.0)
    assert kept(bench) == 0


def test_a_note_that_comes_with_an_earlier_time_moves_the_sweep_forward() -> None:
    bench = alone()
    bench.hears(put("late", ttl_s=10_000.0))
    bench.hears(put("soon", ttl_s=1.0))
    run_sweep(bench, 70.0)
    assert bench.copy("soon") == EMPTY
    assert bench.copy("late").versions


def test_a_clock_that_is_set_forward_is_noticed() -> None:
    bench = alone()
    bench.hears(put("piece", ttl_s=1e6))
    assert not bench.node.step([], 59.0, 2e6).writes
    step = bench.node.step([], 61.0, 2e6)
    assert [write.value for write in step.writes] == [None, None]


def test_the_delete_of_an_ephemeral_copy_stands_as_long_as_that_would_have() -> None:
    bench = alone()
    bench.hears(put("piece"))
    bench.now = 1.0
    bench.hears(lasting("piece", None, at=1.0))
    assert values(bench, "piece") == ()
    assert versions.forget_at(bench.copy("piece")) == 10.0
    run_sweep(bench, 69.0)
    assert bench.copy("piece").versions
    run_sweep(bench, 100.0)
    assert kept(bench) == 0


def test_a_put_that_is_to_last_keeps_the_copy() -> None:
    bench = alone()
    bench.hears(put("piece"))
    bench.now = 1.0
    bench.hears(lasting("piece", b"2", at=1.0))
    run_sweep(bench, 1000.0)
    assert values(bench, "piece") == (b"2",)
    assert not list(bench.disk.scan(*EXPIRIES))


def test_a_delete_of_nothing_is_a_lasting_tombstone() -> None:
    bench = alone()
    bench.hears(lasting("piece", None, at=0.0))
    run_sweep(bench, 1000.0)
    assert bench.copy("piece").versions


def test_an_ephemeral_put_onto_what_is_to_last_is_refused() -> None:
    bench = alone()
    bench.hears(lasting("colour", b"green", at=0.0))
    before = bench.copy("colour")
    [refused] = bench.hears(put("colour", b"red", at=1.0))
    assert isinstance(refused.message, Failed)
    assert refused.message.reason is Failure.REQUEST
    assert "meant to last" in refused.message.detail
    assert bench.copy("colour") == before


def test_an_expired_ephemeral_copy_is_not_let_in_again() -> None:
    bench = Bench()
    bench.now = 10.0
    [reply] = bench.hears(StoreCopy(5, "piece", PASSING), sender="n2")
    assert reply.message == CopyStored(5)
    assert bench.copy("piece") == EMPTY
    bench.now = 9.9
    bench.hears(StoreCopy(6, "piece", PASSING), sender="n2")
    assert bench.copy("piece") == PASSING


def test_ephemeral_copies_are_repaired_without_fsync() -> None:
    bench = Bench()
    id = bench.hears(Get(7, "piece"))[0].message.id
    bench.hears(CopyFetched(id, PASSING), sender="n2")
    step = bench.step(Envelope("n3", "n1", CopyFetched(id, EMPTY)))
    assert not step.sync
    assert bench.copy("piece") == PASSING
    assert receivers(step.envelopes) == ["n3"]


def test_an_ephemeral_put_with_a_context_looks_at_a_quorum_first() -> None:
    """What it replaces may not be here, and must not come back when it has expired."""
    bench = Bench()
    long_lived = update(EMPTY, None, "n2-1-1~", b"1", written_at=0.0, expires_at=500.0)
    request = Put(
        1, "piece", b"2", long_lived.context, 1.0, expires_at=5.0, ephemeral=True, durable=False
    )
    asked = bench.hears(request)
    assert {type(envelope.message) for envelope in asked} == {FetchCopy}
    stores = bench.hears(CopyFetched(asked[0].message.id, long_lived), sender="n2")
    assert {type(envelope.message) for envelope in stores} == {StoreCopy}
    assert bench.copy("piece").values == (b"2",)
    assert versions.forget_at(bench.copy("piece")) == 500.0
