"""A bounded queue of envelopes that is emptied in batches, shared by greenlets of one hub."""

import time
from collections import deque
from collections.abc import Sequence

import gevent.event

from dynamo.net import wire
from dynamo.protocol.messages import Envelope

LIMIT_BYTES = 128 << 20
"""What one queue may hold; a put beyond it is refused whole."""


class Budget:
    """Bytes that several queues may hold together."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0


class EnvelopeQueue:
    """First in, first out; `put` never waits, it refuses.

    A queue has its own limit, `LIMIT_BYTES`, and may share a `budget` with others.
    """

    def __init__(self, budget: Budget | None = None) -> None:
        self._budget = budget or Budget(LIMIT_BYTES)
        self._items: deque[tuple[int, float, Envelope]] = deque()
        """What each weighs, and since when it waits."""
        self.bytes = 0
        """What the queue holds, about."""
        self._filled = gevent.event.Event()

    def put(self, envelopes: Sequence[Envelope]) -> bool:
        """Add all of `envelopes` and say True, or none and say False when there is no room."""
        sizes = [wire.weight(envelope) for envelope in envelopes]
        added = sum(sizes)
        budget = self._budget
        if self._items and self.bytes + added > LIMIT_BYTES:
            return False
        if budget.used_bytes and budget.used_bytes + added > budget.limit_bytes:
            return False
        now = time.monotonic()
        self._items.extend([(size, now, envelope) for size, envelope in zip(sizes, envelopes)])
        self._count(added)
        return True

    def force(self, envelopes: Sequence[Envelope]) -> None:
        """Add envelopes, before all others and though there may be no room: for those whose number
        is bounded elsewhere, such as answers."""
        sizes = [wire.weight(envelope) for envelope in envelopes]
        now = time.monotonic()
        weighed = [(size, now, envelope) for size, envelope in zip(sizes, envelopes)]
        self._items.extendleft(reversed(weighed))
        self._count(sum(sizes))

    def _count(self, added_bytes: int) -> None:
        self.bytes += added_bytes
        self._budget.used_bytes += added_bytes
        if self._items:
            self._filled.set()

    def take(self, limit_bytes: int) -> list[Envelope]:
        """What comes first, up to `limit_bytes`; at least one envelope where there is any."""
        taken: list[Envelope] = []
        taken_bytes = 0
        while self._items and (not taken or taken_bytes + self._items[0][0] <= limit_bytes):
            size, _, envelope = self._items.popleft()
            taken.append(envelope)
            taken_bytes += size
        self.bytes -= taken_bytes
        self._budget.used_bytes -= taken_bytes
        if not self._items:
            self._filled.clear()
        return taken

    @property
    def waiting_s(self) -> float:
        """For how long what comes first has been waiting."""
        return time.monotonic() - self._items[0][1] if self._items else 0.0

    def clear(self) -> None:
        """Forget everything in the queue."""
        self.take(self.bytes)

    def wait(self, timeout_s: float | None = None) -> None:
        """Return when there is something to take, or after `timeout_s`."""
        self._filled.wait(timeout_s)

    def wake(self) -> None:
        """Let whoever waits look again, though there may be nothing to take."""
        self._filled.set()

    def __len__(self) -> int:
        return len(self._items)
