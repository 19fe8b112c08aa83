"""A node whose disk takes no writes: what it answers, and how others go around it."""

from collections.abc import Iterator
from dataclasses import replace

from dynamo.disk.contract import MemoryDisk
from dynamo.errors import CorruptData
from dynamo.protocol.messages import (
    CopyFetched,
    CopyStored,
    Envelope,
    Failed,
    Failure,
    FetchCopy,
    Get,
    GetDone,
    ListCopies,
    ListKeys,
    Ping,
    Pong,
    Put,
    PutDone,
    StoreCopy,
)
from dynamo.protocol.node import Node, Step
from dynamo.values.versions import EMPTY, update
from tests.dynamo.protocol.bench import (
    SETTINGS,
    Bench,
    cluster_of,
    key_owned_by,
    receivers,
    ring_of,
)

FULL = "n1 takes no writes: the disk is full"
PUT = Put(7, "colour", b"green", None, written_at=1.0)
ONE = update(EMPTY, None, "n2-1-1", b"1", 1.0)


def refused(id: int, by: str = "n2") -> Failed:
    return Failed(id, Failure.READ_ONLY, f"{by} is full")


class FullBench(Bench):
    """A node that takes no writes, over a disk that would fail the test if one came."""

    def restart(self, incarnation: int) -> None:
        assert isinstance(self.disk, MemoryDisk)
        cluster = cluster_of(self.ring, self.settings.n)
        self.node = Node(self.name, cluster, self.settings, self.disk, incarnation, FULL)
        self.disk.refuses = FULL
        self.settle()

    def step(self, *envelopes: Envelope) -> Step:
        step = self.node.step(envelopes, self.now, self.now)
        assert step.writes == []
        return step


def full_bench_with_a_copy() -> FullBench:
    healthy = Bench()
    healthy.hears(StoreCopy(1, "colour", ONE), sender="n2")
    return FullBench(disk=healthy.disk)


def test_copies_and_hints_are_refused_with_the_reason_and_reads_and_pings_go_on() -> None:
    bench = full_bench_with_a_copy()
    for hint_for in ("", "n3"):
        [answer] = bench.hears(StoreCopy(2, "colour", ONE, hint_for=hint_for), sender="n2")
        assert answer.message == Failed(2, Failure.READ_ONLY, FULL)
    [fetched] = bench.hears(FetchCopy(3, "colour"), sender="n2")
    assert fetched.message == CopyFetched(3, ONE)
    [pong] = bench.hears(Ping(4), sender="n2")
    assert pong.message == Pong(4)


def test_a_get_is_coordinated_and_repairs_others_only() -> None:
    bench = full_bench_with_a_copy()
    [fetch, _] = bench.hears(Get(7, "colour"))
    two = update(ONE, ONE.context, "n2-1-1", b"2", 2.0)
    [done] = bench.hears(CopyFetched(fetch.message.id, two), sender="n2")
    assert isinstance(done.message, GetDone)
    assert done.message.siblings == two
    [repair] = bench.hears(CopyFetched(fetch.message.id, ONE), sender="n3")
    assert (repair.receiver, type(repair.message)) == ("n3", StoreCopy)


def test_a_clients_put_is_passed_to_another_owner_until_one_takes_it() -> None:
    bench = full_bench_with_a_copy()
    [first] = bench.hears(PUT)
    assert isinstance(first.message, Put)
    [second] = bench.hears(refused(first.message.id), sender=first.receiver)
    assert {first.receiver, second.receiver} == {"n2", "n3"}
    [done] = bench.hears(PutDone(first.message.id, ("n2", "n3")), sender=second.receiver)
    assert (done.receiver, done.message) == ("client", PutDone(7, ("n2", "n3")))


def test_a_put_that_all_owners_refuse_is_refused_at_once() -> None:
    bench = full_bench_with_a_copy()
    [first] = bench.hears(PUT)
    [second] = bench.hears(refused(first.message.id), sender=first.receiver)
    [answer] = bench.hears(refused(first.message.id, "n3"), sender=second.receiver)
    assert answer.message == Failed(7, Failure.READ_ONLY, "n3 is full")
    assert bench.node.coordinator.pending_requests == 0


def test_a_put_passed_on_by_a_node_goes_no_further() -> None:
    [answer] = full_bench_with_a_copy().hears(PUT, sender="n2")
    assert answer.message == Failed(7, Failure.READ_ONLY, FULL)


def test_an_only_owner_refuses_a_put_itself() -> None:
    bench = FullBench(ring=ring_of(1), settings=replace(SETTINGS, n=1, r=1, w=1))
    [answer] = bench.hears(PUT)
    assert answer.message == Failed(7, Failure.READ_ONLY, FULL)


def test_hints_wait_while_this_nodes_own_disk_is_full() -> None:
    healthy = Bench()
    healthy.hears(StoreCopy(1, "colour", ONE, hint_for="n2"), sender="n3")
    bench = FullBench(disk=healthy.disk)
    assert bench.at(100.0) == []
    assert bench.node.status(0.0, 2.0)["hints"]["n2"]["waits_for"] == "room on the disk of n1"


# A healthy coordinator, and owners that refuse --------------------------------------------------


def test_an_owner_that_refuses_is_not_waited_for_nor_taken_to_be_down() -> None:
    bench = Bench()
    [store, _] = bench.hears(PUT)
    assert bench.hears(refused(store.message.id), sender="n2") == []
    [done] = bench.hears(CopyStored(store.message.id), sender="n3")
    assert done.message == PutDone(7, ("n1", "n3")) or done.message == PutDone(7, ("n3", "n1"))
    assert bench.node.coordinator.pending_requests == 0
    assert bench.node.members.up == {"n1", "n2", "n3"}


def test_a_substitute_keeps_the_copy_of_an_owner_that_refuses() -> None:
    bench = Bench(ring=ring_of(5), settings=replace(SETTINGS, w=3))
    key = key_owned_by(bench.ring, "n1")
    _, second, third, fourth, fifth = bench.ring.preference_list(key, 5)
    stores = bench.hears(Put(7, key, b"green", None, 1.0))
    assert receivers(stores) == [second, third]
    id = stores[0].message.id
    [hinted] = bench.hears(refused(id), sender=second)
    assert (hinted.receiver, hinted.message.hint_for) == (fourth, second)  # type: ignore[union-attr]
    [again] = bench.hears(refused(id), sender=fourth)  # full as well: the next one
    assert (again.receiver, again.message.hint_for) == (fifth, second)  # type: ignore[union-attr]
    bench.hears(CopyStored(id), sender=third)
    [done] = bench.hears(CopyStored(id, second), sender=fifth)
    assert done.message == PutDone(7, ("n1", third, fifth))


def test_a_quorum_that_refusals_make_impossible_fails_at_once_and_says_why() -> None:
    bench = Bench()
    [store, _] = bench.hears(PUT)
    assert bench.hears(refused(store.message.id, "n2"), sender="n2") == []
    [failed] = bench.hears(refused(store.message.id, "n3"), sender="n3")
    assert isinstance(failed.message, Failed)
    assert failed.message.reason is Failure.QUORUM
    assert failed.message.detail == "n2 is full; n3 is full"
    assert failed.message.answered == ("n1",)
    assert bench.node.coordinator.pending_requests == 0


def test_a_refusal_before_the_last_acknowledgement_fails_at_once_too() -> None:
    bench = Bench(settings=replace(SETTINGS, w=3))
    [store, _] = bench.hears(PUT)
    assert bench.hears(refused(store.message.id, "n2"), sender="n2") == []
    [failed] = bench.hears(CopyStored(store.message.id), sender="n3")
    assert isinstance(failed.message, Failed)
    assert sorted(failed.message.answered) == ["n1", "n3"]


def test_a_put_that_may_yet_succeed_is_waited_for() -> None:
    bench = Bench()
    [store, _] = bench.hears(PUT)
    bench.hears(refused(store.message.id), sender="n2")
    [again] = bench.at(0.6)
    assert again.receiver == "n3"  # and not the one that has refused
    [done] = bench.hears(CopyStored(store.message.id), sender="n3")
    assert isinstance(done.message, PutDone)


def test_a_hinted_copy_that_its_owner_refuses_is_kept_and_tried_again_later() -> None:
    bench = Bench()
    bench.hears(StoreCopy(1, "colour", ONE, hint_for="n2"), sender="n3")
    [delivery] = bench.at(2.0)
    assert bench.hears(refused(delivery.message.id), sender="n2") == []
    assert bench.at(2.0 + SETTINGS.refused_s - 0.1) == []
    waits = bench.node.status(0.0, 2.0)["hints"]["n2"]["waits_for"]
    assert waits == "another try: n2 is full"
    [again] = bench.at(2.0 + SETTINGS.refused_s + 0.1)
    bench.hears(CopyStored(again.message.id), sender="n2")
    assert bench.node.handoff.kept == {}
    assert bench.node.handoff.refusals == {}


def test_hinted_copies_go_in_batches_of_bounded_weight() -> None:
    bench = Bench()
    for number in range(6):
        large = update(EMPTY, None, "n2-1-1", bytes(3 << 20), 1.0)
        bench.hears(StoreCopy(1, f"key {number}", large, hint_for="n2"), sender="n3")
    assert len(bench.at(10.0)) == 2


# A disk that has rotted --------------------------------------------------------------------------


class RottenDisk(MemoryDisk):
    """A disk on which no copy can be read, as LevelDB says it of a block."""

    def get(self, key: bytes) -> bytes | None:
        if key[:1] in b"vh":
            raise CorruptData("block checksum mismatch")
        return super().get(key)

    def scan(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        if start[:1] in b"vh":
            raise CorruptData("block checksum mismatch")
        yield from super().scan(start, stop)


def test_what_can_t_be_read_is_said_to_be_damaged_and_not_to_be_missing() -> None:
    bench = Bench(disk=RottenDisk())
    assert bench.node.replica.read("colour") is None
    [fetched, *asked] = bench.hears(FetchCopy(3, "colour"), sender="n2")
    assert fetched.message == Failed(3, Failure.CORRUPT)
    assert sorted(receivers(asked)) == ["n2", "n3"]  # what they hold is to take its place
    [listed] = bench.hears(ListCopies(4, "", "", 10), sender="n2")
    assert listed.message == Failed(4, Failure.CORRUPT)
    assert sorted(receivers(bench.hears(ListKeys(5, "", "", 10)))) == ["n2", "n3"]
    assert bench.node.replica.corrupt_reads == 3 + 1
    bench.hears(StoreCopy(6, "colour", ONE, hint_for="n3"), sender="n2")
