"""Nodes that get a change of the ring wrong, or the loss of a disk: the checkers see them all."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import pytest

from dynamo.protocol.gossip import Gossiper
from dynamo.protocol.messages import GetDone, GotMany, KeysListed, PutDone
from dynamo.protocol.node import Node, Step
from dynamo.protocol.transfer import Transfer
from dynamo.protocol.view import View
from dynamo.protocol.wholeness import Wholeness
from dynamo.simulation.plan import Plan
from dynamo.simulation.run import simulate
from dynamo.values.cluster import Cluster


def changing(seed: int) -> Plan:
    """One change after the other, and a client that writes meanwhile."""
    return replace(Plan.drawn(seed), changes=4, keys=30, operations=60, pause_s=0.1)


def hurried(seed: int) -> Plan:
    """The same with many writers, who hardly rest: what a change gets wrong meets a write soon."""
    return replace(changing(seed), clients=6, operations=100, pause_s=0.02)


def restoring(seed: int) -> Plan:
    """Disks that are restored from old copies, while others miss much."""
    plan = replace(changing(seed), nodes=3, changes=0, old_disks=9, cuts=9)
    return replace(plan, settings=replace(plan.settings, anti_entropy_s=0.0))


class OneTable(View):
    """Goes by the table that reads go by, and knows of no other."""

    def _go_by(self, table: Any) -> None:
        super()._go_by(table)
        self.rings = (self.ring,)


class WritesByOneTable(Node):
    """Asks for the old owners' quorum until all have filled up, and then for the new ones'."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.view.__class__ = OneTable
        self.view.change(self.view.cluster)


class HastyWholeness(Wholeness):
    @property
    def filling(self) -> Collection[int]:
        return ()

    def is_whole(self, partition: int) -> bool:
        return True


class AnswersForWhatItHasNotGot(Node):
    """Takes a partition that it has anew for whole."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.wholeness.__class__ = HastyWholeness


class LazyGossiper(Gossiper):
    def _is_ready(self, cluster: Cluster) -> bool:
        return False


class IsNeverReady(Node):
    """Never says that it has filled up."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.gossip.__class__ = LazyGossiper


class Hoarder(Transfer):
    def _look(self, now: float) -> None:
        super()._look(now)
        self.strays = {}


class KeepsWhatItHandedOver(Node):
    """Never drops what has moved to others."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.transfer.__class__ = Hoarder


class BelievesItsDisk(Node):
    """Takes what others know of a later life of its own for nothing."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.gossip._begin_fill = lambda partitions: None


class AnswersNobody(Node):
    """Does all it is asked, and tells no client."""

    def step(self, *arguments: Any) -> Step:
        step = super().step(*arguments)
        told = (PutDone, GetDone, GotMany, KeysListed)
        return step._replace(
            envelopes=[e for e in step.envelopes if not isinstance(e.message, told)]
        )


FIRST_SEED = 6
"""The first with which the two rarest are seen; the search goes on from there if that changes."""
BROKEN = [
    ("lost write", WritesByOneTable, hurried),
    ("lost write", AnswersForWhatItHasNotGot, changing),
    ("unfinished change", IsNeverReady, changing),
    ("misplaced copy", KeepsWhatItHandedOver, changing),
    ("lost write", BelievesItsDisk, restoring),
    ("no answer", AnswersNobody, Plan.drawn),
]


@pytest.mark.parametrize(
    ("rule", "node_type", "world"), BROKEN, ids=[node_type.__name__ for _, node_type, _ in BROKEN]
)
def test_a_broken_node_is_seen(rule: str, node_type: type[Node], world: Any) -> None:
    for seed in range(FIRST_SEED, FIRST_SEED + 200):
        if any(v.rule == rule for v in simulate(world(seed), node_type).violations):
            return
    pytest.fail(f"no {rule!r} in 200 seeds of a node that is broken on purpose")


@pytest.mark.parametrize("world", [changing, restoring])
def test_a_sound_node_breaks_no_promise_there(world: Any) -> None:
    for seed in range(FIRST_SEED, FIRST_SEED + 10):
        run = simulate(world(seed))
        assert not run.violations, (run.summary, *map(str, run.violations[:5]))
