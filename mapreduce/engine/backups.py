"""Second copies of the tasks that hold a stage up near its end; the first that ends wins.

From Dean & Ghemawat, "MapReduce" (OSDI 2004), section 3.6; which tasks are worth it is LATE's rule
(Zaharia et al., "Improving MapReduce Performance in Heterogeneous Environments", OSDI 2008): those
with the longest time left by their progress, if a copy would probably end sooner, and only a few.
A short task is never worth one: it runs once if nothing fails, and users may count on that.
"""

from collections.abc import Iterator
from statistics import median

from mapreduce.engine import early
from mapreduce.engine.events import AttemptId
from mapreduce.engine.ledger import Attempt, AttemptState, Task, Worker
from mapreduce.engine.policy import Policy
from mapreduce.engine.stages import Job, Stage
from mapreduce.engine.workers import Workers

BELIEVED = 0.9
"""No more progress is believed: a task that is done with all records may still hang at the end."""


def choose(job: Job, workers: Workers, now: float, policy: Policy) -> tuple[Task, Worker] | None:
    """The task of `job` that should have a backup first, and the worker for it; None if none."""
    for task in _worth_a_copy(job, now, policy) if job.has_room else ():
        worker = _place(job, task, workers)
        if worker:
            return task, worker
    return None


def to_yield(job: Job, workers: Workers, now: float, policy: Policy) -> Attempt | None:
    """Where `choose` finds no worker: the reduce in whose slot a copy of a map should run, as it
    only waits for that map. Else early reduces would keep the slowest map from being overtaken."""
    if job.paused or job.held:
        return None
    for task in _worth_a_copy(job, now, policy):
        barred = _barred(job, task)
        waiting = (a for a in job.early_reduces if a.worker not in barred)
        if found := early.youngest(a for a in waiting if _leaves_a_slot(a, workers)):
            return found
    return None


def _worth_a_copy(job: Job, now: float, policy: Policy) -> Iterator[Task]:
    """Tasks of `job` that should have a backup, if there is room, those that need it most first."""
    stage = job.current
    if not job.backups or stage.has_unstarted or not stage.durations:
        return
    allowed = max(1, int(policy.backup_share * len(stage.tasks)))
    if sum(1 for a in stage.running.values() if a.backup) >= allowed:
        return
    for attempt in _slow(job, stage, median(stage.durations), now, policy):
        yield stage.tasks[attempt.id.task.index]


def _slow(job: Job, stage: Stage, usual_s: float, now: float, policy: Policy) -> Iterator[Attempt]:
    """Attempts that a copy would probably overtake, those with the longest time left first."""
    least_age_s = max(policy.backup_after_s, policy.backup_after_medians * usual_s)
    left: dict[AttemptId, float] = {}
    for attempt in stage.running.values():
        began = began_at(attempt, job)
        if now - began > least_age_s and not _has_backup(stage, attempt):
            left_s = seconds_left(attempt, began, now)
            if left_s > usual_s:
                left[attempt.id] = left_s
    return (stage.running[id] for id in sorted(left, key=lambda id: -left[id]))


def _has_backup(stage: Stage, attempt: Attempt) -> bool:
    """True if the task runs twice, or a copy of it has ended without a result: one is enough."""
    attempts = stage.tasks[attempt.id.task.index].attempts.values()
    running = sum(1 for a in attempts if a.state is AttemptState.RUNNING)
    return running > 1 or any(a.backup and a.state is not AttemptState.LOST for a in attempts)


def began_at(attempt: Attempt, job: Job) -> float:
    """When it could begin with all of its work: an early reduce waits for the last map first."""
    if attempt.early:
        return max(attempt.given_at, job.maps.ended_at or attempt.given_at)
    return attempt.given_at


def seconds_left(attempt: Attempt, began_at: float, now: float) -> float:
    """How long an attempt will probably go on: by its progress; one that tells none is expected to
    take as long again as it has.

    >>> from mapreduce.engine.events import Locality, TaskId
    >>> attempt = Attempt(AttemptId(TaskId("job", "map", 0), 1), "w1", Locality.ANY, 0.0, 1)
    >>> seconds_left(attempt, began_at=0.0, now=10.0)
    10.0
    >>> attempt.progress, attempt.progress_at = 0.25, 10.0
    >>> seconds_left(attempt, began_at=0.0, now=12.0)
    28.0
    """
    age_s, told_s = now - began_at, attempt.progress_at - began_at
    if attempt.progress <= 0.0 or told_s <= 0.0:
        return age_s
    whole_s = told_s / min(attempt.progress, BELIEVED)
    return max(0.0, whole_s - age_s)


def _place(job: Job, task: Task, workers: Workers) -> Worker | None:
    """A worker with an idle slot that has not been given the task before, beside its data if there
    is one."""
    free = list(workers.by_freedom(_barred(job, task), least_idle=1))
    near = (w for w in free if w.node in task.nodes)
    return next(near, free[0] if free else None)


def _barred(job: Job, task: Task) -> set[str]:
    """The workers on which no copy of `task` is to run."""
    return job.set_aside.keys() | {a.worker for a in task.attempts.values()}


def _leaves_a_slot(attempt: Attempt, workers: Workers) -> bool:
    """True if its worker has an idle slot once it is gone."""
    worker = workers.get(attempt.worker)
    return worker is not None and worker.takes_tasks and worker.idle >= 0
