"""One client request in flight, of each kind, as the node that coordinates it sees it.

All have one shape. `start` does what can be done at once, `on_reply` takes in one answer, `on_wake`
runs when the time `wake_at` has come: it asks again, gives up, or cleans up; `on_lost` hears of a
member that will not answer. Each returns envelopes to send. `wake_at` is None once nothing is left
to do.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Protocol, TypeGuard

import msgspec

from dynamo.errors import CorruptData
from dynamo.protocol.membership import Membership
from dynamo.protocol.messages import (
    CopiesFetched,
    CopiesListed,
    CopyFetched,
    CopyStored,
    Envelope,
    Failed,
    Failure,
    FetchCopy,
    Get,
    GetDone,
    GetMany,
    GotMany,
    KeyRequest,
    KeysListed,
    ListCopies,
    Listed,
    ListKeys,
    Message,
    Put,
    PutDone,
    PutMany,
    Reply,
    StoreCopy,
)
from dynamo.protocol.quorum import ReadQuorum, WriteQuorum
from dynamo.protocol.replica import Replica
from dynamo.protocol.settings import Settings
from dynamo.protocol.view import View
from dynamo.values.versions import Siblings, as_of, ephemeral, is_dead, reconcile, values_bytes


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
        self.held_bytes = _put_bytes(self._put)
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
        if _is_read_only(envelope.message):
            self._refusals[envelope.sender] = envelope.message.detail
            return self._look_elsewhere(envelope.sender) + self._give_up_if_hopeless(now)
        if _is_corrupt(envelope.message):
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
        asked = {node for node, _ in self._asked} & self._talk.members.up
        awaited = asked - self._refusals.keys() - set(self._quorum.answered)
        if self._answered or awaited or not self._hopeless(now):
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
            if _is_corrupt(envelope.message):
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


class PendingRelay:
    """A request that this node can't coordinate: one of those who can after the other is asked.

    It holds no copy of the key, or a damaged one, or its disk takes no writes; or it is to list
    keys and is no member of the cluster any more.
    """

    def __init__(self, talk: Conversation, view: View, owners: tuple[str, ...]):
        self.wake_at: float | None = talk.deadline
        self._talk = talk
        self._view = view
        self.held_bytes = _put_bytes(talk.request.message)
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
        refused = _is_read_only(message) or _is_corrupt(message)
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


class PendingListing:
    """A page of keys: every member is asked, until each partition is covered by r of its owners.

    With r + w > n, r owners of a partition know every acknowledged write of it. A page tells what
    its node held as an owner of its time: to one who has become an owner since then it may lack all
    of a partition, and not say so. So only pages of this table of owners or the one before count.
    """

    def __init__(self, talk: Conversation, replica: Replica, view: View):
        self.wake_at: float | None = talk.deadline
        self._talk = talk
        self._replica = replica
        self._view = view
        self._list: ListKeys = talk.request.message  # type: ignore[assignment]
        self._n = self._list.n or view.table.n
        self._r = self._list.r or min(talk.settings.r, self._n)
        self.held_bytes = 0  # a page has no values, and keys to a bounded number
        self._pages: dict[str, CopiesListed] = {}
        """What each has answered last; one that fills partitions is asked again."""

    def start(self, now: float) -> Iterable[Envelope]:
        return self._go_on(now)

    def on_reply(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        if isinstance(envelope.message, CopiesListed) and self._counts(envelope.message):
            self._pages[envelope.sender] = envelope.message
            if self._covered:
                return self._finish()
        return []

    def on_lost(self, member: str, now: float) -> Iterable[Envelope]:
        return []  # the others were asked at the start, and it is asked again in time

    def on_ring(self, now: float) -> Iterable[Envelope]:
        self._pages = {node: page for node, page in self._pages.items() if self._counts(page)}
        return self._go_on(now)

    def on_wake(self, now: float) -> Iterable[Envelope]:
        if now < self._talk.deadline:
            self._talk.suspect(self._silent, now)
            filling = any(page.filling for page in self._pages.values())
            if filling or not self._talk.hopeless(1, self._silent, now):
                return self._go_on(now)
        self.wake_at = None
        answered = tuple(sorted(self._pages))
        return [self._talk.too_few(self._r, answered, self._silent, now)]

    def _counts(self, page: CopiesListed) -> bool:
        return page.epoch >= self._view.ring.epoch - 1

    @property
    def _silent(self) -> tuple[str, ...]:
        return tuple(node for node in self._view.ring.members if node not in self._pages)

    @property
    def _covered(self) -> bool:
        ring = self._view.ring
        return all(
            sum(self._covers(owner, p) for owner in ring.partition_owners(p, self._n)) >= self._r
            for p in range(len(ring.owners))
        )

    def _covers(self, owner: str, partition: int) -> bool:
        page = self._pages.get(owner)
        return page is not None and partition not in page.filling

    def _go_on(self, now: float) -> list[Envelope]:
        """Make this node's page, where there is none yet, and ask the others for theirs."""
        wanted, me = self._list, self._talk.me
        own = self._pages.get(me)
        if own is None or own.filling:
            own = self._replica.listing(wanted.prefix, wanted.after, wanted.limit)
        if own is not None:
            self._pages[me] = own
        return self._finish() if self._covered else self._ask_silent(now)

    def _ask_silent(self, now: float) -> list[Envelope]:
        self.wake_at = self._talk.next_wake(now)
        wanted = self._list
        request = ListCopies(self._talk.id, wanted.prefix, wanted.after, wanted.limit)
        me = self._talk.me
        silent = [node for node in self._silent if node != me]
        filling = [node for node, page in self._pages.items() if page.filling and node != me]
        return [self._talk.ask(node, request) for node in (*silent, *filling)]

    def _finish(self) -> list[Envelope]:
        """Merge the pages up to where the shortest of those that were cut off ends."""
        self.wake_at = None
        ends = [page.copies[-1].key for page in self._pages.values() if page.more]
        end = min(ends, default="")
        listed: list[Listed] = [copy for page in self._pages.values() for copy in page.copies]
        copies: dict[str, list[Siblings]] = {}
        for key, siblings in listed:
            if not end or key <= end:
                copies.setdefault(key, []).append(siblings)
        wall = self._talk.wall()
        live = (key for key in sorted(copies) if not is_dead(reconcile(copies[key]), wall))
        return [self._talk.answer(KeysListed(0, tuple(live), end))]


def _put_bytes(request: Message) -> int:
    """What the values of a put weigh; nothing for a get."""
    match request:
        case Put():
            return len(request.value or b"")
        case PutMany():
            return sum([len(value or b"") for _, value in request.items])
    return 0


def _is_corrupt(message: Message) -> TypeGuard[Failed]:
    return isinstance(message, Failed) and message.reason is Failure.CORRUPT


def _is_read_only(message: Message) -> TypeGuard[Failed]:
    return isinstance(message, Failed) and message.reason is Failure.READ_ONLY
