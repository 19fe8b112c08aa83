"""Where a job stands, for people and drivers: read-only copies of the scheduler's tables."""

from collections.abc import Mapping

import msgspec

from mapreduce.engine.events import AttemptId, JobState, Locality, TaskId
from mapreduce.engine.ledger import Attempt, AttemptState, Task, Worker
from mapreduce.engine.stages import Job, Stage
from mapreduce.engine.workers import Workers

LATELY_S = 10.0
"""The rate of a stage is taken over so many seconds."""


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
    """Of the attempts that won: "node", "host", "remote" or "any" -> how many."""
    started_at: float | None
    ended_at: float | None
    waits: dict[str, int] = {}
    """Why tasks wait, in words -> how many do."""
    rate: float = 0.0
    """Tasks that were done in a second, lately."""
    seconds_left: float | None = None
    """How long the rest will take, if all goes on as it does; None where nothing tells."""
    underway: float = 0.0
    """What the running tasks have done, in tasks, as far as they tell."""


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
    first_error: str = ""
    """Of the first attempt that raised: its task, its worker and what it said."""
    paused: bool = False
    set_aside: tuple[str, ...] = ()
    """Workers that get no more of this job, as too many of its tasks have failed there."""
    backups: int = 0
    """How many tasks were started a second time because they were slow."""


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
    """A worker. `silent_s`: seconds since its last report. One that is `draining` gets no further
    tasks."""

    name: str
    node: str
    slots: int
    running: int
    silent_s: float
    draining: bool = False
    host: str = ""
    state: str = ""
    """What it does: idle, or mapping, waiting for maps, reducing, stopping tasks that are not
    wanted; of one that is gone whether it was lost or stopped."""
    strikes: int = 0
    """How often, one after the other, it was expected to report and did not."""
    done: int = 0
    """How many of its attempts have won since this leader began."""
    failed: int = 0
    """How many have raised."""


class Scoreboard(msgspec.Struct, frozen=True):
    """Every worker that the leading master knows of; a worker with all `strikes` is lost."""

    strikes: int
    strike_s: float
    """A worker that is silent for so long has a strike, and another after as long again."""
    workers: list[WorkerStatus]
    gone: list[WorkerStatus]
    """Those that were lost, or have stopped, and did not come back."""


def job_status(job: Job, workers: Workers, now: float) -> JobStatus:
    """A copy of what is known about `job`."""
    return JobStatus(
        job=job.id,
        state=job.state,
        error=job.error,
        committing=job.committing and not job.state.ended,
        map=stage_status(job, job.maps, workers, now),
        reduce=stage_status(job, job.reduces, workers, now),
        started_at=job.started_at,
        ended_at=job.ended_at,
        first_error=job.first_error,
        paused=job.paused,
        set_aside=tuple(sorted(job.set_aside)),
        backups=job.backups_started,
    )


def stage_status(job: Job, stage: Stage, workers: Workers, now: float) -> StageStatus:
    """The counts of one stage."""
    rate = lately(stage, now)
    return StageStatus(
        total=len(stage.tasks),
        waiting=len(stage.tasks) - stage.done - stage.busy,
        running=stage.busy,
        done=stage.done,
        failed_attempts=stage.ended[AttemptState.FAILED],
        lost_attempts=stage.ended[AttemptState.LOST] + stage.ended[AttemptState.SPOILED],
        localities=dict(+stage.localities),
        started_at=stage.started_at,
        ended_at=stage.ended_at,
        waits={} if job.state.ended else waits(job, stage, workers),
        rate=rate,
        seconds_left=None if job.state.ended else seconds_left(stage, rate, now),
        underway=_underway(stage),
    )


def waits(job: Job, stage: Stage, workers: Workers) -> dict[str, int]:
    """Why tasks of `stage` wait, and how many do for each reason."""
    waiting = len(stage.tasks) - stage.done - stage.busy
    resting = len(stage.resting)
    told = {
        _why(job, stage, workers): waiting - resting,
        "for another try after it failed": resting,
    }
    return {why: count for why, count in told.items() if count > 0}


def _why(job: Job, stage: Stage, workers: Workers) -> str:
    """Why those tasks wait that need not rest: what would have to change first."""
    if job.held:
        return "for workers to tell what they still run"
    if job.paused:
        return "the job is paused"
    if stage is not job.current:
        return f"for {len(job.maps.tasks) - job.maps.done} maps"
    if not workers.usable:
        return "no worker is alive" if not len(workers) else "all workers are drained"
    if not job.has_room:
        return f"the job may run {job.max_running} tasks at once"
    if workers.freest(job.set_aside) is None:
        return "for a free slot"
    return "for a worker near its data, or another than it failed on"


def lately(stage: Stage, now: float) -> float:
    """How many tasks of `stage` were done in a second, over the last few."""
    recent = [at for at in stage.won_at if now - at <= LATELY_S]
    if not recent or stage.started_at is None:
        return 0.0
    if len(recent) == stage.won_at.maxlen:
        since = recent[0]
    else:
        since = max(stage.started_at, now - LATELY_S)
    return len(recent) / max(now - since, 1e-3)


def seconds_left(stage: Stage, rate: float, now: float) -> float | None:
    """How long `stage` will take: what is left, running tasks by their progress, at the rate of
    late, or at that since its start if none has ended of late."""
    if stage.started_at is None or stage.complete:
        return None
    underway = _underway(stage)
    if not rate:
        rate = (stage.done + underway) / max(now - stage.started_at, 1e-3)
    left = len(stage.tasks) - stage.done - underway
    return max(0.0, left) / rate if rate else None


def _underway(stage: Stage) -> float:
    return sum(attempt.progress for attempt in stage.running.values() if not attempt.backup)


def running_attempts(job: Job, now: float) -> list[RunningAttempt]:
    """The attempts of `job` that run, those first that have run longest."""
    attempts = (a for stage in job.stages for a in stage.running.values())
    oldest_first = sorted(attempts, key=lambda a: (a.given_at, a.id))
    return [RunningAttempt(a.id, a.worker, now - a.given_at) for a in oldest_first]


def worker_statuses(
    workers: Workers, jobs: Mapping[str, Job], now: float, gone: bool = False
) -> list[WorkerStatus]:
    """The living workers, or those that are gone, in order of name."""
    return [
        WorkerStatus(
            name=worker.name,
            node=worker.node,
            slots=worker.slots,
            running=0 if gone else len(worker.attempts),
            silent_s=now - worker.seen_at,
            draining=worker.draining,
            host=worker.host,
            state=_end_of(worker) if gone else _doing(worker, jobs),
            strikes=worker.strikes,
            done=workers.done[worker.name],
            failed=workers.failed[worker.name],
        )
        for worker in sorted(workers.gone() if gone else workers, key=lambda worker: worker.name)
    ]


def _end_of(worker: Worker) -> str:
    return "lost" if worker.strikes else "stopped"


def _doing(worker: Worker, jobs: Mapping[str, Job]) -> str:
    """What a worker does, in words."""
    doing = dict.fromkeys(_work(attempt, jobs[attempt.id.task.job]) for attempt in _of(worker))
    if worker.strays:
        doing["stopping"] = None
    return ", ".join(doing) or "idle"


def _of(worker: Worker) -> list[Attempt]:
    return sorted(worker.attempts.values(), key=lambda attempt: attempt.id)


def _work(attempt: Attempt, job: Job) -> str:
    if attempt.id.task.kind == "map":
        return "mapping"
    return "waiting for maps" if attempt.early and not job.maps.complete else "reducing"


def task_statuses(job: Job) -> list[TaskStatus]:
    """All tasks of a job: the maps, then the reduces."""
    return [_task(task) for stage in job.stages for task in stage.tasks]


def _task(task: Task) -> TaskStatus:
    began = (a for a in task.attempts.values() if a.state is not AttemptState.RETURNED)
    attempts = sorted(began, key=lambda attempt: attempt.id.number)
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
