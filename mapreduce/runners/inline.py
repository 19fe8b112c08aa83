"""A whole job in this process, one task after the other: for tests and debuggers.

Nothing is caught and nothing retried: an error of user code is raised where it happens, and a
breakpoint in a mapper works.
"""

import tempfile
from collections import deque
from pathlib import Path

from dynamo.store import MemoryStore
from mapreduce.engine import events, shipping, sidefiles, tasks
from mapreduce.engine.events import AttemptId
from mapreduce.engine.orders import JobSpec, PhaseOrder, TaskOrder
from mapreduce.engine.sidefiles import SideFiles
from mapreduce.engine.workbench import Bench
from mapreduce.runners.drive import WORKER, Drive
from mapreduce.runners.result import Progress, RunResult


def run(
    spec: JobSpec,
    code: bytes,
    *,
    limit: int | None = None,
    progress: Progress | None = None,
) -> RunResult:
    """Run a job over local files. Raises what user code raises.

    With a `limit` only so many records of the inputs are mapped: for a first try.
    """
    with tempfile.TemporaryDirectory(prefix="mapreduce-", ignore_cleanup_errors=True) as folder:
        work = Path(folder)
        store = MemoryStore()
        drive = Drive(spec, code, store, work, limit=limit, progress=progress)
        side_files = SideFiles(drive.spec, drive.spec.name, "local", store, work)
        with sidefiles.importable(side_files.modules()):
            program = shipping.load(drive.spec, code, spec.name)
            bench = Bench(store, store, "local", work, side_files)
            _drive(drive, program, bench)
    return drive.result()


def _drive(drive: Drive, program: shipping.Program, bench: Bench) -> None:
    waiting: deque[events.Event] = deque()

    def start(phase: PhaseOrder, order: TaskOrder) -> None:
        result = tasks.run(phase, order, program, bench)
        waiting.append(events.AttemptSucceeded(order.attempt, WORKER, result))

    def kill(attempt: AttemptId) -> None:
        """Nothing runs beside this."""

    try:
        waiting.append(events.WorkerReported(WORKER, "", slots=1))
        waiting.append(drive.started())
        while not drive.ended:
            drive.handle(waiting.popleft(), start, kill)
    finally:
        drive.abandon()
