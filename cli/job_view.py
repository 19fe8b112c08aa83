"""What a job's record looks like to people: its line in a list, its stages, its summary.

A record is what the master answers to `job_status`, as plain dicts: see
`mapreduce.cluster.records.JobRecord`.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import click

from cli import show
from mapreduce.runners.bars import STAGES, label

Record = Mapping[str, Any]

ENDED = ("succeeded", "failed", "killed")
TASKS_SHOWN = 10
SKIPPED_SHOWN = 10
JOB_COLUMNS = ("job", "state", "map", "reduce", "created", "time", "output")


def ended(record: Record) -> bool:
    return record["state"] in ENDED


def job_row(record: Record) -> tuple[str, ...]:
    """A job's line in the list of jobs, in the order of `JOB_COLUMNS`."""
    return (
        record["name"],
        "paused" if record["paused"] else record["state"],
        _share(record["map"]),
        _share(record["reduce"]),
        show.moment(record["created_at"]),
        show.duration(seconds(record)),
        record["output"],
    )


def seconds(record: Record) -> float | None:
    """From the start of the latest run to its end, or until now."""
    if record["started_at"] is None:
        return None
    return float((record["ended_at"] or time.time()) - record["started_at"])


def summary(record: Record) -> list[str]:
    """A job in a few lines: state, time per phase, tasks by locality, counters, output."""
    lines = [f"job {record['name']}: {_state(record)}"]
    lines += _told(record["told"][: record["step"] - 1], record["steps"])
    nothing_waits = {"waiting": 0} if ended(record) else {}
    lines += [
        _line(label(stage, record), {**record[stage], **nothing_waits})
        for stage in STAGES
        if record[stage]["total"]
    ]
    lines += _running(record["tasks"])
    lines += _slowest(record["slowest"])
    if record["backups"]:
        lines.append(f"  {show.number_of(record['backups'], 'slow task')} started a second time")
    if record["set_aside"]:
        lines.append(f"  set aside, as too much failed there: {', '.join(record['set_aside'])}")
    lines += _counters(record["counters"]) + _skipped(record.get("skipped", ()))
    written = f"{record['output_records']:,} records, {show.size(record['output_bytes'])}"
    if record["state"] == "succeeded":
        lines.append(f"  output   {record['output']}: {written}")
    lines += _indented("error", record["error"])
    if not _told_in(record["first_error"], record["error"]):
        lines += _indented("the first error, of a task that was tried again", record["first_error"])
    return lines


def local_summary(told: Record, output: str) -> list[str]:
    """The same of a run without a cluster, from what `RunResult.summary` tells."""
    lines = [f"job {told['job']}: {told['state']} in {show.duration(told['seconds'])}"]
    lines += _told(told["steps"], len(told["steps"]))
    lines += _counters(told["counters"]) + _skipped(told.get("skipped", ()))
    return [*lines, f"  output   {output}"]


def _told(ended_steps: Sequence[Record], steps: int) -> list[str]:
    """The first of all `steps`, which have ended: a line for each of their stages."""
    lines = []
    for number, step in enumerate(ended_steps, 1):
        for stage, counts in step.items():
            if counts["tasks"]:
                name = label(stage, {"step": number, "steps": steps})
                done = {"done": counts["tasks"], "total": counts["tasks"]}
                lines.append(_line(name, {**counts, **done}))
    return lines


def _running(tasks: Sequence[Record]) -> list[str]:
    """
    >>> _running([{"attempt": "map-00003.1", "worker": "w1", "seconds": 12.3, "progress": 0.5,
    ...            "status": "page 7"}])
    ['  running  map-00003.1 on w1 for 12.30 s, 50%: page 7']
    """
    lines = []
    for task in tasks[:TASKS_SHOWN]:
        share = "" if task["progress"] is None else f", {task['progress']:.0%}"
        said = f": {task['status']}" if task["status"] else ""
        taken = show.duration(task["seconds"])
        lines.append(f"  running  {task['attempt']} on {task['worker']} for {taken}{share}{said}")
    if len(tasks) > TASKS_SHOWN:
        lines.append(f"           and {len(tasks) - TASKS_SHOWN} more")
    return lines


def _line(label: str, stage: Record) -> str:
    return f"  {label:<8} {_stage(stage)}"


def print_summary(record: Record) -> None:
    for line in summary(record):
        click.echo(line)


def _counters(counters: Mapping[str, int]) -> list[str]:
    if not counters:
        return []
    width = max(map(len, counters))
    return ["  counters", *(f"    {name:<{width}}  {n:>14,}" for name, n in counters.items())]


def _skipped(records: Sequence[Record]) -> list[str]:
    """The first of the records that were left out."""
    if not records:
        return []
    shown = [
        f"    {record['input'] or 'the key'} {record['position']}: {record['error']}"
        for record in records[:SKIPPED_SHOWN]
    ]
    if more := len(records) - len(shown):
        shown.append(f"    and {more:,} more, which `_SUCCESS` and --json tell of")
    return ["  skipped", *shown]


def _state(record: Record) -> str:
    state = "writing its output" if record.get("committing") else record["state"]
    state += ", paused," if record.get("paused") else ""
    taken = seconds(record)
    return (
        state
        if taken is None
        else f"{state} {'in' if ended(record) else 'for'} " + (show.duration(taken))
    )


def _stage(stage: Record) -> str:
    """
    >>> _stage({"done": 3, "total": 4, "seconds": 1.5, "failed_attempts": 0,
    ...         "lost_attempts": 1, "localities": {"node": 2, "remote": 1}})
    '3 of 4 tasks in 1.50 s; 2 beside their data, 1 elsewhere; 1 attempt lost and repeated'
    """
    parts = [f"{_share(stage, ' of ')} tasks"]
    if stage["seconds"] is not None:
        parts[0] += f" in {show.duration(stage['seconds'])}"
    if stage.get("running"):
        parts.append(f"{stage['running']} running")
    parts += _waiting(stage)
    if stage.get("seconds_left") is not None:
        parts.append(f"{stage['rate']:.1f} a second, {show.duration(stage['seconds_left'])} left")
    places = {"node": "beside their data", "host": "on its machine", "remote": "elsewhere"}
    if any(stage["localities"].get(key) for key in places):
        counted = ((stage["localities"].get(key, 0), text) for key, text in places.items())
        parts.append(", ".join(f"{number} {text}" for number, text in counted if number))
    for key, what in (("failed_attempts", "failed"), ("lost_attempts", "lost and repeated")):
        if number := stage[key]:
            parts.append(f"{number} attempt{'s' if number > 1 else ''} {what}")
    return "; ".join(parts)


def _waiting(stage: Record) -> list[str]:
    """
    >>> _waiting({"waiting": 3, "waits": {"for a free slot": 2, "beside its data": 1}})
    ['3 waiting (2 for a free slot, 1 beside its data)']
    """
    if not stage.get("waiting"):
        return []
    why = ", ".join(f"{number} {reason}" for reason, number in stage.get("waits", {}).items())
    return [f"{stage['waiting']} waiting" + (f" ({why})" if why else "")]


def _slowest(tasks: Sequence[Record]) -> list[str]:
    """
    >>> _slowest([{"attempt": "map-00003.1", "worker": "w1", "seconds": 12.3}])
    ['  slowest  map-00003.1 on w1: 12.30 s']
    """
    return [
        f"  {'' if index else 'slowest':<8} {task['attempt']} on {task['worker']}: "
        + show.duration(task["seconds"])
        for index, task in enumerate(tasks)
    ]


def _told_in(first_error: str, error: str) -> bool:
    """Whether what the first attempt that failed said is no news behind the job's own error.

    >>> _told_in("map-00003 on w1: ValueError: x", "all 4 attempts; the last said: ValueError: x")
    True
    """
    _, _, said = first_error.partition(": ")
    return said in error


def _indented(title: str, text: str) -> list[str]:
    return [f"  {title}", *(f"    {line}" for line in text.splitlines())] if text else []


def _share(stage: Record, between: str = "/") -> str:
    return f"{stage['done']}{between}{stage['total']}" if stage["total"] else ""
