"""Progress bars of a job on stderr: only on a terminal, so that pipes and logs stay clean."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:  # the commands import this to print a line
    from mapreduce.engine.status import JobStatus
    from mapreduce.runners.result import Progress

STAGES = ("map", "reduce")


def counts(status: "JobStatus | Mapping[str, Any]") -> dict[str, tuple[int, int]]:
    """Stage -> tasks done and their number; without those that have no tasks.

    `status` is that of a job, or its record.
    """
    told = status if isinstance(status, Mapping) else msgspec.to_builtins(status)
    counted = {stage: (told[stage]["done"], told[stage]["total"]) for stage in STAGES}
    if told["sampling"]:
        return {label("sample", told): counted["map"]}
    return {label(stage, told): count for stage, count in counted.items() if count[1]}


def label(stage: str, told: Mapping[str, Any]) -> str:
    """
    >>> label("map", {"step": 2, "steps": 5}), label("map", {"step": 1, "steps": 1})
    ('2/5 map', 'map')
    """
    return f"{told['step']}/{told['steps']} {stage}" if told["steps"] > 1 else stage


@contextmanager
def job_bars() -> "Iterator[Callable[[JobStatus | Mapping[str, Any]], None]]":
    """One bar for each stage; the block calls what it gets with the job's status or record."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description:<7}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as progress:
        bars = {}

        def show(status: "JobStatus | Mapping[str, Any]") -> None:
            for stage, (done, total) in counts(status).items():
                if stage not in bars:
                    bars[stage] = progress.add_task(stage, total=total or None)
                progress.update(bars[stage], completed=done, total=total or None)

        yield show


@contextmanager
def told(progress: "Progress | bool | None") -> "Iterator[Progress]":
    """What the block has to tell how far a job is: a function as it is, and bars for True."""
    if callable(progress):
        yield progress
    elif progress:
        with job_bars() as show:
            yield show
    else:
        yield lambda status: None
