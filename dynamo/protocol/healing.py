"""Damaged copies: found by whoever reads them, and healed from the other replicas.

A copy that fails its checksum is refused, for reads and for writes: to begin it anew would make it
count in quorums again although it may lack a write that only it and one other replica held. Instead
this node asks the other owners for theirs, merges them, and puts the result in the place of what is
damaged, as a copy that has no life here yet. From then on it counts again.

An acknowledged write is on W of N owners; were this node one of them, W - 1 others still have it.
So of any N - W + 1 others at least one has it, and so many answers are needed. Where another one's
copy is damaged as well, or its partition is still filling, everybody else has to answer: they know
together what there is to know. While too few owners answer the copy waits, and stays refused.

If nobody else holds a copy by the table of owners, as with N = 1, or theirs are damaged too, what
was here is lost. The copy stays refused then, and `status` says so, until somebody gives it up
(`dynamo give-up`): a node never takes it upon itself to forget what was acknowledged. Where several
owners have damaged copies one has to be told; the others are healed from it, and hold nothing then.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any

from dynamo.protocol.membership import Membership
from dynamo.protocol.messages import (
    CopyFetched,
    Envelope,
    Failed,
    Failure,
    FetchCopy,
    GivenUp,
    GiveUp,
)
from dynamo.protocol.replica import Replica
from dynamo.protocol.settings import Settings
from dynamo.protocol.view import View
from dynamo.values.versions import Siblings, reconcile

UNDER_WAY = 8
"""Copies that are healed at a time: their values are in memory meanwhile."""
NOTED = 10_000
"""Keys that are remembered; what is found beyond them is found again when it is read again."""
SHOWN = 5
"""Keys that `status` names."""
NO_OTHER_COPY = "no other copy"


class Healing:
    """The damaged copies of one node."""

    def __init__(
        self,
        view: View,
        replica: Replica,
        members: Membership,
        settings: Settings,
        next_id: Callable[[], int],
    ) -> None:
        self._view = view
        self._replica = replica
        self._members = members
        self._settings = settings
        self._next_id = next_id
        self.found = 0
        """How many damaged copies have been found since this node started."""
        self.healed = 0
        """How many of them have been made good."""
        self.given_up = 0
        """How many have been dropped because somebody said so."""
        self._waits_for: dict[str, str] = {}
        """Each key that has yet to be healed, and why it has not been so far."""
        self.idle_until = math.inf
        self._next: deque[str] = deque()
        self._later: deque[tuple[float, str]] = deque()
        """Those that could not be healed, and when to try again."""
        self._under_way: dict[int, _Inquiry] = {}
        self.handlers: Mapping[type, Callable[[Envelope, float], Iterable[Envelope]]] = {
            GiveUp: self._on_give_up,
        }

    def note(self, key: str) -> None:
        """The copy of `key` is damaged: heal it."""
        if key not in self._waits_for and len(self._waits_for) < NOTED:
            self.found += 1
            self._waits_for[key] = "its turn"
            self._next.append(key)
            self.idle_until = -math.inf

    @property
    def waiting(self) -> int:
        """How many copies have yet to be healed."""
        return len(self._waits_for)

    def on_reply(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        """Take in what another owner holds, or why it tells nothing."""
        inquiry = self._under_way.get(envelope.message.id)
        if inquiry is None:
            return []
        sent = inquiry.on_reply(envelope)
        if inquiry.is_answered:
            self._end(inquiry)
            self._conclude(inquiry, now)
        return sent

    def on_lost(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        """An owner will not answer; it has been marked as down."""
        inquiry = self._under_way.get(envelope.message.id)
        if inquiry is not None and not self._may_succeed(inquiry):
            self._put_off(inquiry, now)
        return []

    def next_wake(self) -> float:
        wakes = [inquiry.wake_at for inquiry in self._under_way.values()]
        if self._later:
            wakes.append(self._later[0][0])
        if self._next and len(self._under_way) < UNDER_WAY:
            return -math.inf
        return min(wakes, default=math.inf)

    def tick(self, now: float) -> Iterable[Envelope]:
        """Begin with as many copies as there is room for; ask again whoever is silent."""
        if not self._waits_for:
            self.idle_until = math.inf
            return []
        sent: list[Envelope] = []
        for inquiry in [i for i in self._under_way.values() if i.wake_at <= now]:
            sent += self._ask_again(inquiry, now)
        while self._later and self._later[0][0] <= now:
            self._next.append(self._later.popleft()[1])
        for _ in range(min(len(self._next), UNDER_WAY - len(self._under_way))):
            sent += self._begin(self._next.popleft(), now)
        return sent

    def status(self) -> dict[str, Any]:
        """What there is to tell: the first few of those that wait are named."""
        return {
            "found": self.found,
            "healed": self.healed,
            "waiting": self.waiting,
            "waits_for": dict(islice(self._waits_for.items(), SHOWN)),
        }

    def _on_give_up(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        """Drop a copy that nothing can heal; refuse where that is not known."""
        request: GiveUp = envelope.message  # type: ignore[assignment]
        key, me = request.key, self._view.me
        reason = self._waits_for.get(key)
        if self._replica.read(key) is not None:
            return [_refused(envelope, f"the copy on {me} is not damaged")]
        if reason != NO_OTHER_COPY:
            waits_for = reason or "its turn"
            return [_refused(envelope, f"{me} may yet heal its copy, and waits for {waits_for}")]
        self._replica.drop(key)
        del self._waits_for[key]
        self._next = deque(other for other in self._next if other != key)
        self._later = deque(entry for entry in self._later if entry[1] != key)
        self.given_up += 1
        return [envelope.reply(GivenUp(request.id))]

    # One copy ------------------------------------------------------------------------------------

    def _begin(self, key: str, now: float) -> Iterable[Envelope]:
        view, me = self._view, self._view.me
        owners = view.ring.partition_owners(view.partition_of(key), view.table.n)
        # One that was declared dead will not answer; what only it held has been given up.
        others = tuple(owner for owner in owners if owner != me and owner in view.members)
        enough = min(len(others), self._settings.n - self._settings.w + 1)
        fetch = FetchCopy(self._next_id(), key)
        inquiry = _Inquiry(me, fetch, others, enough, now)
        self._under_way[fetch.id] = inquiry
        self._waits_for[key] = "the other replicas to answer"
        if not others:
            self._end(inquiry)
            self._conclude(inquiry, now)
            return []
        return self._ask_again(inquiry, now)

    def _ask_again(self, inquiry: "_Inquiry", now: float) -> Iterable[Envelope]:
        if now - inquiry.began_at >= self._settings.suspect_s:
            for owner in inquiry.silent:
                self._members.unanswered(owner, now)
        overdue = now - inquiry.began_at >= self._settings.timeout_s
        if overdue or not self._may_succeed(inquiry):
            self._put_off(inquiry, now)
            return []
        inquiry.wake_at = now + self._settings.resend_s
        return inquiry.ask()

    def _may_succeed(self, inquiry: "_Inquiry") -> bool:
        up = self._members.up
        return inquiry.is_enough(inquiry.answered + sum(owner in up for owner in inquiry.silent))

    def _conclude(self, inquiry: "_Inquiry", now: float) -> None:
        """All that can be known of a copy is known."""
        if not inquiry.copies:
            self._try_later(inquiry.key, NO_OTHER_COPY, now)
            return
        self._replica.heal(inquiry.key, reconcile(inquiry.copies.values()))
        self.healed += 1
        del self._waits_for[inquiry.key]

    def _put_off(self, inquiry: "_Inquiry", now: float) -> None:
        self._end(inquiry)
        up = self._members.up
        missing = [owner for owner in inquiry.silent if owner not in up] or inquiry.silent
        self._try_later(inquiry.key, f"{' and '.join(missing)} to answer", now)

    def _try_later(self, key: str, reason: str, now: float) -> None:
        self._waits_for[key] = reason
        self._later.append((now + self._settings.refused_s, key))

    def _end(self, inquiry: "_Inquiry") -> None:
        del self._under_way[inquiry.id]


def _refused(envelope: Envelope, detail: str) -> Envelope:
    return envelope.reply(Failed(envelope.message.id, Failure.REQUEST, detail))


class _Inquiry:
    """What the others hold of one key whose copy is damaged here."""

    def __init__(
        self, me: str, fetch: FetchCopy, others: tuple[str, ...], enough: int, now: float
    ) -> None:
        self.id = fetch.id
        self.key = fetch.key
        self.copies: dict[str, Siblings] = {}
        self.began_at = self.wake_at = now
        self._me = me
        self._others = others
        self._enough = enough
        self._filling: set[str] = set()
        """Those whose partition is filling: what they hold is taken, and proves nothing."""
        self._damaged: set[str] = set()

    @property
    def silent(self) -> list[str]:
        told = self.copies.keys() | self._damaged
        return [other for other in self._others if other not in told]

    @property
    def answered(self) -> int:
        return len(self._others) - len(self.silent)

    @property
    def is_answered(self) -> bool:
        return self.is_enough(self.answered)

    def is_enough(self, answered: int) -> bool:
        """True if so many answers would do, by what is known of their worth."""
        worthless = len(self._filling | self._damaged)
        return answered - worthless >= self._enough or answered == len(self._others)

    def ask(self) -> list[Envelope]:
        """Ask those that have not answered."""
        return [self._question(other) for other in self.silent]

    def _question(self, other: str) -> Envelope:
        anyway = other in self._filling
        return Envelope(self._me, other, FetchCopy(self.id, self.key, anyway))

    def on_reply(self, envelope: Envelope) -> list[Envelope]:
        sender, message = envelope.sender, envelope.message
        if sender not in self._others:
            return []
        if isinstance(message, CopyFetched):
            self.copies[sender] = message.siblings
        elif isinstance(message, Failed) and message.reason is Failure.CORRUPT:
            self._damaged.add(sender)
        elif isinstance(message, Failed) and message.reason is Failure.FILLING:
            self._filling.add(sender)
            return [self._question(sender)]
        return []
