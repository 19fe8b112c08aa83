"""Word count and sort on a cluster of three nodes, beside the `local` runner.

The input of the cluster's jobs is in its store, three copies of it, and so is their output; the
local runner reads and writes files. Both use two processes for tasks: on the cluster two workers
with a slot each. Three rounds in which all take turns; the outputs are compared. Processor time is
that of all processes that took part, the client apart: on the cluster by kind.
"""

import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks import tables, zipf
from benchmarks.cluster import Running, cluster
from benchmarks.contest import PROCESSES, Answer, any_order, in_order
from benchmarks.programs import our_jobs
from benchmarks.sort import RECORDS
from benchmarks.tasks import processor_seconds
from benchmarks.words import SIZE_BYTES
from dynamo import files
from mapreduce.runners.cluster import Cluster

ROUNDS = 3
AIM = 2.0
KINDS = ("child", "worker", "master", "node")


class Workload(NamedTuple):
    """A job of `our_jobs`, and what it reads."""

    job: str
    make: Callable[[], Path]
    check: Callable[[Path], Answer]


class Took(NamedTuple):
    """Wall time, and processor seconds by kind of process."""

    seconds: float
    processor_s: dict[str, float]

    @property
    def all_s(self) -> float:
        return sum(self.processor_s.values())


WORKLOADS = (
    Workload("words", lambda: zipf.text(SIZE_BYTES), any_order),
    Workload("sort", lambda: tables.records(RECORDS), in_order),
)


def main() -> None:
    with cluster(masters=3, workers=PROCESSES, slots=1) as running:
        held = [(load, *rounds(running, load)) for load in WORKLOADS]
    report(held)


def report(held: list[tuple[Workload, list[Took], list[Took]]]) -> None:
    print("| | local, s | cluster, s | ratio | local, CPU s | cluster, CPU s | ratio |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for load, here, there in held:
        print(_row(load.job, here, there))
    print()
    for load, here, there in held:
        shares = (
            f"{kind} {statistics.median(took.processor_s[kind] for took in there):.1f}"
            for kind in KINDS
        )
        print(f"{load.job}: CPU seconds on the cluster: {', '.join(shares)}")
        times = statistics.median(b.seconds / a.seconds for a, b in zip(here, there))
        print(f"{load.job}: {times:.2f} times the `local` runner (aim: at most {AIM})")


def _row(name: str, here: list[Took], there: list[Took]) -> str:
    cells = []
    for measure in (lambda took: took.seconds, lambda took: took.all_s):
        ones, others = list(map(measure, here)), list(map(measure, there))
        times = statistics.median(b / a for a, b in zip(ones, others))
        cells += [f"{statistics.median(ones):.1f}", f"{statistics.median(others):.1f}"]
        cells += [f"{times:.2f}"]
    return f"| {name} | {' | '.join(cells)} |"


def rounds(running: Running, load: Workload) -> tuple[list[Took], list[Took]]:
    """What each round took, here and there."""
    source = load.make()
    with source.open("rb") as file:
        files.write(running.client, f"/{source.name}", file)
    here, there = [], []
    with Cluster(running.config.path) as ours:
        for _ in range(ROUNDS):
            with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
                folder = Path(name)
                here.append(locally(load, source, folder / "local"))
                there.append(on_the_cluster(running, ours, load, source, folder / "cluster"))
                print(
                    f"  {load.job}: local {here[-1].seconds:.1f} s, "
                    f"cluster {there[-1].seconds:.1f} s",
                    file=sys.stderr,
                )
                if load.check(folder / "local") != load.check(folder / "cluster"):
                    raise SystemExit(f"{load.job}: the cluster's output is not the local one")
    return here, there


def locally(load: Workload, source: Path, output: Path) -> Took:
    before, began = _processor_s(), time.perf_counter()
    our_jobs.run(load.job, output, source, processes=PROCESSES)
    return Took(time.perf_counter() - began, {"all": _processor_s() - before})


def _processor_s() -> float:
    """What this process and its children that have ended have used."""
    of_all = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(used.ru_utime + used.ru_stime for used in of_all)


def on_the_cluster(
    running: Running, ours: Cluster, load: Workload, source: Path, output: Path
) -> Took:
    """The same job on the cluster; its output is downloaded when it's over, and removed."""
    before = processor_seconds(running.config, running.processes)
    began = time.perf_counter()
    result = ours.run(our_jobs.JOBS[load.job](f"/{source.name}"), output=f"/out/{load.job}")
    seconds = time.perf_counter() - began
    after = processor_seconds(running.config, running.processes)
    output.mkdir()
    for path in files.under(ours.store, result.output):
        (output / Path(path).name).write_bytes(b"".join(files.read(ours.store, path)))
        files.remove(ours.store, path)
    return Took(seconds, {kind: after[kind] - before[kind] for kind in KINDS})


if __name__ == "__main__":
    main()
