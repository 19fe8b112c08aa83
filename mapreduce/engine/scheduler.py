"""The scheduler: which task runs where, what happens when something fails, when a job is over.

A state machine: `Scheduler.handle(event, now) -> list[Action]` (`mapreduce.engine.events`). It
reads no clock and no socket; a driver hands it what happened and carries out what it answers, in
order. An event that says nothing new changes nothing, so events may come late and repeatedly.

Rules; the defaults of their times and bounds are in `policy`, their sources in docs/scheduling.md
- A free slot goes to the job that has fewest for its priority: `fairness`.
- A task goes to a worker near its data if one is free soon: `placement`.
- Reduces start when all maps are done, or `early` in slots that nothing else wants. When all are
  done the output is committed.
- A task that fails is tried again, elsewhere and later: `retry`. Its first success wins, and no
  other is ever used. The slowest tasks of a stage run twice in the end: `backups`.
- A silent worker has strikes: with the first it is given nothing more until it is heard, and with
  the last it is lost; so is an attempt that its worker knows nothing of. Lost attempts start again
  and don't count as failures.
- Attempts of an earlier leader, known by their numbers, count like its own once they are heard of.
- The output of finished maps is in the store and outlives its worker. A reduce that can't read it
  all the same runs on another worker, as that may reach it; if it can't read it there either,
  those maps run again.

An event costs no more with many tasks and workers than with few, but for logarithms: what is asked
is kept in indexes (`waiting`, `workers`) and counts (`stages`). Only `Tick` looks at all that runs.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from mapreduce.engine import backups, early, fairness, placement, retry
from mapreduce.engine.events import (
    Action,
    AttemptFailed,
    AttemptReturned,
    AttemptSucceeded,
    AttemptWon,
    CommitFailed,
    CommitJob,
    DiscardResult,
    Event,
    FailureCounted,
    JobCommitted,
    JobEnded,
    JobKilled,
    JobPaused,
    JobResumed,
    JobStarted,
    JobState,
    KillAttempt,
    OutputLost,
    StoodStill,
    TaskKilled,
    Tick,
    WorkerLost,
    WorkerReported,
)
from mapreduce.engine.ledger import Attempt, AttemptState, Task, Worker
from mapreduce.engine.policy import Policy
from mapreduce.engine.stages import Job, Stage
from mapreduce.engine.tables import Tables

__all__ = ["Policy", "Scheduler"]


class Scheduler(Tables):
    """All jobs and workers of a cluster.

    >>> scheduler = Scheduler()
    >>> scheduler.handle(WorkerReported("w1", "n1", slots=1), now=0.0)
    []
    >>> [run] = scheduler.handle(JobStarted("wc", map_nodes=(("n1",),), reduce_nodes=()), now=0.0)
    >>> run.worker, str(run.attempt), run.locality.value
    ('w1', 'map-00000.1', 'node')
    >>> won, commit = scheduler.handle(AttemptSucceeded(run.attempt, "w1", "its result"), now=1.0)
    >>> won.result, commit
    ('its result', CommitJob(job='wc'))
    >>> [ended] = scheduler.handle(JobCommitted("wc"), now=1.1)
    >>> ended.state.value, scheduler.map_results("wc")
    ('succeeded', ['its result'])
    """

    def __init__(self, policy: Policy | None = None) -> None:
        super().__init__(policy)
        self._handlers: dict[type[Event], Callable[[Any], None]] = {
            JobStarted: self._job_started,
            JobKilled: self._job_killed,
            JobPaused: lambda event: self._pause(event.job, True),
            JobResumed: lambda event: self._pause(event.job, False),
            JobCommitted: self._job_committed,
            CommitFailed: self._commit_failed,
            TaskKilled: self._task_killed,
            WorkerReported: self._worker_reported,
            WorkerLost: self._worker_left,
            AttemptSucceeded: self._attempt_succeeded,
            AttemptFailed: self._attempt_failed,
            AttemptReturned: self._attempt_returned,
            StoodStill: lambda event: self._workers.excuse(event.seconds, self._now),
            Tick: lambda event: None,
        }

    def handle(self, event: Event, now: float) -> list[Action]:
        """What is to be done because of `event`, which is seen at `now` (seconds, never less than
        at the call before)."""
        self._step += 1
        self._now = now
        self._actions = []
        self._handlers[type(event)](event)
        for name in self._workers.strike(now, self.policy.worker_timeout_s, self.policy.strikes):
            self._worker_lost(WorkerLost(name))
        self._ring()
        self._give_out()
        if isinstance(event, Tick):
            self._back_up()
        return self._actions

    # Jobs ----------------------------------------------------------------------------------------

    def _job_started(self, event: JobStarted) -> None:
        if event.job in self._jobs or event.job in self._forgotten:
            return
        job = Job.of(event, self._now)
        self._jobs[job.id] = job
        self._turns = {job.id: job, **self._turns}
        self._workers.learn(event.hosts)
        for failure in event.failed:
            self._remember_failure(job, failure)
        for done in event.done:
            self._remember(job, done)
        if event.resumed:
            job.held = True
            self._later(self._now + self.policy.takeover_wait_s, partial(self._begin, job))
            self._advance(job)
        else:
            self._begin(job)

    def _begin(self, job: Job) -> None:
        """From now on tasks of `job` may be given out."""
        if not job.state.ended:
            job.held = False
            self._open(job.maps)
            self._advance(job)

    def _pause(self, name: str, paused: bool) -> None:
        if job := self._turns.get(name):
            job.paused = paused

    def _job_killed(self, event: JobKilled) -> None:
        job = self._turns.get(event.job)
        if job and job.committing:
            job.kill_wanted = True
        elif job:
            self._end(job, JobState.KILLED)

    def _job_committed(self, event: JobCommitted) -> None:
        job = self._turns.get(event.job)
        if job and job.committing:
            self._end(job, JobState.SUCCEEDED)

    def _commit_failed(self, event: CommitFailed) -> None:
        job = self._turns.get(event.job)
        if job and job.committing and job.kill_wanted:
            self._end(job, JobState.KILLED)
        elif job and job.committing:
            self._end(job, JobState.FAILED, f"the output could not be committed: {event.error}")

    def _advance(self, job: Job) -> None:
        """Go on to the reduces, or to the commit, when all before it is done."""
        if not job.maps.complete:
            return
        if job.maps.ended_at is None:
            job.maps.ended_at = self._now
        if job.reduces.started_at is None and not job.held:
            self._open(job.reduces)
        if job.reduces.complete and not job.committing:
            job.reduces.ended_at = self._now
            job.committing = True
            self._actions.append(CommitJob(job.id))

    def _end(self, job: Job, state: JobState, error: str = "") -> None:
        for stage in job.stages:
            for attempt in list(stage.running.values()):
                self._kill(attempt)
            stage.clear()
        if state is not JobState.SUCCEEDED:
            for task in (task for stage in job.stages for task in stage.tasks):
                if task.winner:
                    self._actions.append(DiscardResult(task.winner.id, task.result))
        job.state, job.error, job.ended_at = state, error, self._now
        del self._turns[job.id]
        self._actions.append(JobEnded(job.id, state, error))

    # Workers -------------------------------------------------------------------------------------

    def _worker_reported(self, event: WorkerReported) -> None:
        usable = self._workers.usable
        worker = self._workers.report(event, self._now)
        if self._workers.usable < usable:
            self._trust_again(worker)
        running = frozenset(event.running)
        for attempt in list(worker.attempts.values()):
            given_ago_s = self._now - attempt.given_at
            if attempt.id not in running and given_ago_s > self.policy.order_timeout_s:
                self._lose_running(attempt, f"worker {worker.name} no longer knew of it")
        for unknown in sorted(running - worker.attempts.keys()):
            self._adopt(unknown, worker.name)
        for attempt_id, progress in event.progress:
            if known := worker.attempts.get(attempt_id):
                known.progress, known.progress_at = progress, self._now
        worker.strays = running - worker.attempts.keys()
        for stray in sorted(worker.strays):
            self._actions.append(KillAttempt(worker.name, stray))
        self._workers.changed(worker)

    def _worker_left(self, event: WorkerLost) -> None:
        """It has said goodbye, which is a sign of life too: it has no strike."""
        if worker := self._workers.get(event.worker):
            worker.strikes = 0
        self._worker_lost(event)

    def _worker_lost(self, event: WorkerLost) -> None:
        worker = self._workers.remove(event.worker)
        if worker:
            self._trust_again(worker)
            for attempt in list(worker.attempts.values()):
                self._lose_running(attempt, f"worker {worker.name} was lost")

    def _trust_again(self, gone: Worker) -> None:
        for job in self._turns.values():
            retry.trust_again(job, self._workers, gone)

    # Attempts ------------------------------------------------------------------------------------

    def _attempt_succeeded(self, event: AttemptSucceeded) -> None:
        job, task, attempt = self._find(event.attempt)
        attempt = attempt or self._adopt(event.attempt, event.worker)
        if event.attempt.task.job in self._forgotten:
            return
        if job is None or task is None or attempt is None:
            self._actions.append(DiscardResult(event.attempt, event.result))
        elif task.winner is attempt or attempt.state is AttemptState.SPOILED:
            return  # heard before; to discard it would delete output that is in use
        elif job.state.ended or task.winner or not _can_win(attempt):
            self._actions.append(DiscardResult(event.attempt, event.result))
        else:
            self._win(job, task, attempt, event.result)

    def _win(self, job: Job, task: Task, attempt: Attempt, result: Any) -> None:
        self._close(attempt, AttemptState.SUCCEEDED)
        stage = job.stage(task.id.kind)
        stage.win(task, attempt, result)
        stage.won_at.append(self._now)
        self._workers.done[attempt.worker] += 1
        if attempt.began:  # it is known how long it took
            stage.durations.append(self._now - backups.began_at(attempt, job))
        won = AttemptWon(attempt.id, attempt.worker, attempt.locality, result)
        self._actions.append(won)
        for other in task.running:
            self._kill(other)
        self._advance(job)

    def _attempt_failed(self, event: AttemptFailed) -> None:
        job, task, attempt = self._find(event.attempt)
        attempt = attempt or self._adopt(event.attempt, event.worker)
        if not job or not task or not attempt or attempt.state is not AttemptState.RUNNING:
            return
        lost = [m for m in map(job.task, event.lost) if m and m.id.kind == "map"]
        if not lost:
            self._fail(job, task, attempt, event.error)
            return
        was_here = attempt.worker in task.unread_on
        task.unread_on = (*task.unread_on, attempt.worker)
        self._lose(attempt, f"it could not read the output of {lost[0].id}: {event.error}")
        for map_task in lost:
            if map_task.winner and map_task.winner.ended <= attempt.began and not job.state.ended:
                self._unread(job, map_task, attempt.worker, was_here, event.error)

    def _fail(self, job: Job, task: Task, attempt: Attempt, error: str) -> None:
        """An attempt has raised."""
        self._close(attempt, AttemptState.FAILED)
        self._count_failure(job, task, attempt)
        self._workers.failed[attempt.worker] += 1
        self._actions.append(FailureCounted(attempt.id, attempt.worker))
        job.first_error = job.first_error or f"{task.id} on {attempt.worker}: {error}"
        self._try_again(job, task, error, retry.backoff_s(task.failures, self.policy))

    def _attempt_returned(self, event: AttemptReturned) -> None:
        job, task, attempt = self._find(event.attempt)
        if job and task and attempt and attempt.state is AttemptState.RUNNING:
            self._close(attempt, AttemptState.RETURNED)
            self._try_again(job, task, "")

    def _unread(self, job: Job, map_task: Task, worker: str, again: bool, error: str) -> None:
        """What a finished map has made can't be read on `worker`. It is gone if another worker
        can't read it either, or none took the reduce before it came here `again`. Else it may only
        be out of reach here, and the reduce runs elsewhere."""
        known = {*map_task.unread_by, worker}
        map_task.unread_by = tuple(sorted(known))
        if again or len(known) > 1 or not self._workers.any_but(known):
            self._spoil(job, map_task, error)

    def _spoil(self, job: Job, map_task: Task, error: str) -> None:
        """A finished map must run again: its output is gone."""
        map_task.unread_by = ()
        job.maps.spoil(map_task)
        map_task.losses += 1
        self._actions.append(OutputLost(map_task.id))
        self._try_again(job, map_task, error)

    def _lose_running(self, attempt: Attempt, error: str) -> None:
        """Its order may still be on its way to a worker that only seems to be gone."""
        self._actions.append(KillAttempt(attempt.worker, attempt.id))
        self._lose(attempt, error)

    def _lose(self, attempt: Attempt, error: str) -> None:
        """An attempt ends by no fault of its own."""
        self._close(attempt, AttemptState.LOST)
        job, task, _ = self._find(attempt.id)
        if job and task:
            task.losses += 1
            self._try_again(job, task, error)

    def _try_again(self, job: Job, task: Task, error: str, rest_s: float = 0.0) -> None:
        if job.state.ended or task.winner:
            return
        max_losses = self.policy.max_losses
        if task.id.kind == "reduce":  # which may have to wait for each map once
            max_losses += 2 * len(job.maps.tasks)  # two workers may have to look for its output
        if reason := retry.reason_to_give_up(task, job.max_attempts, max_losses, error):
            self._end(job, JobState.FAILED, reason)
        elif not task.running:
            self._queue(job.stage(task.id.kind), task, rest_s)

    def _task_killed(self, event: TaskKilled) -> None:
        job = self._turns.get(event.task.job)
        task = job.task(event.task) if job else None
        if job and task and task.running:
            for attempt in task.running:
                self._kill(attempt)
            self._queue(job.stage(task.id.kind), task)

    # Giving out work -----------------------------------------------------------------------------

    def _give_out(self) -> None:
        """Fill free slots, one at a time."""
        self._fill()
        while attempt := early.to_yield(self._turns.values(), self._workers):
            self._task_killed(TaskKilled(attempt.id.task))
            self._fill()

    def _fill(self) -> None:
        while self._workers.any_free and (start := self._next()):
            self._start(*start)

    def _next(self) -> tuple[Job, Task, Worker] | None:
        """What is to be started next. No reduce starts early where a map could start."""
        jobs = fairness.in_turn(self._turns.values())
        for job in jobs:
            if found := self._choose(job, job.current):
                return job, *found
        for job in jobs:
            if early.may_start(job, jobs):
                if job.reduces.started_at is None:
                    self._open(job.reduces)
                if found := self._choose(job, job.reduces, least_idle=1):
                    return job, *found
        return None

    def _choose(
        self, job: Job, stage: Stage, least_idle: float = -math.inf
    ) -> tuple[Task, Worker] | None:
        return placement.choose(job, stage, self._workers, self._now, self.policy, least_idle)

    def _back_up(self) -> None:
        """Start copies of slow tasks, as far as slots are free or can be made so."""
        for job in list(self._turns.values()):
            while copy := self._copy(job):
                self._start(job, *copy, backup=True)
                job.backups_started += 1

    def _copy(self, job: Job) -> tuple[Task, Worker] | None:
        """What is to be copied next, and where; an early reduce may have to go for it."""
        given = job, self._workers, self._now, self.policy
        found = backups.choose(*given) if self._workers.any_free else None
        if not found and (attempt := backups.to_yield(*given)):
            self._task_killed(TaskKilled(attempt.id.task))
            found = backups.choose(*given)
        return found


def _can_win(attempt: Attempt) -> bool:
    """A lost attempt may turn out to have finished; a failed one has said that it did not."""
    return attempt.state in (AttemptState.RUNNING, AttemptState.LOST)
