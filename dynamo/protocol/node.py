"""The node: one table that leads each message to the component that handles it.

    step = node.step(envelopes, now, wall)  # nothing has happened yet
    disk.commit(step.writes, sync=step.sync)
    send(step.envelopes)                    # only now may anybody hear of the writes

A node reads no clock, opens no socket and writes to no disk; it reads the disk it was given. So the
same node runs over zerorpc and LevelDB (`dynamo.net.server`) and, many times faster than real time,
in a simulation with a seed (`dynamo.simulation`).
"""

from collections.abc import Iterable
from itertools import count
from typing import Any, NamedTuple

from dynamo.disk.contract import Disk, Write
from dynamo.disk.staging import Staging
from dynamo.protocol.coordinator import Coordinator
from dynamo.protocol.expiry import Expiry
from dynamo.protocol.handoff import Handoff
from dynamo.protocol.membership import Membership
from dynamo.protocol.messages import (
    CopyStored,
    Envelope,
    Failed,
    Failure,
    StoreCopies,
    StoreCopy,
)
from dynamo.protocol.replica import Replica
from dynamo.protocol.settings import Settings
from dynamo.protocol.view import View
from dynamo.values.cluster import Cluster


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

    >>> from dynamo.disk.contract import MemoryDisk
    >>> from dynamo.protocol.messages import Put
    >>> disk = MemoryDisk()
    >>> from dynamo.values.cluster import found
    >>> cluster = found({"n1": "127.0.0.1:7401"}, partitions=1, n=1)
    >>> node = Node("n1", cluster, Settings(n=1, r=1, w=1), disk, incarnation=7)
    >>> put = Put(1, "colour", b"green", None, written_at=0.0)
    >>> step = node.step([Envelope("client", "n1", put)], now=0.0, wall=0.0)
    >>> len(step.writes), step.sync, step.envelopes[0].message.nodes
    (1, True, ('n1',))
    """

    def __init__(
        self,
        name: str,
        founding: Cluster,
        settings: Settings,
        disk: Disk,
        incarnation: int,
        read_only: str = "",
    ) -> None:
        self.name = name
        self.read_only = read_only
        # A late answer to a request of this node's last life must not count for one of this life.
        next_id = count((incarnation << 24) + 1).__next__
        self.wall = 0.0
        """What this machine's clock said at the last step."""
        self._staging = Staging(disk, read_only=bool(read_only))
        self.view = View(name, founding)
        self.members = Membership(name, self.view.members, settings, next_id)
        self.expiry = Expiry(self._staging, settings, self._clock)
        self.replica = Replica(self.view, self._staging, incarnation, self.expiry, self._clock)
        self.handoff = Handoff(name, disk, self._staging, self.members, settings, next_id)
        self.coordinator = Coordinator(
            self.view, settings, self.replica, self.members, next_id, self._clock, read_only
        )
        # A delivery and a sweep end with deletions here, which a disk that takes no writes can't
        # keep.
        deleting = () if read_only else (self.handoff, self.expiry)
        self._ticking = (self.coordinator, self.members, *deleting)
        self._handlers = {
            **self.members.handlers,
            **self.replica.handlers,
            **self.coordinator.handlers,
            **self.handoff.handlers,
            StoreCopy: self._on_store,
            StoreCopies: self._on_store_many,
            CopyStored: self._on_stored,
            Failed: self._on_failed,
        }

    def step(self, envelopes: Iterable[Envelope], now: float, wall: float) -> Step:
        """Take in `envelopes` at the time `now` (seconds, any origin, never going back).

        One is handled before the next is taken, so its caller may end them as `read_bytes` grows.
        `wall` is this machine's clock, in seconds since 1970: it may jump, and be wrong.
        """
        self.wall = wall
        sent: list[Envelope] = []
        for envelope in envelopes:
            self.members.heard(envelope)
            sent += self._handlers[type(envelope.message)](envelope, now)
        for component in self._ticking:
            sent += component.tick(now)
        return Step(*self._staging.take(), sent)

    def status(self, now: float, wall: float) -> dict[str, Any]:
        """What each component says of itself: text, numbers, lists and dicts keyed by text only."""
        return {
            "name": self.name,
            "read_only": self.read_only,
            "ring": {
                "epoch": self.view.ring.epoch,
                "partitions": len(self.view.ring.owners),
                "owned": self.view.ring.owners.count(self.name),
            },
            "members": self.members.status(),
            "requests_in_flight": self.coordinator.pending_requests,
            "requests_in_flight_bytes": self.coordinator.held_bytes,
            "hints": self.handoff.status(wall),
            "corrupt_reads": self.replica.corrupt_reads,
        }

    @property
    def read_bytes(self) -> int:
        """What this node has read of its disk so far; a step makes answers of about that size."""
        return self._staging.read_bytes

    def next_wake(self) -> float | None:
        """When `step` is to be called next even if no envelope comes; None for never."""
        wakes = [component.next_wake() for component in self._ticking]
        return min((at for at in wakes if at is not None), default=None)

    def _clock(self) -> float:
        return self.wall

    def _on_store(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        """A copy is this node's own, or is kept for an owner that is down."""
        if self.read_only:
            return self._refuse(envelope)
        hinted = envelope.message.hint_for  # type: ignore[union-attr]
        return self.handoff.keep(envelope) if hinted else self.replica.on_store(envelope)

    def _on_store_many(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        if self.read_only:
            return self._refuse(envelope)
        hinted = envelope.message.hint_for  # type: ignore[union-attr]
        return self.handoff.keep(envelope) if hinted else self.replica.on_store_many(envelope)

    def _refuse(self, envelope: Envelope) -> Iterable[Envelope]:
        return [envelope.reply(Failed(envelope.message.id, Failure.READ_ONLY, self.read_only))]

    def _on_stored(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        """An acknowledgement is of a delivery, or of a request that this node coordinates."""
        if self.handoff.delivers(envelope.message.id):
            return self.handoff.on_delivered(envelope, now)
        return self.coordinator.on_reply(envelope, now)

    def _on_failed(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        """A refusal is of a delivery, or of a request that this node coordinates."""
        if self.handoff.delivers(envelope.message.id):
            return self.handoff.on_refused(envelope, now)
        return self.coordinator.on_reply(envelope, now)
