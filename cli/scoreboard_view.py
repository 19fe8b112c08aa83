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
NODE_COLUMNS = ("node", "address", "state", "seen as down by")
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
    down: dict[str, list[str]] = {}
    for name, status in node_view.answered(found).items():
        for other in node_view.down_in(status):
            down.setdefault(other, []).append(name)
    return [
        (
            node.name,
            node.address,
            "up" if isinstance(found.get(node.name), dict) else "no answer",
            ", ".join(down.get(node.name, ())),
        )
        for node in config.nodes
    ]


def rule(told: Mapping[str, Any]) -> str:
    """What a strike is."""
    strikes, silent_s = told["strikes"], told["strike_s"]
    return (
        f"a strike for each {silent_s:g} s of silence; after {strikes} a worker is lost, "
        "and its tasks go to others"
    )


def concerns(told: Mapping[str, Any]) -> Iterator[str]:
    """The workers that need looking after."""
    for worker in told["gone"]:
        if worker["state"] == "lost":
            silent = show.duration(worker["silent_s"])
            yield f"worker {worker['name']} is lost, silent for {silent}"
