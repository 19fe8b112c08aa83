"""Single puts and gets of many callers travel in lots, and each caller gets its own answer."""

from itertools import count

import pytest

from dynamo.errors import RequestError, Unreachable
from dynamo.net.calls import Operation
from dynamo.net.client import Client
from dynamo.net.gathering import SMALL_BYTES, Gathered, gather
from dynamo.protocol.messages import (
    ClientRequest,
    Failed,
    Failure,
    Get,
    GetDone,
    GetMany,
    GotMany,
    ListKeys,
    Put,
    PutDone,
    PutMany,
)
from dynamo.values.ring import Ring
from dynamo.values.versions import EMPTY, NOTHING_SEEN, update

ONE_PARTITION = Ring(("n1",))
COPY = update(EMPTY, None, "n1-1-1", b"value", 1.0)


def operation(request: ClientRequest, name: str = "put", timeout_s: float = 9.0) -> Operation:
    return Operation(name, getattr(request, "key", ""), request, timeout_s)


def put(id: int, key: str, written_at: float = 1.0, **options: object) -> Operation:
    return operation(Put(id, key, b"v%d" % id, None, written_at, **options))  # type: ignore[arg-type]


def get(id: int, key: str, **options: int) -> Operation:
    return operation(Get(id, key, **options), "get")


def gathered(*operations: Operation, ring: Ring = ONE_PARTITION) -> list[Operation]:
    return list(gather(operations, ring, count(100).__next__))


def the_lot(*operations: Operation) -> Gathered:
    [lot] = gathered(*operations)
    assert isinstance(lot, Gathered)
    return lot


def test_puts_of_a_partition_become_one_in_their_order_as_late_as_the_last() -> None:
    lot = the_lot(put(1, "a", 5.0), put(2, "b", 7.0), put(3, "a", 6.0))
    assert lot.request == PutMany(100, (("a", b"v1"), ("b", b"v2"), ("a", b"v3")), 7.0)


def test_gets_of_a_partition_become_one() -> None:
    assert the_lot(get(1, "a", r=1), get(2, "b", r=1)).request == GetMany(100, ("a", "b"), r=1)


def test_what_is_not_alike_stays_apart() -> None:
    apart = [
        put(1, "a"),
        put(2, "b", durable=False),
        put(3, "c", w=1),
        put(4, "d", n=1),
        put(5, "e", expires_at=9.0),
        operation(Put(6, "f", b"v", None, 1.0), timeout_s=1.0),
        operation(Put(7, "g", None, None, 1.0), "delete"),
        operation(Put(8, "h", b"v", NOTHING_SEEN, 1.0)),
        operation(Put(9, "i", b"v", NOTHING_SEEN, 1.0)),
        operation(Put(10, "j", bytes(SMALL_BYTES + 1), None, 1.0)),
        operation(Put(11, "k", bytes(SMALL_BYTES + 1), None, 1.0)),
        get(12, "a"),
        get(13, "b", r=1),
        operation(ListKeys(14, "", "", 10), "list"),
    ]
    assert sorted(gathered(*apart), key=lambda each: each.request.id) == apart


def test_other_partitions_stay_apart() -> None:
    ring = Ring(("n1",) * 64)
    operations = [put(number, f"key {number}") for number in range(1, 200)]
    lots = gathered(*operations, ring=ring)
    for lot in lots:
        members = lot.members if isinstance(lot, Gathered) else [lot]
        assert len({ring.partition_of(member.key) for member in members}) == 1
    members_in = (lot.members if isinstance(lot, Gathered) else [lot] for lot in lots)
    assert sum(map(len, members_in)) == len(operations)


def test_each_get_is_given_its_own_copy_and_what_had_no_room_is_asked_again() -> None:
    lot = the_lot(get(1, "a"), get(2, "b"), get(3, "c"))
    shares = list(lot.shares(GotMany(100, (COPY, EMPTY), ("n1", "n2"))))
    assert [share for _, share in shares] == [
        GetDone(1, COPY, ("n1", "n2")),
        GetDone(2, EMPTY, ("n1", "n2")),
        None,
    ]
    assert [member.key for member, _ in shares] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "outcome", [PutDone(100, ("n1",)), Failed(100, Failure.QUORUM), Unreachable("silent")]
)
def test_all_members_share_what_has_happened(outcome: object) -> None:
    lot = the_lot(put(1, "a"), put(2, "b"))
    assert [share for _, share in lot.shares(outcome)] == [outcome, outcome]  # type: ignore[arg-type]


@pytest.mark.parametrize("reason", [Failure.CORRUPT, Failure.REQUEST])
def test_what_one_key_may_be_to_blame_for_is_asked_again_for_each(reason: Failure) -> None:
    lot = the_lot(put(1, "a"), put(2, "b"))
    assert [share for _, share in lot.shares(Failed(100, reason))] == [None, None]


def test_hundreds_of_puts_and_gets_at_once_each_get_their_own_answer(client: Client) -> None:
    keys = [f"gathered/{number}" for number in range(400)]
    puts = [client.put_async(key, key.encode()) for key in keys]
    assert all(len(done.result().nodes) >= 2 for done in puts)
    gets = {key: client.get_async(key) for key in keys}
    assert {key: got.result().value for key, got in gets.items()} == {k: k.encode() for k in keys}


def test_each_of_a_refused_lot_is_told_why_it_was_refused(client: Client) -> None:
    gets = [client.get_async(f"refused/{number}", r=7) for number in range(200)]
    for number, refused in enumerate(gets):
        with pytest.raises(RequestError, match=f"'refused/{number}'.*r=7"):
            refused.result()
