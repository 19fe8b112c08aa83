"""What a node knows of its cluster just now, as its components look at it."""

from collections.abc import Collection
from itertools import chain

from dynamo.values.cluster import Cluster, Table
from dynamo.values.ring import Placement, Ring


class View:
    """The cluster as the node `me` sees it; whoever keeps a `View` sees each change of it.

    While partitions move there are two rings (see `dynamo.values.cluster`): reads go by one of
    them, writes need a quorum in both.
    """

    def __init__(self, me: str, cluster: Cluster) -> None:
        self.me = me
        self.partitions = len(cluster.table.owners)
        """How many there are; it never changes."""
        self.cluster = cluster
        self._addresses: dict[str, str] | None = None
        """Found out when somebody asks: while nodes meet, what is known of them changes often."""
        self._go_by(cluster.table)

    def change(self, cluster: Cluster) -> None:
        """From now on the cluster is this one."""
        before, self.cluster = self.cluster, cluster
        if cluster.members is not before.members:
            self._addresses = None
        if cluster.table is not before.table:  # else the rings keep what they have worked out
            self._go_by(cluster.table)

    @property
    def addresses(self) -> dict[str, str]:
        """Where each member is reached."""
        if self._addresses is None:
            known = self.cluster.members
            self._addresses = {name: known[name].address for name in self.members}
        return self._addresses

    def _go_by(self, table: Table) -> None:
        self.table = table
        self._addresses = None
        self.rings: tuple[Ring, ...] = table.writing
        """The rings that a write needs a quorum in, each; one, unless partitions move."""
        self.ring: Ring = self.rings[self.rings.index(table.reading)]
        """The ring that reads go by."""
        self.members: Collection[str] = dict.fromkeys(table.live).keys()
        """All that take part, this node among them, unless it has not joined or has left; in order
        of name, and `in` takes no longer where they are many."""
        held = (ring.held_by(self.me, table.n) for ring in self.rings)
        self.held: tuple[int, ...] = tuple(sorted({*chain.from_iterable(held)}))
        """The partitions that this node should hold: by the table there is, and by that to come."""

    def partition_of(self, key: str) -> int:
        return self.ring.partition_of(key)

    def holders(self, partition: int) -> tuple[str, ...]:
        """The nodes that should hold a partition: by the table there is, and by that to come."""
        n = self.table.n
        lists = (ring.partition_owners(partition, n) for ring in self.rings)
        return tuple(dict.fromkeys(node for owners in lists for node in owners))

    def write_lists(self, key: str, n: int) -> tuple[tuple[str, ...], ...]:
        """The preference lists in which a write needs a quorum, each."""
        return tuple([ring.preference_list(key, n) for ring in self.rings])

    def placements(self, key: str, n: int, up: Collection[str]) -> list[Placement]:
        """The nodes that take part in a write while only those in `up` answer.

        Each owner that is up stands for itself, and for each that is down the next node around the
        ring stands in, with a hint (the Dynamo paper, section 4.6).
        """
        if len(self.rings) == 1:
            return self.ring.placements(key, n, up)
        owners = list(dict.fromkeys(node for owners in self.write_lists(key, n) for node in owners))
        substitutes = (node for node in self.ring.walk(key) if node in up and node not in owners)
        placed = (
            Placement(owner) if owner in up else Placement(next(substitutes, ""), hint_for=owner)
            for owner in owners
        )
        return [placement for placement in placed if placement.node]
