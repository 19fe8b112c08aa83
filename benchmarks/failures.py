"""Latency while a node is down and while it catches up, and the time until it agrees again.

Four nodes, N=3, W=2, R=2, fsync on, values of 100 bytes, 100 callers that put and get in turn: with
a fourth node there is somebody to keep copies for one that is down, and deliver them. One node is
killed (SIGKILL) under this load, is away for some seconds, and is started again: what it
has missed is delivered to it while the callers go on. Then, without callers, it is killed again,
misses 100,000 keys of a batch put, and comes back: the time until nobody keeps a copy for it.

Last, three nodes: a node that is down misses 100,000 keys, and there is nobody to keep them for it.
It comes back and has all by comparing hash trees alone, with no hint and no read.
"""

import signal
import threading
import time
from concurrent.futures import Future
from typing import Any

from benchmarks.cluster import Latencies, Running, closed_loops, cluster, median_and_tail
from cli.cluster_processes import servers
from dynamo.errors import DynamoError
from dynamo.net import inspect

CALLERS = 100
SECONDS = 5.0
VALUE = b"x" * 100
VICTIM = "n3"
MISSED_KEYS = 134_000
"""Three quarters of them are its own: it holds three of four keys."""
COMPARED_KEYS = 100_000
SAMPLED_EVERY = 299
PATIENCE_S = 120.0
COMPARING_PATIENCE_S = 900.0


def main() -> None:
    with cluster(nodes=4) as running:
        print(f"{CALLERS} callers, half puts and half gets; latency in ms (median, 99.9%)")
        _row("all nodes up", load(running, "before"))
        down = threading.Timer(0.5, _kill, [running])
        down.start()
        _row("killed after 0.5 s, down", load(running, "down"))
        back = threading.Timer(0.5, _start, [running])
        back.start()
        _row("back after 0.5 s, catching up", load(running, "back"))
        back.join()
        print(f"copies still kept for it then: {_kept(running):,}")
        _await_agreement(running)
        _measure_catching_up(running)
    with cluster(nodes=3) as running:
        _measure_anti_entropy(running)


def load(running: Running, phase: str) -> Latencies:
    """The latency of every operation of the callers, for some seconds."""
    client = running.client

    def begin(caller: int, turn: int) -> "Future[Any]":
        key = f"{phase}/{caller}/{turn // 2}"
        return client.get_async(key) if turn % 2 else client.put_async(key, VALUE)

    return closed_loops(CALLERS, SECONDS, begin)


def _measure_catching_up(running: Running) -> None:
    items = {f"missed/{number:06d}": VALUE for number in range(MISSED_KEYS)}
    _kill(running)
    began = time.perf_counter()
    running.client.multi_put(items)
    put_s = time.perf_counter() - began
    missed = _kept(running)
    began = time.perf_counter()
    _start(running)
    started_s = time.perf_counter() - began
    _await_agreement(running)
    agreed_s = time.perf_counter() - began
    print(
        f"{MISSED_KEYS:,} keys put in {put_s:.1f} s while it was down, {missed:,} of them its own;"
    )
    print(
        f"it has all of them {agreed_s:.1f} s after its start, {started_s:.1f} s until it answered "
        f"among them: {missed / agreed_s:,.0f} a second"
    )


def _measure_anti_entropy(running: Running) -> None:
    keys = [f"missed/{number:06d}" for number in range(COMPARED_KEYS)]
    _kill(running)
    for start in range(0, COMPARED_KEYS, 10_000):
        running.client.multi_put(dict.fromkeys(keys[start : start + 10_000], VALUE))
    kept = _kept(running)
    began = time.perf_counter()
    _start(running)
    while not _has_all(running, keys):
        if time.perf_counter() - began > COMPARING_PATIENCE_S:
            raise SystemExit(f"{VICTIM} differs {COMPARING_PATIENCE_S:.0f} s after its start")
        time.sleep(0.1)
    agreed_s = time.perf_counter() - began
    rate = COMPARED_KEYS / agreed_s
    print(
        f"{COMPARED_KEYS:,} keys missed, {kept} hints kept: by comparing hash trees alone it has "
        f"all of them {agreed_s:.1f} s after its start, {rate:,.0f} a second"
    )


def _has_all(running: Running, keys: list[str]) -> bool:
    """Whether the node that was down has a sample of them itself."""
    address = {VICTIM: running.config.node_addresses[VICTIM]}
    for key in keys[::SAMPLED_EVERY]:
        copy = inspect.copies(key, address)[VICTIM]
        if isinstance(copy, DynamoError) or copy.values != (VALUE,):
            return False
    return True


def _kill(running: Running) -> None:
    process = running.processes.process(_victim(running))
    assert process is not None, "the node to kill does not run"
    process.signal(signal.SIGKILL)
    while process.alive:
        time.sleep(0.01)


def _start(running: Running) -> None:
    running.processes.up(say=lambda line: None)


def _victim(running: Running) -> Any:
    return next(server for server in servers(running.config) if server.name == VICTIM)


def _kept(running: Running) -> int:
    """Copies that other nodes keep for the one that was down."""
    kept = 0
    for said in running.client.status().values():
        if isinstance(said, str):
            continue
        kept += said["hints"].get(VICTIM, {}).get("copies", 0)
    return kept


def _await_agreement(running: Running) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while _kept(running):
        if time.monotonic() > deadline:
            raise SystemExit(f"{_kept(running):,} copies still wait after {PATIENCE_S:.0f} s")
        time.sleep(0.05)


def _row(phase: str, latencies: Latencies) -> None:
    median, tail = median_and_tail(latencies)
    rate = len(latencies) / SECONDS
    print(f"{phase:30} {rate:8,.0f}/s {median:7.1f} {tail:8.1f}", flush=True)


if __name__ == "__main__":
    main()
