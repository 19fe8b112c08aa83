"""What a planned change of the cluster's members would do: the table of `dynamo plan`."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import click

from cli import show
from cli.node_view import answered, down_in, in_natural_order
from dynamo.config import ClusterConfig
from dynamo.values import cluster as changes
from dynamo.values import moves
from dynamo.values.cluster import Cluster, Table
from dynamo.values.ring import Ring

Statuses = Mapping[str, dict[str, Any] | str]
"""What each node says of itself, by name; a text where it doesn't answer."""

COLUMNS = ("node", "address", "owned", "held", "gets", "gives", "gets about")


def describe(cluster: Cluster, statuses: Statuses, config: ClusterConfig) -> dict[str, Any]:
    """The plan with what follows from it, in plain values: what --json prints.

    Raises ValueError if it can't be committed, with the reason.
    """
    table, n = cluster.table, cluster.table.n
    planned = changes.commit(cluster, "plan")
    after = planned.table
    present, target = _ring(table), _ring(after)
    found = moves.moves(present, target, n)
    nodes = _shares({*table.members, *after.members}, present, target, n)
    _add_moves(nodes, found, partition_sizes(statuses, present, n))
    addresses = {name: member.address for name, member in planned.members.items()}
    stay = [name for name in after.live if name not in after.leaving]
    hosts = {name: addresses[name].rpartition(":")[0] for name in stay}
    return {
        "plan": str(table.rank),
        "changes": [str(change) for change in table.staged],
        "nodes": [{"address": addresses.get(node["name"], ""), **node} for node in nodes],
        "moves": [move.__dict__ for move in found],
        "copies": sum(node["gets"] for node in nodes),
        "bytes": sum(node["gets_bytes"] for node in nodes),
        "warnings": [
            *moves.warnings(target, n, hosts),
            *_quorum_warnings(len(stay), config),
            *_down_warnings(after, statuses),
        ],
    }


def _shares(names: Collection[str], present: Ring, target: Ring, n: int) -> list[dict[str, Any]]:
    """What each node owns and holds, before and after."""
    owned = [Counter(ring.owners) for ring in (present, target)]
    held = [_held(ring, n) for ring in (present, target)]
    return [
        {
            "name": name,
            "owned": [counts[name] for counts in owned],
            "held": [counts[name] for counts in held],
        }
        for name in sorted(names, key=in_natural_order)
    ]


def _add_moves(
    nodes: list[dict[str, Any]], found: Sequence[moves.Move], sizes: Sequence[int]
) -> None:
    """Add to each node how many copies of partitions it gets and gives, and how many bytes."""
    gives = Counter(giver for move in found for giver in move.givers)
    taken: dict[str, list[int]] = {node["name"]: [] for node in nodes}
    for move in found:
        for taker in move.takers:
            taken[taker].append(sizes[move.partition])
    for node in nodes:
        mine = taken[node["name"]]
        node |= {"gets": len(mine), "gives": gives[node["name"]], "gets_bytes": sum(mine)}


def partition_sizes(statuses: Statuses, ring: Ring, n: int) -> list[int]:
    """About how many bytes each partition's copies take, as the node says that has most of it.

    What a node has written last is in no partition's figure yet, so the rest of what its disk
    takes is shared out among those it holds.
    """
    held = _held(ring, n)
    sizes = [0] * len(ring.owners)
    for name, status in answered(statuses).items():
        own = status["disk"]["partition_bytes"]
        rest = max(0, status["disk"]["used_bytes"] - sum(own)) // max(1, held[name])
        for partition in range(len(sizes)):
            if name in ring.partition_owners(partition, n):
                sizes[partition] = max(sizes[partition], own[partition] + rest)
    return sizes


def headline(plan: Mapping[str, Any]) -> str:
    """
    >>> headline({"plan": "1.1-n1", "changes": ["join n4"], "copies": 48, "bytes": 12 << 20})
    'plan 1.1-n1: join n4; 48 copies of partitions move, about 12.0 MiB'
    """
    copies, size = plan["copies"], show.size(plan["bytes"])
    moving = f"{copies} copies of partitions move, about {size}" if copies else "nothing moves"
    return f"plan {plan['plan']}: {', '.join(plan['changes'])}; {moving}"


def print_text(plan: Mapping[str, Any]) -> None:
    click.echo(f"{headline(plan)}\n")
    show.table(COLUMNS, map(_row, plan["nodes"]))
    click.echo()
    for warning in plan["warnings"]:
        click.echo(f"warning: {warning}")
    click.echo(f"`dynamo commit {plan['plan']}` carries it out, `dynamo plan --clear` forgets it")


def _ring(table: Table) -> Ring:
    """Whom the partitions belong to once the change under way, if any, is done."""
    return Ring(table.target or table.owners)


def _held(ring: Ring, n: int) -> Counter[str]:
    return Counter(node for p in range(len(ring.owners)) for node in ring.partition_owners(p, n))


def _row(node: Mapping[str, Any]) -> tuple[object, ...]:
    owned, held = (f"{before} -> {after}" for before, after in (node["owned"], node["held"]))
    size = show.size(node["gets_bytes"]) if node["gets"] else ""
    return node["name"], node["address"], owned, held, node["gets"], node["gives"], size


def _quorum_warnings(members: int, config: ClusterConfig) -> Iterator[str]:
    asked = (("gets", "R", config.read_quorum), ("puts", "W", config.write_quorum))
    for requests, name, quorum in asked:
        if quorum > members:
            yield f"{requests} will fail: {name}={quorum} can't be met by {members} members"


def _down_warnings(after: Table, statuses: Statuses) -> Iterator[str]:
    """Who would hold the change up, because all have to see it."""
    told = answered(statuses)
    for name in after.live:
        seers = [node for node, status in told.items() if name in down_in(status)]
        if name not in told:
            yield f"{name} does not answer, and the change waits for it; or `dynamo remove {name}`"
        elif seers:
            yield f"{', '.join(seers)}: {name} seems to be down there; the change waits for it"
