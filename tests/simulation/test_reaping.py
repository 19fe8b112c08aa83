"""Tombstones are dropped, and what was deleted stays deleted."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from dynamo.protocol.node import Node
from dynamo.protocol.reaper import Reaper
from dynamo.simulation.checkers import check
from dynamo.simulation.history import Operation
from dynamo.simulation.plan import Plan
from dynamo.simulation.run import Run, simulate
from dynamo.simulation.workload import VirtualClient, read_back
from dynamo.simulation.world import World
from dynamo.simulation.writes import Violation
from dynamo.values import versions
from tests.simulation.test_broken_nodes import Resurrects
from tests.simulation.worlds import report


def forgetting(seed: int) -> Plan:
    """Tombstones are dropped soon, while nodes are away for longer; no envelope takes that long."""
    plan = replace(
        Plan.drawn(seed),
        nodes=3,
        keys=30,
        clients=4,
        operations=60,
        pause_s=0.1,
        outages=6,
        faults_last_s=8.0,
        passing=0,
        crashes=0,
        blackouts=0,
        slow=0.0,
        bit_flips=0,
        slowdowns=0,
        pauses=0,
        duplication=0.0,
        careless=0.0,
        clock_jumps=0,
        old_disks=0,
    )
    return replace(plan, settings=replace(plan.settings, timeout_s=0.5, reap_after_s=0.5))


class ReapsAfterAQuorum(Node):
    """Asks two owners, and drops what they agree about."""

    def __init__(self, *arguments: Any, **extra: Any) -> None:
        super().__init__(*arguments, **extra)
        self.reaper.__class__ = QuorumReaper


class QuorumReaper(Reaper):
    def _whom(self) -> tuple[str, ...]:
        me, up = self._view.me, self._members.up
        return tuple([me, *(name for name in super()._whom() if name != me and name in up)][:2])


class NeverReaps(Node):
    def __init__(self, *arguments: Any, **extra: Any) -> None:
        super().__init__(*arguments, **extra)
        self._ticking = tuple(c for c in self._ticking if c is not self.reaper)


def reaped(run: Run) -> bool:
    """True if some key that was deleted has left nothing on any disk."""
    return any(
        siblings == versions.EMPTY
        for key in {op.key for op in run.history.of_kind("delete") if op.succeeded}
        for siblings in run.copies[key].values()
    )


def test_what_was_deleted_stays_deleted_though_its_tombstones_are_dropped() -> None:
    runs = [simulate(forgetting(seed)) for seed in range(1, 41)]
    for run in runs:
        assert not run.violations, report(run)
    assert sum(map(reaped, runs)) > len(runs) // 2
    assert not any(reaped(simulate(forgetting(seed), NeverReaps)) for seed in range(1, 11))


def deleted_while_one_is_away(node_type: type[Node], ttl_s: float | None = None) -> list[Violation]:
    """n3 has each value, misses each delete, and comes back when its tombstone could be gone; with
    `ttl_s` each value is not deleted but replaced by one that expires after so long."""
    plan = Plan(seed=1, keys=8, settings=replace(Plan.settings, timeout_s=0.5, reap_after_s=0.5))
    world = World(plan, node_type)
    client = VirtualClient("c1", world, count(1), pause_s=0.01)

    def script() -> Iterator[Operation]:
        for key in plan.key_names:
            yield Operation("put", key, key.encode())
        for key in plan.key_names:
            yield Operation("get", key, r=3)
        world.machines["n3"].crash()
        for key in plan.key_names:
            found = client.readings[key]
            saw = tuple(version.written_at for version in found.versions)
            write = Operation("delete", key, None, found.context, saw, at_node="n1")
            if ttl_s is not None:
                write.kind, write.value, write.ttl_s = "put", b"passes", ttl_s
            yield write

    client.follow(script())
    world.clock.run(until=lambda: not client.working)
    world.clock.run(for_s=5.0)
    world.machines["n3"].start()
    world.clock.run(for_s=30.0)
    read_back(world)
    owners = {key: world.owners(key) for key in plan.key_names}
    copies = {key: world.kept_copies(key) for key in plan.key_names}
    assert all(op.succeeded for op in world.history.of_kind("put", "delete"))
    return check(world.history, owners, copies, plan.settings.w, plan.settings.reap_after_s)


def test_what_was_deleted_while_a_node_was_away_stays_deleted_when_it_is_back() -> None:
    assert deleted_while_one_is_away(Node) == []


def test_what_a_value_replaced_that_has_expired_since_stays_replaced_too() -> None:
    assert deleted_while_one_is_away(Node, ttl_s=0.5) == []
    rules = {violation.rule for violation in deleted_while_one_is_away(ReapsAfterAQuorum, 0.5)}
    assert "resurrected" in rules


@pytest.mark.parametrize("node_type", [ReapsAfterAQuorum, Resurrects])
def test_a_node_that_resurrects_is_seen_though_tombstones_are_reaped(
    node_type: type[Node],
) -> None:
    rules = {violation.rule for violation in deleted_while_one_is_away(node_type)}
    assert "resurrected" in rules
