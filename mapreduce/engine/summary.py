"""What is told of a job when it is over, as plain data for JSON: `_SUCCESS`, status, `--json`."""

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mapreduce.engine.events import Locality
from mapreduce.engine.orders import TaskResult
from mapreduce.engine.status import JobStatus, StageStatus

SKIPPED_TOLD = 1000
"""Of the records that were left out so many are told of; all are counted."""


def total_counters(results: Iterable[TaskResult]) -> Counter[str]:
    """The counters of the winning attempts together: each task counts once."""
    total: Counter[str] = Counter()
    for result in results:
        total.update(result.counters)
    return total


def locality_counters(status: JobStatus) -> Counter[str]:
    """How many tasks of a step ran beside their data, how many on a machine that has it, and how
    many elsewhere; those that had no place to run at don't count."""
    counters: Counter[str] = Counter()
    for name, tasks in (("map", status.map), ("reduce", status.reduce)):
        counters[f"{name}_tasks_beside_data"] = tasks.localities.get(Locality.NODE, 0)
        counters[f"{name}_tasks_on_host"] = tasks.localities.get(Locality.HOST, 0)
        counters[f"{name}_tasks_elsewhere"] = tasks.localities.get(Locality.REMOTE, 0)
    return +counters


def skipped_records(results: Iterable[TaskResult], step: int) -> list[dict[str, Any]]:
    """What tasks of a step, which is counted from 0, have left out, as far as it is told."""
    all_skipped = (skipped for result in results for skipped in result.skipped)
    return [
        {"step": step + 1, "input": s.input, "position": s.position, "error": s.error}
        for s in itertools.islice(all_skipped, SKIPPED_TOLD)
    ]


def summarise(
    job: str,
    seconds: float,
    steps: Sequence[Mapping[str, Any]],
    counters: Mapping[str, int],
    skipped: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """A job that has succeeded, after `seconds`. `steps` as from `step`, `skipped` as from
    `skipped_records`: it is told only if there are any."""
    told = {"skipped": list(skipped)} if skipped else {}
    return {
        "job": job,
        "state": "succeeded",
        "seconds": round(seconds, 3),
        "steps": list(steps),
        "counters": dict(counters),
    } | told


def step(status: JobStatus, now: float) -> dict[str, Any]:
    """One step at the moment `now` of the scheduler's clock. Times are in seconds."""
    return {"map": stage(status.map, now), "reduce": stage(status.reduce, now)}


def stage(stage: StageStatus, now: float) -> dict[str, Any]:
    """The map or the reduce tasks of a step, or those that sampled for it."""
    began = stage.started_at
    return {
        "tasks": stage.total,
        "seconds": 0.0 if began is None else round((stage.ended_at or now) - began, 3),
        "failed_attempts": stage.failed_attempts,
        "lost_attempts": stage.lost_attempts,
        "localities": stage.localities,
    }
