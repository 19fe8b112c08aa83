"""Hinted handoff: copies kept for owners that are down, and delivered when they are back.

A copy that comes with a hint is kept apart from this node's own, on disk, so it survives a restart
of this node. Once the owner is heard of again the copies go to it, some at a time, and each is
deleted only on the owner's acknowledgement, and only if no newer one has joined it meanwhile.

Source: the Dynamo paper, section 4.6.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from dynamo.disk import record
from dynamo.disk.contract import HINTS, Disk, hint_key, owner_and_key_of_hint, readable
from dynamo.disk.record import Copy
from dynamo.disk.staging import Staging
from dynamo.errors import CorruptData
from dynamo.protocol.membership import Membership
from dynamo.protocol.messages import (
    CopyStored,
    Envelope,
    Failed,
    Failure,
    FetchHints,
    HintsFetched,
    StoreCopies,
    StoreCopy,
)
from dynamo.protocol.settings import Settings
from dynamo.values.versions import Siblings, reconcile


class Handoff:
    """The copies that this node, `me`, keeps for others."""

    def __init__(
        self,
        me: str,
        disk: Disk,
        staging: Staging,
        members: Membership,
        settings: Settings,
        next_id: Callable[[], int],
    ) -> None:
        self._me = me
        self._disk = disk
        self._staging = staging
        self._members = members
        self._settings = settings
        self._next_id = next_id
        self.kept: Counter[str] = Counter()
        """How many hinted copies there are for each owner."""
        self.idle_until = math.inf
        self.since: dict[str, float] = {}
        """When the oldest write that has waited for an owner was made, by its writer's clock."""
        self.delivered: Counter[str] = Counter()
        """How many hinted copies each owner has acknowledged since this node started."""
        self.refusals: dict[str, str] = {}
        """Why an owner that is up did not take its copies when they were last sent to it."""
        for disk_key, stored in readable(disk.scan(*HINTS)):
            self._count(owner_and_key_of_hint(disk_key)[0], record.siblings_in(stored))
        self._sent: dict[int, tuple[str, bytes, bytes]] = {}
        """Deliveries under way: id -> owner, and the record that was sent with its disk key."""
        self._look_at: dict[str, float] = {}
        """When to look after an owner's hints next; missing: at once."""
        self.handlers: Mapping[type, Callable[[Envelope, float], Iterable[Envelope]]] = {
            FetchHints: self._on_fetch,
        }

    def keep(self, envelope: Envelope) -> Iterable[Envelope]:
        """Take in a `StoreCopy` or `StoreCopies` with a hint."""
        request: StoreCopy | StoreCopies = envelope.message  # type: ignore[assignment]
        if self.kept.total() >= self._settings.hints_limit:
            detail = f"{self.kept.total():,} hinted copies wait here, which is the limit"
            return [envelope.reply(Failed(request.id, Failure.OVERLOADED, detail))]
        try:
            copies = _copies_in(request)
        except CorruptData:
            return [envelope.reply(Failed(request.id, Failure.CORRUPT))]
        for key, siblings in copies:
            self._keep(request.hint_for, key, siblings, request.durable)
        return [envelope.reply(CopyStored(request.id, request.hint_for))]

    def _keep(self, owner: str, key: str, siblings: Siblings, durable: bool) -> None:
        disk_key = hint_key(owner, key)
        try:
            stored = self._staging.get(disk_key)
        except CorruptData:
            stored = b""
        if stored is None:
            self._count(owner, siblings)
        elif (before := record.siblings_in(stored)) is not None:
            siblings = reconcile([before, siblings])
        self._staging.put(disk_key, record.encode(Copy("", siblings)), durable=durable)

    def _on_fetch(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        request: FetchHints = envelope.message  # type: ignore[assignment]
        return [envelope.reply(HintsFetched(request.id, self.kept_of(request.key)))]

    def on_reply(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        """The owner that a copy was sent to has it, or can't take it now."""
        message = envelope.message
        delivery = self._sent.pop(message.id, None)
        if delivery is not None and isinstance(message, CopyStored):
            self._delivered(*delivery)
        elif delivery is not None and isinstance(message, Failed):
            # Leave it alone for a while, and remember why.
            self.refusals[delivery[0]] = message.detail or message.reason
            self._look_at[delivery[0]] = now + self._settings.refused_s
        return []

    def on_lost(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        return []  # it is sent again in time

    def _delivered(self, owner: str, disk_key: bytes, sent: bytes) -> None:
        """Delete the copy here, unless it has changed since it was sent."""
        self.delivered[owner] += 1
        self.refusals.pop(owner, None)
        if self._staging.get(disk_key) == sent:
            self.drop(disk_key)
        if not self._under_way(owner):
            self._look_at.pop(owner, None)

    def next_wake(self) -> float:
        reachable = (owner for owner in self.kept if owner in self._members.up)
        return min((self._look_at.get(owner, -math.inf) for owner in reachable), default=math.inf)

    def tick(self, now: float) -> Iterable[Envelope]:
        """Send the next batch to every owner that is up and has none under way."""
        sent: list[Envelope] = []
        for owner in list(self.kept):
            if owner not in self._members.up:
                self._forget_deliveries(owner)
            elif self._look_at.get(owner, now) <= now:
                self._forget_deliveries(owner)
                self._look_at[owner] = now + self._settings.suspect_s
                sent += self._next_batch(owner)
        return sent

    def status(self, wall: float) -> dict[str, Any]:
        """By owner: how many copies are kept, since when, and why they are still here."""
        return {
            owner: {
                "copies": copies,
                "age_s": max(wall - self.since.get(owner, wall), 0.0),
                "waits_for": self._what_waits(owner),
            }
            for owner, copies in self.kept.items()
        }

    def _what_waits(self, owner: str) -> str:
        """What the copies for `owner` wait for."""
        if owner not in self._members.up:
            return f"{owner} to answer"
        if self._staging.read_only:
            return f"room on the disk of {self._me}"
        refusal = self.refusals.get(owner)
        return f"another try: {refusal}" if refusal else "its acknowledgement"

    def kept_of(self, key: str) -> dict[str, Siblings]:
        """The copies of `key` that are kept here, by the owner each is for."""
        found = {}
        for owner in self.kept:
            stored = self._staging.get(hint_key(owner, key))
            siblings = None if stored is None else record.siblings_in(stored)
            if siblings is not None:
                found[owner] = siblings
        return found

    def keeps(self, key: str) -> bool:
        """True if a copy of `key` is kept here for anybody, be it damaged."""
        return any(self._staging.get(hint_key(owner, key)) is not None for owner in self.kept)

    def waiting(self, owner: str) -> Iterator[tuple[bytes, bytes]]:
        """Where each copy for `owner` is on the disk, and its record."""
        start = hint_key(owner, "")
        return (
            item
            for item in readable(self._disk.scan(start, start + b"\xff"))
            if self._staging.get(item[0]) == item[1]  # else this very step has changed it
        )

    def _next_batch(self, owner: str) -> Iterable[Envelope]:
        batch_bytes = 0
        for disk_key, stored in islice(self.waiting(owner), self._settings.handoff_batch):
            batch_bytes += len(stored)
            if len(stored) < batch_bytes > self._settings.handoff_bytes:
                return
            siblings = record.siblings_in(stored)
            if siblings is None:  # damaged: it can't be delivered, and other replicas have it
                self.drop(disk_key)
                continue
            id = self._next_id()
            self._sent[id] = owner, disk_key, stored
            key = owner_and_key_of_hint(disk_key)[1]
            yield Envelope(self._me, owner, StoreCopy(id, key, siblings))

    def _count(self, owner: str, siblings: Siblings | None) -> None:
        self.kept[owner] += 1
        self.idle_until = -math.inf  # whether its owner is up is seen when it is looked at
        for version in siblings.versions if siblings else ():
            self.since[owner] = min(version.written_at, self.since.get(owner, math.inf))

    def drop(self, disk_key: bytes) -> None:
        """Delete the copy that is kept there: it is where it should be."""
        owner = owner_and_key_of_hint(disk_key)[0]
        self._staging.delete(disk_key)
        self.kept[owner] -= 1
        if not self.kept[owner]:
            del self.kept[owner]
            self.since.pop(owner, None)
            self.refusals.pop(owner, None)
        if not self.kept:
            self.idle_until = math.inf

    def _under_way(self, owner: str) -> bool:
        return any(to == owner for to, _, _ in self._sent.values())

    def _forget_deliveries(self, owner: str) -> None:
        """What was under way to an owner that did not answer is sent again in time."""
        self._sent = {id: entry for id, entry in self._sent.items() if entry[0] != owner}


def _copies_in(request: StoreCopy | StoreCopies) -> list[tuple[str, Siblings]]:
    if isinstance(request, StoreCopy):
        return [(request.key, request.siblings)]
    return [(key, record.decode(stored).siblings) for key, stored in request.copies]
