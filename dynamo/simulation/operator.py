"""The operator of a virtual cluster: machines join, leave, take another's place, or die for good.

All of it goes on while clients work and faults strike. An operator does as a careful person would:
one change after another, each when the one before is done. A machine dies for good only while the
others are enough to hold each key as often as they should, and hold all that it held.
"""

from collections.abc import Iterator
from random import Random

import msgspec

from dynamo.protocol.messages import (
    ClearPlan,
    ClusterDone,
    CommitPlan,
    Envelope,
    GetCluster,
    StageChange,
)
from dynamo.simulation.losses import Losses, stored_copies
from dynamo.simulation.machine import Machine
from dynamo.simulation.plan import stream
from dynamo.simulation.world import World
from dynamo.values.cluster import Change, Cluster, Kind, Phase

NAME = "operator"
LOOK_S = 0.3
"""How often the operator looks at the cluster, and asks again what had no answer."""


class Operator:
    """Makes `plan.changes` changes of the ring, from a random time on, and then rests."""

    def __init__(self, world: World, losses: Losses, ids: Iterator[int]) -> None:
        self._world = world
        self._losses = losses
        self._ids = ids
        self._random: Random = stream(world.plan.seed, "operator")
        self._left = world.plan.changes
        self._asked = 0
        self._under_way = False
        """True from a commit on until the change is seen to be done."""
        world.network.receivers[NAME] = self.receive
        if self._left:
            begins_at = self._random.uniform(0.0, world.plan.faults_last_s)
            world.clock.after(begins_at, self._look)

    @property
    def working(self) -> bool:
        """True until all changes have been made, as far as the operator has seen."""
        return self._left > 0 or self._under_way

    def receive(self, envelope: Envelope) -> bool:
        message = envelope.message
        if message.id == self._asked and isinstance(message, ClusterDone):
            self._asked = 0
            self._go_on(envelope.sender, message.cluster)
        return True  # what is late, or a refusal, is of no interest: looking again shows more

    def _look(self) -> None:
        if not self.working:
            return
        running = [name for name, machine in self._world.machines.items() if not machine.buried]
        self._ask(self._random.choice(running), GetCluster(0))
        self._world.clock.after(LOOK_S, self._look)

    def _ask(self, node: str, request: GetCluster | StageChange | ClearPlan | CommitPlan) -> None:
        self._asked = next(self._ids)
        message = msgspec.structs.replace(request, id=self._asked)
        self._world.network.send(Envelope(NAME, node, message))

    def _go_on(self, node: str, cluster: Cluster) -> None:
        """Do the next thing that there is to do in a cluster that looks like this."""
        table = cluster.table
        under_way = table.phase is not Phase.STABLE or bool(table.leaving)
        machines = self._world.machines
        dead = [name for name in table.live if machines[name].buried]
        self._under_way = under_way or bool(dead)
        if len(table.staged) == 1:
            self._commit(node, cluster)
        elif table.staged:
            self._ask(node, ClearPlan(0))
        elif dead:  # a commit made elsewhere has overtaken the one that was to remove it
            self._ask(node, StageChange(0, Change(Kind.REMOVE, dead[0])))
        elif not under_way and table.rank.epoch and self._left:
            change = self._choose(cluster)
            if change is None:
                self._left = 0
            else:
                self._ask(node, StageChange(0, change))

    def _commit(self, node: str, cluster: Cluster) -> None:
        [change] = cluster.table.staged
        if change.kind is Kind.REMOVE and not self._bury(self._world.machines[change.node]):
            self._ask(node, ClearPlan(0))
            return
        self._left = max(self._left - 1, 0)
        self._under_way = True
        self._world.history.changed_at.append(self._world.clock.now)
        self._ask(node, CommitPlan(0, cluster.table.rank))

    def _bury(self, machine: Machine) -> bool:
        """Let it die for good; False if it has what others have lost."""
        held = stored_copies(machine.disk)
        if not machine.buried:
            if not self._losses.may_lose(machine.name, held):
                return False
            self._losses.lose(machine.name, held)
            self._world.history.crashed_at.append(self._world.clock.now)
            machine.bury()
        return True

    def _choose(self, cluster: Cluster) -> Change | None:
        """A change that this cluster can bear; None if there is none."""
        members, plan = cluster.table.members, self._world.plan
        used = {*members, *cluster.table.removed}
        spare = [name for name in plan.spare_names if name not in used]
        kinds = [Kind.JOIN, Kind.REPLACE] if spare else []
        if len(members) > plan.settings.n:
            kinds += [Kind.LEAVE, Kind.REMOVE] if plan.settings.w > 1 else [Kind.LEAVE]
        if not kinds:
            return None
        kind, node = self._random.choice(kinds), self._random.choice(members)
        if kind is Kind.JOIN:
            return Change(kind, spare[0], address=spare[0])
        if kind is Kind.REPLACE:
            return Change(kind, node, by=spare[0], address=spare[0])
        return Change(kind, node)
