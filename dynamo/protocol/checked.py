"""Puts that depend on what is there: look first, then put or refuse.

A conditional put reads a quorum of copies and goes on only if its condition holds for what they
hold together. That is best effort, not a consensus: two such puts that run at once on different
nodes may both find it to hold, and their values are siblings then, as with any two writers. Clients
send conditional puts of a key to the first of its owners that they can reach, where one sees the
other.

An ephemeral put must not be mixed with what is meant to last, so it looks too: at the copy here,
which costs nothing, or at a quorum where it carries a context, because it has to know what it
replaces.
"""

from collections.abc import Callable, Iterable

import msgspec

from dynamo.errors import CorruptData
from dynamo.protocol.messages import (
    Condition,
    CopyFetched,
    Envelope,
    Failed,
    Failure,
    FetchCopy,
    Put,
)
from dynamo.protocol.pending import Conversation, Pending
from dynamo.protocol.quorum import ReadQuorum
from dynamo.protocol.replica import Replica
from dynamo.protocol.view import View
from dynamo.values import versions
from dynamo.values.versions import Siblings


def needs_a_look(put: Put) -> bool:
    """True if what is there decides whether `put` may happen."""
    return put.ephemeral or put.condition is not Condition.NONE


def refusal_of_ephemeral(found: Siblings | None) -> tuple[Failure, str] | None:
    """Why an ephemeral put can't join what is there, if so."""
    if found is None or not found.context or versions.ephemeral(found):
        return None
    detail = (
        "the key holds, or held, what is meant to last; an ephemeral put needs a key of its own"
    )
    return Failure.REQUEST, f"{detail}, or put it with ttl_s alone"


class PendingCheckedPut:
    """A put on a node that holds the key: read `r` copies, decide, and become an ordinary put.

    `put` makes that ordinary put of the conversation; its request has been changed by then to one
    that replaces what was found.
    """

    def __init__(
        self,
        talk: Conversation,
        replica: Replica,
        view: View,
        n: int,
        r: int,
        put: Callable[[Conversation], Pending],
    ) -> None:
        self._wake_at: float | None = talk.deadline
        self._talk = talk
        self._replica = replica
        self._request: Put = talk.request.message  # type: ignore[assignment]
        alone = self._request.condition is Condition.NONE and self._request.context is None
        self._view = view
        self._n = n
        self._quorum: ReadQuorum[Siblings] = ReadQuorum(self._owners, 1 if alone else r)
        self._make_put = put
        self._put: Pending | None = None
        self._held_bytes = len(self._request.value or b"")

    @property
    def held_bytes(self) -> int:
        return self._put.held_bytes if self._put else self._held_bytes

    @property
    def wake_at(self) -> float | None:
        return self._put.wake_at if self._put else self._wake_at

    def start(self, now: float) -> Iterable[Envelope]:
        if not self._look_here():
            raise CorruptData(f"the copy of {self._request.key!r} is damaged")
        return self._decide(now) if self._quorum.enough else self._ask_silent(now)

    def on_reply(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        if self._put:
            return self._put.on_reply(envelope, now)
        if isinstance(envelope.message, CopyFetched):
            self._quorum.add(envelope.sender, envelope.message.siblings)
            self._held_bytes += versions.values_bytes(envelope.message.siblings)
            if self._quorum.enough:
                return self._decide(now)
        return []

    def on_lost(self, member: str, now: float) -> Iterable[Envelope]:
        return self._put.on_lost(member, now) if self._put else []

    def on_ring(self, now: float) -> Iterable[Envelope]:
        if self._put:
            return self._put.on_ring(now)
        self._quorum.go_by(self._owners)
        return self._decide(now) if self._quorum.enough else self._ask_silent(now)

    def on_wake(self, now: float) -> Iterable[Envelope]:
        if self._put:
            return self._put.on_wake(now)
        quorum = self._quorum
        if now < self._talk.deadline:
            self._talk.suspect(quorum.silent, now)
            missing = quorum.needed - len(quorum.answered)
            if not self._talk.hopeless(missing, quorum.silent, now):
                return self._ask_silent(now)
        self._wake_at = None
        return [self._talk.too_few(quorum.needed, quorum.answered, quorum.silent, now)]

    @property
    def _owners(self) -> tuple[str, ...]:
        return self._view.ring.preference_list(self._request.key, self._n)

    def _ask_silent(self, now: float) -> list[Envelope]:
        self._wake_at = self._talk.next_wake(now)
        fetch = FetchCopy(self._talk.id, self._request.key)
        me = self._talk.me
        return [self._talk.ask(node, fetch) for node in self._quorum.silent if node != me]

    def _look_here(self) -> bool:
        """Read the copy here; False if it is damaged."""
        own = self._replica.read(self._request.key)
        if own is not None:
            self._quorum.add(self._talk.me, own)
        return own is not None

    def _decide(self, now: float) -> Iterable[Envelope]:
        if not self._look_here():  # again: another put may have come since
            self._wake_at = None
            return [self._talk.answer(Failed(0, Failure.CORRUPT))]
        found = self._quorum.answer()
        refusal = self._refusal(found)
        if refusal:
            self._wake_at = None
            return [self._talk.answer(refusal)]
        request = self._request
        if self._quorum.needed > 1:
            self._replica.merge(request.key, found, request.durable)
        if request.condition is not Condition.NONE:
            # The client may have seen what the copies that were read here have yet to be told.
            context = versions.join([found.context, request.context or {}])
            request = msgspec.structs.replace(request, context=context)
        self._talk.request = msgspec.structs.replace(self._talk.request, message=request)
        self._put = self._make_put(self._talk)
        return self._put.start(now)

    def _refusal(self, found: Siblings) -> Failed | None:
        refusal = refusal_of_ephemeral(found) if self._request.ephemeral else None
        if refusal:
            return Failed(0, *refusal)
        if self._holds(found):
            return None
        live = versions.as_of(found, self._talk.wall())
        return Failed(0, Failure.CONFLICT, context=found.context, values=len(live.values))

    def _holds(self, found: Siblings) -> bool:
        """True if the put's condition holds for `found`.

        A client that lost its connection asks again: what this very put has left here before is
        no conflict.
        """
        request, wall = self._request, self._talk.wall()
        others = tuple(v for v in found.versions if not self._is_mine(v))
        others = versions.as_of(found._replace(versions=others), wall).versions
        match request.condition:
            case Condition.ABSENT:
                return all(v.value is None for v in others)
            case Condition.UNCHANGED:
                return all(versions.seen(request.context or {}, v.dot) for v in others)
            case Condition.NONE:
                return True

    def _is_mine(self, version: versions.Version) -> bool:
        """True for what this put has left: its value, or the tombstone beside an ephemeral one."""
        mine = self._request
        guards = mine.ephemeral and version.value is None
        return version.written_at == mine.written_at and (guards or version.value == mine.value)
