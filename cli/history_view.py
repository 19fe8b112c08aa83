"""Past runs of a job, as people and programs read them."""

import heapq
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from cli import show
from dynamo.errors import RequestError
from dynamo.store import Store

if TYPE_CHECKING:
    from mapreduce.cluster.history import PastAttempt, PastTask
    from mapreduce.cluster.records import JobRecord

RUN_COLUMNS = ("run", "state", "began", "time", "maps", "reduces", "failed", "lost")
TASK_COLUMNS = ("attempt", "state", "worker", "locality", "after", "time")


def print_history(
    store: Store, name: str, run_id: str | None, slowest: int | None, as_json: bool
) -> None:
    """The runs of a job, and the tasks of the latest or of `run_id`."""
    import msgspec

    from mapreduce.cluster import history

    runs = history.runs(store, name)
    chosen = _chosen(name, runs, run_id)
    tasks = list(history.tasks(store, name, chosen.run)) if chosen else []
    if slowest:
        tasks = heapq.nlargest(slowest, tasks, key=_seconds)
    if as_json:
        told = {"runs": runs, "run": chosen and chosen.run, "tasks": tasks}
        show.as_json(msgspec.to_builtins(told))
    elif chosen is None:
        click.echo(f"no run of job {name} has ended yet", err=True)
    else:
        show.table(RUN_COLUMNS, map(_run_row, runs))
        click.echo(f"\ntasks of {chosen.run}:")
        show.table(TASK_COLUMNS, _task_rows(tasks, chosen))


def _chosen(name: str, runs: Sequence["JobRecord"], run_id: str | None) -> "JobRecord | None":
    if run_id is None:
        return runs[0] if runs else None
    for run in runs:
        if run.run == run_id:
            return run
    raise RequestError(
        f"job {name} has no past run {run_id!r}; `mapreduce history {name}` lists them"
    )


def _run_row(record: "JobRecord") -> tuple[Any, ...]:
    stages = [stage for step in record.told for stage in step.values()]
    tasks = {kind: sum(s[kind]["tasks"] for s in record.told) for kind in ("map", "reduce")}
    taken = (record.ended_at or 0.0) - (record.started_at or 0.0)
    return (
        record.run,
        record.state.value,
        show.moment(record.started_at or 0.0),
        show.duration(taken),
        *tasks.values(),
        sum(stage["failed_attempts"] for stage in stages),
        sum(stage["lost_attempts"] for stage in stages),
    )


def _task_rows(tasks: Iterable["PastTask"], record: "JobRecord") -> Iterable[tuple[Any, ...]]:
    """A row for each attempt; "after" counts from the start of the run."""
    for task in tasks:
        step = f"{task.step}/" if record.steps > 1 else ""
        for attempt in task.attempts:
            yield (
                f"{step}{task.task}.{attempt.number}" + (" (backup)" if attempt.backup else ""),
                attempt.state,
                attempt.worker,
                attempt.locality,
                show.duration(max(0.0, attempt.started_at - (record.started_at or 0.0))),
                show.duration(_taken(attempt)),
            )


def _taken(attempt: "PastAttempt") -> float | None:
    return None if attempt.ended_at is None else attempt.seconds


def _seconds(task: "PastTask") -> float:
    """How long the longest attempt of a task took."""
    return max((attempt.seconds for attempt in task.attempts), default=0.0)
