"""Reaping: the tombstones of deleted keys are dropped when nothing they deleted can come back.

A tombstone says of what it replaced that it is gone. Where some node still has that, in a copy, in
a hint or on its way, the key would come back once the tombstones are dropped: so systems that drop
them after a fixed time bring data back when a node was away for longer. Here the first owner of a
partition asks *all* members, and while one of them is down, or differs, nothing is dropped:

    an owner          holds exactly this state (the digest of anti-entropy), and its partition whole
    any other node    holds no copy
    every node        keeps no hint of the key, and has all that it knows on disk, synced

They are asked twice, `reap_after_s` apart, and the owners are told to drop it, if it is still
exactly this, when as much time has passed again. An envelope lives shorter than that, and so does
what a node has in memory of it: a request that repeats itself until its deadline, a repair. So what
was on its way at the first look, from before the delete, has arrived at the second; it may have
become a hint in between, of which nothing is left then but deliveries on their way; and these have
arrived when the tombstone is dropped. They find it there, and change nothing.

An owner that misses the order to drop brings the tombstone back, which is no harm. No table of
owners may change meanwhile. A disk that is restored from a copy older than the delete brings the
deleted value back.

The work is done in slices, and for some hundred keys in one message.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from dynamo.disk.contract import LOOKED
from dynamo.disk.staging import Staging
from dynamo.errors import CorruptData
from dynamo.protocol.handoff import Handoff
from dynamo.protocol.membership import Membership
from dynamo.protocol.messages import (
    Envelope,
    Failed,
    Failure,
    FindDead,
    FoundDead,
    Reap,
    Reaped,
)
from dynamo.protocol.replica import Replica
from dynamo.protocol.settings import Settings
from dynamo.protocol.tombstones import Note, Tombstones
from dynamo.protocol.trees import digest_of
from dynamo.protocol.view import View
from dynamo.protocol.wholeness import Wholeness
from dynamo.values.cluster import Phase

BATCH = 256
"""Keys in one message, and notes that one step reads."""
PAUSE_S = 0.05
"""Between two batches."""
LOOKS = 2
"""How often all have to agree before the owners are told."""
PASSES = 4
"""How often within `reap_after_s` all notes are read."""


class _Place(NamedTuple):
    """How far a pass over the notes has come."""

    partition: int
    after: str


class _Look(NamedTuple):
    """A question to all members that is under way."""

    partition: int
    items: dict[str, bytes]
    """Key -> digest; keys somebody did not agree about are taken out."""
    silent: set[str]
    until: float


class Reaper:
    """This node's part in it: it asks about what it is the first owner of, and answers others."""

    def __init__(
        self,
        view: View,
        staging: Staging,
        tombstones: Tombstones,
        replica: Replica,
        handoff: Handoff,
        wholeness: Wholeness,
        members: Membership,
        settings: Settings,
        next_id: Callable[[], int],
        life: int,
        wall: Callable[[], float],
    ) -> None:
        self._view = view
        self._staging = staging
        self._tombstones = tombstones
        self._replica = replica
        self._handoff = handoff
        self._wholeness = wholeness
        self._members = members
        self._settings = settings
        self._next_id = next_id
        self._life = life
        self._wall = wall
        self.reaped = 0
        """How many dead copies this node has dropped since it started."""
        self._waiting: dict[int, int] = {}
        """How many there were in a partition when it was last gone through."""
        self._place: _Place | None = None
        self._looks: dict[int, _Look] = {}
        self.idle_until = -math.inf if settings.reap_after_s else math.inf
        self.handlers: Mapping[type, Callable[[Envelope, float], Iterable[Envelope]]] = {
            FindDead: self._on_find,
            Reap: self._on_reap,
        }

    def status(self) -> dict[str, Any]:
        """Dead copies of the partitions that this node sees to, and how many it has dropped."""
        return {
            "waiting": sum(self._waiting.values()),
            "waits_for": self._obstacle() if self._waiting else "",
            "reaped": self.reaped,
        }

    def next_wake(self) -> float:
        return self.idle_until

    def tick(self, now: float) -> Iterable[Envelope]:
        """Go through the next slice of notes, unless a question is under way."""
        if now < self.idle_until:
            return []
        self._looks = {id: look for id, look in self._looks.items() if look.until > now}
        self.idle_until = now + PAUSE_S
        if self._looks:
            return []
        if self._place is None:
            self._place = self._begin_of(-1)
        if self._place is None or self._obstacle():
            return self._end_pass(now)
        return self._read_slice(self._place, now)

    # Asking --------------------------------------------------------------------------------------

    def _obstacle(self) -> str:
        """Why nothing can be reaped now, whatever it is."""
        table, up = self._view.table, self._members.up
        if table.phase is not Phase.STABLE or table.leaving or table.dead:
            return "the change of the cluster to end"
        down = [member for member in self._whom() if member not in up]
        return f"{' and '.join(down)} to answer" if down else ""

    def _whom(self) -> tuple[str, ...]:
        """Who has to agree."""
        return self._view.table.members

    def _begin_of(self, partition: int) -> _Place | None:
        """The next partition behind this one that this node sees to."""
        mine = self._view.ring.held_by(self._view.me, 1)
        self._waiting = {one: count for one, count in self._waiting.items() if one in mine}
        following = next((one for one in mine if one > partition), None)
        return None if following is None else _Place(following, "")

    def _end_pass(self, now: float) -> list[Envelope]:
        self._place = None
        self.idle_until = now + self._settings.reap_after_s / PASSES
        return []

    def _read_slice(self, place: _Place, now: float) -> list[Envelope]:
        look: dict[str, bytes] = {}
        reap: dict[str, bytes] = {}
        count = 0
        if not place.after:
            self._waiting[place.partition] = 0
        for key, note in self._tombstones.read(place.partition, place.after):
            self._weigh(key, note, look, reap, now)
            count += 1
            if count == BATCH:
                self._place = _Place(place.partition, key)
                break
        else:
            self._place = self._begin_of(place.partition)
            if self._place is None:
                self._end_pass(now)
        before = self._waiting.get(place.partition, 0)  # none if it belongs to another by now
        self._waiting[place.partition] = before + count
        sent = self._ask(place.partition, look, now) if look else []
        return sent + (self._order(reap) if reap else [])

    def _weigh(
        self, key: str, note: Note, look: dict[str, bytes], reap: dict[str, bytes], now: float
    ) -> None:
        """What is to be done about one dead copy."""
        if self._wall() < note.dead_at + (self._settings.clock_slack_s if note.dead_at else 0.0):
            return
        copy = self._replica.read(key)
        if copy is None:
            return
        digest = digest_of(copy)
        if note.life != self._life or note.digest != digest:
            look[key] = digest
        elif now >= note.looked_at + self._settings.reap_after_s:
            (reap if note.looks >= LOOKS else look)[key] = digest

    def _ask(self, partition: int, items: dict[str, bytes], now: float) -> list[Envelope]:
        """Ask everybody, this node too, whether they agree about these."""
        id, me = self._next_id(), self._view.me
        find = FindDead(id, self._view.table.rank, partition, tuple(items.items()))
        look = _Look(partition, items, set(self._whom()), now + self._settings.timeout_s)
        self._looks[id] = look
        others = [Envelope(me, member, find) for member in self._whom() if member != me]
        self._take_answer(id, me, self._agreed(find), now)
        return others

    def on_reply(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        """What a member agrees about."""
        if isinstance(envelope.message, FoundDead):
            self._take_answer(envelope.message.id, envelope.sender, envelope.message.keys, now)
        return []

    def on_lost(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        return []  # who is silent does not agree

    def _take_answer(self, id: int, member: str, keys: Iterable[str], now: float) -> None:
        look = self._looks.get(id)
        if look is None:
            return
        look.silent.discard(member)
        for key in look.items.keys() - set(keys):
            del look.items[key]
        if not look.silent:
            del self._looks[id]
            for key, digest in look.items.items():
                self._note_look(look.partition, key, digest, now)

    def _note_look(self, partition: int, key: str, digest: bytes, now: float) -> None:
        """Everybody agrees about this one."""
        note = self._tombstones.look_up(partition, key)
        copy = self._replica.read(key)
        if note is None or copy is None or digest_of(copy) != digest:
            return
        again = note.life == self._life and note.digest == digest
        looks = note.looks + 1 if again else 1
        self._tombstones.write(partition, key, Note(note.dead_at, looks, now, self._life, digest))

    def _order(self, items: dict[str, bytes]) -> list[Envelope]:
        """Tell the owners to drop these, this node first."""
        me = self._view.me
        reap = Reap(self._next_id(), self._view.table.rank, tuple(items.items()))
        self._drop(reap)
        partition = self._view.partition_of(next(iter(items)))
        others = [owner for owner in self._view.holders(partition) if owner != me]
        return [Envelope(me, owner, reap) for owner in others]

    # Answering -----------------------------------------------------------------------------------

    def _on_find(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        find: FindDead = envelope.message  # type: ignore[assignment]
        return [envelope.reply(FoundDead(find.id, self._agreed(find)))]

    def _agreed(self, find: FindDead) -> tuple[str, ...]:
        """The keys that may be reaped as far as this node knows; what it knows is synced then."""
        if self._staging.read_only or find.rank != self._view.table.rank:
            return ()
        self._staging.put(LOOKED, b"", durable=True)
        owner = self._view.me in self._view.holders(find.partition)
        if owner and not self._wholeness.is_whole(find.partition):
            return ()
        return tuple(key for key, digest in find.items if self._agrees(key, digest, owner))

    def _agrees(self, key: str, digest: bytes, owner: bool) -> bool:
        copy = self._replica.read(key)
        if copy is None or self._keeps_hint(key):
            return False
        return digest_of(copy) == digest if owner else not copy.context

    def _keeps_hint(self, key: str) -> bool:
        try:
            return self._handoff.keeps(key)
        except CorruptData:
            return True

    def _on_reap(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        reap: Reap = envelope.message  # type: ignore[assignment]
        if self._staging.read_only:
            return [envelope.reply(Failed(reap.id, Failure.READ_ONLY))]
        return [envelope.reply(Reaped(reap.id, self._drop(reap)))]

    def _drop(self, reap: Reap) -> int:
        """Drop what is still exactly as the order says; how many that were."""
        if reap.rank != self._view.table.rank:
            return 0
        dropped = 0
        for key, digest in reap.items:
            copy = self._replica.read(key)
            if copy is not None and copy.context and digest_of(copy) == digest:
                self._replica.drop(key)
                dropped += 1
        self.reaped += dropped
        return dropped
