"""Conditional puts at the node that coordinates them."""

import msgspec
import pytest

from dynamo.protocol.messages import (
    Condition,
    CopyFetched,
    CopyStored,
    Envelope,
    Failed,
    Failure,
    FetchCopy,
    Put,
    PutDone,
    StoreCopy,
)
from dynamo.values.versions import EMPTY, NOTHING_SEEN, Context, Siblings, reconcile, update
from tests.dynamo.protocol.bench import Bench, receivers

ONE = update(EMPTY, None, "n2-1-1", b"1", 1.0)
TWO = update(ONE, ONE.context, "n2-1-1", b"2", 2.0)
DELETED = update(ONE, ONE.context, "n2-1-1", None, 2.0)


def put(condition: Condition, context: Context | None = None, at: float = 5.0) -> Put:
    return Put(7, "colour", b"green", context, at, condition=condition)


def finds(request: Put, there: Siblings) -> tuple[Bench, list[Envelope]]:
    """What the node sends once one other replica has told what it holds."""
    bench = Bench()
    asked = bench.hears(request)
    assert sorted(receivers(asked)) == ["n2", "n3"]
    assert {type(envelope.message) for envelope in asked} == {FetchCopy}
    assert bench.copy("colour") == EMPTY
    return bench, bench.hears(CopyFetched(asked[0].message.id, there), sender="n2")


@pytest.mark.parametrize("there", [EMPTY, DELETED], ids=["nothing", "a tombstone"])
def test_if_absent_puts_where_a_quorum_holds_nothing_live(there: Siblings) -> None:
    bench, sent = finds(put(Condition.ABSENT), there)
    assert sorted(receivers(sent)) == ["n2", "n3"]
    store = sent[0].message
    assert isinstance(store, StoreCopy)
    assert store.siblings.values == (b"green",)
    assert len(store.siblings.versions) == 1
    [done] = bench.hears(CopyStored(store.id), sender="n3")
    assert isinstance(done.message, PutDone)
    assert (done.receiver, done.message.id) == ("client", 7)


def test_if_absent_fails_where_another_replica_holds_a_value() -> None:
    bench, [refused] = finds(put(Condition.ABSENT), ONE)
    assert isinstance(refused.message, Failed)
    assert refused.message.reason is Failure.CONFLICT
    assert (refused.message.context, refused.message.values) == (ONE.context, 1)
    assert bench.copy("colour") == EMPTY
    assert bench.node.coordinator.pending_requests == 0


def test_if_context_puts_where_nothing_unseen_stands() -> None:
    _, sent = finds(put(Condition.UNCHANGED, ONE.context), ONE)
    assert {type(envelope.message) for envelope in sent} == {StoreCopy}
    store = sent[0].message
    assert isinstance(store, StoreCopy)
    assert store.siblings.values == (b"green",)


@pytest.mark.parametrize("seen", [ONE.context, NOTHING_SEEN])
@pytest.mark.parametrize("there", [TWO, DELETED], ids=["a value", "a delete"])
def test_if_context_fails_where_something_newer_stands(seen: Context, there: Siblings) -> None:
    _, [refused] = finds(put(Condition.UNCHANGED, seen), there)
    assert isinstance(refused.message, Failed)
    assert refused.message.reason is Failure.CONFLICT
    assert (refused.message.context, refused.message.values) == (there.context, len(there.values))


@pytest.mark.parametrize("condition", [Condition.ABSENT, Condition.UNCHANGED])
def test_of_two_at_once_through_one_node_one_wins(condition: Condition) -> None:
    bench = Bench()
    context = NOTHING_SEEN if condition is Condition.UNCHANGED else None
    first = bench.hears(put(condition, context, at=5.0))[0].message.id
    second = bench.hears(put(condition, context, at=6.0))[0].message.id
    bench.hears(CopyFetched(first, EMPTY), sender="n2")
    [refused] = bench.hears(CopyFetched(second, EMPTY), sender="n2")
    assert isinstance(refused.message, Failed)
    assert refused.message.reason is Failure.CONFLICT


@pytest.mark.parametrize("condition", [Condition.ABSENT, Condition.UNCHANGED])
def test_a_put_that_arrives_again_is_no_conflict_with_itself(condition: Condition) -> None:
    context = NOTHING_SEEN if condition is Condition.UNCHANGED else None
    request = put(condition, context)
    there = update(EMPTY, NOTHING_SEEN, "n2-1-1", request.value, request.written_at)
    _, sent = finds(request, there)
    store = sent[0].message
    assert isinstance(store, StoreCopy)
    assert store.siblings.values == (b"green",)
    assert len(store.siblings.versions) == 1


def test_if_context_replaces_what_its_reader_saw_though_no_copy_read_here_has_heard_of_it() -> None:
    _, sent = finds(put(Condition.UNCHANGED, TWO.context), ONE)
    store = sent[0].message
    assert isinstance(store, StoreCopy)
    assert reconcile([store.siblings, TWO]).values == (b"green",)


def test_an_ephemeral_put_that_arrives_again_is_no_conflict_with_the_tombstone_beside_it() -> None:
    long_lived = update(EMPTY, None, "n2-1-1~", b"1", 1.0, expires_at=500.0)
    request = msgspec.structs.replace(
        put(Condition.UNCHANGED, long_lived.context), expires_at=50.0, ephemeral=True
    )
    there = update(long_lived, long_lived.context, "n2-1-1~", b"green", 5.0, expires_at=50.0)
    assert len(there.versions) == 2
    _, sent = finds(request, there)
    assert {type(envelope.message) for envelope in sent} == {StoreCopy}


def test_nor_is_it_one_once_what_came_before_has_expired() -> None:
    request = msgspec.structs.replace(put(Condition.UNCHANGED, NOTHING_SEEN), expires_at=50.0)
    there = update(EMPTY, NOTHING_SEEN, "n2-1-1", b"green", 5.0, expires_at=50.0)
    bench = Bench()
    bench.now = 60.0
    asked = bench.hears(request)
    sent = bench.hears(CopyFetched(asked[0].message.id, there), sender="n2")
    assert {type(envelope.message) for envelope in sent} == {StoreCopy}


def test_without_a_read_quorum_it_fails_at_its_deadline_and_writes_nothing() -> None:
    bench = Bench()
    bench.hears(put(Condition.ABSENT))
    assert sorted(receivers(bench.at(0.5))) == ["n2", "n3"]
    failed = [e.message for e in bench.at(10.0) if e.receiver == "client"]
    assert len(failed) == 1
    assert isinstance(failed[0], Failed)
    assert (failed[0].reason, failed[0].needed) == (Failure.QUORUM, 2)
    assert bench.copy("colour") == EMPTY
