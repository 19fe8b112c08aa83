"""Every server of cluster.ini, and whether it answers: `mapreduce status` without a job."""

import contextlib
from typing import Any

from cli import show
from cli.cluster_processes import ClusterProcesses
from cli.errors import Failure
from cli.job_control import open_master
from cli.options import open_store
from dynamo.config import ClusterConfig
from dynamo.errors import DynamoError

Row = tuple[str, str, str, str, str]
SERVER_COLUMNS = ("kind", "name", "address", "pid", "state", "details")


def print_servers(config: ClusterConfig, as_json: bool) -> None:
    """Every server of the file; `Failure` if one does not answer."""
    rows = _with_pids(config, _rows(config))
    if as_json:
        show.as_json([dict(zip(SERVER_COLUMNS, row)) for row in rows])
    else:
        show.table(SERVER_COLUMNS, rows)
    if silent := [f"{kind} {name}" for kind, name, _, _, state, _ in rows if state != "up"]:
        raise Failure(f"no answer from {', '.join(silent)}; start them with `mapreduce up`")


def silent(config: ClusterConfig) -> list[str]:
    """The servers of the file that do not answer."""
    return [f"{kind} {name}" for kind, name, _, state, _ in _rows(config) if state != "up"]


def _rows(config: ClusterConfig) -> list[Row]:
    return [*_node_rows(config), *_master_and_worker_rows(config)]


def _with_pids(config: ClusterConfig, rows: list[Row]) -> list[tuple[str, ...]]:
    """The process ids of those that `mapreduce up` has started on this machine."""
    running = ClusterProcesses(config).running()
    pids = {(server.kind, server.name): str(process.pid) for server, process in running.items()}
    return [(*row[:3], pids.get(row[:2], ""), *row[3:]) for row in rows]


def _node_rows(config: ClusterConfig) -> list[Row]:
    with open_store(config, may_be_down=True) as store:
        found = store.status()  # type: ignore[attr-defined]
    return [
        ("node", node.name, node.address, "up", "")
        if isinstance(answer := found.get(node.address), dict)
        else ("node", node.name, node.address, "no answer", str(answer))
        for node in config.nodes
    ]


def _master_and_worker_rows(config: ClusterConfig) -> list[Row]:
    if not config.masters:
        return []
    masters = open_master(config)
    standings = masters.standings()
    rows = [_master_row(m.name, m.address, standings.get(m.address)) for m in config.masters]
    workers = {}
    expected = [worker.name for worker in config.workers]
    if any(standing["leads"] for standing in standings.values()):
        with contextlib.suppress(DynamoError):
            workers = {worker["name"]: worker for worker in masters.workers(expected)}
    for worker in config.workers:
        alive = workers.get(worker.name)
        state = "up" if alive else "no answer"
        rows.append(("worker", worker.name, f"beside {worker.node}", state, _at_work(alive)))
    # Another host may have more than the file says: `mapreduce up --workers`.
    others = [alive for name, alive in workers.items() if name not in expected]
    rows += [("worker", w["name"], f"beside {w['node']}", "up", _at_work(w)) for w in others]
    return rows


def _at_work(worker: dict[str, Any] | None) -> str:
    if worker is None:
        return ""
    draining = ", draining" if worker["draining"] else ""
    return f"{worker['running']} of {worker['slots']} slots at work{draining}"


def _master_row(name: str, address: str, standing: dict[str, Any] | None) -> Row:
    if standing is None:
        return ("master", name, address, "no answer", "")
    if standing["leads"]:
        return ("master", name, address, "up", f"leads, term {standing['term']}")
    leader = standing["leader"]
    return ("master", name, address, "up", f"stands by{f' for {leader}' if leader else ''}")
