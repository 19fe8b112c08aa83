"""Where a job stands, for people and drivers: read-only copies of the scheduler's tables."""

from collections import Counter

import msgspec

from mapreduce.engine.events import AttemptId, JobState, Locality, TaskId
from mapreduce.engine.ledger import Attempt, AttemptState, Job, Stage, Task


class StageStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The map or the reduce tasks of a job, counted. Times are the scheduler's `now`."""

    total: int
    waiting: int
    running: int
    done: int
    failed_attempts: int
    """Attempts that raised."""
    lost_attempts: int
    """Attempts that went with their worker, or whose output or input was lost."""
    localities: dict[str, int]
    """Of the attempts that won: "node", "remote" or "any" -> how many."""
    started_at: float | None
    ended_at: float | None


class JobStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A job and its stages."""

    job: str
    state: JobState
    error: str
    committing: bool
    map: StageStatus
    reduce: StageStatus
    started_at: float
    ended_at: float | None
    step: int = 1
    """Which of the job's steps runs, counted from 1, of `steps`; `map` and `reduce` are its own."""
    steps: int = 1
    sampling: bool = False
    """True while a sample is taken for the step's total order."""


class RunningAttempt(msgspec.Struct, frozen=True):
    """An attempt that runs on `worker`, since so many seconds."""

    attempt: AttemptId
    worker: str
    seconds: float


class AttemptStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt. Times are the scheduler's `now`."""

    number: int
    worker: str
    state: str
    """running, succeeded, failed, lost, killed or spoiled: succeeded, but its output is gone."""
    locality: Locality
    started_at: float
    ended_at: float | None
    backup: bool


class TaskStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One task and all its attempts."""

    id: TaskId
    state: str
    """waiting, running or done."""
    attempts: tuple[AttemptStatus, ...]


class WorkerStatus(msgspec.Struct, frozen=True):
    """A living worker. `silent_s`: seconds since its last report. One that is `draining` gets no
    further tasks."""

    name: str
    node: str
    slots: int
    running: int
    silent_s: float
    draining: bool = False


def job_status(job: Job) -> JobStatus:
    """A copy of what is known about `job`."""
    return JobStatus(
        job=job.id,
        state=job.state,
        error=job.error,
        committing=job.committing and not job.state.ended,
        map=stage_status(job.maps),
        reduce=stage_status(job.reduces),
        started_at=job.started_at,
        ended_at=job.ended_at,
    )


def stage_status(stage: Stage) -> StageStatus:
    """The counts of one stage."""
    states = Counter(a.state for task in stage.tasks for a in task.attempts.values())
    running = sum(1 for task in stage.tasks if task.running)
    return StageStatus(
        total=len(stage.tasks),
        waiting=len(stage.tasks) - stage.done - running,
        running=running,
        done=stage.done,
        failed_attempts=states[AttemptState.FAILED],
        lost_attempts=states[AttemptState.LOST] + states[AttemptState.SPOILED],
        localities=dict(Counter(t.winner.locality.value for t in stage.tasks if t.winner)),
        started_at=stage.started_at,
        ended_at=stage.ended_at,
    )


def task_statuses(job: Job) -> list[TaskStatus]:
    """All tasks of a job: the maps, then the reduces."""
    return [_task(task) for stage in job.stages for task in stage.tasks]


def _task(task: Task) -> TaskStatus:
    attempts = sorted(task.attempts.values(), key=lambda attempt: attempt.id.number)
    state = "done" if task.winner else "running" if task.running else "waiting"
    return TaskStatus(id=task.id, state=state, attempts=tuple(map(_attempt, attempts)))


def _attempt(attempt: Attempt) -> AttemptStatus:
    return AttemptStatus(
        number=attempt.id.number,
        worker=attempt.worker,
        state=attempt.state.name.lower(),
        locality=attempt.locality,
        started_at=attempt.given_at,
        ended_at=attempt.ended_at,
        backup=attempt.backup,
    )
