"""What is told of a job when it is over, as plain data for JSON: `_SUCCESS`, status, `--json`."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from mapreduce.engine.orders import TaskResult
from mapreduce.engine.status import JobStatus, StageStatus


def total_counters(results: Iterable[TaskResult]) -> dict[str, int]:
    """The counters of the winning attempts together: each task counts once."""
    total: Counter[str] = Counter()
    for result in results:
        total.update(result.counters)
    return dict(sorted(total.items()))


def summarise(status: JobStatus, results: Iterable[TaskResult], now: float) -> dict[str, Any]:
    """A job at the moment `now` of the scheduler's clock. Times are in seconds."""
    return {
        "job": status.job,
        "state": str(status.state.value),
        "seconds": round((status.ended_at or now) - status.started_at, 3),
        "map": _stage(status.map, now),
        "reduce": _stage(status.reduce, now),
        "counters": total_counters(results),
    }


def _stage(stage: StageStatus, now: float) -> dict[str, Any]:
    began = stage.started_at
    return {
        "tasks": stage.total,
        "seconds": 0.0 if began is None else round((stage.ended_at or now) - began, 3),
        "failed_attempts": stage.failed_attempts,
        "lost_attempts": stage.lost_attempts,
        "localities": stage.localities,
    }
