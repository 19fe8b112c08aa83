"""What inline and local runs share: one scheduler, its orders, and what its actions mean here."""

import math
import time
from collections.abc import Callable

from dynamo.store import Store
from mapreduce.data import formats, inputs, outputs
from mapreduce.data.inputs import InputSpec
from mapreduce.data.outputs import Part
from mapreduce.engine import events, paths, summary
from mapreduce.engine.events import AttemptId
from mapreduce.engine.orders import JobSpec, TaskOrder, TaskResult
from mapreduce.engine.scheduler import Policy, Scheduler
from mapreduce.errors import JobFailed
from mapreduce.runners.result import Progress, RunResult

WORKER = "local"
_POLICY = Policy(worker_timeout_s=math.inf, order_timeout_s=math.inf)
"""Nothing can get lost on the way to this process's own children."""


class Drive:
    """One job on this machine. `start` and `kill` carry out what concerns attempts.

    Everything that can be wrong with the job's inputs and output is raised here, before anything
    has been changed.
    """

    def __init__(
        self, spec: JobSpec, code: bytes, store: Store, progress: Progress | None = None
    ) -> None:
        paths.check_job_name(spec.name)
        formats.writing(spec.output_format)
        self._splits = inputs.plan(
            "local",
            [InputSpec(path, format=spec.input_format) for path in spec.inputs],
            store,
            split_bytes=spec.split_bytes,
        )
        self._output = outputs.open_output("local", spec.output, store)
        self._output.check_absent()
        self._spec = spec
        self._progress = progress
        self._scheduler = Scheduler(_POLICY)
        self._ended: events.JobEnded | None = None
        store.put(paths.code(spec.name), code)

    @property
    def ended(self) -> bool:
        return self._ended is not None

    def started(self) -> events.JobStarted:
        """The event that begins the job."""
        anywhere: tuple[str, ...] = ()
        return events.JobStarted(
            self._spec.name,
            map_nodes=(anywhere,) * len(self._splits),
            reduce_nodes=(anywhere,) * self._spec.reducers,
            max_attempts=self._spec.max_attempts,
        )

    def handle(
        self,
        event: events.Event,
        start: Callable[[TaskOrder], None],
        kill: Callable[[AttemptId], None],
    ) -> None:
        """Tell the scheduler, and do what it answers."""
        for action in self._scheduler.handle(event, time.monotonic()):
            match action:
                case events.RunAttempt():
                    start(self._order(action.attempt))
                case events.KillAttempt():
                    kill(action.attempt)
                case events.DiscardResult():
                    self._discard(action.result)
                case events.CommitJob():
                    self.handle(self._commit(), start, kill)
                case events.JobEnded():
                    self._ended = action
        if self._progress and self._scheduler.knows(self._spec.name):
            self._progress(self._scheduler.status(self._spec.name))

    def abandon(self) -> None:
        """Leave nothing behind of a job that has not succeeded."""
        if self._ended is None or self._ended.state is not events.JobState.SUCCEEDED:
            self._output.abandon()

    def result(self) -> RunResult:
        """The job's result; raises `JobFailed` if it has none."""
        assert self._ended is not None
        if self._ended.state is not events.JobState.SUCCEEDED:
            raise JobFailed(self._spec.name, self._ended.state.value, self._ended.error)
        return RunResult(
            self._spec.output,
            self._spec.output_format,
            self._summary(),
            [part.name for part in self._parts()],
            self._output.read,
        )

    def _order(self, attempt: AttemptId) -> TaskOrder:
        if attempt.task.kind == "map":
            split = self._splits[attempt.task.index]
            return TaskOrder(attempt=attempt, spec=self._spec, split=split)
        pieces = tuple(
            piece
            for result in self._results("map")
            for piece in result.pieces
            if piece.partition == attempt.task.index
        )
        return TaskOrder(attempt=attempt, spec=self._spec, pieces=pieces)

    def _results(self, kind: str) -> list[TaskResult]:
        views = {"map": self._scheduler.map_results, "reduce": self._scheduler.reduce_results}
        return views[kind](self._spec.name)

    def _parts(self) -> list[Part]:
        results = self._results("reduce" if self._spec.reducers else "map")
        return [result.part for result in results if result.part is not None]

    def _commit(self) -> events.Event:
        try:
            self._output.commit(self._parts(), self._summary())
        except OSError as error:
            return events.CommitFailed(self._spec.name, str(error))
        return events.JobCommitted(self._spec.name)

    def _discard(self, result: TaskResult) -> None:
        if result.part is not None:
            self._output.discard(result.part)

    def _summary(self) -> dict[str, object]:
        results = self._results("map") + self._results("reduce")
        status = self._scheduler.status(self._spec.name)
        return summary.summarise(status, results, time.monotonic())
