"""Who is up, in this node's own judgement.

No node tells another that a third one is down: each judges from what it hears itself, so a network
that separates some and not others leads nobody astray. A member is taken to be down when it left a
request unanswered, and to be up as soon as anything is heard of it; meanwhile it is asked now and
then whether it is back. A slow member is suspected in this way for a moment, and not buried.

Source: the Dynamo paper, section 4.8.3.
"""

import math
from collections.abc import Callable, Iterable, Mapping

from dynamo.protocol.messages import Envelope, Lost, Ping, Pong
from dynamo.protocol.settings import Settings


class Membership:
    """The members of the ring as one of them, `me`, sees them."""

    def __init__(
        self, me: str, members: Iterable[str], settings: Settings, next_id: Callable[[], int]
    ) -> None:
        self._me = me
        self._members = frozenset(members)
        self.others = self._others()
        """All but this node, in order of name."""
        self._settings = settings
        self._next_id = next_id
        self._down: dict[str, float] = {}
        """Members that are taken to be down -> when to ask them again."""
        self.idle_until = math.inf
        """When to ask the first of them again."""
        self._down_since: dict[str, float] = {}
        self.up: frozenset[str] = self._members
        """Those that are taken to be up, this node itself among them."""
        self.others_up = self.others
        """The same without this node, in order of name."""
        self.handlers: Mapping[type, Callable[[Envelope, float], Iterable[Envelope]]] = {
            Ping: self._on_ping,
        }

    def go_by(self, members: Iterable[str]) -> None:
        """From now on these are the members; a new one is taken to be up."""
        members = frozenset(members)
        if members != self._members:
            self._members = members
            self.others = self._others()
            self._down = {name: at for name, at in self._down.items() if name in members}
            self._down_since = {name: self._down_since[name] for name in self._down}
            self._judge()

    def heard(self, envelope: Envelope) -> None:
        """Something has come from a member; it is up."""
        if envelope.sender in self._down and not isinstance(envelope.message, Lost):
            del self._down[envelope.sender], self._down_since[envelope.sender]
            self._judge()

    def unanswered(self, member: str, now: float) -> None:
        """A member has not answered what it was asked."""
        if member in self._members and member != self._me and member not in self._down:
            self._down[member] = now + self._settings.ping_s
            self._down_since[member] = now
            self._judge()

    def given_up(self, member: str, now: float) -> bool:
        """True if a member has been down for so long that it's no use to wait for it.

        A slow one is down for a moment only: it is up as soon as it answers anything.
        """
        return now - self._down_since.get(member, now) >= self._settings.suspect_s

    def status(self) -> dict[str, bool]:
        """Which of the others this node takes to be up."""
        return {member: member in self.up for member in self.others}

    def next_wake(self) -> float:
        return self.idle_until

    def tick(self, now: float) -> Iterable[Envelope]:
        """Ask those that are down, and whose time has come, whether they are back."""
        due = [member for member, at in self._down.items() if at <= now]
        for member in due:
            self._down[member] = now + self._settings.ping_s
        self._plan()
        return [Envelope(self._me, member, Ping(self._next_id())) for member in due]

    def on_reply(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        return []  # that something has come is all there is to a `Pong`

    def on_lost(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        return []

    def _on_ping(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        return [envelope.reply(Pong(envelope.message.id))]

    def _judge(self) -> None:
        self.up = self._members - self._down.keys()
        self.others_up = [name for name in self.others if name not in self._down]
        self._plan()

    def _plan(self) -> None:
        self.idle_until = min(self._down.values(), default=math.inf)

    def _others(self) -> list[str]:
        return sorted(self._members - {self._me})
