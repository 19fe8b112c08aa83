"""A cluster in a folder of its own, on free ports of this machine: for demos, tests, benchmarks."""

import socket
from pathlib import Path

from dynamo.config import ClusterConfig, load


def write_config(
    folder: Path,
    *,
    nodes: int = 3,
    masters: int = 1,
    workers: int = 3,
    slots: int | None = None,
    settings: str = "",
    worker_settings: str = "",
) -> ClusterConfig:
    """Write a cluster.ini into `folder` and load it.

    Nodes are n1, n2, ..., masters m1, m2, ..., and worker w1 is beside n1 and so on. `settings` are
    further lines of its section [cluster], `worker_settings` of those of the workers.
    """
    ports = iter(free_ports(nodes + 2 * masters))
    lines = ["[cluster]", settings]
    for number in range(1, nodes + 1):
        lines += [f"[node n{number}]", f"address = 127.0.0.1:{next(ports)}"]
    for number in range(1, masters + 1):
        lines += [f"[master m{number}]", f"address = 127.0.0.1:{next(ports)}"]
        lines += [f"election = 127.0.0.1:{next(ports)}"] if masters > 1 else []
    for number in range(1, workers + 1):
        lines += [f"[worker w{number}]", f"node = n{(number - 1) % nodes + 1}"]
        lines += [f"slots = {slots}"] if slots else []
        lines += [worker_settings]
    path = folder / "cluster.ini"
    path.write_text("\n".join([*lines, ""]))
    return load(path)


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that were free just now, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
