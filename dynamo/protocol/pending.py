"""What all client requests in flight have in common, at the node that coordinates them.

All kinds have one shape. `start` does what can be done at once, `on_reply` takes in one answer,
`on_wake` runs when the time `wake_at` has come: it asks again, gives up, or cleans up; `on_lost`
hears of a member that will not answer. Each returns envelopes to send. `wake_at` is None once
nothing is left to do.
"""

from collections.abc import Callable, Iterable
from typing import Protocol, TypeGuard

import msgspec

from dynamo.protocol.membership import Membership
from dynamo.protocol.messages import (
    Envelope,
    Failed,
    Failure,
    Message,
    Put,
    PutMany,
    Reply,
)
from dynamo.protocol.settings import Settings


class Pending(Protocol):
    @property
    def wake_at(self) -> float | None: ...

    @property
    def held_bytes(self) -> int:
        """What the values weigh that it keeps."""

    def start(self, now: float) -> Iterable[Envelope]: ...

    def on_reply(self, envelope: Envelope, now: float) -> Iterable[Envelope]: ...

    def on_wake(self, now: float) -> Iterable[Envelope]: ...

    def on_lost(self, member: str, now: float) -> Iterable[Envelope]:
        """`member` will not answer what it was last asked; it has been marked as down."""

    def on_ring(self, now: float) -> Iterable[Envelope]:
        """The view has changed: other nodes may hold the key now."""


class Conversation:
    """What every pending request knows: who asked, under which id the peers are asked, how long.

    `id` is this node's own, unique over its restarts; all peers are asked under it, and a reply is
    told apart by its sender.
    """

    def __init__(
        self,
        request: Envelope,
        id: int,
        timeout_s: float,
        settings: Settings,
        members: Membership,
        may_linger: Callable[[], bool],
        wall: Callable[[], float],
        now: float,
    ) -> None:
        self.request = request
        self.id = id
        self.me = request.receiver
        self.settings = settings
        self.members = members
        self.may_linger = may_linger
        self.wall = wall
        """What this machine's clock says."""
        self.began_at = now
        self.deadline = now + timeout_s

    def ask(self, node: str, message: Message) -> Envelope:
        return Envelope(self.me, node, message)

    def answer(self, reply: Reply) -> Envelope:
        """`reply` on its way to the client, under the id the client gave."""
        id = self.request.message.id
        return self.request.reply(msgspec.structs.replace(reply, id=id))  # type: ignore[arg-type]

    def suspect(self, silent: Iterable[str], now: float) -> None:
        """Tell of those that have let this request wait, once it has waited long enough."""
        if now - self.began_at >= self.settings.suspect_s:
            for member in silent:
                self.members.unanswered(member, now)

    def next_wake(self, now: float) -> float:
        return min(now + self.settings.resend_s, self.deadline)

    def hopeless(self, missing: int, silent: Iterable[str], now: float) -> bool:
        """True if those that are silent can't give the answers that are missing: too many of them
        have been down for long. Another node may reach them, so its client should hear of it."""
        if missing <= 0:
            return False
        return sum(not self.members.given_up(member, now) for member in silent) < missing

    def too_few(
        self,
        needed: int,
        answered: tuple[str, ...],
        silent: tuple[str, ...],
        now: float,
        detail: str = "",
    ) -> Envelope:
        """The answer to a client whose quorum did not come together in time."""
        after_s = now - self.began_at
        return self.answer(Failed(0, Failure.QUORUM, detail, needed, answered, silent, after_s))


def put_bytes(request: Message) -> int:
    """What the values of a put weigh; nothing for a get."""
    match request:
        case Put():
            return len(request.value or b"")
        case PutMany():
            return sum([len(value or b"") for _, value in request.items])
    return 0


def is_corrupt(message: Message) -> TypeGuard[Failed]:
    return isinstance(message, Failed) and message.reason is Failure.CORRUPT


def is_read_only(message: Message) -> TypeGuard[Failed]:
    return isinstance(message, Failed) and message.reason is Failure.READ_ONLY
