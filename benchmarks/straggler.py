"""What copies of slow tasks are worth: a job on eight workers of which one is ten times slower than
the others, with backups and without, beside the same job on equals.

Its tasks do nothing but take their time, two seconds each, so that eight workers are eight on two
cores too. Those of the slow worker take ten times as long, as if their disk were bad. The scheduler
is told nothing of it. In the paper a sort on 1,746 workers took 44% longer without backups
(Dean & Ghemawat, "MapReduce", OSDI 2004, section 5.4).
"""

import io
import os
import statistics
import sys
import time
from typing import NamedTuple

from benchmarks.cluster import Running, cluster
from cli.cluster_processes import servers
from dynamo import files
from mapreduce import Job, Mapper, Reducer
from mapreduce.runners.cluster import Cluster

WORKERS, SLOTS = 8, 2
MAPS, REDUCES = 48, 16
RECORDS = 20
"""In each task, be it lines or keys."""
LINES = "".join(f"line {number}\n" for number in range(RECORDS)).encode()
TASK_S = 2.0
SLOWER = 10.0
SLOW = "w8"
ROUNDS = 2
OF_THE_PAPER = 0.44


class Paced:
    def take_time(self):
        """The time of a record, or ten times as much where the task's parent is the slow worker."""
        is_slow = self.context.params["slow"] == str(os.getppid())
        time.sleep(float(self.context.params["record_s"]) * (SLOWER if is_slow else 1.0))


class Lines(Paced, Mapper):
    def map(self, key, value):
        self.take_time()
        yield from (((reduce, value), 1) for reduce in range(self.context.reducers))


class Counts(Paced, Reducer):
    def reduce(self, key, values):
        self.take_time()
        yield key, sum(values)


def to_its_reduce(key, partitions):
    return key[0]


class Case(NamedTuple):
    slow: bool
    backups: bool


CASES = {
    "eight equals": Case(slow=False, backups=True),
    "one is ten times slower": Case(slow=True, backups=True),
    "the same, `--no-backups`": Case(slow=True, backups=False),
}


class Took(NamedTuple):
    """The seconds of a job, and how many copies of tasks were run."""

    seconds: float
    copies: int


def main() -> None:
    with cluster(masters=1, workers=WORKERS, slots=SLOTS) as running:
        report(rounds(running))


def rounds(
    running: Running, maps: int = MAPS, reduces: int = REDUCES, task_s: float = TASK_S
) -> dict[str, list[Took]]:
    """What each case took in each round."""
    took: dict[str, list[Took]] = {name: [] for name in CASES}
    with Cluster(running.config.path) as ours:
        for number in range(maps):
            files.write(ours.store, f"/lines/{number}", io.BytesIO(LINES))
        run(ours, Case(slow=False, backups=True), reduces, 0.0, "")  # warm
        for _ in range(ROUNDS):
            for name, case in CASES.items():
                took[name].append(run(ours, case, reduces, task_s, worker_id(running)))
                print(f"  {name}: {took[name][-1].seconds:.1f} s", file=sys.stderr)
    return took


def run(ours: Cluster, case: Case, reduces: int, task_s: float, slow: str) -> Took:
    """One job; stops the benchmark if its output is not right."""
    job = Job(
        "straggler",
        mapper=Lines,
        reducer=Counts,
        partitioner=to_its_reduce,
        reducers=reduces,
        split_bytes=len(LINES),
        params={"slow": slow if case.slow else "", "record_s": task_s / RECORDS},
        backups=case.backups,
    )
    began = time.perf_counter()
    handle = ours.submit(job, "/lines")
    counts = dict(handle.results())
    seconds = time.perf_counter() - began
    if len(counts) != reduces * RECORDS or len(set(counts.values())) != 1:
        raise SystemExit(f"the output is wrong: {counts}")
    return Took(seconds, int(handle.record()["backups"]))


def worker_id(running: Running) -> str:
    """The process id of the worker that is slow."""
    known = {server.name: server for server in servers(running.config) if server.kind == "worker"}
    process = running.processes.process(known.get(SLOW) or list(known.values())[-1])
    assert process
    return str(process.pid)


def report(took: dict[str, list[Took]]) -> None:
    equals, copied, alone = took.values()
    print("| | seconds | lost, s | ratio | copies |")
    print("|---|---:|---:|---:|---:|")
    for name, some in took.items():
        seconds = statistics.median(each.seconds for each in some)
        lost = statistics.median(a.seconds - b.seconds for a, b in zip(some, equals))
        copies = ", ".join(str(each.copies) for each in some)
        print(f"| {name} | {seconds:.1f} | {lost:.1f} | {ratio(some, equals):.2f} | {copies} |")
    gain = ratio(alone, copied) - 1
    print(f"\nwithout backups it takes {gain:.0%} longer (the paper: {OF_THE_PAPER:.0%})")


def ratio(some: list[Took], others: list[Took]) -> float:
    """How many times as long some took as others in the same round, the median."""
    return statistics.median(a.seconds / b.seconds for a, b in zip(some, others))


if __name__ == "__main__":
    main()
