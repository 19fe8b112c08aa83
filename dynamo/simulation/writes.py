"""Which writes of a key a reading accounts for.

Writes are told apart by key and `written_at`, which the workload makes unique. Write u *replaces*
write t if u's context had seen t, or if u is blind (it carries no context) and is the later one by
its writer's clock. A write is *accounted for* in a reading if the reading holds it, or holds what
replaced it, step by step; so a deleted value is accounted for by its tombstone, and an expired one
stands like a tombstone. Once that may have been reaped a reading need not hold it any more. What is
ephemeral may be gone when some clock says that it has expired, and what was written without fsync
when a machine has crashed.
"""

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from dynamo.protocol.messages import Condition
from dynamo.simulation.history import History, Operation


class Violation(NamedTuple):
    """Something that must never be."""

    rule: str
    key: str
    text: str

    def __str__(self) -> str:
        return f"{self.rule} [{self.key}] {self.text}"


class Writes:
    """The writes of one key; sets of them are the bits of an int, which makes checking cheap."""

    def __init__(self, key: str, history: History, reap_after_s: float = math.inf) -> None:
        self.all = [op for op in history.of_kind("put", "delete") if op.key == key]
        self.number = {op.written_at: place for place, op in enumerate(self.all)}
        self.ancestors: list[int] = []
        """Of each write, which others its client had seen, and what those had seen, and so on."""
        for op in self.all:  # in the order of their beginnings: what it saw is here already
            known = 0
            for stamp in op.saw:
                if stamp in self.number:  # else it saw what nobody wrote: `invented_values`
                    known |= 1 << self.number[stamp] | self.ancestors[self.number[stamp]]
            self.ancestors.append(known)
        self._crashed_at = history.crashed_at
        self._changed_at = min(history.changed_at, default=math.inf)
        self.clocks = history.clocks
        self.delivered = [history.deliveries[key, op.written_at] for op in self.all]
        """How often each write reached a node that coordinates it."""
        self._reap_after_s = reap_after_s
        self.replaces = [self._replaced_by(place) for place in range(len(self.all))]

    def _replaced_by(self, place: int) -> int:
        op = self.all[place]
        if op.condition is Condition.ABSENT:
            return self.dead_by_then(place)
        if op.context is not None:
            return self.ancestors[place]
        return bits(n for stamp, n in self.number.items() if stamp < op.written_at)

    def dead_by_then(self, place: int) -> int:
        """The deletes, and the values that may have expired, that this write may have found."""
        op = self.all[place]
        once = op.succeeded and self.delivered[place] == 1
        ended_at = op.ended_at if once and op.ended_at is not None else math.inf
        return bits(
            n
            for n, other in enumerate(self.all)
            if other.began_at < ended_at
            and (other.kind == "delete" or self.may_have_expired(other, op.began_at, ended_at))
        )

    def may_have_expired(self, op: Operation, began: float, ended: float) -> bool:
        """True if some clock said, between these times, that this write has expired."""
        return 0 < op.expires_at <= self.clocks.latest(began, ended)

    def accounted(self, get: Operation) -> int:
        """All writes that this reading accounts for."""
        assert get.siblings is not None and get.ended_at is not None
        held = bits(
            self.number[v.written_at] for v in get.siblings.versions if v.written_at in self.number
        )
        return self.with_replaced(held, get.ended_at)

    def with_replaced(self, held: int, before: float) -> int:
        """These writes, those that may be gone by this time, and all that they have replaced."""
        new = held | self.may_be_lost(before) | self._may_be_reaped(before)
        new |= self._may_be_forgotten(before)
        begun = bits(n for n, op in enumerate(self.all) if op.began_at < before)
        found = 0
        while new:
            found |= new
            reached = 0
            for number in members(new):
                reached |= self.replaces[number]
            new = reached & begun & ~found
        return found

    def may_be_lost(self, before: float) -> int:
        """Writes that asked for no fsync, and that a crash may have taken before this time; and
        ephemeral ones, if their owners may have changed: the new ones get them last."""
        crashes = [at for at in self._crashed_at if at < before]
        last = max(crashes, default=-1.0)
        return bits(
            n
            for n, op in enumerate(self.all)
            if (not op.durable and op.began_at < last)
            or (op.ephemeral and self._changed_at < before)
        )

    def _may_be_reaped(self, before: float) -> int:
        """Deletes that reached a node so long before this time that no trace of them need be left.

        What they had seen must not be there either: `resurrected`.
        """
        latest = before - self._reap_after_s
        return bits(
            n
            for n, op in enumerate(self.all)
            if op.began_at <= latest
            and self.delivered[n]
            and (op.kind == "delete" or self.may_have_expired(op, op.began_at, latest))
        )

    def _may_be_forgotten(self, before: float) -> int:
        """Ephemeral writes that some node may have dropped before this time, and deletes of them,
        which stand no longer than what they deleted would have."""
        gone = bits(
            n
            for n, op in enumerate(self.all)
            if op.ephemeral and self.may_have_expired(op, op.began_at, before)
        )
        for n, op in enumerate(self.all):  # what one has seen has begun before it
            if gone and op.kind == "delete":
                blind = op.context is None
                gone |= (blind or not self.ancestors[n] & ~gone) << n
        return gone


def bits(numbers: Iterable[int]) -> int:
    """
    >>> bits([0, 2])
    5
    """
    result = 0
    for number in numbers:
        result |= 1 << number
    return result


def members(mask: int) -> Iterator[int]:
    """
    >>> list(members(5))
    [0, 2]
    """
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest
