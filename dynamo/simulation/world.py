"""The virtual world: a clock, a network and machines that can't be trusted.

All chance comes from generators made of the seed; nothing depends on the order of a set or on an
address in memory, so a seed repeats itself exactly.
"""

from collections.abc import Callable, Mapping

from dynamo.disk import record
from dynamo.disk.contract import MemoryDisk, copy_key
from dynamo.errors import CorruptData
from dynamo.protocol.messages import Put, PutMany
from dynamo.protocol.node import Node
from dynamo.simulation.history import History
from dynamo.simulation.machine import Machine
from dynamo.simulation.network import Clock, Network, Trace
from dynamo.simulation.plan import Plan
from dynamo.values.cluster import found
from dynamo.values.versions import EMPTY, Siblings

PARTITIONS = 8

EPOCH_S = 1_000_000.0
"""What wall clocks say when a world begins: late enough for one to be set back by hours."""

NodeMaker = Callable[..., Node]
"""Called as `Node` is; a test puts a broken one here."""


class World:
    """Clock, network and machines of one plan; clients are added by the workload."""

    def __init__(
        self, plan: Plan, node_type: NodeMaker = Node, machine_type: type[Machine] = Machine
    ) -> None:
        self.plan = plan
        self.clock = Clock()
        self.trace: Trace = []
        self.history = History()
        self.network = Network(self.clock, plan, self.trace)
        names = plan.node_names
        self.founding = found({name: name for name in names}, PARTITIONS, plan.settings.n)
        self.ring = self.founding.table.reading
        self._node_type = node_type
        self.machines = {name: machine_type(name, self) for name in names}
        for name, machine in self.machines.items():
            self.network.receivers[name] = machine.receive
        for machine in self.machines.values():
            machine.start()

    @property
    def wall(self) -> float:
        """What a wall clock says that is right."""
        return EPOCH_S + self.clock.now

    def make_node(self, name: str, disk: MemoryDisk, incarnation: int, read_only: str) -> Node:
        """A node on `disk`; `read_only` says why it may not write, if so."""
        settings = self.plan.settings
        return self._node_type(name, self.founding, settings, disk, incarnation, read_only)

    def put_arrived(self, node: str, put: Put | PutMany) -> None:
        if node in self.owners(put.key):
            self.history.count_delivery(put)

    def owners(self, key: str) -> tuple[str, ...]:
        return self.ring.preference_list(key, self.plan.settings.n)

    def kept_copies(self, key: str) -> Mapping[str, Siblings]:
        """What the disk of each owner of `key` holds; a damaged copy is none."""
        place = copy_key(self.ring.partition_of(key), key)
        return {name: siblings_in(self.machines[name].disk.get(place)) for name in self.owners(key)}


def siblings_in(stored: bytes | None) -> Siblings:
    """What a record holds: nothing where it is missing or damaged."""
    try:
        return EMPTY if stored is None else record.decode(stored).siblings
    except CorruptData:
        return EMPTY
