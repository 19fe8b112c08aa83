"""The scoreboard for people: every worker and node, what it does, when it was last heard.

Pure: rows from what the leading master and the nodes have told.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from cli import node_view, show
from dynamo.config import ClusterConfig

WORKER_COLUMNS = (
    "worker",
    "node",
    "host",
    "state",
    "slots",
    "last contact",
    "strikes",
    "done",
    "failed",
)
NODE_COLUMNS = ("node", "address", "state", "last contact", "strikes", "seen as down by")
Row = tuple[str, ...]


def worker_rows(told: Mapping[str, Any], config: ClusterConfig) -> list[Row]:
    """A row for each worker that is alive or gone, and for each that should be there and was never
    heard of, in order of name."""
    of = told["strikes"]
    rows = [_worker_row(worker, of) for worker in (*told["workers"], *told["gone"])]
    heard = {row[0] for row in rows}
    missing = (worker for worker in config.workers if worker.name not in heard)
    rows += [
        (worker.name, worker.node, "", "never heard", str(worker.slots), "", "", "", "")
        for worker in missing
    ]
    return sorted(rows, key=lambda row: node_view.in_natural_order(row[0]))


def _worker_row(worker: Mapping[str, Any], of: int) -> Row:
    state = worker["state"]
    if worker["draining"]:
        state = "draining" if state == "idle" else f"draining, {state}"
    return (
        worker["name"],
        worker["node"],
        worker["host"],
        state,
        f"{worker['running']} of {worker['slots']}",
        f"{show.duration(worker['silent_s'])} ago",
        f"{worker['strikes']} of {of}" if worker["strikes"] else "0",
        f"{worker['done']:,}",
        f"{worker['failed']:,}",
    )


def node_rows(found: Mapping[str, Any], config: ClusterConfig) -> list[Row]:
    """A row for each store node of the file; `found` is what `dynamo status` asks for."""
    told = node_view.answered(found)
    return [(node.name, node.address, *_node_row(node.name, told)) for node in config.nodes]


def _node_row(name: str, told: node_view.Told) -> Row:
    """State, last contact, strikes and whose: each other node that takes it to be down is one."""
    others = {other: status for other, status in told.items() if other != name}
    strikes = [other for other, status in others.items() if name in node_view.down_in(status)]
    heard = [status["silent_s"].get(name) for status in others.values()]
    latest_s = min((silent_s for silent_s in heard if silent_s is not None), default=None)
    return (
        "up" if name in told else "no answer",
        "now" if name in told else "" if latest_s is None else f"{show.duration(latest_s)} ago",
        f"{len(strikes)} of {len(others)}" if strikes else "0",
        ", ".join(strikes),
    )


def rule(told: Mapping[str, Any]) -> str:
    """What a strike is."""
    strikes, silent_s = told["strikes"], told["strike_s"]
    return (
        f"a strike for each {silent_s:g} s of silence: with the first a worker gets no more tasks, "
        f"after {strikes} it is lost, and its tasks go to others"
    )


NODE_RULE = "a node has a strike of each other node that takes it to be down"


def concerns(told: Mapping[str, Any]) -> Iterator[str]:
    """The workers that need looking after."""
    for worker in told["gone"]:
        if worker["state"] == "lost":
            silent = show.duration(worker["silent_s"])
            yield f"worker {worker['name']} is lost, silent for {silent}"
