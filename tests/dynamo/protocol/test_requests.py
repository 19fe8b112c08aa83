"""Client requests at the node that coordinates them: replies, silence, deadlines, repair."""

from dataclasses import replace

import msgspec
import pytest

from dynamo.disk.contract import Write, copy_key
from dynamo.protocol.messages import (
    CopiesListed,
    CopyFetched,
    CopyStored,
    Envelope,
    Failed,
    Failure,
    FetchCopy,
    Get,
    GetDone,
    GetRing,
    KeysListed,
    ListCopies,
    Listed,
    ListKeys,
    Message,
    Put,
    PutDone,
    RingDone,
    StoreCopy,
)
from dynamo.values.versions import EMPTY, update
from tests.dynamo.protocol.bench import SETTINGS, Bench, key_owned_by, receivers, ring_of

ONE = update(EMPTY, None, "n2-1-1", b"1", 1.0)
TWO = update(ONE, ONE.context, "n2-1-1", b"2", 2.0)
PUT = Put(7, "colour", b"green", None, written_at=1.0)
GET = Get(7, "colour")


def changed(message: Put, **changes: object) -> Put:
    return msgspec.structs.replace(message, **changes)


def envelope(bench: Bench, message: Message, sender: str = "client") -> Envelope:
    return Envelope(sender, bench.name, message)


# Put ---------------------------------------------------------------------------------------------


def test_a_put_is_written_here_sent_to_the_others_and_answered_at_the_quorum() -> None:
    bench = Bench()
    sent = bench.hears(PUT)
    assert sorted(receivers(sent)) == ["n2", "n3"]
    assert bench.copy("colour").values == (b"green",)
    store = sent[0].message
    assert isinstance(store, StoreCopy)
    assert store.siblings == bench.copy("colour")
    assert store.durable
    [done] = bench.hears(CopyStored(store.id), sender="n3")
    assert done.receiver == "client"
    assert done.message == PutDone(7, done.message.nodes)
    assert sorted(done.message.nodes) == ["n1", "n3"]
    assert bench.hears(CopyStored(store.id), sender="n2") == []
    assert bench.node.coordinator.pending_requests == 0


def test_the_same_acknowledgement_twice_counts_once() -> None:
    bench = Bench(settings=replace(SETTINGS, w=3))
    [store, _] = bench.hears(PUT)
    ack = CopyStored(store.message.id)
    assert bench.hears(ack, ack, sender="n2") == []
    assert len(bench.hears(ack, sender="n3")) == 1


def test_a_put_of_one_replica_answers_at_once() -> None:
    bench = Bench()
    sent = bench.hears(changed(PUT, w=1))
    assert receivers(sent).count("client") == 1
    assert sorted(receivers(sent)) == ["client", "n2", "n3"]
    assert bench.node.next_wake() is None or bench.at(99.0) == []


def test_a_request_may_ask_for_fewer_replicas() -> None:
    ring = ring_of(5)
    key = key_owned_by(ring, "n1")
    bench = Bench(ring=ring)
    sent = bench.hears(Put(7, key, b"green", None, 1.0, n=1, w=1))
    assert receivers(sent) == ["client"]
    assert sent[0].message.nodes == ("n1",)


def test_the_silent_are_asked_again_and_the_put_fails_at_its_deadline() -> None:
    bench = Bench(settings=replace(SETTINGS, w=3))
    [store, _] = bench.hears(changed(PUT, timeout_s=0.8))
    bench.hears(CopyStored(store.message.id), sender=store.receiver)
    silent = next(node for node in ("n2", "n3") if node != store.receiver)
    assert bench.node.next_wake() == 0.5
    again = bench.at(0.5)
    assert receivers(again) == [silent]
    assert again[0].message == store.message
    assert bench.node.next_wake() == 0.8
    [failed] = bench.at(0.8)
    assert failed.message.reason == Failure.QUORUM
    assert failed.message.needed == 3
    assert sorted(failed.message.answered) == sorted(["n1", store.receiver])
    assert failed.message.silent == (silent,)
    assert failed.message.after_s == 0.8
    assert bench.node.coordinator.pending_requests == 0


def test_a_put_without_fsync_asks_nobody_for_one() -> None:
    bench = Bench()
    step = bench.node.step([envelope(bench, changed(PUT, durable=False))], 0.0, 0.0)
    assert not step.sync
    assert [sent.message.durable for sent in step.envelopes] == [False, False]


def test_a_context_replaces_what_it_has_seen() -> None:
    bench = Bench()
    bench.hears(StoreCopy(1, "colour", ONE), sender="n2")
    bench.hears(Put(7, "colour", b"after", ONE.context, 5.0))
    assert bench.copy("colour").values == (b"after",)
    bench.hears(Put(8, "colour", b"beside", ONE.context, 6.0))
    assert bench.copy("colour").values == (b"beside", b"after")


def test_a_delete_is_a_put_of_a_tombstone() -> None:
    bench = Bench()
    bench.hears(StoreCopy(1, "colour", ONE), sender="n2")
    bench.hears(Put(7, "colour", None, ONE.context, 5.0))
    assert bench.copy("colour").values == ()
    assert len(bench.copy("colour").versions) == 1


# Get ---------------------------------------------------------------------------------------------


def test_a_get_merges_what_the_quorum_holds() -> None:
    bench = Bench()
    bench.hears(StoreCopy(1, "colour", ONE), sender="n2")
    sent = bench.hears(GET)
    assert [type(each.message) for each in sent] == [FetchCopy, FetchCopy]
    assert sorted(receivers(sent)) == ["n2", "n3"]
    [done] = bench.hears(CopyFetched(sent[0].message.id, TWO), sender="n2")
    assert done.receiver == "client"
    assert done.message == GetDone(7, TWO, done.message.nodes)
    assert sorted(done.message.nodes) == ["n1", "n2"]


def test_the_last_answer_starts_the_repair_of_all_that_are_stale() -> None:
    bench = Bench()
    bench.hears(StoreCopy(1, "colour", ONE), sender="n2")
    id = bench.hears(GET)[0].message.id
    bench.hears(CopyFetched(id, TWO), sender="n2")
    repairs = bench.hears(CopyFetched(id, EMPTY), sender="n3")
    assert receivers(repairs) == ["n3"]
    assert repairs[0].message.siblings == TWO
    assert bench.copy("colour") == TWO
    assert bench.hears(CopyStored(id), sender="n3") == []
    assert bench.node.coordinator.pending_requests == 0


def test_who_stays_silent_delays_the_repair_of_the_others_only_a_while() -> None:
    bench = Bench()
    id = bench.hears(GET)[0].message.id
    bench.now = 0.2
    bench.hears(CopyFetched(id, ONE), sender="n2")
    assert bench.at(1.1) == []
    assert bench.copy("colour") == EMPTY
    assert bench.at(1.2) == []
    assert bench.copy("colour") == ONE
    assert bench.node.coordinator.pending_requests == 0


def test_equal_replicas_need_no_repair() -> None:
    bench = Bench()
    bench.hears(StoreCopy(1, "colour", ONE), sender="n2")
    id = bench.hears(GET)[0].message.id
    bench.hears(CopyFetched(id, ONE), sender="n2")
    step = bench.step(envelope(bench, CopyFetched(id, ONE), sender="n3"))
    assert step == ([], False, [])


def test_a_get_of_one_copy_asks_nobody() -> None:
    bench = Bench()
    bench.hears(StoreCopy(1, "colour", ONE), sender="n2")
    [done] = bench.hears(Get(7, "colour", r=1))
    assert done.message == GetDone(7, ONE, ("n1",))


def test_a_get_asks_the_silent_again_and_fails_at_its_deadline() -> None:
    bench = Bench()
    bench.hears(Get(7, "colour", timeout_s=0.8))
    assert sorted(receivers(bench.at(0.5))) == ["n2", "n3"]
    [failed] = bench.at(0.8)
    assert failed.message.reason == Failure.QUORUM
    assert (failed.message.needed, failed.message.answered) == (2, ("n1",))
    assert bench.hears(CopyFetched(1, ONE), sender="n2") == []


def test_a_damaged_copy_counts_for_nothing() -> None:
    bench = Bench()
    bench.hears(StoreCopy(1, "colour", ONE), sender="n2")
    bench.disk.commit(
        [Write(copy_key(bench.ring.partition_of("colour"), "colour"), b"damaged")], sync=True
    )
    sent = bench.hears(GET)
    id = sent[0].message.id
    assert bench.hears(CopyFetched(id, ONE), sender="n2") == []
    assert bench.hears(Failed(id, Failure.CORRUPT), sender="n3") == []
    [done] = bench.hears(CopyFetched(id, ONE), sender="n3")
    assert done.message.siblings == ONE
    assert sorted(done.message.nodes) == ["n2", "n3"]


# Passing on --------------------------------------------------------------------------------------


def relaying() -> tuple[Bench, str]:
    ring = ring_of(4)
    return Bench("n1", ring), key_owned_by(ring, "n2", "n3", "n4")


@pytest.mark.parametrize("kind", ["put", "get"])
def test_a_node_that_holds_no_copy_passes_a_request_on_and_the_answer_back(kind: str) -> None:
    bench, key = relaying()
    request = Put(7, key, b"green", None, 1.0) if kind == "put" else Get(7, key)
    [passed] = bench.hears(request)
    assert (passed.sender, passed.receiver) == ("n1", "n2")
    assert type(passed.message) is type(request)
    assert passed.message.timeout_s == 10.0
    id = passed.message.id
    done = PutDone(id, ("n2", "n3")) if kind == "put" else GetDone(id, ONE, ("n2", "n3"))
    [answer] = bench.hears(done, sender="n2")
    assert answer.receiver == "client"
    assert answer.message.id == 7
    assert bench.copy(key) == EMPTY


def test_a_silent_owner_is_followed_by_the_next_until_the_deadline() -> None:
    bench, key = relaying()
    bench.hears(Get(7, key, timeout_s=1.7))
    assert [receivers(bench.at(now)) for now in (0.5, 1.0, 1.5)] == [["n3"], ["n4"], ["n2"]]
    [failed] = bench.at(1.7)
    assert failed.message.silent == ("n2", "n3", "n4")
    assert failed.message.reason == Failure.QUORUM


def test_an_owner_s_failure_is_passed_back() -> None:
    bench, key = relaying()
    [passed] = bench.hears(Get(7, key))
    failed = Failed(passed.message.id, Failure.OVERLOADED, "too much")
    [answer] = bench.hears(failed, sender="n2")
    assert answer.message == Failed(7, Failure.OVERLOADED, "too much")


# List --------------------------------------------------------------------------------------------


def listed(*keys: str, deleted: str = "") -> tuple[Listed, ...]:
    tombstone = update(ONE, ONE.context, "n2-1-1", None, 2.0)
    return tuple(Listed(key, tombstone if key == deleted else ONE) for key in keys)


def test_a_list_merges_the_pages_of_enough_owners() -> None:
    bench = Bench()
    bench.hears(StoreCopy(1, "a", ONE), StoreCopy(2, "b", ONE), sender="n2")
    sent = bench.hears(ListKeys(7, "", "", 10))
    assert [type(each.message) for each in sent] == [ListCopies, ListCopies]
    page = CopiesListed(sent[0].message.id, listed("b", "c", deleted="b"), more=False, epoch=1)
    [done] = bench.hears(page, sender="n2")
    assert done.message == KeysListed(7, ("a", "c"), "")


def test_a_page_ends_where_the_shortest_of_those_cut_off_ends() -> None:
    bench = Bench()
    bench.hears(*(StoreCopy(place, key, ONE) for place, key in enumerate("adef")), sender="n2")
    id = bench.hears(ListKeys(7, "", "", 2))[0].message.id
    [done] = bench.hears(CopiesListed(id, listed("a", "b"), more=True, epoch=1), sender="n3")
    assert done.message == KeysListed(7, ("a", "b"), "b")


def test_a_page_may_be_empty_and_not_the_last() -> None:
    bench = Bench()
    id = bench.hears(ListKeys(7, "", "", 1))[0].message.id
    page = CopiesListed(id, listed("a", deleted="a"), more=True, epoch=1)
    [done] = bench.hears(page, sender="n3")
    assert done.message == KeysListed(7, (), "a")


def test_a_list_waits_until_every_partition_is_covered() -> None:
    ring = ring_of(5)
    bench = Bench(ring=ring)
    sent = bench.hears(ListKeys(7, "", "", 10, timeout_s=0.8))
    assert receivers(sent) == ["n2", "n3", "n4", "n5"]
    id = sent[0].message.id
    assert bench.hears(CopiesListed(id, (), more=False, epoch=1), sender="n2") == []
    assert receivers(bench.at(0.5)) == ["n3", "n4", "n5"]
    [failed] = bench.at(0.8)
    assert failed.message.reason == Failure.QUORUM
    assert failed.message.answered == ("n1", "n2")
    assert failed.message.silent == ("n3", "n4", "n5")


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_a_page_of_a_wrong_size_is_refused(limit: int) -> None:
    [failed] = Bench().hears(ListKeys(7, "", "", limit))
    assert failed.message.reason == Failure.REQUEST
    assert str(limit) in failed.message.detail


# Refusals, and what else there is ----------------------------------------------------------------


@pytest.mark.parametrize(
    "request_",
    [
        Put(7, "colour", b"", None, 1.0, w=4),
        Put(7, "colour", b"", None, 1.0, n=1, w=2),
        Put(7, "colour", b"", None, 1.0, w=-1),
        Put(7, "colour", b"", None, 1.0, n=-1, w=1),
        Get(7, "colour", n=-1, r=1),
        Get(7, "colour", r=4),
        Get(7, "colour", n=9, r=4),
    ],
)
def test_a_quorum_that_can_t_be_met_is_refused_before_anything_is_written(
    request_: Put | Get,
) -> None:
    bench = Bench()
    step = bench.step(envelope(bench, request_))
    [failed] = step.envelopes
    assert failed.message.reason == Failure.REQUEST
    assert "can't be met by a cluster of 3 nodes" in failed.message.detail
    assert step.writes == []


def test_past_the_limit_of_requests_in_flight_the_answer_is_overloaded() -> None:
    bench = Bench(settings=replace(SETTINGS, pending_limit=2))
    sent = bench.hears(PUT, GET, PUT)
    refused = [each.message for each in sent if isinstance(each.message, Failed)]
    assert [failed.reason for failed in refused] == [Failure.OVERLOADED]
    assert "2 requests are in flight" in refused[0].detail


def test_the_ring_is_told_to_whoever_asks() -> None:
    bench = Bench()
    [told] = bench.hears(GetRing(7))
    ring = told.message
    assert isinstance(ring, RingDone)
    assert ring.owners == bench.ring.owners
    assert ring.addresses["n2"] == "host-of-n2"
    assert (ring.id, ring.epoch, ring.n, ring.r, ring.w, ring.timeout_s) == (7, 1, 3, 2, 2, 10.0)
