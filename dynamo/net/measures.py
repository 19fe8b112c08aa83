"""What a node counts of its own work: requests and how long they take, commits, refusals.

What is told covers the last minute, so it is counted in slices of two seconds, and a slice that is
over a minute old is dropped. A duration is counted in a histogram (`dynamo.values.histogram`):
under a microsecond for each request.
"""

import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator
from typing import Any

from dynamo.protocol.messages import (
    Envelope,
    Failed,
    Failure,
    Get,
    GetMany,
    ListKeys,
    Message,
    Put,
    PutMany,
)
from dynamo.values.histogram import Histogram, bucket

SLICE_S = 2.0
SHORT_S = 10.0
LONG_S = 60.0
"""Over how long rates are told; percentiles cover the longer time."""
PERCENTILES = {"p50": 50.0, "p95": 95.0, "p99": 99.0, "p99_9": 99.9}
REQUESTS = ("put", "get", "delete", "list")
"""The kinds of a client's requests; what nodes ask of each other is not counted as one."""

_KINDS: dict[type[Message], str] = {
    Put: "put",
    Get: "get",
    PutMany: "put",
    GetMany: "get",
    ListKeys: "list",
}

Begun = tuple[str, float, int]
"""A request that has come: its kind, when, and how many keys it is for; each is counted."""
Slice = defaultdict[str, Histogram]


class Recent:
    """Values by name, as far as they were added within the last minute."""

    def __init__(self, now: float) -> None:
        self._began = now
        self._slices: deque[tuple[float, Slice]] = deque()
        """When each slice began, and what has been counted in it."""
        self._newest: Slice = defaultdict(Histogram)
        self._next_at = now

    def add(self, name: str, value: float, now: float, times: int = 1) -> None:
        """Count a value; `now` never goes back."""
        if now >= self._next_at:
            self._begin_slice(now)
        self._newest[name][bucket(value)] += times

    def histogram(self, name: str, window_s: float, now: float) -> Histogram:
        """The values of `name` added in the last `window_s`, and up to a slice more."""
        found = Histogram()
        for counts in self._within(name, window_s, now):
            found.update(counts)
        return found

    def per_s(self, name: str, window_s: float, now: float) -> float:
        """How many values of `name` a second of the last `window_s` has brought."""
        span_s = now - max(_slice_at(now - window_s), self._began)
        return sum(c.total() for c in self._within(name, window_s, now)) / max(span_s, 1.0)

    def _within(self, name: str, window_s: float, now: float) -> Iterator[Histogram]:
        first = _slice_at(now - window_s)
        return (counts[name] for began, counts in self._slices if began >= first and name in counts)

    def _begin_slice(self, now: float) -> None:
        while self._slices and self._slices[0][0] < _slice_at(now - LONG_S):
            self._slices.popleft()
        self._newest = defaultdict(Histogram)
        self._slices.append((_slice_at(now), self._newest))
        self._next_at = _slice_at(now) + SLICE_S


def _slice_at(now: float) -> float:
    """When the slice that holds `now` began."""
    return now // SLICE_S * SLICE_S


class Measures:
    """One node's figures. Times are those of `time.monotonic`."""

    def __init__(self, now: float) -> None:
        self.began = now
        self.refused: Counter[str] = Counter()
        """Requests, of clients and of nodes, that were answered with a failure, by its reason."""
        self._recent = Recent(now)

    def begun(self, requests: Iterable[Envelope]) -> dict[int, Begun]:
        """The client's requests among `requests`, by id."""
        now = time.monotonic()
        found = {}
        for request in requests:
            message = request.message
            kind = _KINDS.get(type(message))
            if kind is not None:
                keys = 1
                if type(message) is Put:
                    if message.value is None:
                        kind = "delete"
                elif type(message) is PutMany:
                    keys = len(message.items)
                elif type(message) is GetMany:
                    keys = len(message.keys)
                found[message.id] = kind, now, keys
        return found

    def answered(self, begun: Begun) -> None:
        """The answer to a client's request is ready to be fetched."""
        kind, began, keys = begun
        now = time.monotonic()
        self._recent.add(kind, now - began, now, keys)

    def failed(self, failure: Failed, begun: Begun | None) -> None:
        """A request is answered with a failure; `begun` is there if it was a client's.

        What was refused at once for want of room is not timed: it would look like good work.
        """
        self.refused[failure.reason.value] += 1
        if begun is not None and failure.reason is not Failure.OVERLOADED:
            self.answered(begun)

    def committed(self, writes: int, began: float) -> None:
        """The disk has taken a commit of this many writes, which began at `began`."""
        now = time.monotonic()
        self._recent.add("commit", now - began, now)
        self._recent.add("writes", writes, now)

    def status(self, now: float) -> dict[str, Any]:
        """All figures, in plain values."""
        writes = self._recent.histogram("writes", LONG_S, now)
        return {
            "uptime_s": now - self.began,
            "requests": {kind: self._durations(kind, now) for kind in REQUESTS},
            "commits": {
                **self._durations("commit", now),
                "writes": {name: writes.percentile(share) for name, share in PERCENTILES.items()},
            },
            "refused": dict(self.refused),
        }

    def _durations(self, name: str, now: float) -> dict[str, Any]:
        rates = {
            f"per_s_{window_s:.0f}s": self._recent.per_s(name, window_s, now)
            for window_s in (SHORT_S, LONG_S)
        }
        return {**rates, **durations(self._recent.histogram(name, LONG_S, now))}


def durations(seconds: Histogram) -> dict[str, Any]:
    """The percentiles of durations, and the histogram itself, so that others can add them up."""
    percentiles = {
        f"{name}_ms": round(1000 * seconds.percentile(share), 3)
        for name, share in PERCENTILES.items()
    }
    return {**percentiles, "histogram_s": seconds.pairs()}
