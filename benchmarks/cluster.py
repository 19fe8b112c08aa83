"""What the benchmarks on a cluster have in common: its processes, and closed loops."""

import contextlib
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.cluster_processes import ClusterProcesses
from cli.local_cluster import write_config
from dynamo.config import ClusterConfig
from dynamo.net.client import Client

Latencies = list[float]
"""Seconds, one for each operation that ended."""


@dataclass
class Running:
    """A cluster at work: N=3, W=2, R=2, fsync on, all on this machine and one disk."""

    folder: Path
    config: ClusterConfig
    processes: ClusterProcesses
    client: Client


@contextlib.contextmanager
def cluster(
    nodes: int = 3, *, masters: int = 0, workers: int = 0, slots: int | None = None
) -> Iterator[Running]:
    """Fresh nodes, masters and workers, and a client; all gone with the block."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = write_config(folder, nodes=nodes, masters=masters, workers=workers, slots=slots)
        processes = ClusterProcesses(config)
        processes.up(say=lambda line: None)
        try:
            with Client([node.address for node in config.nodes], timeout_s=30.0) as client:
                client.put("warm", b"up")
                yield Running(folder, config, processes, client)
        finally:
            processes.down(say=lambda line: None)


def closed_loops(
    callers: int, seconds: float, begin: Callable[[int, int], "Future[Any]"]
) -> Latencies:
    """The latency of each operation of `callers` that begin their next when their last has ended.

    `begin` starts the operation of a caller and its turn.
    """
    latencies: Latencies = []
    errors: list[BaseException] = []
    ended = threading.Semaphore(0)
    stop_at = time.perf_counter() + seconds

    def turn(caller: int, number: int) -> None:
        began = time.perf_counter()
        if began >= stop_at or errors:
            ended.release()
            return

        def end(future: "Future[Any]") -> None:
            if error := future.exception():
                errors.append(error)
            latencies.append(time.perf_counter() - began)
            turn(caller, number + 1)

        begin(caller, number).add_done_callback(end)

    for caller in range(callers):
        turn(caller, 0)
    for _ in range(callers):
        ended.acquire()
    if errors:
        raise errors[0]
    return latencies


def median_and_tail(latencies: Latencies) -> tuple[float, float]:
    """Median and 99.9th percentile, in milliseconds."""
    ordered = sorted(latencies)
    middle, tail = (ordered[int(len(ordered) * share)] * 1000 for share in (0.5, 0.999))
    return middle, tail
