"""A put on its way: stored by the node that coordinates it, sent to the others, counted."""

from collections.abc import Iterable

from dynamo.protocol.messages import (
    CopyStored,
    Envelope,
    Put,
    PutDone,
    PutMany,
    StoreCopy,
)
from dynamo.protocol.pending import Conversation, is_corrupt, is_read_only, put_bytes
from dynamo.protocol.quorum import WriteQuorum
from dynamo.protocol.replica import Replica
from dynamo.protocol.view import View


class PendingPut:
    """A put on a node that holds the key: store it here, send it to the others, count.

    For an owner that is down the next node around the ring gets the copy, with a hint. A put that
    has been answered lingers until every owner has its copy or a substitute keeps it for it, as far
    as there is somebody to wait for: an owner may die with the copy on its way.

    A node whose disk takes no writes is down for this put, though it answers: nobody waits for it,
    and a substitute keeps the copy of an owner.
    """

    def __init__(self, talk: Conversation, replica: Replica, view: View, n: int, w: int) -> None:
        self.wake_at: float | None = talk.deadline
        self._talk = talk
        self._replica = replica
        self._view = view
        self._put: Put | PutMany = talk.request.message  # type: ignore[assignment]
        self._n = n
        self._quorum = WriteQuorum(view.write_lists(self._put.key, n), w)
        self._asked: dict[tuple[str, str], None] = {}
        """Who has been sent the copy, and the owner each stands in for; "" for an owner."""
        self._refusals: dict[str, str] = {}
        """Who can't take the copy now, and why."""
        self._damaged: set[str] = set()
        """Owners that can't take it before they have healed theirs; they are asked again."""
        self.held_bytes = put_bytes(self._put)
        self._answered = False

    @property
    def _able(self) -> frozenset[str]:
        """Who may take the copy now."""
        return self._talk.members.up - self._refusals.keys() - self._damaged

    def start(self, now: float) -> Iterable[Envelope]:
        if self._hopeless(now):
            self.wake_at = None
            silent = tuple(owner for owner in self._quorum.silent if owner != self._talk.me)
            return [self._talk.too_few(self._quorum.needed, (), silent, now, "nothing was written")]
        self._write()
        # This node's own acknowledgement counts now: nothing is sent before it is on disk.
        self._quorum.add(self._talk.me)
        self._asked[self._talk.me, ""] = None
        self.wake_at = self._talk.next_wake(now)
        return self._send_to_new_places() + self._answer_or_end()

    def on_reply(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        if isinstance(envelope.message, CopyStored):
            self._quorum.add(envelope.sender, envelope.message.hint_for)
            self._damaged.discard(envelope.sender)
            return self._answer_or_end() + self._give_up_if_hopeless(now)
        if is_read_only(envelope.message):
            self._refusals[envelope.sender] = envelope.message.detail
            return self._look_elsewhere(envelope.sender) + self._give_up_if_hopeless(now)
        if is_corrupt(envelope.message):
            self._damaged.add(envelope.sender)
            return self._look_elsewhere(envelope.sender)
        return []

    def on_lost(self, member: str, now: float) -> Iterable[Envelope]:
        return self._look_elsewhere(member)

    def on_ring(self, now: float) -> Iterable[Envelope]:
        self._quorum.go_by(self._view.write_lists(self._put.key, self._n))
        return self._send_to_new_places() + self._answer_or_end()

    def _look_elsewhere(self, member: str) -> list[Envelope]:
        """`member` will not store the copy it was sent."""
        for node, hint_for in list(self._asked):
            if node == member and hint_for:  # a substitute: there may be another one
                del self._asked[node, hint_for]
        return self._send_to_new_places() + self._answer_or_end()

    def _give_up_if_hopeless(self, now: float) -> list[Envelope]:
        """Answer at once where waiting can't help, when all have answered that do answer."""
        if self._answered:
            return []
        asked = {node for node, _ in self._asked} & self._talk.members.up
        awaited = asked - self._refusals.keys() - set(self._quorum.answered)
        if awaited or not self._hopeless(now):
            return []
        self.wake_at = None
        return [self._too_few(now)]

    def _hopeless(self, now: float) -> bool:
        """True if too few are left that might store it.

        The others have refused, or have been down for long.
        """
        quorum, up = self._quorum, self._talk.members.up
        down = [owner for owner in quorum.silent if owner not in up]
        if not down and not self._refusals:
            return False
        places = self._view.placements(self._put.key, self._n, up - self._refusals.keys())
        left = {place.node for place in places}.union(quorum.answered)
        return self._talk.hopeless(quorum.needed - len(left), down, now)

    def _too_few(self, now: float) -> Envelope:
        quorum, why = self._quorum, "; ".join(self._refusals.values())
        return self._talk.too_few(quorum.needed, quorum.answered, quorum.silent, now, why)

    def on_wake(self, now: float) -> Iterable[Envelope]:
        quorum = self._quorum
        if now >= self._talk.deadline:
            self.wake_at = None
            if self._answered:
                return []
            return [self._too_few(now)]
        self.wake_at = self._talk.next_wake(now)
        silent = [owner for owner in quorum.silent if owner not in self._refusals]
        self._talk.suspect([owner for owner in silent if owner not in self._damaged], now)
        again = [self._copy_for(owner, "") for owner in silent]
        sent = again + self._send_to_new_places() + self._answer_or_end()
        return sent + self._give_up_if_hopeless(now)

    def _send_to_new_places(self) -> list[Envelope]:
        """Send the copy to every node that should have it by now and has not been asked."""
        sent = []
        for place in self._view.placements(self._put.key, self._n, self._able):
            hint_for = place.hint_for or ""
            if (place.node, hint_for) in self._asked or self._kept_for(hint_for):
                continue
            self._asked[place.node, hint_for] = None
            sent.append(self._copy_for(place.node, hint_for))
        return sent

    def _kept_for(self, owner: str) -> bool:
        """True if a substitute for this owner has been asked already."""
        return owner != "" and any(hint_for == owner for _, hint_for in self._asked)

    def _write(self) -> None:
        """Write here, and keep what the others are to be sent."""
        put: Put = self._put  # type: ignore[assignment]
        self._siblings = self._replica.write(put)

    def _copy_for(self, node: str, hint_for: str) -> Envelope:
        put, id = self._put, self._talk.id
        return self._talk.ask(node, StoreCopy(id, put.key, self._siblings, put.durable, hint_for))

    def _answer_or_end(self) -> list[Envelope]:
        """Answer once the quorum is complete; end when nobody is left to wait for."""
        sent = []
        if not self._answered and self._quorum.enough(self._able):
            self._answered = True
            sent.append(self._talk.answer(PutDone(0, self._quorum.answered)))
        if self._answered and not self._lingers():
            self.wake_at = None
        return sent

    def _lingers(self) -> bool:
        quorum, able = self._quorum, self._able | self._damaged
        owners = any(owner in able for owner in quorum.silent)
        answered = quorum.answered
        substitutes = any(hint and node not in answered for node, hint in self._asked)
        return (owners or substitutes) and self._talk.may_linger()
