"""Each change of a node's state is told once, and a request never."""

from collections import Counter

import pytest

from dynamo.disk.contract import Write, copy_key
from dynamo.net.watch import QUIET_S, Watch
from dynamo.protocol.messages import (
    CommitPlan,
    CopyFetched,
    CopyStored,
    Envelope,
    FetchCopy,
    Lost,
    Message,
    Ping,
    Pong,
    Rumour,
    StageChange,
    StoreCopy,
)
from dynamo.values.cluster import Change, Kind, News, Rank, Seen
from dynamo.values.ring import claim
from dynamo.values.versions import EMPTY, NOTHING_SEEN, update
from tests.dynamo.protocol.bench import Bench

COPY = update(EMPTY, NOTHING_SEEN, "a", b"value", written_at=1.0)


class Watched(Bench):
    """A node on the workbench that is looked at after each of its steps, as the loop does."""

    def __init__(self) -> None:
        super().__init__()
        self.watch = Watch(self.name, self.now)
        self.refused: Counter[str] = Counter()

    def at(self, now: float) -> list[Envelope]:
        sent = super().at(now)
        self.look()
        return sent

    def told(self, *messages: Message, sender: str) -> list[Envelope]:
        sent = self.hears(*messages, sender=sender)
        self.look()
        return sent

    def look(self) -> None:
        self.watch.look(self.node, self.refused, self.now)


@pytest.fixture
def watched(caplog: pytest.LogCaptureFixture) -> Watched:
    caplog.set_level("INFO", "dynamo.node")
    watched = Watched()
    watched.look()
    return watched


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What has been logged since this was last asked."""
    found = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return found


def test_nothing_is_told_of_a_node_at_peace(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    for second in range(100):
        watched.at(float(second))
        watched.told(Ping(second), sender="n2")
    assert lines(caplog) == []
    assert watched.watch.next_look() is None


def test_a_member_goes_down_once_and_comes_back_once(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    watched.watch.heard("n2", 1.0)
    watched.now = 4.0
    for _ in range(3):
        watched.told(Lost(1), sender="n2")
    assert lines(caplog) == [
        "n1: takes n2 to be down: it does not answer, and was last heard of 3.0 s ago"
    ]
    assert watched.watch.status(now=5.0) == {"silent_s": {"n2": 4.0}, "down_s": {"n2": 1.0}}
    watched.now = 10.0
    for _ in range(3):
        watched.told(Pong(1), sender="n2")
    assert lines(caplog) == ["n1: n2 is back, after 6.0 s"]
    watched.now = 11.0
    watched.told(Lost(1), sender="n2")
    assert len(lines(caplog)) == 1


def test_a_member_that_never_answered_is_told_as_such(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    watched.now = 2.5
    watched.told(Lost(1), sender="n3")
    assert lines(caplog) == [
        "n1: takes n3 to be down: it has not answered since this node started, 2.5 s ago"
    ]


def test_a_member_whose_process_has_gone_is_told_as_such_until_it_is_heard_of(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    watched.watch.heard("n2", 1.0)
    watched.now = 1.5
    watched.watch.gone("n2")
    watched.watch.gone("n3")
    watched.told(Lost(1), sender="n2")
    watched.told(Lost(1), sender="n3")
    assert lines(caplog) == [
        "n1: takes n2 to be down: its process has gone, and was last heard of 0.5 s ago",
        "n1: takes n3 to be down: nothing listens at its address since this node started, "
        "1.5 s ago",
    ]
    watched.watch.heard("n2", 2.0)
    watched.told(Pong(1), sender="n2")
    watched.now = 4.0
    watched.told(Lost(1), sender="n2")
    assert "it does not answer, and was last heard of 2.0 s ago" in lines(caplog)[-1]


def test_hints_are_told_when_they_begin_and_when_all_are_delivered(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    watched.told(Lost(1), sender="n2")
    lines(caplog)
    for number in range(5):
        watched.told(StoreCopy(number, f"key{number}", COPY, hint_for="n2"), sender="n3")
    assert lines(caplog) == ["n1: keeps copies for n2, until it takes them itself"]
    watched.now = 30.0
    sent = watched.told(Pong(1), sender="n2")
    deliveries = [envelope for envelope in sent if isinstance(envelope.message, StoreCopy)]
    assert lines(caplog) == ["n1: n2 is back, after 30.0 s"]
    watched.now = 31.0
    watched.told(*(CopyStored(d.message.id) for d in deliveries), sender="n2")
    assert watched.node.handoff.kept == {}
    assert watched.watch.next_look() == 31.0 + QUIET_S
    watched.at(31.0 + QUIET_S)
    watched.at(200.0)
    assert lines(caplog) == [
        "n1: keeps no more copies for n2: delivered 5, the last 31.0 s after the first was kept"
    ]


def test_hints_that_are_delivered_at_once_are_one_episode(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    """The owner is up here, and out of reach for the one who coordinates."""
    for number in range(50):
        watched.now = number / 10
        watched.told(StoreCopy(number, f"key{number}", COPY, hint_for="n2"), sender="n3")
        for sent in watched.at(watched.now):
            watched.told(CopyStored(sent.message.id), sender="n2")
    assert lines(caplog) == ["n1: keeps copies for n2, until it takes them itself"]


def test_overload_is_told_when_it_begins_and_when_it_has_been_over_for_a_while(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    for second in range(5):
        watched.refused["overloaded"] += 100
        watched.refused["request"] += 1
        watched.at(float(second))
    assert lines(caplog) == ["n1: refuses requests, because more wait than it can take"]
    assert watched.watch.next_look() == 4.0 + QUIET_S
    watched.at(4.0 + QUIET_S)
    watched.at(100.0)
    assert lines(caplog) == [
        "n1: has answered as it should for 10 s (overloaded: 500 requests within 4.0 s)"
    ]
    assert watched.watch.next_look() is None


def test_damaged_copies_are_told_once(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    where = copy_key(watched.ring.partition_of("key"), "key")
    watched.disk.commit([Write(where, b"rubbish")], sync=True)
    asked: list[FetchCopy] = []
    for id in range(3):
        sent = watched.told(FetchCopy(id, "key"), sender="n2")
        watched.now += 0.1
        asked = [e.message for e in sent if isinstance(e.message, FetchCopy)] or asked
    assert lines(caplog) == [
        "n1: has met copies that fail their checksums, refuses them, and heals them from the other "
        "replicas"
    ]
    for peer in ("n2", "n3"):
        watched.told(CopyFetched(asked[0].id, COPY), sender=peer)
    watched.at(QUIET_S + 1.0)
    assert lines(caplog) == ["n1: has no damaged copy any more that it knows of: healed 1"]
    assert watched.watch.next_look() is None


# The ring ----------------------------------------------------------------------------------------


def others_have_seen(watched: Watched) -> None:
    """The other members gossip that they have seen what this node knows, and are ready."""
    known = watched.node.view.cluster
    said = {name: Seen(known.table.rank, ready=True) for name in known.table.live if name != "n1"}
    news = known._replace(seen={**known.seen, **said})
    watched.told(Rumour(1, News(*news)), sender="n2")


def test_each_step_of_a_change_is_told_once(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    watched.told(StageChange(1, Change(Kind.JOIN, "n4", address="host-of-n4")), sender="person")
    rank = watched.node.view.table.rank
    assert lines(caplog) == [f"n1: planned is now ({rank}): join n4"]
    watched.told(CommitPlan(2, rank), sender="person")
    epoch = rank.epoch + 1
    assert lines(caplog) == [f"n1: ring epoch {epoch}: filling for join n4"]
    watched.at(1.0)
    assert lines(caplog) == []
    others_have_seen(watched)
    assert lines(caplog) == [f"n1: ring epoch {epoch + 1}: switching for join n4"]
    others_have_seen(watched)
    assert lines(caplog) == [
        f"n1: ring epoch {epoch + 2}: stable; n4 has joined; members n1, n2, n3, n4"
    ]


def test_a_node_that_is_no_member_says_so(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    known = watched.node.view.cluster
    members = {name: known.members[name] for name in ("n2", "n3")}
    without = known.table._replace(
        rank=Rank(9), members=("n2", "n3"), owners=claim(["n2", "n3"], 8, 3)
    )
    for _ in range(2):
        watched.told(Rumour(1, News(without, members, {})), sender="n2")
    assert lines(caplog) == [
        "n1: ring epoch 9: stable; n1 has left; members n2, n3",
        "n1: is no member of the cluster of n2, n3; it passes requests on. "
        "`dynamo join n1` makes it one",
    ]
