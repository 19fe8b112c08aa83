"""How a change of the cluster's members goes on: what `dynamo transfers` shows."""

from collections.abc import Iterator, Mapping
from typing import Any

from cli import show
from cli.node_view import answered, down_in, in_natural_order, rate
from cli.plan_view import Statuses
from dynamo.net.operate import Found
from dynamo.values.cluster import Phase, Table
from dynamo.values.ring import Ring

COLUMNS = ("node", "state", "seen", "to fill", "to hand over", "keys/s", "waits for")

PHASES = {
    Phase.FILLING: "those who are to hold more fill up",
    Phase.SWITCHING: "all have filled up, reads change over to the new owners",
}


def describe(found: Found, statuses: Statuses) -> dict[str, Any]:
    """The change under way and how far each node is, in plain values: what --json prints."""
    table = found.cluster.table
    names = sorted({*table.members, *statuses}, key=in_natural_order)
    nodes = [_node(name, found, statuses) for name in names]
    told = {
        "epoch": table.rank.epoch,
        "phase": str(table.phase),
        "change": table.change,
        "planned": [str(change) for change in table.staged],
        "nodes": nodes,
    }
    return {**told, "done": _done(told), "summary": summary(told)}


def with_rates(now: dict[str, Any], before: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """`now` with how many keys each node has moved per second since `before`."""
    moved = {node["name"]: node["moved_keys"] for node in before["nodes"]}
    for node in now["nodes"]:
        keys = node["moved_keys"] - moved.get(node["name"], node["moved_keys"])
        node["keys_per_s"] = max(0, keys) / seconds
    return now


def rows(told: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for node in told["nodes"]:
        left, total = node["filling"]["left"], node["filling"]["total"]
        yield (
            node["name"],
            node["state"],
            "yes" if node["seen"] else "no" if node["member"] else "",
            f"{left} of {total} partitions" if left else "",
            _leftovers(node),
            rate(node.get("keys_per_s", 0.0)),
            "; ".join(node["waits_for"]),
        )


def heading(told: Mapping[str, Any]) -> str:
    """
    >>> heading({"epoch": 4, "phase": "filling", "change": "join n4"})
    'epoch 4, filling for join n4: those who are to hold more fill up'
    """
    if told["phase"] == Phase.STABLE:
        return f"epoch {told['epoch']}, no partition changes its owners"
    phase = Phase(told["phase"])
    return f"epoch {told['epoch']}, {phase} for {told['change']}: {PHASES[phase]}"


def summary(told: Mapping[str, Any]) -> str:
    """The state of things in one line, and what to do about it."""
    nodes = told["nodes"]
    absent = [node["name"] for node in nodes if node["needed"] and not node["answers"]]
    if told["phase"] == Phase.STABLE and not told["change"]:
        return _when_stable(nodes)
    change = told["change"] or "the change"
    if absent:
        names = ", ".join(absent)
        does = "does" if len(absent) == 1 else "do"
        return (
            f"{change} waits for {names}, which {does} not answer: start it, or if it will never "
            f"come back `dynamo remove {absent[0]}`"
        )
    if told["phase"] == Phase.STABLE:
        left = [node["name"] for node in nodes if node["leaving"]]
        return f"{', '.join(left)} hands over what it still has; don't stop it yet"
    to_fill = sum(node["filling"]["left"] for node in nodes)
    if to_fill:
        return f"{change}: {show.number_of(to_fill, 'partition')} still to be filled"
    return f"{change}: nearly done, all members have to hear of it"


def _when_stable(nodes: list[dict[str, Any]]) -> str:
    busy = [node["name"] for node in nodes if node["filling"]["left"] or _leftovers(node)]
    if busy:
        return f"done but for {', '.join(busy)}: see what they have left above"
    gone = [node["name"] for node in nodes if node["answers"] and not node["member"]]
    if not gone:
        return "done: no change is under way"
    names, are, them = (", ".join(gone), *(("is", "it") if len(gone) == 1 else ("are", "them")))
    return (
        f"done: no change is under way; {names} {are} no member and may be stopped now, "
        f"or `dynamo join {gone[0]}` takes {them} in"
    )


def _done(told: Mapping[str, Any]) -> bool:
    """True if nothing of a change is left to do."""
    stable = told["phase"] == Phase.STABLE and not told["change"]
    return stable and not any(n["filling"]["left"] or _leftovers(n) for n in told["nodes"])


def _node(name: str, found: Found, statuses: Statuses) -> dict[str, Any]:
    table = found.cluster.table
    told = answered(statuses)
    status: Mapping[str, Any] = told.get(name, {})
    seen = found.cluster.seen.get(name)
    down_by = [other for other, said in told.items() if name in down_in(said)]
    member = name in table.members
    entropy, transfer = status.get("anti_entropy", {}), status.get("transfer", {})
    filling = entropy.get("filling", {})
    return {
        "name": name,
        "address": found.addresses.get(name, ""),
        "state": _state(name, table, name in told),
        "member": member,
        "needed": name in table.live,
        "answers": name in told,
        "leaving": name in table.leaving,
        "seen": seen is not None and seen.rank == table.rank,
        "ready": seen is not None and seen.rank == table.rank and seen.ready,
        "down_s": max(
            (told[other].get("down_s", {}).get(name, 0.0) for other in down_by), default=0.0
        ),
        "seen_as_down_by": down_by,
        "filling": {"left": len(filling), "total": max(len(filling), _gains(table, name))},
        "stray_partitions": transfer.get("stray_partitions", 0),
        "hints_without_owner": transfer.get("hints_without_owner", 0),
        "moved_keys": entropy.get("repaired", 0) + transfer.get("dropped", 0),
        "waits_for": list(_waits(name, found, entropy if filling else {}, down_by)),
    }


def _state(name: str, table: Table, answers: bool) -> str:
    if name in table.dead or name in table.removed:
        return "removed"
    if not answers:
        return "no answer"
    if name not in table.members:
        return "no member"
    return "leaving" if name in table.leaving else "up"


def _gains(table: Table, name: str) -> int:
    """How many partitions a node is to hold that it did not."""
    if not table.target:
        return 0
    owners, target = Ring(table.owners), Ring(table.target)
    return sum(
        name in target.partition_owners(p, table.n)
        and name not in owners.partition_owners(p, table.n)
        for p in range(len(table.owners))
    )


def _waits(
    name: str, found: Found, entropy: Mapping[str, Any], down_by: list[str]
) -> Iterator[str]:
    """Why a node does not get on; `entropy` is empty where it has nothing to fill."""
    if name in found.silent and name in found.cluster.table.live:
        yield f"an answer: {found.silent[name]}"
    elif down_by and name in found.cluster.table.live:
        yield f"{', '.join(down_by)} to reach it"
    for peer, said in entropy.get("peers", {}).items():
        if said.get("waits_for"):
            yield said["waits_for"] if peer in said["waits_for"] else f"{peer}: {said['waits_for']}"


def _leftovers(node: Mapping[str, Any]) -> str:
    parts = (
        (node["stray_partitions"], "partition"),
        (node["hints_without_owner"], "hint"),
    )
    return ", ".join(show.number_of(count, noun) for count, noun in parts if count)
