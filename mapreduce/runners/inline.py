"""A whole job in this process, one task after the other: for tests and debuggers.

Nothing is caught and nothing retried: an error of user code is raised where it happens, and a
breakpoint in a mapper works.
"""

from collections import deque

from dynamo.store import MemoryStore
from mapreduce.engine import events, shipping, tasks
from mapreduce.engine.events import AttemptId
from mapreduce.engine.orders import JobSpec, TaskOrder
from mapreduce.runners.drive import WORKER, Drive
from mapreduce.runners.result import Progress, RunResult


def run(spec: JobSpec, code: bytes, *, progress: Progress | None = None) -> RunResult:
    """Run a job over local files. Raises what user code raises."""
    store = MemoryStore()
    drive = Drive(spec, code, store, progress)
    classes = shipping.load(spec.code, code, spec.name)
    waiting: deque[events.Event] = deque()

    def start(order: TaskOrder) -> None:
        result = tasks.run(order, classes, store, files="local")
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
    return drive.result()
