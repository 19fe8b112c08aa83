"""The scheduler's tables, and the moves that keep them in agreement with each other.

Here is how an attempt is started, adopted, closed; a task queued; a stage opened. When and why is
the matter of `mapreduce.engine.scheduler` and of the policies beside it.
"""

import heapq
import math
from collections.abc import Callable
from functools import partial
from typing import Any

from mapreduce.engine import placement, retry
from mapreduce.engine.events import (
    Action,
    AttemptId,
    Done,
    Failure,
    KillAttempt,
    Locality,
    RunAttempt,
)
from mapreduce.engine.ledger import Attempt, AttemptState, Task, Worker
from mapreduce.engine.policy import Policy
from mapreduce.engine.stages import Job, Stage
from mapreduce.engine.status import (
    JobStatus,
    RunningAttempt,
    Scoreboard,
    TaskStatus,
    WorkerStatus,
    job_status,
    running_attempts,
    task_statuses,
    worker_statuses,
)
from mapreduce.engine.workers import Workers


class Tables:
    """All jobs and workers of a cluster, at the scheduler's moment `_now`."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.policy = policy or Policy()
        self._jobs: dict[str, Job] = {}
        self._forgotten: set[str] = set()
        self._turns: dict[str, Job] = {}
        """The running jobs; a new one is first, the one that was last given a slot is last."""
        self._workers = Workers()
        self._alarms: list[tuple[float, int, Callable[[], None]]] = []
        """What is to be called at a time: a heap. The numbers keep the order of equals."""
        self._alarms_set = 0
        self._step = 0
        self._now = 0.0
        self._actions: list[Action] = []

    # Views for drivers ---------------------------------------------------------------------------

    def status(self, job: str) -> JobStatus:
        """Where `job` stands. Raises KeyError for a job it does not know."""
        return job_status(self._jobs[job], self._workers, self._now)

    def tasks(self, job: str) -> list[TaskStatus]:
        """All tasks of `job` and when they ran: the maps, then the reduces."""
        return task_statuses(self._jobs[job])

    def workers(self) -> list[WorkerStatus]:
        """The living workers, in order of name."""
        return worker_statuses(self._workers, self._jobs, self._now)

    def scoreboard(self) -> Scoreboard:
        """Every worker that this scheduler has heard of, how it is and what it has done."""
        return Scoreboard(
            strikes=self.policy.strikes,
            strike_s=self.policy.worker_timeout_s / self.policy.strikes,
            workers=self.workers(),
            gone=worker_statuses(self._workers, self._jobs, self._now, gone=True),
        )

    def running(self, job: str) -> list[RunningAttempt]:
        """The attempts of `job` that run, those first that have run longest."""
        return running_attempts(self._jobs[job], self._now)

    def map_results(self, job: str) -> list[Any]:
        """The results of the winning map attempts, in order of task; unfinished ones left out."""
        return _results(self._jobs[job].maps)

    def reduce_results(self, job: str) -> list[Any]:
        """The results of the winning reduce attempts, in order of task."""
        return _results(self._jobs[job].reduces)

    def results(self, job: str) -> list[Any]:
        """The results of all winning attempts: the maps, then the reduces."""
        return self.map_results(job) + self.reduce_results(job)

    def knows(self, job: str) -> bool:
        """True if `status` can be asked for `job`."""
        return job in self._jobs

    def forget(self, job: str) -> None:
        """Free what is kept of a job that has ended. What is still heard of it is ignored."""
        if self._jobs[job].state.ended:
            del self._jobs[job]
            self._forgotten.add(job)

    # Time ----------------------------------------------------------------------------------------

    def _later(self, at: float, call: Callable[[], None]) -> None:
        self._alarms_set += 1
        heapq.heappush(self._alarms, (at, self._alarms_set, call))

    def _ring(self) -> None:
        while self._alarms and self._alarms[0][0] <= self._now:
            heapq.heappop(self._alarms)[2]()

    # Moves ---------------------------------------------------------------------------------------

    def _find(self, attempt: AttemptId) -> tuple[Job | None, Task | None, Attempt | None]:
        job = self._jobs.get(attempt.task.job)
        task = job.task(attempt.task) if job else None
        return job, task, task.attempts.get(attempt.number) if task else None

    def _remember(self, job: Job, done: Done) -> None:
        """A task was finished under an earlier leader."""
        task = job.task(done.attempt.task)
        if task and not task.winner:
            attempt = Attempt(done.attempt, done.worker, done.locality, self._now, began=0)
            stage = job.stage(task.id.kind)
            stage.begin(task, attempt)
            stage.end(attempt, AttemptState.SUCCEEDED)
            stage.win(task, attempt, done.result)

    def _remember_failure(self, job: Job, failure: Failure) -> None:
        """An attempt had failed under an earlier leader; should its worker tell it again, it counts
        no second time."""
        task = job.task(failure.attempt.task)
        if task and failure.attempt.number not in task.attempts:
            given = failure.attempt, failure.worker, Locality.ANY, self._now
            attempt = Attempt(*given, began=0, ended_at=self._now)
            stage = job.stage(task.id.kind)
            stage.begin(task, attempt)
            stage.end(attempt, AttemptState.FAILED)
            self._count_failure(job, task, attempt)

    def _count_failure(self, job: Job, task: Task, attempt: Attempt) -> None:
        task.failures += 1
        retry.mistrust(job, task, attempt.worker, self._workers, self.policy)

    def _adopt(self, attempt_id: AttemptId, worker_name: str) -> Attempt | None:
        """An attempt that this scheduler hasn't heard of, if an earlier leader has given it and it
        is still of use: from now on it counts as running. None otherwise."""
        job = self._turns.get(attempt_id.task.job)
        task = job.task(attempt_id.task) if job else None
        if not job or not task or task.winner or attempt_id.number in task.attempts:
            return None
        if not 0 < attempt_id.number < job.first_attempt:
            return None
        locality = placement.locality(task, self._workers.get(worker_name), self._workers)
        attempt = Attempt(attempt_id, worker_name, locality, self._now, began=0)
        self._register(job, task, attempt)
        return attempt

    def _register(self, job: Job, task: Task, attempt: Attempt) -> None:
        """The attempt runs, and holds its slot."""
        attempt.early = task.id.kind == "reduce" and not job.maps.complete
        job.stage(task.id.kind).begin(task, attempt)
        if worker := self._workers.get(attempt.worker):
            worker.attempts[attempt.id] = attempt
            worker.early += attempt.early
            self._workers.changed(worker)

    def _close(self, attempt: Attempt, state: AttemptState) -> None:
        """The attempt holds its slot no longer."""
        self._jobs[attempt.id.task.job].stage(attempt.id.task.kind).end(attempt, state)
        attempt.ended, attempt.ended_at = self._step, self._now
        worker = self._workers.get(attempt.worker)
        if worker and worker.attempts.pop(attempt.id, None):
            worker.early -= attempt.early
            self._workers.changed(worker)

    def _kill(self, attempt: Attempt) -> None:
        self._close(attempt, AttemptState.KILLED)
        self._actions.append(KillAttempt(attempt.worker, attempt.id))

    def _open(self, stage: Stage) -> None:
        """The tasks of `stage` may run from now on."""
        if stage.started_at is None:
            stage.started_at = self._now
        for task in stage.tasks:
            if not task.winner and not task.running and task.id.index not in stage.resting:
                self._queue(stage, task)

    def _queue(self, stage: Stage, task: Task, rest_s: float = 0.0) -> None:
        """`task` waits for a slot, after a rest."""
        if not rest_s:
            placement.queue(stage, task, self._workers, self._now, self.policy)
            return
        stage.resting[task.id.index] = self._now + rest_s
        self._later(self._now + rest_s, partial(self._rested, stage, task))

    def _rested(self, stage: Stage, task: Task) -> None:
        if stage.resting.get(task.id.index, math.inf) <= self._now:
            del stage.resting[task.id.index]
            self._queue(stage, task)

    def _start(self, job: Job, task: Task, worker: Worker, backup: bool = False) -> None:
        attempt = Attempt(
            id=AttemptId(task.id, job.first_attempt + task.given),
            worker=worker.name,
            locality=placement.locality(task, worker, self._workers),
            given_at=self._now,
            began=self._step,
            backup=backup,
        )
        task.given += 1
        self._turns[job.id] = self._turns.pop(job.id)
        self._register(job, task, attempt)
        self._actions.append(
            RunAttempt(worker.name, attempt.id, attempt.locality, task.failures, backup)
        )


def _results(stage: Stage) -> list[Any]:
    return [task.result for task in stage.tasks if task.winner]
