"""What the inline and the local runner share: a job on this machine, driven by the scheduler.

A runner supplies how an attempt is started and killed, and hands in what happened to it; the rest
is here. Inputs and outputs are in the local file system or at URLs, the pieces in a `Store` of the
runner's choice, and what goes from step to step in the folder `work`.
"""

import math
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from dynamo.store import Store
from mapreduce.data import outputs
from mapreduce.engine import checks, events, paths, sidefiles, summary
from mapreduce.engine.events import AttemptId
from mapreduce.engine.orders import JobSpec, PhaseOrder, TaskOrder
from mapreduce.engine.run import Run
from mapreduce.engine.scheduler import Policy, Scheduler
from mapreduce.errors import JobError, JobFailed
from mapreduce.runners.result import Progress, RunResult

WORKER = "local"
Start = Callable[[PhaseOrder, TaskOrder], None]
_POLICY = Policy(worker_timeout_s=math.inf, order_timeout_s=math.inf)
"""Nothing can get lost on the way to this process's own children."""


class Drive:
    """One job on this machine. `start` and `kill` carry out what concerns attempts.

    Everything that can be wrong with the job's inputs and output is raised here, before anything
    has been changed.
    """

    def __init__(
        self,
        spec: JobSpec,
        code: bytes,
        store: Store,
        work: Path,
        *,
        limit: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        checks.check(spec)
        sidefiles.check_files(spec)
        self.spec = sidefiles.zipped(spec, work)
        self._store = store
        self._run = Run(spec.name, self.spec, "local", str(work), limit)
        self._first = self._planned()
        self._output = outputs.open_output("local", spec.output, store)
        self._output.check_absent()
        self._progress = progress
        self._scheduler = Scheduler(_POLICY)
        self._began = time.monotonic()
        self._ended: events.JobEnded | None = None
        self._summary: dict[str, object] = {}
        self._parts: list[str] = []
        store.put(paths.code(spec.name), code)

    @property
    def ended(self) -> bool:
        return self._ended is not None

    def slots(self, processes: int) -> int:
        """How many of so many processes can have something to do at once: of a job with several
        phases perhaps all, as nobody knows yet what the later ones read."""
        if not self._run.is_last:
            return processes
        return min(processes, max(len(self._first.map_nodes), len(self._first.reduce_nodes), 1))

    def started(self) -> events.JobStarted:
        """The event that begins the job."""
        return self._first

    def handle(
        self,
        event: events.Event,
        start: Start,
        kill: Callable[[AttemptId], None],
    ) -> None:
        """Tell the scheduler, and do what it answers."""
        if isinstance(event, events.AttemptSucceeded):
            self._run.maps_changed()
        for action in self._scheduler.handle(event, time.monotonic()):
            match action:
                case events.RunAttempt():
                    order = self._run.order(
                        action.attempt, self._scheduler.map_results, action.failures
                    )
                    start(self._run.phase_order, order)
                case events.KillAttempt():
                    kill(action.attempt)
                case events.DiscardResult():
                    self._run.discard(self._store, action.attempt, action.result)
                case events.CommitJob():
                    self.handle(self._commit(), start, kill)
                case events.JobEnded():
                    self._phase_ended(action, start, kill)
        self._tell_progress()

    def abandon(self) -> None:
        """Leave nothing behind of attempts whose output is not wanted, when none runs any more."""
        self._output.abandon()

    def result(self) -> RunResult:
        """The job's result; raises `JobFailed` if it has none."""
        assert self._ended is not None
        if self._ended.state is not events.JobState.SUCCEEDED:
            raise JobFailed(self.spec.name, self._ended.state.value, self._ended.error)
        return RunResult(
            self.spec.output,
            self.spec.output_format,
            self._summary,
            self._parts,
            self._output.read,
        )

    def _phase_ended(
        self,
        ended: events.JobEnded,
        start: Start,
        kill: Callable[[AttemptId], None],
    ) -> None:
        if ended.state is events.JobState.SUCCEEDED and not self._run.is_last:
            status = self._scheduler.status(self._run.job)
            self._run.advance(status, self._scheduler.results(self._run.job), time.monotonic())
            self.handle(self._planned(), start, kill)
        elif self._ended is None:
            self._tell_progress()
            self._ended = ended

    def _planned(self) -> events.JobStarted:
        """The present phase. Where there is one worker only, a reduce that waits for maps and a
        second copy of a task do nothing but take its slots."""
        planned = self._run.plan(self._store)
        return msgspec.structs.replace(planned, slow_start=1.0, backups=False)

    def _commit(self) -> events.Event:
        results = self._scheduler.results(self._run.job)
        self._summary = self._told()
        self._parts = self._run.names(results)
        try:
            self._run.commit(self._store, results, self._summary)
        except (OSError, JobError) as error:
            return events.CommitFailed(self._run.job, str(error))
        return events.JobCommitted(self._run.job)

    def _told(self) -> dict[str, object]:
        """The summary, as far as the run has come."""
        now, results = time.monotonic(), self._scheduler.results(self._run.job)
        status = self._scheduler.status(self._run.job)
        return summary.summarise(
            self.spec.name,
            now - self._began,
            self._run.told(status, now),
            self._run.counters(results, status),
            self._run.skipped(results),
        )

    def _tell_progress(self) -> None:
        if self._progress and not self.ended and self._scheduler.knows(self._run.job):
            status = self._scheduler.status(self._run.job)
            self._progress(self._run.seen(status))
