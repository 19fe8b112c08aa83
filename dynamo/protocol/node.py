"""The node: one table that leads each message to the component that handles it.

    step = node.step(envelopes, now, wall)  # nothing has happened yet
    disk.commit(step.writes, sync=step.sync)
    send(step.envelopes)                    # only now may anybody hear of the writes

A node reads no clock, opens no socket and writes to no disk; it reads the disk it was given. So the
same node runs over zerorpc and LevelDB (`dynamo.net.server`) and, many times faster than real time,
in a simulation with a seed (`dynamo.simulation`).
"""

import math
from collections.abc import Callable, Iterable
from itertools import chain, count
from typing import Any, NamedTuple, Protocol, TypeVar, get_args

from dynamo.disk.contract import Disk, Write
from dynamo.disk.staging import Staging
from dynamo.protocol.antientropy import AntiEntropy
from dynamo.protocol.coordinator import Coordinator
from dynamo.protocol.expiry import Expiry
from dynamo.protocol.gossip import Gossiper, load
from dynamo.protocol.handoff import Handoff
from dynamo.protocol.healing import Healing
from dynamo.protocol.membership import Membership
from dynamo.protocol.messages import (
    ClearPlan,
    CommitPlan,
    Envelope,
    Failed,
    Failure,
    FetchCopies,
    FetchCopy,
    FindDead,
    Get,
    GetMany,
    GetNodes,
    GetRoots,
    Gossip,
    ListCopies,
    ListKeys,
    ListSegments,
    Lost,
    Message,
    Put,
    PutMany,
    Reply,
    Request,
    StageChange,
    StoreCopies,
    StoreCopy,
)
from dynamo.protocol.reaper import Reaper
from dynamo.protocol.replica import Replica
from dynamo.protocol.scrub import Scrub
from dynamo.protocol.settings import Settings
from dynamo.protocol.tombstones import Tombstones
from dynamo.protocol.transfer import Transfer
from dynamo.protocol.trees import Trees
from dynamo.protocol.view import View
from dynamo.protocol.wholeness import Wholeness
from dynamo.values.cluster import Cluster

_BUILDING = frozenset(
    {Put, PutMany, Get, GetMany, ListKeys, FetchCopy, FetchCopies, ListCopies}
    | {GetRoots, GetNodes, ListSegments, StageChange, ClearPlan, CommitPlan, FindDead}
)
"""Requests whose answer builds on what there is: copies on the disk, or what cluster it knows."""


_ASKERS = 8
"""Components that ask other nodes. The id of a request tells by its remainder which one asked."""

_REPLIES = [kind for kind in get_args(Message) if issubclass(kind, Reply)]


class Asker(Protocol):
    """A component that asks other nodes."""

    def on_reply(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        """A reply has come to one of its requests, which it may have given up since."""

    def on_lost(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        """One of its requests will not be answered."""


class Ticker(Protocol):
    """A component that does something by itself in time."""

    @property
    def idle_until(self) -> float:
        """No `tick` before this time has anything to do, and no `next_wake` is sooner; whatever
        changes that changes it. Cheap, as every step asks."""

    def tick(self, now: float) -> Iterable[Envelope]:
        """Do what is due."""

    def next_wake(self) -> float:
        """When something is due next; infinite for never."""


Handler = Callable[[Envelope, float], Iterable[Envelope]]
AnAsker = TypeVar("AnAsker", bound=Asker)


class Step(NamedTuple):
    """What one step asks of its shell: commit `writes`, with fsync if `sync`, then send."""

    writes: list[Write]
    sync: bool
    envelopes: list[Envelope]


class Node:
    """One member of the store.

    `founding` is the cluster that its configuration describes. `incarnation` must be drawn afresh,
    at random and below 2**38, at every start of the node.

    `read_only` says why the disk takes no writes, where it takes none: then the node answers what
    would write with `Failure.READ_ONLY`, and no step of it has any writes. A commit that fails ends
    a node, because its memory is ahead of its disk; another one is made of what the disk holds.
    `lost_records` says that the disk has lost something of what it had acknowledged: then all that
    is on it is compared with the other replicas before this node is believed in what it lacks.

    >>> from dynamo.disk.contract import MemoryDisk
    >>> from dynamo.protocol.messages import Put
    >>> disk = MemoryDisk()
    >>> from dynamo.values.cluster import found
    >>> cluster = found({"n1": "127.0.0.1:7401"}, partitions=1, n=1)
    >>> node = Node("n1", cluster, Settings(n=1, r=1, w=1), disk, incarnation=7)
    >>> first = node.step([], now=0.0, wall=0.0)  # it notes on its disk what cluster it knows
    >>> put = Put(1, "colour", b"green", None, written_at=0.0)
    >>> step = node.step([Envelope("client", "n1", put)], now=0.0, wall=0.0)
    >>> len(step.writes), step.sync, step.envelopes[0].message.nodes
    (2, True, ('n1',))
    """

    def __init__(
        self,
        name: str,
        founding: Cluster,
        settings: Settings,
        disk: Disk,
        incarnation: int,
        read_only: str = "",
        lost_records: bool = False,
    ) -> None:
        self.name = name
        self.founding = founding
        self.read_only = read_only
        self._askers: list[Asker] = []
        # A late answer to a request of this node's last life must not count for one of this life.
        self._first_id = (incarnation << 24) + _ASKERS
        self.wall = 0.0
        """What this machine's clock said at the last step."""
        self._staging = Staging(disk, read_only=bool(read_only))
        self.view = View(name, load(self._staging) or founding)
        self.members = self._asker(
            lambda next_id: Membership(name, self.view.members, settings, next_id)
        )
        self.wholeness = Wholeness(self._staging, settings, self.view.partitions)
        self.trees = Trees(self._staging)
        self.scrub = Scrub(self._staging, self.trees, self.view.partitions, settings, self._clock)
        self.expiry = Expiry(self._staging, settings, self._clock)
        tombstones = Tombstones(self._staging)
        self.replica = Replica(
            self.view,
            self._staging,
            self.trees,
            self.wholeness,
            tombstones,
            incarnation,
            self.expiry,
            self._clock,
        )
        self.handoff = self._asker(
            lambda next_id: Handoff(name, disk, self._staging, self.members, settings, next_id)
        )
        self.coordinator = self._asker(
            lambda next_id: Coordinator(
                self.view, settings, self.replica, self.members, next_id, self._clock, read_only
            )
        )
        self.antientropy = self._asker(
            lambda next_id: AntiEntropy(
                self.view,
                self.replica,
                self.trees,
                self.scrub,
                self.wholeness,
                self.members,
                settings,
                next_id,
            )
        )
        self.healing = self._asker(
            lambda next_id: Healing(self.view, self.replica, self.members, settings, next_id)
        )
        self.replica.when_damaged.append(self.healing.note)
        self.scrub.when_damaged.append(self.healing.note)
        self.reaper = self._asker(
            lambda next_id: Reaper(
                self.view,
                self._staging,
                tombstones,
                self.replica,
                self.handoff,
                self.wholeness,
                self.members,
                settings,
                next_id,
                incarnation,
                self._clock,
            )
        )
        self.gossip = self._asker(
            lambda next_id: Gossiper(
                self.view,
                self._staging,
                self.members,
                settings,
                next_id,
                founding.members[name].address,
                incarnation,
                begin_fill=self.antientropy.begin_fill,
                filling=lambda: self.wholeness.filling,
                has_old_copies=lambda: self.transfer.has_old_copies,
                silent=bool(read_only),
            )
        )
        self.transfer = self._asker(
            lambda next_id: Transfer(
                self.view,
                self._staging,
                self.antientropy.here,
                self.handoff,
                self.members,
                settings,
                next_id,
                self.gossip.depart,
            )
        )
        if lost_records:
            self.antientropy.begin_fill(self.view.held)
        self._early: list[Envelope] = []
        """Requests that wait until this node knows that its disk is not out of date."""
        self._ticking = self._tickers()
        self._handlers = self._table()

    def _tickers(self) -> tuple[Ticker, ...]:
        """The components that do something by themselves, in the order of their turns."""
        writing: tuple[Ticker, ...] = (self.handoff, self.expiry, self.antientropy, self.scrub)
        writing += (self.transfer, self.healing, self.reaper)
        if self.read_only:  # these end with a write here, which such a disk can't keep
            writing = ()
        # Trees come last: they have to see all that the others have staged.
        return (self.coordinator, self.members, self.gossip, *writing, self.trees)

    def _table(self) -> dict[type, Handler]:
        """Who handles each kind of message."""
        return {
            **self.members.handlers,
            **self.replica.handlers,
            **self.coordinator.handlers,
            **self.handoff.handlers,
            **self.gossip.handlers,
            **self.antientropy.handlers,
            **self.reaper.handlers,
            **self.healing.handlers,
            StoreCopy: self._on_store,
            StoreCopies: self._on_store,
            **dict.fromkeys(_REPLIES, self._on_reply),
            Lost: self._on_lost,
        }

    def _asker(self, make: Callable[[Callable[[], int]], AnAsker]) -> AnAsker:
        """A component with ids of its own for what it asks."""
        next_id = count(self._first_id + len(self._askers), _ASKERS).__next__
        asker = make(next_id)
        self._askers.append(asker)
        return asker

    def step(self, envelopes: Iterable[Envelope], now: float, wall: float) -> Step:
        """Take in `envelopes` at the time `now` (seconds, any origin, never going back).

        One is handled before the next is taken, so its caller may end them as `read_bytes` grows.
        `wall` is this machine's clock, in seconds since 1970: it may jump, and be wrong.
        """
        self.wall = wall
        sent: list[Envelope] = []
        table = self.view.table
        for envelope in self._held_back(envelopes):
            if envelope.sender in self.view.table.removed:
                sent += self._refuse_removed(envelope, now)
                continue
            self.members.heard(envelope)
            sent += self._handlers[type(envelope.message)](envelope, now)
        for component in self._ticking:
            if component.idle_until <= now:
                sent += component.tick(now)
        if self.view.table is not table:
            sent += self.coordinator.on_ring(now)
        return Step(*self._staging.take(), sent)

    def _held_back(self, envelopes: Iterable[Envelope]) -> Iterable[Envelope]:
        """Those that may be handled now: none of those, until this node has settled."""
        if self.gossip.settled:
            if not self._early:
                return envelopes
            early, self._early = self._early, []
            return chain(early, envelopes)
        envelopes = list(envelopes)
        self._early += [e for e in envelopes if type(e.message) in _BUILDING]
        return [e for e in envelopes if type(e.message) not in _BUILDING]

    def _refuse_removed(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        """A node that was removed may hear that it was, and nothing else."""
        message = envelope.message
        if isinstance(message, Gossip):
            return self._handlers[Gossip](envelope, now)
        detail = f"{envelope.sender} was removed from the cluster; see `dynamo join --help`"
        refused = isinstance(message, Request)
        return [envelope.reply(Failed(message.id, Failure.REQUEST, detail))] if refused else []

    def status(self, now: float, wall: float) -> dict[str, Any]:
        """What each component says of itself: text, numbers, lists and dicts keyed by text only."""
        return {
            "name": self.name,
            "read_only": self.read_only,
            "ring": self._ring_status(),
            "members": self.members.status(),
            "requests_in_flight": self.coordinator.pending_requests,
            "requests_in_flight_bytes": self.coordinator.held_bytes,
            "hints": self.handoff.status(wall),
            "anti_entropy": self.antientropy.status(now),
            "transfer": self.transfer.status(),
            "corrupt_reads": self.replica.corrupt_reads,
            "damaged": self.healing.status(),
            "dead": self.reaper.status(),
        }

    def _ring_status(self) -> dict[str, Any]:
        table, ring = self.view.table, self.view.ring
        return {
            "epoch": ring.epoch,
            "phase": str(table.phase),
            "change": table.change,
            "partitions": len(ring.owners),
            "replicas": table.n,
            "owned": ring.owners.count(self.name),
            "is_member": self.name in table.members,
            "misconfigured": self.misconfigured,
        }

    @property
    def misconfigured(self) -> str:
        """How this node's configuration differs from what the cluster goes by; "" if it doesn't."""
        table, own = self.view.table, self.founding.table
        numbers = (
            ("partitions", len(own.owners), len(table.owners)),
            ("replicas", own.n, table.n),
        )
        differing = [
            f"{name} is {said} in {self.name}'s configuration, and {used} in the cluster"
            for name, said, used in numbers
            if said != used
        ]
        return "; ".join([*differing, "the cluster's hold"] if differing else [])

    @property
    def read_bytes(self) -> int:
        """What this node has read of its disk so far; a step makes answers of about that size."""
        return self._staging.read_bytes

    def next_wake(self) -> float | None:
        """When `step` is to be called next even if no envelope comes; None for never."""
        first = math.inf
        for component in self._ticking:
            if component.idle_until < first:
                wake_at = component.next_wake()
                if wake_at < first:
                    first = wake_at
        return None if first == math.inf else first

    def _clock(self) -> float:
        return self.wall

    def _on_store(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        """A copy, or a lot of them, is this node's own, or is kept for an owner that is down."""
        message: StoreCopy | StoreCopies = envelope.message  # type: ignore[assignment]
        if self._takes_no_copies:
            return self._refuse(envelope)
        if message.hint_for:
            return self.handoff.keep(envelope)
        if isinstance(message, StoreCopies):
            self.transfer.touched(message.copies[0][0])
            return self.replica.on_store_many(envelope)
        self.transfer.touched(message.key)
        return self.replica.on_store(envelope)

    @property
    def _takes_no_copies(self) -> bool:
        """True if the disk is read-only, and in a node that has left: nobody would look there."""
        return self.read_only != "" or self.name not in self.view.members

    def _refuse(self, envelope: Envelope) -> Iterable[Envelope]:
        detail = self.read_only or f"{self.name} is no member of the cluster"
        return [envelope.reply(Failed(envelope.message.id, Failure.READ_ONLY, detail))]

    def _on_reply(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        """A reply goes to whoever asked."""
        return self._askers[envelope.message.id % _ASKERS].on_reply(envelope, now)

    def _on_lost(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        """A request to the sender will not be answered."""
        lost: Lost = envelope.message  # type: ignore[assignment]
        if lost.silent:
            self.members.unanswered(envelope.sender, now)
        return self._askers[lost.id % _ASKERS].on_lost(envelope, now)
