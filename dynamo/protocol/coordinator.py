"""Client requests: check them, begin them, lead each reply and each deadline to its request.

A node that holds the key coordinates a request itself. One that doesn't passes it to a node that
does and the answer back, so that a client may ask any node.
"""

import heapq
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from dynamo.errors import CorruptData
from dynamo.protocol.checked import PendingCheckedPut, needs_a_look, refusal_of_ephemeral
from dynamo.protocol.get import PendingGet
from dynamo.protocol.listing import PendingListing
from dynamo.protocol.lots import PendingGetMany, PendingPutMany
from dynamo.protocol.membership import Membership
from dynamo.protocol.messages import (
    Envelope,
    Failed,
    Failure,
    Get,
    GetMany,
    GetRing,
    KeyRequest,
    ListKeys,
    Put,
    PutMany,
    RingDone,
)
from dynamo.protocol.pending import Conversation, Pending
from dynamo.protocol.put import PendingPut
from dynamo.protocol.relay import PendingRelay
from dynamo.protocol.replica import Replica
from dynamo.protocol.settings import Settings
from dynamo.protocol.view import View

PAGE_LIMIT = 1000
"""Keys in one page of a listing, at most."""


class Coordinator:
    """The requests that this node has in flight for clients."""

    def __init__(
        self,
        view: View,
        settings: Settings,
        replica: Replica,
        members: Membership,
        next_id: Callable[[], int],
        wall: Callable[[], float],
        read_only: str = "",
    ) -> None:
        self._view = view
        self._settings = settings
        self._replica = replica
        self._members = members
        self._next_id = next_id
        self._read_only = read_only
        self._wall = wall
        self._pending: dict[int, Pending] = {}
        self._held: dict[int, int] = {}
        """What each of them that keeps values was last found to keep, in bytes."""
        self.held_bytes = 0
        self._wakes: list[tuple[float, int]] = []
        self.idle_until = math.inf
        """When the first of them is to be woken."""
        self.handlers: Mapping[type, Callable[[Envelope, float], Iterable[Envelope]]] = {
            Put: self._on_put,
            Get: self._on_get,
            PutMany: self._on_put_many,
            GetMany: self._on_get_many,
            ListKeys: self._on_list,
            GetRing: self._on_ring,
        }

    @property
    def pending_requests(self) -> int:
        return len(self._pending)

    def next_wake(self) -> float:
        """When `tick` has something to do next, unless a message comes first."""
        return self.idle_until

    def tick(self, now: float) -> Iterable[Envelope]:
        """Wake every request whose time has come."""
        sent: list[Envelope] = []
        while self._wakes and self._wakes[0][0] <= now:
            _, id = heapq.heappop(self._wakes)
            pending = self._pending.get(id)
            if pending is not None and pending.wake_at is not None and pending.wake_at <= now:
                sent += self._keep(id, pending, None, pending.on_wake(now))
        self.idle_until = self._wakes[0][0] if self._wakes else math.inf
        return sent

    def on_ring(self, now: float) -> Iterable[Envelope]:
        """The view has changed: each request goes by the new one from now on."""
        sent: list[Envelope] = []
        for id, pending in list(self._pending.items()):
            sent += self._keep(id, pending, pending.wake_at, pending.on_ring(now))
        return sent

    def _on_put(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        return self._take_on_put(envelope, PendingPut, now)

    def _on_get(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        return self._take_on_get(envelope, PendingGet, now)

    def _on_put_many(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        put: PutMany = envelope.message  # type: ignore[assignment]
        keys = [key for key, _ in put.items]
        refused = self._refuse_lot(envelope, keys)
        if put.ephemeral and not refused:
            copies = map(self._replica.read, keys)
            refusal = next(filter(None, map(refusal_of_ephemeral, copies)), None)
            refused = [envelope.reply(Failed(put.id, *refusal))] if refusal else []
        return refused or self._take_on_put(envelope, PendingPutMany, now)

    def _on_get_many(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        get: GetMany = envelope.message  # type: ignore[assignment]
        refused = self._refuse_lot(envelope, get.keys)
        return refused or self._take_on_get(envelope, PendingGetMany, now)

    def _refuse_lot(self, envelope: Envelope, keys: Sequence[str]) -> list[Envelope]:
        """The answer to keys that are no lot: other nodes than those asked should hold some."""
        partitions = set(map(self._view.partition_of, keys))
        if len(partitions) == 1:
            return []
        detail = f"a lot has keys of one partition; these {len(keys):,} are of {len(partitions)}"
        return [envelope.reply(Failed(envelope.message.id, Failure.REQUEST, detail))]

    def _take_on_put(
        self, envelope: Envelope, kind: type[PendingPut], now: float
    ) -> Iterable[Envelope]:
        put: Put | PutMany = envelope.message  # type: ignore[assignment]
        n = put.n or self._view.table.n
        w = put.w or min(self._settings.w, n)

        def plain(talk: Conversation) -> Pending:
            return kind(talk, self._replica, self._view, n, w)

        def checked(talk: Conversation) -> Pending:
            r = min(self._settings.r, n)
            return PendingCheckedPut(talk, self._replica, self._view, n, r, plain)

        coordinate = checked if isinstance(put, Put) and needs_a_look(put) else plain
        return self._take_on(envelope, ("w", w, n), coordinate, now)

    def _take_on_get(
        self, envelope: Envelope, kind: type[PendingGet], now: float
    ) -> Iterable[Envelope]:
        get: Get | GetMany = envelope.message  # type: ignore[assignment]
        n = get.n or self._view.table.n
        r = get.r or min(self._settings.r, n)
        return self._take_on(
            envelope,
            ("r", r, n),
            lambda talk: kind(talk, self._replica, self._view, n, r),
            now,
        )

    def _take_on(
        self,
        envelope: Envelope,
        quorum: tuple[str, int, int],
        coordinate: Callable[[Conversation], Pending],
        now: float,
    ) -> Iterable[Envelope]:
        """Refuse a put or get, coordinate it here, or pass it to a node that holds the key.

        `quorum` is its name (r or w), how many answers are needed, and of how many replicas.
        """
        request: KeyRequest = envelope.message  # type: ignore[assignment]
        name, needed, n = quorum
        owners = self._view.ring.preference_list(request.key, max(n, 0))
        refusal = self._refusal(name, needed, n, owners)
        if refusal:
            return [envelope.reply(Failed(request.id, *refusal))]
        talk = self._conversation(envelope, request.timeout_s, now)
        if self._read_only and isinstance(request, Put | PutMany) and talk.me in owners:
            return self._pass_on(talk, owners, Failure.READ_ONLY, self._read_only, now)
        whole = self._replica.has_whole(request.key)
        if talk.me in owners and whole:
            try:
                return self._begin(talk, coordinate(talk), now)
            except CorruptData:  # nothing has been written: the copy here is damaged
                return self._pass_on(talk, owners, Failure.CORRUPT, "", now)
        others = tuple(owner for owner in owners if owner != talk.me)
        if not others or (not whole and envelope.sender in self._view.members):
            return [envelope.reply(Failed(request.id, Failure.FILLING))]
        return self._begin(talk, PendingRelay(talk, self._view, self._up_first(others)), now)

    def _pass_on(
        self, talk: Conversation, owners: Iterable[str], why: Failure, detail: str, now: float
    ) -> Iterable[Envelope]:
        """Let another node coordinate what can't be done here, unless one sent it."""
        others = tuple(owner for owner in self._up_first(owners) if owner != talk.me)
        if not others or talk.request.sender in self._view.members:
            return [talk.answer(Failed(0, why, detail))]
        return self._begin(talk, PendingRelay(talk, self._view, others), now)

    def _on_list(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        wanted: ListKeys = envelope.message  # type: ignore[assignment]
        if not 1 <= wanted.limit <= PAGE_LIMIT:
            detail = f"a page holds 1 to {PAGE_LIMIT} keys, not {wanted.limit}"
            return [envelope.reply(Failed(wanted.id, Failure.REQUEST, detail))]
        n = wanted.n or self._view.table.n
        r = wanted.r or min(self._settings.r, n)
        if not 1 <= r <= min(n, len(self._view.ring.members)):
            return [envelope.reply(Failed(wanted.id, Failure.REQUEST, self._unmet("r", r, n)))]
        talk = self._conversation(envelope, wanted.timeout_s, now)
        if talk.me not in self._view.members:  # it does not hear any more of who owns what
            return self._pass_on(talk, self._view.members, Failure.FILLING, "", now)
        return self._begin(talk, PendingListing(talk, self._replica, self._view), now)

    def _on_ring(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        ring, settings = self._view.ring, self._settings
        numbers = (self._view.table.n, settings.r, settings.w, settings.timeout_s)
        done = RingDone(
            envelope.message.id, ring.owners, ring.epoch, self._view.addresses, *numbers
        )
        return [envelope.reply(done)]

    def on_reply(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        """Lead a reply to the request it belongs to."""
        return self._tell(envelope.message.id, lambda pending: pending.on_reply(envelope, now))

    def on_lost(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        """A request to `envelope.sender` will not be answered."""
        lost = envelope.sender
        return self._tell(envelope.message.id, lambda pending: pending.on_lost(lost, now))

    def _tell(self, id: int, news: Callable[[Pending], Iterable[Envelope]]) -> Iterable[Envelope]:
        """Tell a request its news, unless it has ended without them."""
        pending = self._pending.get(id)
        if pending is None:
            return []
        wake_at = pending.wake_at
        return self._keep(id, pending, wake_at, news(pending))

    def _up_first(self, owners: Iterable[str]) -> tuple[str, ...]:
        up = self._members.up
        return tuple(sorted(owners, key=lambda owner: owner not in up))

    def _refusal(
        self, name: str, quorum: int, n: int, owners: tuple[str, ...]
    ) -> tuple[Failure, str] | None:
        """Why a request for `quorum` of `n` replicas can't be taken, if so."""
        if not 1 <= quorum <= len(owners):  # so neither may n be less than 1
            return Failure.REQUEST, self._unmet(name, quorum, n)
        if self.held_bytes >= self._settings.pending_bytes:
            return Failure.OVERLOADED, f"{self._full()}; use fewer callers at once"
        if len(self._pending) >= self._settings.pending_limit:
            detail = f"{len(self._pending):,} requests are in flight here, which is the limit"
            return Failure.OVERLOADED, f"{detail}; use fewer callers at once"
        return None

    def _unmet(self, name: str, quorum: int, n: int) -> str:
        members = len(self._view.ring.members)
        detail = f"{name}={quorum} of n={n} can't be met by a cluster of {members} nodes"
        return f"{detail}; ask for 1 to {min(n, members)}"

    def _conversation(self, envelope: Envelope, timeout_s: float, now: float) -> Conversation:
        timeout_s = timeout_s or self._settings.timeout_s
        id = self._next_id()
        settings, members, wall = self._settings, self._members, self._wall
        return Conversation(envelope, id, timeout_s, settings, members, self._has_room, wall, now)

    def _has_room(self) -> bool:
        """True while answered requests may linger: half of the room is for new ones."""
        settings = self._settings
        few = len(self._pending) < settings.pending_limit // 2
        return few and self.held_bytes < settings.pending_bytes // 2

    def _full(self) -> str:
        return f"requests with {self.held_bytes:,} bytes of values are in flight here"

    def _begin(self, talk: Conversation, pending: Pending, now: float) -> Iterable[Envelope]:
        return self._keep(talk.id, pending, None, pending.start(now))

    def _keep(
        self, id: int, pending: Pending, known_wake: float | None, sent: Iterable[Envelope]
    ) -> Iterable[Envelope]:
        """Keep or forget a request that has just sent `sent`; it was to wake at `known_wake`."""
        grown_bytes = pending.held_bytes - self._held.get(id, 0)
        full = self.held_bytes + grown_bytes > self._settings.pending_bytes
        if full and grown_bytes > 0 and isinstance(pending, PendingGet):
            sent = [*sent, *pending.give_up(f"{self._full()}; use fewer callers at once")]
        self._count(id, pending)
        if pending.wake_at is None:
            self._pending.pop(id, None)
        else:
            self._pending[id] = pending
            if pending.wake_at != known_wake:
                heapq.heappush(self._wakes, (pending.wake_at, id))
                self.idle_until = self._wakes[0][0]
        return sent

    def _count(self, id: int, pending: Pending) -> None:
        """Count what a request holds now; nothing once it has ended."""
        held_bytes = 0 if pending.wake_at is None else pending.held_bytes
        self.held_bytes += held_bytes - self._held.pop(id, 0)
        if held_bytes:
            self._held[id] = held_bytes
