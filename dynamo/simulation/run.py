"""One seed from beginning to end: the world, the work, the checks."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass

from dynamo.disk.contract import COPIES, HINTS, key_of_copy
from dynamo.protocol.node import Node
from dynamo.simulation import conditions, lifetimes
from dynamo.simulation.checkers import (
    check,
    forgotten_hints,
    misplaced_copies,
    not_converged,
    thin_writes,
    unfinished_changes,
)
from dynamo.simulation.history import History
from dynamo.simulation.machine import Machine
from dynamo.simulation.network import Note, Passage, Trace
from dynamo.simulation.plan import Plan
from dynamo.simulation.workload import read_back, work
from dynamo.simulation.world import NodeMaker, World
from dynamo.simulation.writes import Violation
from dynamo.values.versions import Siblings


@dataclass(frozen=True)
class Run:
    """What came of one seed."""

    plan: Plan
    history: History
    trace: Trace
    violations: list[Violation]
    commits: int
    copies: dict[str, Mapping[str, Siblings]]
    """What the disks of its owners hold of each key at the end."""

    @property
    def fingerprint(self) -> str:
        """Equal for two runs in which exactly the same happened."""
        digest = hashlib.blake2b(digest_size=8)
        for event in self.trace:
            digest.update(repr(event).encode())
        return digest.hexdigest()

    @property
    def summary(self) -> str:
        """What there was, in a few lines."""
        plan, operations = self.plan, self.history.operations
        passages = [event for event in self.trace if isinstance(event, Passage)]
        failed = sum(not op.succeeded for op in operations)
        missed = sum(passage.fate != "" for passage in passages)
        siblings = max((len(op.siblings.values) for op in operations if op.siblings), default=0)
        starts = sum(isinstance(event, Note) and event.text == "starts" for event in self.trace)
        return (
            f"seed {plan.seed}: {plan.nodes} nodes, {plan.clients} clients, {plan.keys} keys, "
            f"{passages[-1].ended_at:.1f} virtual s, fingerprint {self.fingerprint}\n"
            f"{len(operations)} operations, {failed} failed; {len(passages)} envelopes, "
            f"{missed} never arrived; {self.commits} commits; {starts - plan.nodes} restarts; "
            f"up to {siblings} siblings; {len(self.violations)} violations\n"
            f"faults: {', '.join(plan.faults) or 'none'}"
        )


def simulate(
    plan: Plan | int, node_type: NodeMaker = Node, machine_type: type[Machine] = Machine
) -> Run:
    """Run one plan, or the plan drawn from a seed, and check it."""
    if isinstance(plan, int):
        plan = Plan.drawn(plan)
    try:
        world = World(plan, node_type, machine_type)
        work(world)
        rested = {key: world.kept_copies(key) for key in plan.key_names}
        read_back(world)
    except Exception as error:
        error.add_note(f"in the world of seed {plan.seed}; again: {command(plan.seed)}")
        raise
    copies = {key: world.kept_copies(key) for key in plan.key_names}
    owners = {key: world.owners(key) for key in plan.key_names}
    w, reap_after_s = plan.settings.w, plan.settings.reap_after_s or math.inf
    violations = check(world.history, owners, copies, w, reap_after_s)
    violations += lifetimes.check(world.history)
    violations += lifetimes.leftovers(world.history, plan.passing_names, _disks(world))
    steady = not plan.bit_flips and not plan.old_disks
    violations += conditions.check(world.history, owners, w, reap_after_s, steady)
    violations += thin_writes(world.history, rested, w, reap_after_s)
    if plan.settings.anti_entropy_s:
        violations += not_converged(rested)
    violations += unfinished_changes(world.cluster)
    violations += misplaced_copies(
        {name: list(map(key_of_copy, keys)) for name, keys in _kept(world, COPIES).items()}, owners
    )
    violations += forgotten_hints(_kept(world, HINTS))
    commits = sum(machine.commits for machine in world.machines.values())
    return Run(plan, world.history, world.trace, violations, commits, copies)


def _disks(world: World) -> dict[str, dict[bytes, bytes]]:
    """All that is on the disk of each machine that has not died for good."""
    running = [(name, machine) for name, machine in world.machines.items() if not machine.buried]
    return {name: dict(machine.disk.scan(b"", b"\xff")) for name, machine in running}


def _kept(world: World, range_: tuple[bytes, bytes]) -> dict[str, list[bytes]]:
    """The disk keys in this range, on each machine."""
    return {
        name: [disk_key for disk_key, _ in machine.disk.scan(*range_)]
        for name, machine in world.machines.items()
        if not machine.buried
    }


def command(seed: int) -> str:
    """What repeats a seed.

    >>> command(7)
    'make simulate SEED=7'
    """
    return f"make simulate SEED={seed}"
