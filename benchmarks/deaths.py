"""What a death costs: a word count in whose middle a worker, a store node or the leading master is
killed (SIGKILL), beside the same job undisturbed.

Three nodes, N=3, three masters, two workers with a slot each. The victim is killed when half of the
map tasks are done, and started again only when the job has ended. After the leader's death
it's also taken how long it takes until another master says that it leads.
"""

import os
import signal
import statistics
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

from benchmarks import zipf
from benchmarks.cluster import Running, cluster
from benchmarks.programs import our_jobs
from cli.cluster_processes import Server, servers
from dynamo import files
from mapreduce.cluster.connection import Connection
from mapreduce.runners.cluster import Cluster
from mapreduce.runners.handle import JobHandle

SIZE_BYTES = 128 << 20
SPLIT_BYTES = 4 << 20
ROUNDS = 3
LEADER_AIM_S = 3.0
LOOK_S = 0.02
PATIENCE_S = 60.0
"""A leader that has not come by then won't come."""

Victim = Callable[[Running], Server]
"""Who is to die, looked up at the last moment."""


class Took(NamedTuple):
    """One job, and how long there was no leader."""

    seconds: float
    without_leader_s: float = 0.0


def main() -> None:
    with cluster(masters=3, workers=2, slots=1) as running:
        source = zipf.text(SIZE_BYTES)
        with source.open("rb") as file:
            files.write(running.client, "/text", file)
        run(running, None)  # warm
        report(rounds(running))


VICTIMS: dict[str, Victim | None] = {
    "undisturbed": None,
    "a worker dies": lambda running: _server(running, "worker", "w2"),
    "a store node dies": lambda running: _server(running, "node", "n2"),
    "the leading master dies": lambda running: _server(running, "master", leader(running)),
}


def rounds(running: Running) -> dict[str, list[Took]]:
    """What each case took in each round."""
    took: dict[str, list[Took]] = {name: [] for name in VICTIMS}
    for _ in range(ROUNDS):
        for name, victim in VICTIMS.items():
            took[name].append(run(running, victim))
            print(f"  {name}: {took[name][-1].seconds:.1f} s", file=sys.stderr)
    return took


def report(took: dict[str, list[Took]]) -> None:
    calm = took["undisturbed"]
    print("| | seconds | lost, s | ratio |")
    print("|---|---:|---:|---:|")
    for name, some in took.items():
        seconds = statistics.median(each.seconds for each in some)
        lost = statistics.median(one.seconds - other.seconds for one, other in zip(some, calm))
        times = statistics.median(one.seconds / other.seconds for one, other in zip(some, calm))
        print(f"| {name} | {seconds:.1f} | {lost:.1f} | {times:.2f} |")
    gaps = sorted(each.without_leader_s for each in took["the leading master dies"])
    told = ", ".join(f"{gap:.1f}" for gap in gaps)
    print(f"\na new leader answers after {told} s (aim: {LEADER_AIM_S:g} s)")


def run(running: Running, victim: Victim | None) -> Took:
    """One word count, with or without a death; the dead live again afterwards."""
    with Cluster(running.config.path) as ours:
        job = our_jobs.JOBS["words"]("/text")
        job.split_bytes = SPLIT_BYTES
        began = time.perf_counter()
        handle = ours.submit(job, output="/out")
        gap_s = 0.0
        if victim:
            _await_half(handle)
            gap_s = kill(running, victim(running))
        handle.results()
        seconds = time.perf_counter() - began
        for path in files.under(ours.store, "/out"):
            files.remove(ours.store, path)
    running.processes.up(say=lambda line: None)
    return Took(seconds, gap_s)


def _await_half(handle: JobHandle) -> None:
    """Return when half of the map tasks are done."""
    while (status := handle.status()).map.done * 2 < status.map.total and not status.state.ended:
        time.sleep(LOOK_S)


def kill(running: Running, server: Server) -> float:
    """Kill a server; how long it took until there was a leader again, if it was the leader."""
    process = running.processes.process(server)
    assert process
    os.kill(process.pid, signal.SIGKILL)
    began = time.perf_counter()
    while server.kind == "master" and not leader(running):
        if time.perf_counter() - began > PATIENCE_S:
            raise SystemExit(f"no master has come to lead in {PATIENCE_S:g} s")
        time.sleep(LOOK_S)
    return time.perf_counter() - began


def leader(running: Running) -> str:
    """The name of the master that leads and answers, "" if there is none."""
    masters = Connection(running.config.master_addresses.values())
    try:
        answers = masters.standings().values()
        return next((str(answer["master"]) for answer in answers if answer["leads"]), "")
    finally:
        masters.close()


def _server(running: Running, kind: str, name: str) -> Server:
    [found] = [s for s in servers(running.config) if (s.kind, s.name) == (kind, name)]
    return found


if __name__ == "__main__":
    main()
