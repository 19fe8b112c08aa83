"""Empty tasks on a warm cluster: what a task costs that does nothing, in time and in processor time
of each kind of process; beside the same by others that are warm.

Three nodes, a master, a worker with two slots, all on this machine. A task is one number of
`range:10000`, and its mapper gives nothing. PySpark gets fewer tasks: it takes long for each.
"""

import os
import tempfile
from pathlib import Path
from typing import NamedTuple

from benchmarks import warm
from benchmarks.measured import family
from benchmarks.warm import OTHERS
from cli.cluster_processes import ClusterProcesses, servers
from cli.local_cluster import write_config
from dynamo.config import ClusterConfig
from mapreduce import Job, Mapper, Reducer

TASKS = 10_000
FEW = 500
SLOTS = 2
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Nothing(Mapper):
    def map(self, key: int, value: int) -> None:
        pass


class Took(NamedTuple):
    """The map tasks of one job: wall time, and processor seconds by kind of process."""

    seconds: float
    processor_s: dict[str, float]


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        config = write_config(Path(name), nodes=3, workers=1, slots=SLOTS)
        processes = ClusterProcesses(config)
        processes.up(say=lambda line: None)
        try:
            run(config, processes, 100)  # warm
            took = run(config, processes, TASKS)
        finally:
            processes.down(say=lambda line: None)
    compare(took.seconds, TASKS)
    report(took, TASKS)


def compare(seconds: float, tasks: int) -> None:
    """The table: ours, which took so long for `tasks`, and the others."""
    ours = tasks / seconds
    print("| | tasks | tasks a second | ÷ ours |")
    print("|---|---:|---:|---:|")
    print(f"| ours, on the cluster | {tasks:,} | {ours:,.0f} | 1.00 |")
    for other in OTHERS:
        number = FEW if other.name == "PySpark" else tasks
        if other.missing:
            print(warm.not_installed(other, 4))
        else:
            rate = number / min(warm.said_seconds(other, "tasks", number))
            print(f"| {other.name} | {number:,} | {rate:,.0f} | {rate / ours:.2f} |")
    print()


def run(config: ClusterConfig, processes: ClusterProcesses, tasks: int) -> Took:
    """One job of so many empty tasks."""
    before = processor_seconds(config, processes)
    job = Job("empty", mapper=Nothing, reducer=Reducer)
    result = job.run(f"range:{tasks}", runner="cluster", cluster=config.path)
    after = processor_seconds(config, processes)
    [step] = result.summary["steps"]
    return Took(
        step["map"]["seconds"], {kind: after[kind] - before.get(kind, 0.0) for kind in after}
    )


def report(took: Took, tasks: int) -> None:
    print(f"{tasks:,} empty tasks in {took.seconds:.1f} s: {tasks / took.seconds:,.0f} a second")
    print("processor time for each task, in microseconds:")
    for kind, seconds in took.processor_s.items():
        print(f"  {kind:8} {seconds / tasks * 1e6:7.0f}")
    print(f"  {'all':8} {sum(took.processor_s.values()) / tasks * 1e6:7.0f}")


def processor_seconds(config: ClusterConfig, processes: ClusterProcesses) -> dict[str, float]:
    """What the cluster's processes have used so far, by kind; a worker's children apart."""
    used = {"node": 0.0, "master": 0.0, "worker": 0.0, "child": 0.0}
    for server in servers(config):
        if process := processes.process(server):
            used[server.kind] += _processor_s(process.pid)
            if server.kind == "worker":
                used["child"] += sum(_processor_s(pid) for pid in family(process.pid))
                used["child"] -= _processor_s(process.pid)
    return used


def _processor_s(pid: int) -> float:
    """User and system time of a process (proc(5)); Linux only."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
