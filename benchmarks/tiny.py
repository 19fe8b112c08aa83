"""A tiny job on a warm cluster: the time from `submit` to its results in the client.

Three nodes with fsync, N=3, three masters, a worker with two slots, all on this machine. The job
counts the words of a file of ten lines in the store: one map task, one reduce task, an output that
is committed to the store, and read from there. It's submitted, awaited and read by
`mapreduce.runners.cluster.Cluster`, one job after the other. What clears up after a job goes on
while the next one runs.

The others count the same ten lines, which they have in memory, and keep nothing.
"""

import io
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

from benchmarks import warm
from benchmarks.cluster import cluster
from benchmarks.warm import LINES, OTHERS, Tail
from dynamo import files
from mapreduce import Job, Mapper, Reducer
from mapreduce.runners.cluster import Cluster

JOBS = 200
AIM_MS = 100
STEPS = ("submit", "wait", "results")


class Words(Mapper):
    def map(self, key, value):
        for word in value.split():
            yield word, 1


class Sum(Reducer):
    def reduce(self, key, values):
        yield key, sum(values)


def main() -> None:
    with cluster(masters=3, workers=1, slots=2) as running:
        took = run(running.config.path, JOBS)
    ours = warm.tail([sum(steps) for steps in took])
    print("| | median, ms | 99%, ms | median ÷ ours |")
    print("|---|---:|---:|---:|")
    print(row("ours, on the cluster", ours, ours))
    for other in OTHERS:
        if other.missing:
            print(warm.not_installed(other, 4))
        else:
            print(row(other.name, warm.tail(warm.said_seconds(other, "tiny", JOBS)), ours))
    print()
    for number, step in enumerate(STEPS):
        part = warm.tail([steps[number] for steps in took])
        print(f"of ours {step}: median {part.median_ms:.0f} ms, 99% {part.tail_ms:.0f} ms")
    print(f"ours: {ours.median_ms:.0f} ms (aim: {AIM_MS} ms)")


def row(name: str, found: Tail, ours: Tail) -> str:
    share = found.median_ms / ours.median_ms
    return f"| {name} | {found.median_ms:.0f} | {found.tail_ms:.0f} | {share:.2f} |"


def run(path: Path, jobs: int) -> list[list[float]]:
    """The seconds of each step of each job, some to warm up left out."""
    with Cluster(path) as ours:
        text = "".join(line + "\n" for line in LINES).encode()
        files.write(ours.store, "/tiny.txt", io.BytesIO(text))
        return [one(ours) for _ in range(jobs + warm.WARM)][warm.WARM :]


def one(ours: Cluster) -> list[float]:
    """Run one job; the seconds of each of its steps."""
    job = Job("tiny", mapper=Words, reducer=Sum)
    times = [time.perf_counter()]
    handle = ours.submit(job, "/tiny.txt")
    times.append(time.perf_counter())
    handle.wait(progress=False)
    times.append(time.perf_counter())
    found = dict(handle.results())
    times.append(time.perf_counter())
    assert found == Counter(word for line in LINES for word in line.split())
    return [later - earlier for earlier, later in pairwise(times)]


if __name__ == "__main__":
    main()
