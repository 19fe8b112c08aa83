"""Jobs as a notebook shows them: a bar and a table, as HTML; and one that follows a running job.

A record is what the master answers to `job_status`: see `mapreduce.cluster.records.JobRecord`.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any

from mapreduce.cluster.connection import Record
from mapreduce.runners.bars import STAGES, counts, label

STAGE_COLUMNS = ("stage", "done", "running", "waiting", "tasks", "failed attempts", "seconds")
JOB_COLUMNS = ("job", "state", "map", "reduce", "created", "seconds", "output")


class View:
    """A job at one moment, for IPython's `display`."""

    def __init__(self, record: Record) -> None:
        self._record = record

    def _repr_html_(self) -> str:
        return job(self._record)


def is_here() -> bool:
    """True in a notebook's kernel."""
    if "IPython" not in sys.modules:
        return False
    return type(sys.modules["IPython"].get_ipython()).__name__ == "ZMQInteractiveShell"


@contextmanager
def live(record: Record) -> Iterator[Callable[[Record], object]]:
    """A view of a job below the cell; the block calls what it gets with newer records."""
    from IPython.display import display

    shown = display(View(record), display_id=True)
    yield lambda newer: shown.update(View(newer))


def job(record: Record) -> str:
    """A job: its state, a bar and a row for each stage, its counters, and why it failed."""
    title = f"<b>{escape(record['name'])}</b> {escape(_state(record))}"
    bars = "".join(_bar(stage, *done) for stage, done in counts(record).items())
    stages = [_stage_row(record, stage) for stage in STAGES if record[stage]["total"]]
    parts = [f"<p>{title}</p>", bars, table(STAGE_COLUMNS, stages)]
    if record["counters"]:
        counters = table(("counter", "value"), record["counters"].items())
        parts.append(f"<details><summary>counters</summary>{counters}</details>")
    if record["error"]:
        parts.append(f"<pre>{escape(record['error'])}</pre>")
    return "<div>" + "".join(parts) + "</div>"


def jobs(records: Iterable[Record]) -> str:
    """A table of jobs."""
    return table(JOB_COLUMNS, map(_job_row, records))


def table(columns: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """
    >>> table(("key", "value"), [("a<b", 1200)])
    '<table><tr><th>key</th><th>value</th></tr><tr><td>a&lt;b</td><td>1,200</td></tr></table>'
    """
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(_cell(cell))}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _cell(cell: object) -> str:
    if cell is None:
        return "-"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)


def _bar(stage: str, done: int, total: int) -> str:
    """
    >>> _bar("map", 3, 4)
    '<div>map <progress value="3" max="4"></progress> 3 of 4</div>'
    """
    bar = f'<progress value="{done}" max="{max(total, 1)}"></progress>'
    return f"<div>{escape(stage)} {bar} {done:,} of {total:,}</div>"


def _stage_row(record: Record, stage: str) -> tuple[object, ...]:
    counted: dict[str, Any] = record[stage]
    return (
        label("sample" if record["sampling"] else stage, record),
        *(counted[column] for column in ("done", "running", "waiting", "total")),
        counted["failed_attempts"],
        _seconds(counted["seconds"]),
    )


def _job_row(record: Record) -> tuple[object, ...]:
    return (
        record["name"],
        "paused" if record["paused"] else record["state"],
        *(f"{record[stage]['done']}/{record[stage]['total']}" for stage in STAGES),
        time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record["created_at"])),
        _seconds(_taken(record)),
        record["output"],
    )


def _state(record: Record) -> str:
    taken = _taken(record)
    state = "paused" if record["paused"] else str(record["state"])
    return state + ("" if taken is None else f" ({taken:.1f} s)")


def _taken(record: Record) -> float | None:
    """The seconds of the latest run, as far as it has come."""
    if record["started_at"] is None:
        return None
    return float((record["ended_at"] or time.time()) - record["started_at"])


def _seconds(seconds: float | None) -> str | None:
    return None if seconds is None else f"{seconds:.2f}"
