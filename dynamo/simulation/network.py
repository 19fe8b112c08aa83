"""Virtual time, and a network that can't be trusted.

Time passes only from one event to the next, so an hour costs what happens in it.
"""

import heapq
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from itertools import count
from typing import Any, NamedTuple

import msgspec

from dynamo.protocol.messages import Envelope, Lost, Request
from dynamo.simulation.plan import Plan

EVENT_LIMIT = 500_000
"""Far above what a run needs: past it the world never comes to rest, which is a bug."""


class Passage(msgspec.Struct, frozen=True, gc=False):
    """An envelope on its way. `fate` is "" if it arrived, else why it did not."""

    sent_at: float
    ended_at: float
    envelope: Envelope
    fate: str


class Note(NamedTuple):
    """Something that happened to one machine."""

    at: float
    name: str
    text: str


Trace = list[Passage | Note]
"""Everything that happened, in order of time."""

Way = tuple[str, str]
"""From a sender to a receiver, and not back."""


def both_ways(here: Collection[str], there: Collection[str]) -> list[Way]:
    """All ways between these and those.

    >>> both_ways(["n1"], ["n2", "n3"])
    [('n1', 'n2'), ('n2', 'n1'), ('n1', 'n3'), ('n3', 'n1')]
    """
    return [way for one in here for other in there for way in ((one, other), (other, one))]


def _never() -> bool:
    return False


class Clock:
    """Virtual time in seconds, and what is to happen when."""

    def __init__(self, event_limit: int = EVENT_LIMIT) -> None:
        self.now = 0.0
        self._event_limit = event_limit
        self._order = count()
        self._events: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []

    def after(self, delay_s: float, action: Callable[..., object], *arguments: Any) -> None:
        event = (self.now + delay_s, next(self._order), action, arguments)
        heapq.heappush(self._events, event)

    def run(self, until: Callable[[], bool] = _never, for_s: float = math.inf) -> None:
        """Let time pass: until nothing more is to happen, or `until` holds, or for so long."""
        events, end, limit = self._events, self.now + for_s, self._event_limit
        while not until():
            if not events or events[0][0] > end:
                self.now = end if end < math.inf else self.now
                return
            self.now, number, action, arguments = heapq.heappop(events)
            action(*arguments)
            if number > limit:
                raise RuntimeError(f"after {limit:,} events the world has not come to rest")


class Network:
    """Carries envelopes: late, twice, in any order, or never."""

    def __init__(self, clock: Clock, plan: Plan, trace: Trace) -> None:
        self.receivers: dict[str, Callable[[Envelope], bool]] = {}
        """Address -> who takes in an envelope; it says False if nobody is there."""
        self.calm = False
        """True once nothing goes wrong any more."""
        self._blocked: Counter[Way] = Counter()
        """How many faults block each way just now."""
        self._clock = clock
        self._plan = plan
        self._trace = trace
        self._nodes = frozenset(plan.node_names)
        self._chance = plan.stream("network").random

    def block(self, ways: Iterable[Way]) -> None:
        """What is sent on these ways from now on does not arrive."""
        self._blocked.update(ways)

    def unblock(self, ways: Iterable[Way]) -> None:
        """Take back one `block`."""
        self._blocked -= Counter(ways)

    def send(self, envelope: Envelope) -> None:
        plan, chance = self._plan, self._chance
        if self._blocked and (envelope.sender, envelope.receiver) in self._blocked:
            self._end(self._clock.now, envelope, "cut off")
        elif not self.calm and chance() < plan.loss:
            self._end(self._clock.now, envelope, "lost")
        else:
            self._carry(envelope)
            if not self.calm and chance() < plan.duplication:
                self._carry(envelope)

    def _carry(self, envelope: Envelope) -> None:
        chance = self._chance
        delay_s = 0.0005 + 0.004 * chance()
        if not self.calm and chance() < self._plan.slow:
            delay_s += self._plan.slow_s * chance()
        self._clock.after(delay_s, self._arrive, self._clock.now, envelope)

    def _arrive(self, sent_at: float, envelope: Envelope) -> None:
        # Noted before it is taken in: what the receiver does in answer comes behind it.
        place = self._end(sent_at, envelope, "")
        if not self.receivers[envelope.receiver](envelope):
            self._correct(place, Passage(sent_at, self._clock.now, envelope, "nobody there"))
            told = self._chance() < self._plan.resets
            if told and envelope.sender in self._nodes and isinstance(envelope.message, Request):
                lost = envelope.reply(Lost(envelope.message.id))
                self._clock.after(0.001, self.receivers[envelope.sender], lost)

    def _end(self, sent_at: float, envelope: Envelope, fate: str) -> int:
        """Note a passage; gives its place in the trace."""
        self._trace.append(Passage(sent_at, self._clock.now, envelope, fate))
        return len(self._trace) - 1

    def _correct(self, place: int, passage: Passage) -> None:
        self._trace[place] = passage
