"""Frames: what is sent is what arrives, and nothing else is let in."""

import pytest

from dynamo.errors import CorruptData
from dynamo.net import wire
from dynamo.protocol.messages import (
    ClearPlan,
    ClusterDone,
    CommitPlan,
    CopiesFetched,
    CopiesListed,
    CopyFetched,
    CopyStored,
    Envelope,
    Failed,
    Failure,
    FetchCopies,
    FetchCopy,
    FetchHints,
    FindDead,
    FoundDead,
    Get,
    GetCluster,
    GetDone,
    GetMany,
    GetNodes,
    GetRing,
    GetRoots,
    GivenUp,
    GiveUp,
    Gossip,
    Gossiped,
    GotMany,
    Heard,
    HintsFetched,
    KeysListed,
    ListCopies,
    Listed,
    ListKeys,
    ListSegments,
    Lost,
    Message,
    NodesDone,
    Ping,
    Pong,
    Put,
    PutDone,
    PutMany,
    Reap,
    Reaped,
    RingDone,
    RootsDone,
    Rumour,
    SegmentsListed,
    StageChange,
    StoreCopies,
    StoreCopy,
)
from dynamo.values import versions
from dynamo.values.cluster import Change, Kind, News, Rank, Seen, found

SIBLINGS = versions.update(versions.EMPTY, None, "n1-1-1", b"\x00value", 12.5)
CHANGE = Change(Kind.REPLACE, "n1", by="n3", address="127.0.0.1:3")
FOUNDED = found({"n1": "127.0.0.1:1", "n2": "127.0.0.1:2"}, partitions=2, n=2)
SEEN = {"n1": Seen(FOUNDED.table.rank, ready=True)}
CLUSTER = FOUNDED._replace(table=FOUNDED.table._replace(staged=(CHANGE,)), seen=SEEN)
MESSAGES: list[Message] = [
    Put(1, "key", b"value", {"n1-1-1": 3}, 12.5, n=3, w=2, timeout_s=1.5, durable=False),
    Put(1, "key", None, None, 0.0),
    PutDone(1, ("n1", "n2")),
    Get(2, "schlüssel", r=1),
    GetDone(2, SIBLINGS, ("n1",)),
    ListKeys(3, "/books/", "", 10),
    KeysListed(3, ("a", "b"), "b"),
    GetRing(4),
    RingDone(4, ("n1", "n1"), 1, {"n1": "127.0.0.1:1"}, 3, 2, 2, 10.0),
    Failed(5, Failure.QUORUM, "", 2, ("n1",), ("n2",), 1.0),
    StoreCopy(2**62, "key", SIBLINGS),
    StoreCopy(2**62, "key", SIBLINGS, durable=False, hint_for="n2"),
    CopyStored(6),
    FindDead(1, Rank(3), 7, (("key", b"digest"),)),
    FoundDead(1, ("key",)),
    Reap(1, Rank(3), (("key", b"digest"),)),
    Reaped(1, 1),
    Ping(6),
    Pong(6),
    Lost(6),
    FetchCopy(7, "key"),
    CopyFetched(7, versions.EMPTY),
    FetchHints(8, "key"),
    GiveUp(8, "key"),
    GivenUp(8),
    HintsFetched(8, {"n2": SIBLINGS, "n3": versions.EMPTY}),
    PutMany(9, (("a", b"1"), ("b", None)), 12.5, n=3, w=2, timeout_s=1.5, durable=False),
    GetMany(9, ("a", "schlüssel"), r=1),
    GotMany(9, (SIBLINGS, versions.EMPTY), ("n1", "n2")),
    StoreCopies(10, (("a", b"record"),), durable=False, hint_for="n2"),
    FetchCopies(10, ("a", "b")),
    CopiesFetched(10, (SIBLINGS,)),
    Gossip(11, b"digest"),
    Rumour(11, News(*CLUSTER)),
    Rumour(11, News(None, {}, CLUSTER.seen)),
    Gossiped(11, CLUSTER),
    Heard(11),
    GetCluster(11),
    StageChange(11, CHANGE),
    ClearPlan(11),
    CommitPlan(11, CLUSTER.table.rank),
    ClusterDone(11, CLUSTER),
    ListCopies(8, "", "", 5),
    CopiesListed(8, (Listed("a", SIBLINGS),), more=True, epoch=1, filling=(3, 5)),
    GetRoots(11, (0, 1), 10.0),
    RootsDone(11, ((0, b"hash"),), filling=(1,)),
    GetNodes(12, 7, 1, (0, 31)),
    NodesDone(12, ((0, (b"a", b"b")), (31, (b"c", b"d")))),
    ListSegments(13, 7, (1, 2)),
    SegmentsListed(13, ((1, {"schlüssel": b"digest"}), (2, {})), whole=False),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_every_message_arrives_as_it_was_sent(message: Message) -> None:
    frame = wire.Frame("client-1", 3, [Envelope("client-1", "n1", message)])
    assert wire.decode(wire.encode(frame)) == frame


def test_every_kind_of_message_is_tried_above() -> None:
    assert {type(message) for message in MESSAGES} == set(Message.__args__)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ("text", "takes one frame of bytes, not str"),
        (b"\x02\x90", "version"),
        (b"", "version"),
        (b"\x01\xc1", "can't be read"),
        (b"\x01\x93\xa1a\x00\x91\x93\xa1a\xa1b\x91\xa4Nope", "can't be read"),
        (b"\x01" + bytes(wire.REFUSED_BYTES), "over the limit"),
    ],
)
def test_what_is_no_frame_is_refused_with_its_reason(data: object, complaint: str) -> None:
    with pytest.raises(CorruptData, match=complaint):
        wire.decode(data)


def test_a_message_weighs_at_least_its_values() -> None:
    value = bytes(1 << 20)
    big = versions.update(versions.EMPTY, None, "a", value, 0.0)
    for message in (
        Put(1, "k", value, None, 0.0),
        StoreCopy(1, "k", big),
        CopyFetched(1, big),
        GetDone(1, big, ()),
        PutMany(1, (("k", value),), 0.0),
        StoreCopies(1, (("k", value),)),
        CopiesFetched(1, (big,)),
        GotMany(1, (big,), ()),
    ):
        assert wire.weight(Envelope("a", "b", message)) >= len(value)
