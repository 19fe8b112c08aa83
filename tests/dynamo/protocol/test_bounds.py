"""What the requests in flight may weigh together: past it a node refuses, and never grows."""

from dataclasses import replace

import pytest

from dynamo.protocol.messages import (
    CopyFetched,
    CopyStored,
    Envelope,
    Failed,
    Failure,
    Get,
    GetDone,
    Put,
    PutDone,
    PutMany,
)
from dynamo.values.versions import EMPTY, update
from tests.dynamo.protocol.bench import SETTINGS, Bench, ring_of

SMALL = replace(SETTINGS, pending_bytes=1000)
LARGE = update(EMPTY, None, "n2-1-1", bytes(600), 1.0)


def put(id: int, size_bytes: int) -> Put:
    return Put(id, "colour", bytes(size_bytes), None, 1.0)


def reasons(envelopes: list[Envelope]) -> list[Failure]:
    return [e.message.reason for e in envelopes if isinstance(e.message, Failed)]


@pytest.mark.parametrize("nodes", [3, 5])  # n1 owns the key among three, and passes it on else
def test_puts_past_the_bytes_in_flight_are_refused_until_others_have_ended(nodes: int) -> None:
    ring = ring_of(nodes)
    keys = (f"key {number}" for number in range(100))
    key = next(key for key in keys if ("n1" in ring.preference_list(key, 3)) == (nodes == 3))
    bench = Bench(ring=ring, settings=SMALL)
    sent = bench.hears(Put(1, key, bytes(600), None, 1.0), Put(2, key, bytes(600), None, 1.0))
    assert reasons(sent) == []
    refused = bench.hears(Put(3, key, b"", None, 1.0))
    assert reasons(refused) == [Failure.OVERLOADED]
    assert "1,200 bytes of values are in flight" in refused[0].message.detail  # type: ignore[union-attr]
    for envelope in sent:
        done = CopyStored if nodes == 3 else lambda id: PutDone(id, ())
        bench.hears(done(envelope.message.id), sender=envelope.receiver)
    assert bench.node.coordinator.held_bytes == 0
    assert reasons(bench.hears(Put(3, key, b"", None, 1.0))) == []


def test_a_lot_weighs_what_its_values_do() -> None:
    bench = Bench(settings=SMALL)
    lot = PutMany(1, (("colour", bytes(300)), ("colour", bytes(400))), 1.0)
    bench.hears(lot)
    assert bench.node.coordinator.held_bytes == 700


def test_an_answered_put_does_not_linger_where_half_of_the_room_is_taken() -> None:
    bench = Bench(settings=SMALL)
    [store, _] = bench.hears(put(1, 600))
    bench.hears(CopyStored(store.message.id), sender="n2")
    assert bench.node.coordinator.held_bytes == 0


def test_a_get_whose_copies_have_no_room_is_refused_and_frees_what_it_held() -> None:
    bench = Bench(settings=replace(SMALL, r=3))
    sent = bench.hears(Get(1, "one"), Get(2, "two"))
    first, second = (e.message.id for e in sent if e.receiver == "n2")
    assert bench.hears(CopyFetched(first, LARGE), sender="n2") == []
    [refused] = bench.hears(CopyFetched(second, LARGE), sender="n2")
    assert (refused.message.id, reasons([refused])) == (2, [Failure.OVERLOADED])
    assert bench.node.coordinator.held_bytes == 600
    [done, *_] = bench.hears(CopyFetched(first, EMPTY), sender="n3")
    assert isinstance(done.message, GetDone)
    assert bench.node.coordinator.held_bytes == 0
