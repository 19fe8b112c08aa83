"""What a node counts: rates, percentiles, refusals; over the last minute, and no longer."""

import pytest

from dynamo.net import measures
from dynamo.net.measures import LONG_S, SHORT_S, Measures, Recent, durations
from dynamo.protocol.messages import (
    Envelope,
    Failed,
    Failure,
    FetchCopy,
    Get,
    GetMany,
    GetRing,
    ListKeys,
    Message,
    Put,
    PutMany,
)
from dynamo.values.histogram import Histogram


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(measures, "time", clock)
    return clock


def requests(*messages: Message) -> list[Envelope]:
    return [Envelope("client", "n1", message) for message in messages]


def test_rates_are_those_of_the_last_seconds() -> None:
    recent = Recent(0.0)
    for second in range(100):
        for _ in range(second):  # each second one more
            recent.add("put", 0.001, float(second))
    last_ten, last_minute = sum(range(90, 100)) / 10, sum(range(40, 100)) / 60
    assert recent.per_s("put", SHORT_S, 99.5) == pytest.approx(last_ten, rel=0.05)
    assert recent.per_s("put", LONG_S, 99.5) == pytest.approx(last_minute, rel=0.05)
    assert recent.per_s("get", LONG_S, 99.5) == 0.0


def test_a_node_that_has_just_started_counts_per_second_of_its_life() -> None:
    recent = Recent(50.0)
    for _ in range(300):
        recent.add("put", 0.001, 52.0)
    assert recent.per_s("put", LONG_S, 53.0) == 100.0


def test_what_is_over_a_minute_old_is_forgotten() -> None:
    recent = Recent(0.0)
    recent.add("put", 9.0, 10.0)
    recent.add("put", 0.5, 40.0)
    assert recent.histogram("put", LONG_S, 60.0).total() == 2
    assert recent.histogram("put", LONG_S, 73.0).percentile(100) == 0.5
    assert recent.histogram("put", LONG_S, 200.0).total() == 0
    for second in range(1000):
        recent.add("put", 0.5, 200.0 + second)
    assert len(recent._slices) <= LONG_S


def test_requests_are_timed_from_their_arrival_by_kind(clock: Clock) -> None:
    counted = Measures(clock.now)
    sent = requests(
        Put(1, "k", b"v", None, 1.0),
        Put(2, "k", None, None, 1.0),
        Get(3, "k"),
        ListKeys(4, "", "", 9),
    )
    begun = counted.begun(sent + requests(GetRing(5), FetchCopy(6, "k")))
    assert {id: kind for id, (kind, _, _) in begun.items()} == {
        1: "put",
        2: "delete",
        3: "get",
        4: "list",
    }
    for id, seconds in ((1, 0.25), (2, 0.5), (3, 1.0), (4, 2.0)):
        clock.now = 1000.0 + seconds
        counted.answered(begun[id])
    told = counted.status(clock.now)
    assert {kind: figures["p50_ms"] for kind, figures in told["requests"].items()} == {
        "put": 250.0,
        "delete": 500.0,
        "get": 1000.0,
        "list": 2000.0,
    }
    assert told["requests"]["put"]["histogram_s"] == [[0.25, 1]]
    assert told["uptime_s"] == 2.0


def test_each_key_of_a_lot_is_counted(clock: Clock) -> None:
    counted = Measures(clock.now)
    puts, gets = PutMany(1, (("a", b""), ("b", b"")), 1.0), GetMany(2, ("a", "b", "c"))
    begun = counted.begun(requests(puts, gets))
    clock.now += 0.5
    for one in begun.values():
        counted.answered(one)
    told = counted.status(clock.now)["requests"]
    assert told["put"]["histogram_s"] == [[0.5, 2]]
    assert told["get"]["histogram_s"] == [[0.5, 3]]


def test_commits_are_timed_and_their_writes_counted(clock: Clock) -> None:
    counted = Measures(clock.now)
    for writes in (1, 1, 1, 64):
        clock.now += 0.125
        counted.committed(writes, began=clock.now - 0.125)
    told = counted.status(clock.now)["commits"]
    assert told["p99_ms"] == 125.0
    assert (told["writes"]["p50"], told["writes"]["p99"]) == (1.0, 64.0)


def test_failures_are_counted_by_reason_and_timed_unless_refused_at_once(clock: Clock) -> None:
    counted = Measures(clock.now)
    begun = "put", clock.now, 1
    clock.now += 8.0
    counted.failed(Failed(1, Failure.QUORUM), begun)
    counted.failed(Failed(2, Failure.OVERLOADED), begun)
    counted.failed(Failed(3, Failure.OVERLOADED), None)
    told = counted.status(clock.now)
    assert told["refused"] == {"quorum": 1, "overloaded": 2}
    assert told["requests"]["put"]["histogram_s"] == [[8.0, 1]]


def test_the_slowest_in_a_thousand_is_seen() -> None:
    told = durations(Histogram.of([0.001] * 998 + [4.0] * 2))
    assert told["p99_9_ms"] == 4000.0
    assert told["p99_ms"] < 2.0
