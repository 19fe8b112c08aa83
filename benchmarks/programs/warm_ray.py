"""Ray on this machine, warm: tiny jobs and empty tasks. See `benchmarks.warm`."""

import logging
import sys
from collections import Counter

import ray

from benchmarks.warm import LINES, PROCESSES, say_seconds


@ray.remote
def count(lines: list[str]) -> Counter[str]:
    return Counter(word for line in lines for word in line.split())


@ray.remote
def add(counts: Counter[str]) -> dict[str, int]:
    return dict(counts)


@ray.remote
def nothing() -> None:
    pass


def tiny() -> None:
    assert len(ray.get(add.remote(count.remote(LINES)))) > 1


def tasks(number: int) -> None:
    ray.get([nothing.remote() for _ in range(number)])


if __name__ == "__main__":
    ray.init(num_cpus=PROCESSES, logging_level=logging.ERROR, include_dashboard=False)
    say_seconds(tiny, tasks, *sys.argv[1:])
    ray.shutdown()
