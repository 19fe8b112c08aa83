"""A get on its way: the copies of R owners, merged, and afterwards the repair of stale ones."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from dynamo.errors import CorruptData
from dynamo.protocol.messages import (
    CopiesFetched,
    CopyFetched,
    Envelope,
    Failed,
    Failure,
    FetchCopy,
    Get,
    GetDone,
    GetMany,
    GotMany,
    Message,
    StoreCopy,
)
from dynamo.protocol.pending import Conversation, is_corrupt
from dynamo.protocol.quorum import ReadQuorum
from dynamo.protocol.replica import Replica
from dynamo.protocol.view import View
from dynamo.values.versions import as_of, ephemeral, reconcile, values_bytes


class PendingGet:
    """A get on a node that holds the key: read here, ask the others, merge, answer, repair."""

    def __init__(self, talk: Conversation, replica: Replica, view: View, n: int, r: int):
        self.wake_at: float | None = talk.deadline
        self._talk = talk
        self._replica = replica
        self._view = view
        self._get: Get | GetMany = talk.request.message  # type: ignore[assignment]
        self._n = n
        owners = view.ring.preference_list(self._get.key, n)
        self._quorum: ReadQuorum[Any] = ReadQuorum(owners, r, self._merge)
        self.held_bytes = 0
        self._answered = False
        self._refused: set[str] = set()
        """Who has answered with no copy: it is damaged, or may lack what others hold."""
        self._damaged: set[str] = set()
        """Those of them, or this node, whose copy was found damaged."""

    def start(self, now: float) -> Iterable[Envelope]:
        self._look_here()
        if self._quorum.silent == (self._talk.me,) and not self._quorum.enough:
            self.wake_at = None  # nobody else holds the key
            return [self._talk.answer(Failed(0, Failure.CORRUPT))]
        if self._quorum.enough:  # r=1: no one else is asked, so there is nothing to repair
            self.wake_at = None
            return [self._answer()]
        return self._give_up_if_hopeless(now) or self._ask_silent(now)

    def on_reply(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        if not isinstance(envelope.message, self._fetched):
            self._refused.add(envelope.sender)
            if is_corrupt(envelope.message):
                self._damaged.add(envelope.sender)
            return []
        self._add(envelope.sender, envelope.message.siblings)
        return self._answer_or_end(now)

    def _add(self, node: str, found: Any) -> None:
        self.held_bytes += self._size_of(found)
        self._quorum.add(node, found)

    def give_up(self, detail: str) -> list[Envelope]:
        """There is no room for the copies; one that has been answered only lacks its repair."""
        self.wake_at = None
        if self._answered:
            return []
        return [self._talk.answer(Failed(0, Failure.OVERLOADED, detail))]

    def on_ring(self, now: float) -> Iterable[Envelope]:
        self._quorum.go_by(self._view.ring.preference_list(self._get.key, self._n))
        return self._answer_or_end(now) or self._ask_silent(now)

    def on_wake(self, now: float) -> Iterable[Envelope]:
        if self._answered:
            return self._repair()
        if now < self._talk.deadline:
            silent = [node for node in self._quorum.silent if node not in self._refused]
            self._talk.suspect(silent, now)
            again = self._look_again(now) or self._give_up_if_hopeless(now)
            return again or self._ask_silent(now)
        return self._fail(now)

    def on_lost(self, member: str, now: float) -> Iterable[Envelope]:
        return []  # the others were asked at the start, and it is asked again in time

    def _give_up_if_hopeless(self, now: float) -> list[Envelope]:
        quorum = self._quorum
        missing = quorum.needed - len(quorum.answered)
        return self._fail(now) if self._talk.hopeless(missing, quorum.silent, now) else []

    def _fail(self, now: float) -> list[Envelope]:
        self.wake_at = None
        quorum = self._quorum
        damaged = sorted(self._damaged.intersection(quorum.silent))
        why = f"damaged on {' and '.join(damaged)}, see `dynamo explain`" if damaged else ""
        return [self._talk.too_few(quorum.needed, quorum.answered, quorum.silent, now, why)]

    def _look_here(self) -> None:
        own = self._read_here()
        if own is None:
            self._damaged.add(self._talk.me)
        else:
            self._add(self._talk.me, own)

    def _look_again(self, now: float) -> list[Envelope]:
        """What was damaged here may have been healed meanwhile."""
        if self._talk.me not in self._quorum.silent:
            return []
        self._look_here()
        return self._answer_or_end(now)

    def _answer_or_end(self, now: float) -> list[Envelope]:
        sent: list[Envelope] = []
        if self._quorum.enough and not self._answered:
            self._answered = True
            self.wake_at = now + self._talk.settings.repair_wait_s
            sent.append(self._answer())
        if not self._quorum.silent:
            sent += self._repair()
        return sent

    def _ask_silent(self, now: float) -> list[Envelope]:
        self.wake_at = self._talk.next_wake(now)
        me, fetch = self._talk.me, self._fetch()
        return [self._talk.ask(node, fetch) for node in self._quorum.silent if node != me]

    def _answer(self) -> Envelope:
        found = self._as_of(self._quorum.answer(), self._talk.wall())
        return self._talk.answer(self._done(0, found, self._quorum.answered))

    def _repair(self) -> list[Envelope]:
        """Bring every replica that answered with less up to what all of them know together."""
        self.wake_at = None
        repairs = self._quorum.repairs()
        own = repairs.pop(self._talk.me, None)
        if own is not None:
            with suppress(CorruptData):  # damaged since it was read; it is healed by itself
                self._repair_here(own)
        return [
            self._talk.ask(node, self._repair_of(node, merged)) for node, merged in repairs.items()
        ]

    # What differs when it is not one key that is read but a lot (`dynamo.protocol.lots`):

    _merge: Callable[[Iterable[Any]], Any] = staticmethod(reconcile)
    _fetched: type[CopyFetched] | type[CopiesFetched] = CopyFetched
    _done: type[GetDone] | type[GotMany] = GetDone
    _as_of: Callable[[Any, float], Any] = staticmethod(as_of)

    _size_of: Callable[[Any], int] = staticmethod(values_bytes)

    def _read_here(self) -> Any:
        return self._replica.read(self._get.key)

    def _fetch(self) -> Message:
        return FetchCopy(self._talk.id, self._get.key)

    def _repair_here(self, merged: Any) -> None:
        self._replica.merge(self._get.key, merged, durable=not ephemeral(merged))

    def _repair_of(self, node: str, merged: Any) -> Message:
        return StoreCopy(self._talk.id, self._get.key, merged, durable=not ephemeral(merged))
