"""Taking home what this node holds and should not: the end of every change of the ring.

When partitions have moved, those who held them before still have the copies. They may have what no
new owner fetched: a write that was never acknowledged, or an ephemeral copy, which is in no hash
tree. So a node compares each such *stray* partition with an owner of it, sends what that one lacks,
and only then drops it. Hints that can't be delivered, because their owner has left or because this
node is leaving, go to the nodes that hold the key now.

A node that is leaving departs, and may be stopped, when it has nothing left that others need. One
that was to join and does not, because another change was committed at the same time and holds,
drops what it has fetched: its acknowledgements counted for nothing.
"""

import math
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any

from dynamo.disk import record
from dynamo.disk.contract import (
    HINTS,
    copies_range,
    copy_range,
    key_of_copy,
    owner_and_key_of_hint,
    partition_of_copy,
    readable,
)
from dynamo.disk.staging import Staging
from dynamo.errors import CorruptData
from dynamo.protocol.exchange import Exchange
from dynamo.protocol.handoff import Handoff
from dynamo.protocol.membership import Membership
from dynamo.protocol.messages import CopyStored, Envelope, StoreCopy
from dynamo.protocol.repairs import Here
from dynamo.protocol.settings import Settings
from dynamo.protocol.view import View
from dynamo.values import versions
from dynamo.values.cluster import Phase
from dynamo.values.versions import Siblings

DROPPED_AT_ONCE = 500
"""Keys that one step deletes of a stray partition."""
PAUSE_S = 0.02
"""Between two such steps."""


class Transfer:
    """What one node has to give away.

    `depart` is called when this node was leaving and nobody needs it any more.
    """

    def __init__(
        self,
        view: View,
        staging: Staging,
        here: Here,
        handoff: Handoff,
        members: Membership,
        settings: Settings,
        next_id: Callable[[], int],
        depart: Callable[[float], None],
    ) -> None:
        self._view = view
        self._staging = staging
        self._here = here._replace(next_id=next_id)
        self._handoff = handoff
        self._members = members
        self._settings = settings
        self._next_id = next_id
        self._depart = depart
        self.strays: dict[int, None] = {}
        """Partitions of which this node has copies and should have none."""
        self.dropped = 0
        """How many copies have been dropped."""
        self.has_old_copies = False
        """True if this node was removed and its disk still has what it held as a member."""
        self._foreign: frozenset[int] = frozenset()
        """All partitions that this node should not hold."""
        self._table: object = None
        self._look_at = -math.inf
        self._exchange: Exchange | None = None
        self._dropping: int | None = None
        """The stray partition that an owner has all of now."""
        self._sent: dict[int, tuple[bytes, bytes]] = {}
        """What has been sent and not acknowledged: id -> its place on the disk, and the record."""
        self._go_on_at = -math.inf
        """When to do the next piece of work, or to send again what nobody has acknowledged."""

    def touched(self, key: str) -> None:
        """A copy has come in: if it is a stray one, its partition has to be compared (again)."""
        if not self._foreign:
            return
        partition = self._view.partition_of(key)
        if partition in self._foreign:
            self.strays[partition] = None
        if partition == self._dropping:
            self._dropping = None

    def on_reply(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        id = envelope.message.id
        self._notice_table(now)
        if self._exchange is not None and self._exchange.expects(id):
            self._exchange.on_reply(envelope, now)
            return self._compare(self._exchange, now)
        if isinstance(envelope.message, CopyStored) and id in self._sent:
            self._given(id)
        return []

    def on_lost(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        """A request will not be answered; it is all tried again in time."""
        self._sent.pop(envelope.message.id, None)
        if self._exchange is not None and self._exchange.expects(envelope.message.id):
            self._exchange.fail(f"{envelope.sender} is down")
            return self._compare(self._exchange, now)
        return []

    @property
    def idle_until(self) -> float:
        table = self._view.table
        if table is not self._table or table.leaving:
            return -math.inf
        go_on_at = self._go_on_at if self._exchange is None else self._exchange.wake_at
        return go_on_at if go_on_at < self._look_at else self._look_at

    def next_wake(self) -> float:
        if self._exchange is not None:
            return min(self._exchange.wake_at, self._look_at)
        has_work = self.strays or self._sent or (self._handoff.kept and self._homeless())
        return min(self._go_on_at, self._look_at) if has_work else self._look_at

    def tick(self, now: float) -> Iterable[Envelope]:
        self._notice_table(now)
        if now >= self._look_at:
            self._look(now)
        if self._is_free():
            self._look(now)  # a get that began before may have repaired a copy here meanwhile
            if self._is_free():
                self._depart(now)
        if self._exchange is not None:
            return self._compare(self._exchange, now) if self._exchange.wake_at <= now else []
        if now < self._go_on_at:
            return []
        if not (self.strays or self._sent or self._handoff.kept or self._dropping is not None):
            self._go_on_at = now + PAUSE_S
            return []
        self._sent.clear()
        got_on = self._dropping is not None  # with the last of a partition dropped, the next begins
        sent = [*self._give_hints(), *self._work(now)]
        rests = sent or (self._waits() and not got_on)
        self._go_on_at = now + (self._settings.suspect_s if rests else PAUSE_S)
        return sent

    def status(self) -> dict[str, Any]:
        """What is still to be given away, and how much has been dropped."""
        return {
            "stray_partitions": len(self.strays),
            "dropped": self.dropped,
            "hints_without_owner": sum(self._handoff.kept[owner] for owner in self._homeless()),
            "leaving": self._view.me in self._view.table.leaving,
            "has_old_copies": self.has_old_copies,
        }

    # Stray partitions ----------------------------------------------------------------------------

    def _notice_table(self, now: float) -> None:
        """By another table of owners a partition may belong here (again): begin anew."""
        if self._table is not self._view.table:
            self._table = self._view.table
            self._exchange = None
            self._sent.clear()
            self._look(now)

    def _look(self, now: float) -> None:
        """Find out which partitions are here and should not be."""
        view = self._view
        strays = dict.fromkeys(self._find_strays())
        foreign = set(range(view.partitions)).difference(view.held) if self._is_member else ()
        self._foreign = frozenset(foreign)
        wait_s = self._settings.anti_entropy_s if self._foreign else 0.0
        self._look_at = now + (wait_s or math.inf)
        removed = view.me in view.table.removed
        self.strays = {} if removed else strays
        self.has_old_copies = removed and bool(strays)
        if self._dropping not in self.strays:
            self._dropping = None

    def _find_strays(self) -> Iterator[int]:
        """The partitions that are here and should not be: it looks between those that should."""
        first = 0
        for held in (*self._view.held, self._view.partitions):
            while (found := self._first_between(first, held)) is not None:
                yield found
                first = found + 1
            first = held + 1

    def _first_between(self, first: int, stop: int) -> int | None:
        """The first partition of those first <= partition < stop of which there are copies."""
        if first == stop:
            return None
        try:
            copies = self._staging.disk.scan(*copies_range(first, stop))
            return next((partition_of_copy(disk_key) for disk_key, _ in copies), None)
        except CorruptData:  # what lies behind the damage is found by looking at each of them
            return next((p for p in range(first, stop) if next(self._copies(p), None)), None)

    def _work(self, now: float) -> Iterable[Envelope]:
        """Go on with one stray partition: compare it with an owner, then drop it."""
        if self._dropping is None and not self._is_member:
            self._dropping = next(iter(self.strays), None)
        if self._dropping is not None:
            return self._drop(self._dropping)
        for partition in self.strays:
            owners = self._view.ring.partition_owners(partition, self._view.table.n)
            owner = next((one for one in owners if one in self._members.up), None)
            if owner is not None:
                exchange = Exchange(self._here, owner, [partition], now, only_give=True)
                self._exchange = exchange
                return self._compare(exchange, now)
        return []

    def _compare(self, exchange: Exchange, now: float) -> Iterable[Envelope]:
        sent = exchange.advance(now)
        for done in exchange.compared:
            if done.complete:
                self._dropping = done.partition
        exchange.compared = []
        if exchange.silent:
            self._members.unanswered(exchange.peer, now)
        if exchange.ended:
            self._exchange = None
            self._go_on_at = now + (self._settings.suspect_s if exchange.failed else 0.0)
        return sent

    def _drop(self, partition: int) -> Iterable[Envelope]:
        """Drop some of a partition; what is in no tree is given to an owner first."""
        sent: list[Envelope] = []
        empty = True
        for disk_key, stored in islice(self._copies(partition), DROPPED_AT_ONCE):
            empty = False
            siblings = record.siblings_in(stored)
            if self._is_member and siblings is not None and versions.ephemeral(siblings):
                sent += self._give(disk_key, stored, key_of_copy(disk_key), siblings)
                if len(sent) >= self._settings.handoff_batch:
                    break
            elif self._staging.get(disk_key) == stored:
                self._drop_copy(disk_key)
        if empty:
            self._dropping = None
            self.strays.pop(partition, None)
            self._here.trees.forget(partition)
        return sent

    @property
    def _is_member(self) -> bool:
        return self._view.me in self._view.members

    def _drop_copy(self, disk_key: bytes) -> None:
        self._here.replica.drop(key_of_copy(disk_key))
        self.dropped += 1

    def _copies(self, partition: int) -> Iterator[tuple[bytes, bytes]]:
        """The copies of a partition; where the disk can't be read on, they end."""
        return readable(self._staging.disk.scan(*copy_range(partition, "", "")))

    # Hints that can't be delivered from here ---------------------------------------------------

    def _homeless(self) -> list[str]:
        """The owners whose hints have to go elsewhere."""
        view = self._view
        if not self._handoff.kept or view.me not in view.members:
            return []
        leaves = view.me in view.table.leaving and not self._is_owner()
        stay: Collection[str] = () if leaves else view.members
        up = self._members.up
        return [owner for owner in self._handoff.kept if owner not in stay and owner not in up]

    def _give_hints(self) -> Iterable[Envelope]:
        """Send some of them to the nodes that should have them now."""
        sent: list[Envelope] = []
        for owner in self._homeless():
            for disk_key, stored in self._handoff.waiting(owner):
                if len(sent) >= self._settings.handoff_batch:
                    return sent
                siblings = record.siblings_in(stored)
                if siblings is None:  # damaged: it can't be delivered, and other replicas have it
                    self._handoff.drop(disk_key)
                else:
                    key = owner_and_key_of_hint(disk_key)[1]
                    sent += self._give(disk_key, stored, key, siblings)
        return sent

    def _give(self, disk_key: bytes, stored: bytes, key: str, siblings: Siblings) -> list[Envelope]:
        """Send a copy to where a write of it would go now."""
        view, me = self._view, self._view.me
        if me in view.holders(view.partition_of(key)):
            with suppress(CorruptData):  # damaged here: then a substitute keeps it, as placed below
                self._here.replica.merge(key, siblings, durable=True)
        sent = []
        for place in view.placements(key, view.table.n, self._members.up - {me}):
            id = self._next_id()
            self._sent[id] = disk_key, stored
            copy = StoreCopy(id, key, siblings, hint_for=place.hint_for or "")
            sent.append(Envelope(me, place.node, copy))
        return sent

    def _given(self, id: int) -> None:
        """Somebody has a copy; when all who were sent it have it, it is dropped here."""
        disk_key, stored = self._sent.pop(id)
        if any(place == disk_key for place, _ in self._sent.values()):
            return
        if self._staging.get(disk_key) != stored:
            return  # a newer one has joined it meanwhile
        if disk_key.startswith(HINTS[0]):
            self._handoff.drop(disk_key)
        else:
            self._drop_copy(disk_key)
        if not self._sent:
            self._go_on_at = -math.inf

    # Leaving -------------------------------------------------------------------------------------

    def _is_owner(self) -> bool:
        table = self._view.table
        return self._view.me in table.owners or self._view.me in table.target

    def _is_free(self) -> bool:
        """True if this node is leaving and has nothing left to give."""
        table = self._view.table
        if not table.leaving or table.phase is not Phase.STABLE:
            return False
        if self._view.me not in table.leaving:
            return False
        # What has come with this very step is on no disk yet: the next step will find it.
        free = not self.strays and not self._handoff.kept and self._staging.is_empty
        return free and not self._is_owner()

    def _waits(self) -> bool:
        """True if there is work and nobody to do it with."""
        return bool(self.strays) and self._exchange is None and self._dropping is None
