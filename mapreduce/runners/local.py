"""A whole job on this machine: tasks in processes of their own, pieces in a temporary folder."""

import functools
import os
import tempfile
from pathlib import Path
from queue import Empty, SimpleQueue

from mapreduce.engine import events
from mapreduce.engine.executor import Executor, Outcome
from mapreduce.engine.orders import JobSpec
from mapreduce.runners.drive import WORKER, Drive
from mapreduce.runners.packstore import PackStore
from mapreduce.runners.result import Progress, RunResult

_TICK_S = 0.2


def run(
    spec: JobSpec,
    code: bytes,
    *,
    processes: int | None = None,
    progress: Progress | None = None,
) -> RunResult:
    """Run a job over local files in `processes` processes, by default one for each core.

    Tasks that fail are tried again; `JobFailed` carries the user's own traceback.
    """
    with tempfile.TemporaryDirectory(prefix="mapreduce-", ignore_cleanup_errors=True) as folder:
        pieces = Path(folder, "pieces")
        pieces.mkdir()
        drive = Drive(spec, code, PackStore(pieces), Path(folder), progress=progress)
        slots = drive.slots(processes or os.cpu_count() or 1)
        done: SimpleQueue[Outcome] = SimpleQueue()
        open_store = functools.partial(PackStore, pieces)
        try:
            with Executor(slots, open_store, done.put, files="local") as executor:
                _drive(drive, executor, done, slots)
        finally:
            drive.abandon()
    return drive.result()


def _drive(drive: Drive, executor: Executor, done: "SimpleQueue[Outcome]", slots: int) -> None:
    """Hand what happens to the scheduler until the job is over."""
    drive.handle(events.WorkerReported(WORKER, "", slots), executor.start, executor.kill)
    drive.handle(drive.started(), executor.start, executor.kill)
    while not drive.ended:
        event: events.Event
        try:
            event = _event(done.get(timeout=_TICK_S))
        except Empty:
            told = ((n.attempt, n.progress) for n in executor.notes if n.progress is not None)
            event = events.WorkerReported(WORKER, "", slots, progress=tuple(told))
        drive.handle(event, executor.start, executor.kill)


def _event(outcome: Outcome) -> events.Event:
    if outcome.result is not None:
        return events.AttemptSucceeded(outcome.attempt, WORKER, outcome.result)
    error = outcome.error
    if outcome.output and outcome.output[-200:] not in error:
        error += f"\nIt printed:\n{outcome.output[-2000:]}"
    return events.AttemptFailed(outcome.attempt, WORKER, error, outcome.lost)
