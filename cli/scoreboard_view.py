"""The scoreboard for people: every worker and node, what it does, when it was last heard.

Pure: rows from what the leading master and the nodes have told.
"""

from collections.abc import Iterable, Iterator, Mapping
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


def contacts(found: Mapping[str, Any], names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Of each store node: its state, for how long it was silent (None: nobody knows), and its
    strikes, which are the other nodes that take it to be down. `found` is what each says of itself.

    >>> n1 = {"members": {"n2": False}, "silent_s": {"n2": 75.0}}
    >>> contacts({"n1": n1, "n2": "no answer"}, ["n1", "n2"])["n2"]
    {'state': 'no answer', 'silent_s': 75.0, 'strikes': ['n1'], 'of': 1}
    """
    told = node_view.answered(found)
    return {name: _contact(name, told) for name in names}


def _contact(name: str, told: node_view.Told) -> dict[str, Any]:
    others = {other: status for other, status in told.items() if other != name}
    heard = [s["silent_s"][name] for s in others.values() if name in s["silent_s"]]
    return {
        "state": "up" if name in told else "no answer",
        "silent_s": 0.0 if name in told else min(heard, default=None),
        "strikes": [o for o, status in others.items() if name in node_view.down_in(status)],
        "of": len(others),
    }


def node_rows(found: Mapping[str, Any], config: ClusterConfig) -> list[Row]:
    """A row for each store node of the file; `found` is what `dynamo status` asks for."""
    seen = contacts(found, config.node_addresses)
    return [(node.name, node.address, *_node_row(**seen[node.name])) for node in config.nodes]


def _node_row(state: str, silent_s: float | None, strikes: list[str], of: int) -> Row:
    ago = "" if silent_s is None else f"{show.duration(silent_s)} ago"
    return (
        state,
        "now" if state == "up" else ago,
        f"{len(strikes)} of {of}" if strikes else "0",
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
