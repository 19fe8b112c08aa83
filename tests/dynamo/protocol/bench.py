"""A node on the workbench: envelopes in, envelopes out, its writes committed as a server would."""

from collections.abc import Iterable

from dynamo.disk import record
from dynamo.disk.contract import INDEXED, Disk, MemoryDisk, Write, copy_key
from dynamo.protocol.messages import Envelope, Gossip, Gossiped, Message
from dynamo.protocol.node import Node, Step
from dynamo.protocol.settings import Settings
from dynamo.values.cluster import Cluster, Member, Phase, Rank, Seen, Table
from dynamo.values.ring import Ring
from dynamo.values.versions import EMPTY, Siblings

SETTINGS = Settings(
    n=3,
    r=2,
    w=2,
    timeout_s=10.0,
    resend_s=0.5,
    repair_wait_s=1.0,
    gossip_s=0.0,
    anti_entropy_s=0.0,
    rebuild_s=0.0,
    reap_after_s=0.0,
)
"""Nothing happens by itself, so that a test sees only what it has brought about."""


def ring_of(count: int, partitions: int = 8) -> Ring:
    """A ring that is easy to think about: the members in turn."""
    return Ring(tuple(f"n{place % count + 1}" for place in range(partitions)))


def cluster_of(ring: Ring, n: int = 3) -> Cluster:
    """A cluster that goes by this ring and has come to rest."""
    members = {name: Member(f"host-of-{name}") for name in ring.members}
    table = Table(Rank(ring.epoch), Phase.STABLE, n, ring.members, ring.owners)
    return Cluster(table, members, {name: Seen(table.rank, True) for name in members})


def used_disk() -> MemoryDisk:
    """A disk on which a node has been before: it has nothing to note on it at its start."""
    disk = MemoryDisk()
    disk.commit([Write(INDEXED, b"0.0")], sync=True)
    return disk


class Bench:
    """One node and its disk; `now` is its clock."""

    def __init__(
        self,
        name: str = "n1",
        ring: Ring | None = None,
        settings: Settings = SETTINGS,
        disk: Disk | None = None,
        incarnation: int = 1,
    ) -> None:
        self.name = name
        self.ring = ring or ring_of(3)
        self.settings = settings
        self.disk = disk or used_disk()
        self.now = 0.0
        self.restart(incarnation)

    def restart(self, incarnation: int) -> None:
        cluster = cluster_of(self.ring, self.settings.n)
        self.node = Node(self.name, cluster, self.settings, self.disk, incarnation)
        self.settle()

    def settle(self) -> None:
        """Let it note what it knows of the cluster, and hear that nobody knows better."""
        for asked in self.step().envelopes:
            if isinstance(asked.message, Gossip):
                self.hears(Gossiped(asked.message.id, None), sender=asked.receiver)

    def step(self, *envelopes: Envelope) -> Step:
        step = self.node.step(envelopes, self.now, self.now)
        self.disk.commit(step.writes, sync=step.sync)
        return step

    def hears(self, *messages: Message, sender: str = "client") -> list[Envelope]:
        """What the node sends when `messages` come from `sender`."""
        return self.step(*(Envelope(sender, self.name, m) for m in messages)).envelopes

    def at(self, now: float) -> list[Envelope]:
        """What the node sends when nothing comes until `now`."""
        self.now = now
        return self.step().envelopes

    def copy(self, key: str) -> Siblings:
        stored = self.disk.get(copy_key(self.ring.partition_of(key), key))
        return EMPTY if stored is None else record.decode(stored).siblings


def key_owned_by(ring: Ring, *owners: str) -> str:
    """A key whose preference list begins with these nodes."""
    keys = (f"key{number}" for number in range(10_000))
    return next(key for key in keys if ring.preference_list(key, len(owners)) == owners)


def receivers(envelopes: Iterable[Envelope]) -> list[str]:
    return [envelope.receiver for envelope in envelopes]
