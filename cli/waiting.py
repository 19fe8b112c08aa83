"""Commands that wait for a job's end: bars, Ctrl-C, and what is said afterwards."""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from cli import job_view
from cli.errors import Failure
from cli.job_view import Record

if TYPE_CHECKING:
    from mapreduce.cluster.connection import Connection

AGAIN_S = 2.0
"""So long a second Ctrl-C is waited for, at a terminal."""
POLL_S = 0.05


def wait_and_tell(
    master: "Connection", name: str, start: Callable[[str], object] = lambda name: None
) -> None:
    """Start a job, or join one that runs, and say how it has ended. Ctrl-C ends the waiting and not
    the job; a second one kills it, after asking."""
    with ctrl_c() as presses:
        start(name)
        record = wait_for_end(master, name, detached=lambda: presses() > 0)
        if not job_view.ended(record):
            _say_how_to_come_back(name)
            again = _pressed_again(presses)
    if not job_view.ended(record):
        if again and click.confirm(f"kill job {name}?", err=True):
            click.echo(what_killing_did(master.kill_job(name)))
        return
    job_view.print_summary(record)
    if record["state"] != "succeeded":
        raise Failure(f"job {name} {record['state']}")


def wait_for_end(
    master: "Connection", name: str, detached: Callable[[], bool] = lambda: False
) -> Record:
    """Show progress bars until a job has ended, or `detached` says so; returns its last record."""
    from mapreduce.runners import waiting
    from mapreduce.runners.bars import job_bars

    with job_bars() as show_bars:
        for record in waiting.records(lambda: master.await_job(name)):
            show_bars(record)
            if detached():
                break
    return record


@contextmanager
def ctrl_c() -> Iterator[Callable[[], int]]:
    """What it gives says how often Ctrl-C was pressed; a third one interrupts as usual.

    So a call to the master is never cut off in its middle, and its answer is known.
    """
    presses = 0
    before = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: object) -> None:
        nonlocal presses
        presses += 1
        if presses > 1:
            signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, note)
    try:
        yield lambda: presses
    finally:
        signal.signal(signal.SIGINT, before)


def what_killing_did(record: Record) -> str:
    """
    >>> what_killing_did({"name": "wc", "state": "killed", "committing": False})
    'job wc is killed'
    """
    name = record["name"]
    if record["committing"] and not job_view.ended(record):
        return (
            f"job {name} is making its output visible, which is let finish; "
            f"`mapreduce status {name}` says how it ended"
        )
    return f"job {name} is killed"


def _say_how_to_come_back(name: str) -> None:
    click.echo(
        f"\njob {name} goes on; `mapreduce status {name} --wait` comes back to it, "
        f"`mapreduce kill_job {name}` ends it",
        err=True,
    )


def _pressed_again(presses: Callable[[], int]) -> bool:
    """Whether Ctrl-C comes a second time, from somebody who can be asked."""
    if not sys.stdin.isatty():
        return False
    click.echo(f"Ctrl-C again within {AGAIN_S:g} s kills it", err=True)
    deadline = time.monotonic() + AGAIN_S
    while presses() < 2 and time.monotonic() < deadline:
        time.sleep(POLL_S)
    return presses() > 1
