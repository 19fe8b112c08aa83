"""Worlds in which something particular goes wrong, drawn from a seed; and how a run is told."""

from dataclasses import replace

from dynamo.simulation.plan import Plan
from dynamo.simulation.run import Run, command


def report(run: Run) -> str:
    lines = [run.summary, *map(str, run.violations[:5]), f"again: {command(run.plan.seed)}"]
    return "\n".join(lines)


def hard(seed: int) -> Plan:
    """A world in which several things go wrong at once."""
    return replace(
        Plan.drawn(seed),
        nodes=3,
        clients=6,
        keys=4,
        operations=40,
        blackouts=8,
        crashes=8,
        commit_s=0.1,
        loss=0.1,
        slow=0.2,
        slow_s=1.0,
    )


def single(seed: int) -> Plan:
    """A hard world with one replica of each key: nobody else holds what a crash takes."""
    plan = hard(seed)
    settings = replace(plan.settings, n=1, r=1, w=1)
    return replace(plan, bit_flips=0, old_disks=0, settings=settings)


def haunted(seed: int) -> Plan:
    """Nodes that start again while answers to what they asked before are on their way."""
    return replace(
        hard_and_unhelped(seed),
        operations=60,
        crashes=30,
        blackouts=0,
        bit_flips=0,
        full_disks=0,
        outages=0,
        cuts=0,
        splits=0,
        one_way_cuts=0,
        broken_links=0,
        pauses=0,
        slowdowns=0,
        loss=0.0,
        slow=0.5,
    )


def often_down(seed: int) -> Plan:
    """Nodes that are down for long, and a quorum of all owners: hints have to make it up."""
    return replace(
        Plan.drawn(seed),
        nodes=5,
        clients=6,
        keys=30,
        operations=30,
        pause_s=0.1,
        crashes=0,
        blackouts=0,
        cuts=0,
        loss=0.0,
        outages=8,
        resets=1.0,
        settings=replace(Plan.settings, r=1, w=3, anti_entropy_s=0.0),
    )


def often_down_and_deaf(seed: int) -> Plan:
    """The same, and what is sent often does not arrive: a hint has to be sent again."""
    return replace(often_down(seed), loss=0.3)


def rotting(seed: int) -> Plan:
    """Disks whose bits flip."""
    return replace(Plan.drawn(seed), bit_flips=30).scrubbed()


def rotting_away(seed: int) -> Plan:
    """So many that damaged copies are written to, too."""
    return replace(
        rotting(seed), nodes=3, keys=4, clients=6, operations=60, bit_flips=60, pause_s=0.1
    )


def unhelped(seed: int) -> Plan:
    """Nobody compares hash trees, which would make good what another part has left undone."""
    return without_anti_entropy(Plan.drawn(seed))


def hard_and_unhelped(seed: int) -> Plan:
    return without_anti_entropy(hard(seed))


def without_anti_entropy(plan: Plan) -> Plan:
    return replace(plan, settings=replace(plan.settings, anti_entropy_s=0.0))
