"""Many nodes in one calm world: how long they take to agree, and what they tell each other for it.

The nodes are whole ones, as everywhere in the simulation; nothing is lost but what somebody takes
away. What passes is counted and not kept, because a thousand nodes say millions of things.
"""

from collections import Counter
from collections.abc import Callable, Collection
from functools import partial

from dynamo.protocol.messages import CommitPlan, Envelope, StageChange
from dynamo.protocol.settings import Settings
from dynamo.simulation.machine import Machine
from dynamo.simulation.network import Clock, Network, Passage, Trace, both_ways
from dynamo.simulation.operator import NAME as OPERATOR
from dynamo.simulation.plan import Plan
from dynamo.simulation.world import World
from dynamo.values.cluster import Change, Kind, Phase, Table

SETTINGS = Settings()
"""Those that nodes have by default."""
LOOK_S = 0.02
"""How often to look whether something has come about."""


class Traffic:
    """What passed over the network since it was last asked for, by kind of message.

    `size_of` says how many bytes an envelope takes; without it they are not counted.
    """

    def __init__(self, size_of: Callable[[Envelope], int] | None = None) -> None:
        self.messages: Counter[str] = Counter()
        self.size_bytes: Counter[str] = Counter()
        self._size_of = size_of

    def count(self, envelope: Envelope) -> None:
        kind = type(envelope.message).__name__
        self.messages[kind] += 1
        if self._size_of is not None:
            self.size_bytes[kind] += self._size_of(envelope)

    def clear(self) -> None:
        self.messages.clear()
        self.size_bytes.clear()


class CountingNetwork(Network):
    """A network that counts envelopes into `traffic`, and keeps no trace of them."""

    def __init__(self, traffic: Traffic, clock: Clock, plan: Plan, trace: Trace) -> None:
        super().__init__(clock, plan, trace)
        self._traffic = traffic

    def _end(self, sent_at: float, envelope: Envelope, fate: str) -> int:
        self._traffic.count(envelope)
        return 0

    def _correct(self, place: int, passage: Passage) -> None:
        pass


class Crowd:
    """A cluster of `nodes` whole nodes that are just starting, and a spare machine or more.

    >>> crowd = Crowd(nodes=4, partitions=16)
    >>> crowd.until(crowd.has_settled) < 3.0
    True
    >>> crowd.traffic.messages["Rumour"] > 0
    True
    """

    def __init__(
        self,
        nodes: int,
        partitions: int,
        size_of: Callable[[Envelope], int] | None = None,
        settings: Settings = SETTINGS,
        seed: int = 1,
    ) -> None:
        self.traffic = Traffic(size_of)
        # Whoever asks one that was killed is told so: connections are refused (resets).
        plan = Plan(seed, nodes=nodes, clients=0, changes=1, resets=1.0, settings=settings)
        self.world = World(
            plan,
            network_type=partial(CountingNetwork, self.traffic),
            partitions=partitions,
            event_limit=nodes * 100_000,
        )
        self.spare = plan.spare_names[0]
        self.world.network.receivers[OPERATOR] = lambda envelope: True

    @property
    def table(self) -> Table:
        """The latest table of owners that anybody has."""
        return self.world.cluster.table

    @property
    def members(self) -> list[Machine]:
        """The machines that run and are in the latest table."""
        machines = [self.world.machines[name] for name in self.table.members]
        return [machine for machine in machines if machine.node is not None]

    def until(self, condition: Callable[[], bool], limit_s: float = 120.0) -> float:
        """Let time pass until `condition` holds; how many virtual seconds that took.

        Raises TimeoutError after `limit_s`.
        """
        clock = self.world.clock
        began_at = clock.now
        while not condition():
            if clock.now - began_at > limit_s:
                raise TimeoutError(f"after {limit_s:.0f} virtual s it has not come about")
            clock.run(for_s=LOOK_S)
        return clock.now - began_at

    def rest(self, for_s: float) -> None:
        self.world.clock.run(for_s=for_s)

    def has_settled(self) -> bool:
        """True once every member answers requests."""
        return all(machine.node and machine.node.gossip.settled for machine in self.members)

    def agrees(self) -> bool:
        """True if all members know the same: members, table, and who has seen it."""
        known = [machine.view.cluster for machine in self.members if machine.view is not None]
        return all(cluster == known[0] for cluster in known)

    def has_come_to(self, phase: Phase, epoch: int) -> bool:
        """True if every member goes by this phase, or by a later epoch."""
        tables = [machine.view.table for machine in self.members if machine.view is not None]
        return all(
            table.rank.epoch > epoch or (table.rank.epoch == epoch and table.phase is phase)
            for table in tables
        )

    def stage_join(self) -> None:
        """Plan that the spare machine joins, and let all know of the plan."""
        change = Change(Kind.JOIN, self.spare, address=self.spare)
        self._ask(StageChange(1, change))
        self.until(lambda: bool(self.table.staged) and self.agrees())

    def commit(self) -> None:
        """Begin what is planned, at one of the members."""
        self._ask(CommitPlan(2, self.table.rank))

    def _ask(self, request: StageChange | CommitPlan) -> None:
        asked = self.table.members[0]
        self.world.network.send(Envelope(OPERATOR, asked, request))

    def sharers(self, name: str) -> Collection[str]:
        """The other members that hold a partition together with this one."""
        table = self.table
        ring = table.reading
        held = ring.held_by(name, table.n)
        sharing = {owner for p in held for owner in ring.partition_owners(p, table.n)}
        return sorted(sharing - {name})

    def kill(self, name: str) -> None:
        """End a node; its machine refuses connections from now on."""
        self.world.machines[name].crash()

    def cut_off(self, name: str) -> None:
        """From now on nothing that a node sends arrives, nor anything that is sent to it."""
        others = [other for other in self.world.network.receivers if other != name]
        self.world.network.block(both_ways([name], others))

    def take_to_be_down(self, name: str) -> set[str]:
        """The members that take this one to be down."""
        return {
            machine.name
            for machine in self.members
            if machine.node is not None and name not in machine.node.members.up
        }
