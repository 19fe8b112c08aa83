"""One node's copies: merged, never overwritten; each life of a copy has an actor of its own."""

import pytest

from dynamo.disk.contract import MemoryDisk, Write, copy_key
from dynamo.errors import CorruptData
from dynamo.protocol.messages import (
    CopiesListed,
    CopyFetched,
    CopyStored,
    Failed,
    Failure,
    FetchCopy,
    ListCopies,
    Put,
    StoreCopy,
)
from dynamo.values import versions
from dynamo.values.versions import EMPTY, NOTHING_SEEN, Context, Dot, Siblings, update
from tests.dynamo.protocol.bench import Bench

ONE = update(EMPTY, None, "n2-1-1", b"1", 1.0)
TWO = update(ONE, ONE.context, "n2-1-1", b"2", 2.0)
BESIDE = update(EMPTY, NOTHING_SEEN, "n3-1-1", b"beside", 3.0)


def actors(siblings: Siblings) -> list[str]:
    return [version.dot.actor for version in siblings.versions]


def write(
    bench: Bench, key: str, value: bytes | None, context: Context | None, at: float
) -> Siblings:
    return bench.node.replica.write(Put(1, key, value, context, at))


def test_a_stored_copy_is_committed_and_acknowledged() -> None:
    bench = Bench()
    [reply] = bench.hears(StoreCopy(5, "colour", ONE), sender="n2")
    assert (reply.receiver, reply.message) == ("n2", CopyStored(5))
    assert bench.copy("colour") == ONE


def test_what_arrives_is_merged_whatever_the_order() -> None:
    for order in ((ONE, TWO, BESIDE), (BESIDE, TWO, ONE), (TWO, ONE, BESIDE)):
        bench = Bench()
        for copy in order:
            bench.hears(StoreCopy(5, "colour", copy), sender="n2")
        assert bench.copy("colour") == versions.reconcile([TWO, BESIDE])


def test_writes_of_one_step_see_each_other() -> None:
    bench = Bench()
    bench.hears(StoreCopy(5, "colour", ONE), StoreCopy(6, "colour", BESIDE), sender="n2")
    assert bench.copy("colour").values == (b"beside", b"1")


def test_only_durable_writes_make_the_commit_sync() -> None:
    bench = Bench()
    careless = bench.node.step([], 0.0, 0.0)
    assert not careless.sync
    bench.node.replica.merge("colour", ONE, durable=False)
    assert not bench.step().sync
    bench.node.replica.merge("colour", ONE, durable=False)
    bench.node.replica.merge("shape", ONE, durable=True)
    assert bench.step().sync
    assert bench.step()[:2] == ([], False)


def test_a_durable_copy_is_acknowledged_only_when_it_is_synced_even_if_it_came_before() -> None:
    """A write without fsync can carry a durable sibling along, before its own message comes."""
    disk = MemoryDisk()
    bench = Bench(disk=disk)
    bench.hears(StoreCopy(5, "colour", ONE, durable=False), sender="n2")
    bench.hears(StoreCopy(6, "colour", ONE, durable=True), sender="n2")
    disk.crash()
    assert bench.copy("colour") == ONE


def test_a_fetch_tells_the_copy_or_that_there_is_none() -> None:
    bench = Bench()
    bench.hears(StoreCopy(5, "colour", ONE), sender="n2")
    replies = bench.hears(FetchCopy(6, "colour"), FetchCopy(7, "shape"), sender="n3")
    assert [reply.message for reply in replies] == [CopyFetched(6, ONE), CopyFetched(7, EMPTY)]


def test_a_damaged_copy_is_not_told_as_nothing_and_is_counted() -> None:
    bench = Bench()
    bench.hears(StoreCopy(5, "colour", ONE), sender="n2")
    damage(bench, "colour")
    [reply, *_] = bench.hears(FetchCopy(6, "colour"), sender="n2")
    assert reply.message == Failed(6, Failure.CORRUPT)
    assert bench.node.replica.read("colour") is None
    assert bench.node.replica.corrupt_reads == 2


def test_a_damaged_copy_is_not_begun_anew_by_what_arrives() -> None:
    """It would count from then on, though it may lack what only it and one other held."""
    bench = Bench()
    bench.hears(StoreCopy(5, "colour", ONE), sender="n2")
    damage(bench, "colour")
    before = bench.disk.get(copy_key(bench.ring.partition_of("colour"), "colour"))
    [refused, *_] = bench.hears(StoreCopy(6, "colour", TWO), sender="n2")
    assert refused.message == Failed(6, Failure.CORRUPT)
    with pytest.raises(CorruptData):
        write(bench, "colour", b"2", None, 2.0)
    bench.step()
    assert bench.disk.get(copy_key(bench.ring.partition_of("colour"), "colour")) == before


def test_a_copy_keeps_its_actor_while_the_node_runs() -> None:
    bench = Bench(incarnation=0x2A)
    first = write(bench, "colour", b"1", None, 1.0)
    second = write(bench, "colour", b"2", NOTHING_SEEN, 2.0)
    assert [version.dot for version in second.versions] == [Dot("n1-2a-1", 1), Dot("n1-2a-1", 2)]
    other = write(bench, "shape", b"1", None, 1.0)
    assert actors(first) != actors(other)


def test_a_restarted_node_writes_under_a_new_actor() -> None:
    bench = Bench(incarnation=1)
    write(bench, "colour", b"1", None, 1.0)
    bench.step()
    bench.restart(incarnation=2)
    copy = write(bench, "colour", b"2", NOTHING_SEEN, 2.0)
    assert actors(copy) == ["n1-1-1", "n1-2-1"]


def test_a_node_on_an_old_copy_of_its_disk_loses_no_write() -> None:
    """Riak lost acknowledged writes so (riak_kv issue 679)."""
    bench, peer = Bench(incarnation=1), Bench("n2").node.replica
    old = write(bench, "colour", b"old", None, 1.0)
    bench.step()
    backup = list(bench.disk.scan(b"", b"\xff"))
    newer = write(bench, "colour", b"newer", old.context, 2.0)
    peer.merge("colour", newer, durable=True)

    restored = MemoryDisk()
    restored.commit([Write(*item) for item in backup], sync=True)
    bench = Bench(disk=restored, incarnation=2)
    again = write(bench, "colour", b"again", old.context, 3.0)
    peer.merge("colour", again, durable=True)
    held = peer.read("colour")
    assert held is not None
    assert held.values == (b"again", b"newer")


def test_a_copy_that_was_gone_begins_a_new_life() -> None:
    bench = Bench(incarnation=1)
    write(bench, "colour", b"1", None, 1.0)
    bench.step()
    damage(bench, "colour")
    bench.node.replica.heal("colour", EMPTY)
    copy = write(bench, "colour", b"2", None, 2.0)
    assert actors(copy) == ["n1-1-2"]


def test_copies_are_listed_in_order_without_their_values() -> None:
    bench = Bench()
    deleted = update(ONE, ONE.context, "n2-1-1", None, 2.0)
    for number, (key, copy) in enumerate([("ac", ONE), ("b", ONE), ("aa", deleted), ("ab", TWO)]):
        bench.hears(StoreCopy(number, key, copy), sender="n2")
    [reply] = bench.hears(ListCopies(9, "a", "", 2), sender="n2")
    listed = reply.message
    assert isinstance(listed, CopiesListed)
    assert [item.key for item in listed.copies] == ["aa", "ab"]
    assert [item.siblings.versions[0].value for item in listed.copies] == [None, b""]
    assert listed.copies[1].siblings.context == TWO.context
    assert listed.more
    [reply] = bench.hears(ListCopies(9, "a", "ab", 2), sender="n2")
    assert reply.message.copies[0].key == "ac"
    assert not reply.message.more


def test_a_page_that_is_just_full_says_that_there_is_no_more() -> None:
    bench = Bench()
    bench.hears(StoreCopy(1, "a", ONE), StoreCopy(2, "b", ONE), sender="n2")
    assert not bench.node.replica.listing("", "", 2).more
    assert bench.node.replica.listing("", "", 1).more


def test_a_damaged_copy_is_a_gap_in_a_listing_which_does_not_count_for_its_partition() -> None:
    bench = Bench()
    bench.hears(StoreCopy(1, "a", ONE), StoreCopy(2, "b", ONE), sender="n2")
    assert bench.node.replica.listing("", "", 10).filling == ()
    damage(bench, "a")
    listed = bench.node.replica.listing("", "", 10)
    assert [item.key for item in listed.copies] == ["b"]
    assert listed.filling == (bench.ring.partition_of("a"),)


def damage(bench: Bench, key: str) -> None:
    place = copy_key(bench.ring.partition_of(key), key)
    stored = bench.disk.get(place)
    assert stored is not None
    bench.disk.commit([Write(place, stored[:-1] + bytes([stored[-1] ^ 1]))], sync=True)
