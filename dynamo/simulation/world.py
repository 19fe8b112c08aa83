"""The virtual world: a clock, a network and machines that can't be trusted.

All chance comes from generators made of the seed; nothing depends on the order of a set or on an
address in memory, so a seed repeats itself exactly.
"""

from collections.abc import Callable, Mapping, Sequence

from dynamo.disk import record
from dynamo.disk.contract import MemoryDisk, copy_key
from dynamo.disk.staging import Staging
from dynamo.protocol.gossip import load
from dynamo.protocol.messages import Put, PutMany
from dynamo.protocol.node import Node
from dynamo.simulation.history import Clocks, History
from dynamo.simulation.machine import Machine
from dynamo.simulation.network import EVENT_LIMIT, Clock, Network, Trace
from dynamo.simulation.plan import Plan
from dynamo.values.cluster import Cluster, found
from dynamo.values.versions import EMPTY, Siblings

PARTITIONS = 8

EPOCH_S = 1_000_000.0
"""What wall clocks say when a world begins: late enough for one to be set back by hours."""

NodeMaker = Callable[..., Node]
"""Called as `Node` is; a test puts a broken one here."""

NetworkMaker = Callable[[Clock, Plan, Trace], Network]


class World:
    """Clock, network and machines of one plan; clients are added by the workload."""

    def __init__(
        self,
        plan: Plan,
        node_type: NodeMaker = Node,
        machine_type: type[Machine] = Machine,
        network_type: NetworkMaker = Network,
        partitions: int = PARTITIONS,
        event_limit: int = EVENT_LIMIT,
    ) -> None:
        self.plan = plan
        self.clock = Clock(event_limit)
        self.trace: Trace = []
        self.history = History(clocks=Clocks(EPOCH_S))
        self.network = network_type(self.clock, plan, self.trace)
        self._node_type = node_type
        self._partitions = partitions
        self._known = self._founding = self._found(plan.node_names)
        self.machines = {name: machine_type(name, self) for name in plan.machine_names}
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
        plan, founding = self.plan, self._founding
        if name in plan.spare_names:
            founding = self._found([*plan.node_names, name])
        return self._node_type(name, founding, plan.settings, disk, incarnation, read_only)

    def _found(self, names: Sequence[str]) -> Cluster:
        return found({name: name for name in names}, self._partitions, self.plan.settings.n)

    @property
    def cluster(self) -> Cluster:
        """What the node that knows best knows of the cluster, or knew, if none runs."""
        views = [machine.view for machine in self.machines.values() if machine.view is not None]
        known = [view.cluster for view in views] or [self._known]
        self._known = max(known, key=lambda cluster: cluster.table.rank)
        return self._known

    def write_lists(self, key: str) -> tuple[tuple[str, ...], ...]:
        """The preference lists of `key` that some member goes by just now."""
        n = self.plan.settings.n
        lists: dict[tuple[str, ...], None] = {}
        for name, machine in self.machines.items():
            if machine.view is not None and name in machine.view.members:
                lists.update(dict.fromkeys(machine.view.write_lists(key, n)))
        return tuple(lists)

    @property
    def running(self) -> list[str]:
        """The founders that have not died for good; all that have not, if there is none."""
        alive = [name for name, machine in self.machines.items() if not machine.buried]
        return [name for name in self.plan.node_names if name in alive] or alive

    def knows_better(self, machine: Machine, snapshot: Mapping[bytes, bytes]) -> bool:
        """True if all other members run, and know of a later start of a machine than this old copy
        of its disk does."""
        name, disk = machine.name, MemoryDisk()
        disk.restore(snapshot)
        kept = load(Staging(disk))
        version = kept.members[name].version if kept and name in kept.members else 0
        views = [self.machines[one].view for one in self.cluster.table.members if one != name]
        return all(
            view and name in view.members and view.cluster.members[name].version > version
            for view in views
        )

    def put_arrived(self, node: str, put: Put | PutMany) -> None:
        """Count it where it will be written: where a table says so that `node` has, or may have
        heard of by the time at which it comes to this put."""
        view, n = self.machines[node].view, self.plan.settings.n
        rings = [*self.cluster.table.writing, *([view.ring] if view else [])]
        if any(node in ring.preference_list(put.key, n) for ring in rings):
            self.history.count_delivery(node, put)

    def clock_set(self, node: str, error_s: float) -> None:
        self.history.clocks.set(node, self.clock.now, error_s)

    def owners(self, key: str) -> tuple[str, ...]:
        """Who should hold `key` now."""
        return self.cluster.table.reading.preference_list(key, self.plan.settings.n)

    def kept_copies(self, key: str) -> Mapping[str, Siblings]:
        """What the disk of each owner of `key` holds; a damaged copy is none."""
        place = copy_key(self.cluster.table.reading.partition_of(key), key)
        return {name: siblings_in(self.machines[name].disk.get(place)) for name in self.owners(key)}


def siblings_in(stored: bytes | None) -> Siblings:
    """What a record holds: nothing where it is missing or damaged."""
    found = None if stored is None else record.siblings_in(stored)
    return EMPTY if found is None else found
