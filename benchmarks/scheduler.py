"""The scheduler alone: events a second, its slowest events, and its memory.

A virtual cluster with a store node beside each worker and three replicas of each task's data. Tasks
end in the order in which they were given out, in turns of half a virtual second; in between each
worker reports twice and time passes. Three loads for each size: one job of maps and reduces, the
same with a failure for each hundred attempts, and ten jobs at once.

Memory is what the process has more than before, with all tasks done and their results kept (of 50
bytes, as if they were numbers and names).
"""

import gc
import resource
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mapreduce.engine.events import (
    Action,
    AttemptFailed,
    AttemptId,
    AttemptSucceeded,
    CommitJob,
    Event,
    JobCommitted,
    JobEnded,
    JobStarted,
    JobState,
    RunAttempt,
    Tick,
    WorkerReported,
)
from mapreduce.engine.scheduler import Scheduler

SIZES = ((1_000, 10), (10_000, 100), (100_000, 1_000))
"""Tasks, and workers."""
SLOTS = 4
REDUCES = 0.1
"""The part of the tasks that are reduces."""
FAILURES = 100
TURN_S = 0.5
COLUMNS = "{:38} {:>9} {:>10} {:>12} {:>12} {:>8}"


@dataclass
class Cluster:
    """Drives one scheduler, and takes the CPU time of each event."""

    workers: int
    jobs_left: int
    every_nth_fails: int
    now: float = 0.0
    scheduler: Scheduler = field(default_factory=Scheduler)
    running: deque[tuple[AttemptId, str]] = field(default_factory=deque)
    seconds: list[float] = field(default_factory=list)
    """How long each event took."""

    def tell(self, event: Event) -> None:
        began = time.process_time()
        actions = self.scheduler.handle(event, self.now)
        self.seconds.append(time.process_time() - began)
        for action in actions:
            self.perform(action)

    def perform(self, action: Action) -> None:
        if isinstance(action, RunAttempt):
            self.running.append((action.attempt, action.worker))
        elif isinstance(action, CommitJob):
            self.tell(JobCommitted(action.job))
        elif isinstance(action, JobEnded):
            assert action.state is JobState.SUCCEEDED, action.error
            self.jobs_left -= 1

    def report(self) -> None:
        """Each worker tells what it runs, twice, and the clock goes on."""
        working: dict[str, list[AttemptId]] = {}
        for attempt, worker in self.running:
            working.setdefault(worker, []).append(attempt)
        for _ in range(2):
            self.now += TURN_S / 2
            for number in range(self.workers):
                name = f"w{number}"
                reported = tuple(working.get(name, ()))
                self.tell(WorkerReported(name, f"n{number}", SLOTS, reported, f"h{number // 4}"))
            self.tell(Tick())

    def work(self) -> None:
        """Run what there is to its end."""
        while self.jobs_left:
            self.report()
            for _ in range(len(self.running)):
                attempt, worker = self.running.popleft()
                self.tell(self.outcome(attempt, worker))
        assert not any(worker.running for worker in self.scheduler.workers())

    def outcome(self, attempt: AttemptId, worker: str) -> Event:
        if self.every_nth_fails and len(self.seconds) % self.every_nth_fails == 0:
            return AttemptFailed(attempt, worker, "it failed")
        return AttemptSucceeded(attempt, worker, bytes(17))


def job(name: str, tasks: int, workers: int) -> JobStarted:
    """A job whose map `i` has its data on the nodes i, i + 1 and i + 2."""
    reduces = int(tasks * REDUCES)
    return JobStarted(
        name, tuple(_replicas(tasks - reduces, workers)), tuple(_replicas(reduces, workers)), 100
    )


def _replicas(tasks: int, workers: int) -> Iterator[tuple[str, ...]]:
    for index in range(tasks):
        yield tuple(f"n{(index + replica) % workers}" for replica in range(3))


def run(tasks: int, workers: int, jobs: int = 1, every_nth_fails: int = 0) -> Cluster:
    """All tasks, in `jobs` jobs, to their end."""
    cluster = Cluster(workers, jobs, every_nth_fails)
    cluster.report()
    for number in range(jobs):
        cluster.tell(job(f"job{number}", tasks // jobs, workers))
    cluster.work()
    return cluster


def main() -> None:
    print(COLUMNS.format("", "events", "events/s", "99.9%", "slowest", "MiB"))
    for tasks, workers in SIZES:
        for what, jobs, fails in (("one job", 1, 0), ("1% fail", 1, FAILURES), ("ten jobs", 10, 0)):
            gc.collect()
            before = _memory_mib()
            cluster = run(tasks, workers, jobs, fails)
            _row(f"{tasks:,} tasks, {workers:,} workers, {what}", cluster, _memory_mib() - before)
            del cluster


def _row(what: str, cluster: Cluster, mib: float) -> None:
    events, sorted_s = len(cluster.seconds), sorted(cluster.seconds)
    rate = events / sum(sorted_s)
    rare_us, slowest_ms = sorted_s[-1 - events // 1000] * 1e6, sorted_s[-1] * 1e3
    print(
        COLUMNS.format(
            what, f"{events:,}", f"{rate:,.0f}", f"{rare_us:,.0f} µs", f"{slowest_ms:,.1f} ms",
            f"{mib:,.0f}",
        ),
        flush=True,
    )  # fmt: skip


def _memory_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / (1 << 20)


if __name__ == "__main__":
    main()
