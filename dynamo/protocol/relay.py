"""A request that another node has to coordinate: passed on to it, and its answer passed back."""

from collections.abc import Iterable

import msgspec

from dynamo.protocol.messages import (
    Envelope,
    Failed,
    Failure,
    GetDone,
    GotMany,
    KeyRequest,
    KeysListed,
    ListKeys,
    PutDone,
)
from dynamo.protocol.pending import Conversation, is_corrupt, is_read_only, put_bytes
from dynamo.protocol.view import View


class PendingRelay:
    """A request that this node can't coordinate: one of those who can after the other is asked.

    It holds no copy of the key, or a damaged one, or its disk takes no writes; or it is to list
    keys and is no member of the cluster any more.
    """

    def __init__(self, talk: Conversation, view: View, owners: tuple[str, ...]):
        self.wake_at: float | None = talk.deadline
        self._talk = talk
        self._view = view
        self.held_bytes = put_bytes(talk.request.message)
        self._owners = owners
        self._last_asked = ""
        self._asked = 0

    def start(self, now: float) -> Iterable[Envelope]:
        if self._talk.request.sender in self._view.members:
            # Passed on to here by a node that sees another ring: one of the two will learn.
            self.wake_at = self._talk.next_wake(now)
            return []
        return self._ask_next(now)

    def _ask_next(self, now: float) -> list[Envelope]:
        owner = self._last_asked = self._owners[self._asked % len(self._owners)]
        self._asked += 1
        self.wake_at = self._talk.next_wake(now)
        remaining_s = self._talk.deadline - now
        request: KeyRequest | ListKeys = self._talk.request.message  # type: ignore[assignment]
        passed_on = msgspec.structs.replace(request, id=self._talk.id, timeout_s=remaining_s)
        return [self._talk.ask(owner, passed_on)]

    def on_reply(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        message = envelope.message
        if not isinstance(message, PutDone | GetDone | GotMany | KeysListed | Failed):
            return []
        refused = is_read_only(message) or is_corrupt(message)
        if refused and self._asked < len(self._owners):
            return self._ask_next(now)
        if isinstance(message, Failed) and message.reason is Failure.FILLING:
            return self.on_lost(envelope.sender, now)
        self.wake_at = None
        return [self._talk.answer(message)]

    def on_wake(self, now: float) -> Iterable[Envelope]:
        if now < self._talk.deadline and not self._talk.hopeless(1, self._owners, now):
            self._talk.suspect([self._last_asked], now)
            return self._ask_next(now)
        self.wake_at = None
        return [self._talk.too_few(1, (), self._owners, now)]

    def on_lost(self, member: str, now: float) -> Iterable[Envelope]:
        # All of them may be down: the next one is asked at once, the first one again in time.
        return self._ask_next(now) if self._asked < len(self._owners) else []

    def on_ring(self, now: float) -> Iterable[Envelope]:
        request: KeyRequest | ListKeys = self._talk.request.message  # type: ignore[assignment]
        if isinstance(request, ListKeys):
            owners = self._view.members
        else:
            owners = self._view.ring.preference_list(request.key, len(self._owners))
        self._owners = tuple(owner for owner in owners if owner != self._talk.me) or self._owners
        return []  # whoever was asked may still answer; the next one is asked in time
