"""What must hold of puts that look first; see `dynamo.protocol.checked`.

There is no consensus: two of them that run at once through different nodes may both succeed. What
is promised is less. One that succeeds has met every write that was acknowledged before it began;
of two through one node, one has met the other; and one that is refused has met something.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from dynamo.protocol.messages import Condition, Failure
from dynamo.simulation.checkers import strict
from dynamo.simulation.history import History, Operation
from dynamo.simulation.writes import Violation, Writes, bits


def check(
    history: History,
    owners: Mapping[str, Sequence[str]],
    w: int,
    reap_after_s: float = math.inf,
    steady: bool = True,
) -> list[Violation]:
    """All that is wrong with the conditional puts of a run; `steady` if no disk has lost or changed
    what it had synced."""
    found: list[Violation] = []
    for key in dict.fromkeys(op.key for op in history.of_kind("put") if op.condition):
        looks = Looks(key, history, owners[key], w, reap_after_s)
        found += looks.overlooked()
        found += looks.met_nothing()
        if steady:
            found += looks.both_succeeded()
    return found


class Looks:
    """The conditional puts of one key, among all of its writes."""

    def __init__(
        self,
        key: str,
        history: History,
        owners: Sequence[str],
        w: int,
        reap_after_s: float = math.inf,
    ) -> None:
        self._key = key
        self._writes = Writes(key, history, reap_after_s)
        self._sure = [op.succeeded and strict(op, owners, w) for op in self._writes.all]
        self._coordinators = [history.coordinators[key, op.written_at] for op in self._writes.all]

    def overlooked(self) -> Iterator[Violation]:
        """What had been acknowledged before a put began is known to it, if it succeeded."""
        for place, put in self._conditional():
            if not put.succeeded:
                continue
            known = self._known_to(place)
            for number, op in enumerate(self._writes.all):
                before = op.ended_at is not None and op.ended_at < put.began_at
                if self._sure[number] and before and not known >> number & 1:
                    text = f"{put} succeeded if {put.condition}, and {op} was acknowledged before"
                    yield Violation("condition overlooked", self._key, text)

    def both_succeeded(self) -> Iterator[Violation]:
        """Of two that one and the same node coordinated, one had met the other."""
        alone = [
            (place, put)
            for place, put in self._conditional()
            if put.succeeded and self._writes.delivered[place] == 1
        ]
        for (one_place, one), (other_place, other) in combinations(alone, 2):
            met = self._known_to(other_place) >> one_place & 1
            met |= self._known_to(one_place) >> other_place & 1
            if self._coordinators[one_place] == self._coordinators[other_place] and not met:
                text = f"{one} and {other} succeeded through one node, and neither met the other"
                yield Violation("both succeeded", self._key, text)

    def met_nothing(self) -> Iterator[Violation]:
        """One that was refused may have met a write of somebody else."""
        for place, put in self._conditional():
            if put.refusal is not Failure.CONFLICT:
                continue
            others = enumerate(self._writes.all)
            if not any(self._may_have_met(place, n, op) for n, op in others if op is not put):
                text = f"{put} was refused, and nothing can have been there"
                yield Violation("refused for nothing", self._key, text)

    def _conditional(self) -> list[tuple[int, Operation]]:
        return [(n, op) for n, op in enumerate(self._writes.all) if op.condition]

    def _known_to(self, place: int) -> int:
        """All writes that a put that succeeded may have found, or what has replaced them."""
        writes, put = self._writes, self._writes.all[place]
        assert put.ended_at is not None
        if put.condition is Condition.ABSENT:
            return writes.with_replaced(writes.dead_by_then(place), put.ended_at)
        saw = bits(writes.number[stamp] for stamp in put.saw if stamp in writes.number)
        return writes.with_replaced(saw, put.ended_at)

    def _may_have_met(self, place: int, number: int, op: Operation) -> bool:
        """True if a refused put may have been refused because of this write."""
        writes, put = self._writes, self._writes.all[place]
        ended_at = put.ended_at if put.ended_at is not None else math.inf
        once = writes.delivered[number] == 1
        refused = op.refusal is Failure.CONFLICT and once
        if op.began_at >= ended_at or not writes.delivered[number] or refused:
            return False
        if put.condition is Condition.ABSENT:
            earliest = writes.clocks.earliest(put.began_at, ended_at)
            dead = op.kind == "delete" or 0 < op.expires_at <= earliest
        else:
            dead = once and bool(writes.ancestors[place] >> number & 1)
        return not dead and not (once and self._was_replaced(number, put))

    def _was_replaced(self, number: int, put: Operation) -> bool:
        """True if something that had seen this write was acknowledged before `put` began."""
        return any(
            self._sure[later]
            and op.durable
            and not op.ephemeral
            and op.ended_at is not None
            and op.ended_at < put.began_at
            and self._writes.ancestors[later] >> number & 1
            for later, op in enumerate(self._writes.all)
        )
