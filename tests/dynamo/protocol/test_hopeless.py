"""A coordinator that can't reach its quorum says so soon: another node may reach it.

Dynamo answers as soon as it can tell; who has been down for long is not waited for, and a member
that is slow, or has gone a moment ago, is.
"""

from dataclasses import replace

import msgspec
import pytest

from dynamo.protocol.messages import (
    CopyStored,
    Failed,
    Failure,
    FetchCopy,
    Get,
    GetMany,
    ListKeys,
    Lost,
    Message,
    Pong,
    Put,
    PutDone,
    PutMany,
    StoreCopy,
)
from dynamo.values.versions import EMPTY
from tests.dynamo.protocol.bench import SETTINGS, Bench, key_owned_by, receivers, ring_of

PUT = Put(7, "colour", b"green", None, written_at=1.0)
LOT = PutMany(7, (("colour", b"green"),), written_at=1.0)


def cut_off(bench: Bench, *peers: str, for_s: float) -> None:
    """Nothing has been heard of these peers for so long."""
    for peer in peers:
        bench.hears(Lost(99), sender=peer)
    bench.at(bench.now + for_s)


def failure(bench: Bench, request: Message) -> Failed:
    """The only thing that the node sends when it hears `request`."""
    [sent] = bench.hears(request)
    assert isinstance(sent.message, Failed)
    assert sent.message.reason == Failure.QUORUM
    assert bench.node.coordinator.pending_requests == 0
    return sent.message


@pytest.mark.parametrize("put", [PUT, LOT])
def test_a_put_that_too_few_can_store_fails_before_anything_is_written(put: Message) -> None:
    bench = Bench()
    cut_off(bench, "n2", "n3", for_s=1.0)
    failed = failure(bench, put)
    assert (failed.needed, failed.answered, failed.after_s) == (2, (), 0.0)
    assert set(failed.silent) == {"n2", "n3"}
    assert failed.detail == "nothing was written"
    assert bench.copy("colour") == EMPTY


def test_a_put_gives_up_once_the_others_have_been_down_for_long() -> None:
    bench = Bench()
    cut_off(bench, "n2", "n3", for_s=0.9)
    assert bench.hears(PUT) == []
    sent = bench.at(1.4)
    [failed] = [one.message for one in sent if one.receiver == "client"]
    assert isinstance(failed, Failed)
    assert failed.answered == ("n1",)
    assert bench.node.coordinator.pending_requests == 0


def test_a_put_waits_for_one_that_is_up_and_names_all_that_have_stored_it() -> None:
    bench = Bench(settings=replace(SETTINGS, w=3))
    cut_off(bench, "n3", for_s=0.7)
    [store] = bench.hears(PUT)
    assert "client" not in receivers(bench.at(1.2))
    [failed] = bench.hears(CopyStored(store.message.id), sender="n2")
    assert isinstance(failed.message, Failed)
    assert set(failed.message.answered) == {"n1", "n2"}
    assert failed.message.silent == ("n3",)


def test_a_put_goes_on_where_a_substitute_is_left() -> None:
    bench = Bench(ring=ring_of(4))
    key = key_owned_by(bench.ring, "n1", "n2", "n3")
    cut_off(bench, "n2", "n3", for_s=5.0)
    [store] = bench.hears(Put(7, key, b"green", None, written_at=1.0))
    assert store.receiver == "n4"
    assert isinstance(store.message, StoreCopy)
    assert store.message.hint_for == "n2"
    stored = CopyStored(store.message.id, store.message.hint_for)
    [done] = bench.hears(stored, sender="n4")
    assert isinstance(done.message, PutDone)


@pytest.mark.parametrize("get", [Get(7, "colour"), GetMany(7, ("colour",))])
def test_a_get_that_too_few_can_answer_fails_at_once(get: Message) -> None:
    bench = Bench()
    cut_off(bench, "n2", "n3", for_s=1.0)
    failed = failure(bench, get)
    assert (failed.needed, failed.answered) == (2, ("n1",))
    assert set(failed.silent) == {"n2", "n3"}


def test_a_get_of_one_replica_needs_nobody_else() -> None:
    bench = Bench()
    bench.hears(msgspec.structs.replace(PUT, w=1))
    cut_off(bench, "n2", "n3", for_s=1.0)
    [done] = bench.hears(Get(8, "colour", r=1))
    assert done.message.siblings.values == (b"green",)


def test_a_get_asks_on_while_enough_may_answer() -> None:
    bench = Bench()
    cut_off(bench, "n2", for_s=1.0)
    asked = bench.hears(Get(7, "colour"))
    assert set(receivers(asked)) == {"n2", "n3"}
    assert all(isinstance(one.message, FetchCopy) for one in asked)


def test_one_that_answers_anything_is_waited_for_again() -> None:
    bench = Bench()
    cut_off(bench, "n2", "n3", for_s=1.0)
    bench.hears(Pong(1), sender="n3")
    assert "n3" in receivers(bench.hears(PUT))


def test_a_listing_and_a_put_that_looks_first_give_up_too() -> None:
    for request in (ListKeys(7, "", "", 10), msgspec.structs.replace(PUT, condition="absent")):
        bench = Bench()
        cut_off(bench, "n2", "n3", for_s=1.0)
        bench.hears(request)
        answers = [one.message for one in bench.at(1.5) if one.receiver == "client"]
        assert [type(answer) for answer in answers] == [Failed]
        assert bench.node.coordinator.pending_requests == 0


def test_a_node_without_a_copy_gives_up_when_no_owner_is_there() -> None:
    bench = Bench(ring=ring_of(4))
    key = key_owned_by(bench.ring, "n2", "n3", "n4")
    cut_off(bench, "n2", "n3", "n4", for_s=1.0)
    bench.hears(Get(7, key))
    answers = [one.message for one in bench.at(1.5) if one.receiver == "client"]
    assert [type(answer) for answer in answers] == [Failed]
