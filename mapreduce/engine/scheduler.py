"""The scheduler: which task runs where, what happens when something fails, when a job is over.

A state machine: `Scheduler.handle(event, now) -> list[Action]` (`mapreduce.engine.events`). It
reads no clock and no socket; a driver hands it what happened and carries out what it answers, in
order. An event that says nothing new changes nothing, so events may come late and repeatedly.

Rules
- Reduces start when all maps are done. When all are done the output is committed.
- A task goes to a worker beside its data if one is free soon: `placement`. Jobs take turns.
- A task that fails is tried again: `retry`. Its first success wins, and no other is ever used.
- A worker that is silent too long is lost, and so is an attempt that its worker knows nothing of;
  lost attempts start again and don't count as failures.
- Attempts of an earlier leader, known by their numbers, count like its own once they are heard of.
- The output of finished maps is in the store and outlives its worker. If a reduce can't read it
  all the same, those maps run again.
"""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from mapreduce.engine import placement, retry
from mapreduce.engine.events import (
    Action,
    AttemptFailed,
    AttemptId,
    AttemptReturned,
    AttemptSucceeded,
    AttemptWon,
    CommitFailed,
    CommitJob,
    DiscardResult,
    Done,
    Event,
    JobCommitted,
    JobEnded,
    JobKilled,
    JobPaused,
    JobResumed,
    JobStarted,
    JobState,
    KillAttempt,
    OutputLost,
    RunAttempt,
    TaskKilled,
    Tick,
    WorkerLost,
    WorkerReported,
)
from mapreduce.engine.ledger import Attempt, AttemptState, Job, Stage, Task, Worker
from mapreduce.engine.status import (
    JobStatus,
    RunningAttempt,
    TaskStatus,
    WorkerStatus,
    job_status,
    task_statuses,
)


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """The scheduler's times and bounds."""

    locality_wait_s: float = 1.0
    """How long a task waits for a worker beside its data."""
    worker_timeout_s: float = 5.0
    """A worker that has not reported for so long is lost."""
    order_timeout_s: float = 3.0
    """An attempt given so long ago that its worker doesn't report as running is lost."""
    takeover_wait_s: float = 2.0
    """How long nothing of a job is given out that an earlier leader has begun: workers have to tell
    what they run of it."""
    max_losses: int = 20
    """How often a task may be lost, with its worker or its output, before its job fails. A reduce
    may besides wait once for each of its maps."""


class Scheduler:
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
        self.policy = policy or Policy()
        self._jobs: dict[str, Job] = {}
        self._forgotten: set[str] = set()
        self._turns: dict[str, Job] = {}
        """The running jobs; a new one is first, the one that was last given a slot is last."""
        self._workers: dict[str, Worker] = {}
        self._step = 0
        self._now = 0.0
        self._actions: list[Action] = []
        self._handlers: dict[type[Event], Callable[[Any], None]] = {
            JobStarted: self._job_started,
            JobKilled: self._job_killed,
            JobPaused: lambda event: self._pause(event.job, True),
            JobResumed: lambda event: self._pause(event.job, False),
            TaskKilled: self._task_killed,
            JobCommitted: self._job_committed,
            CommitFailed: self._commit_failed,
            WorkerReported: self._worker_reported,
            WorkerLost: self._worker_lost,
            AttemptSucceeded: self._attempt_succeeded,
            AttemptFailed: self._attempt_failed,
            AttemptReturned: self._attempt_returned,
            Tick: lambda event: None,
        }

    def handle(self, event: Event, now: float) -> list[Action]:
        """What is to be done because of `event`, which is seen at `now` (seconds, never less than
        at the call before)."""
        self._step += 1
        self._now = now
        self._actions = []
        self._handlers[type(event)](event)
        self._lose_silent_workers()
        self._release_jobs()
        self._give_out()
        return self._actions

    # Views for drivers ---------------------------------------------------------------------------

    def status(self, job: str) -> JobStatus:
        """Where `job` stands. Raises KeyError for a job it does not know."""
        return job_status(self._jobs[job])

    def workers(self) -> list[WorkerStatus]:
        """The living workers, in order of name."""
        return [
            WorkerStatus(
                w.name, w.node, w.slots, len(w.attempts), self._now - w.seen_at, w.draining
            )
            for w in sorted(self._workers.values(), key=lambda w: w.name)
        ]

    def running(self, job: str) -> list[RunningAttempt]:
        """The attempts of `job` that run, those first that have run longest."""
        attempts = (a for a in self._jobs[job].attempts if a.state is AttemptState.RUNNING)
        oldest_first = sorted(attempts, key=lambda a: (a.given_at, a.id))
        return [RunningAttempt(a.id, a.worker, self._now - a.given_at) for a in oldest_first]

    def tasks(self, job: str) -> list[TaskStatus]:
        """All tasks of `job` and when they ran: the maps, then the reduces."""
        return task_statuses(self._jobs[job])

    def map_results(self, job: str) -> list[Any]:
        """The results of the winning map attempts, in order of task; unfinished ones left out."""
        return _results(self._jobs[job].maps)

    def reduce_results(self, job: str) -> list[Any]:
        """The results of the winning reduce attempts, in order of task."""
        return _results(self._jobs[job].reduces)

    def knows(self, job: str) -> bool:
        """True if `status` can be asked for `job`."""
        return job in self._jobs

    def forget(self, job: str) -> None:
        """Free what is kept of a job that has ended. What is still heard of it is ignored."""
        if self._jobs[job].state.ended:
            del self._jobs[job]
            self._forgotten.add(job)

    # Jobs ----------------------------------------------------------------------------------------

    def _job_started(self, event: JobStarted) -> None:
        if event.job in self._jobs or event.job in self._forgotten:
            return
        maps = Stage(event.job, "map", event.map_nodes)
        reduces = Stage(event.job, "reduce", event.reduce_nodes)
        job = Job(event.job, event.max_attempts, maps, reduces, started_at=self._now)
        job.first_attempt, job.paused = event.first_attempt, event.paused
        self._jobs[job.id] = job
        self._turns = {job.id: job, **self._turns}
        for done in event.done:
            self._remember(job, done)
        if event.resumed:
            job.held_until = self._now + self.policy.takeover_wait_s
        else:
            maps.open(self._now)
        self._advance(job)

    def _remember(self, job: Job, done: Done) -> None:
        """A task was finished under an earlier leader."""
        task = job.task(done.attempt.task)
        if task and not task.winner:
            attempt = Attempt(done.attempt, done.worker, done.locality, self._now, began=0)
            attempt.state, attempt.ended_at = AttemptState.SUCCEEDED, self._now
            task.attempts[attempt.id.number] = attempt
            task.winner, task.result = attempt, done.result
            job.stage(task.id.kind).done += 1

    def _release_jobs(self) -> None:
        """Go on with jobs whose workers have had the time to tell what they run."""
        for job in self._turns.values():
            if job.held_until is not None and job.held_until <= self._now:
                job.held_until = None
                job.maps.open(self._now)
                self._advance(job)

    def _pause(self, name: str, paused: bool) -> None:
        if job := self._turns.get(name):
            job.paused = paused

    def _task_killed(self, event: TaskKilled) -> None:
        job = self._turns.get(event.task.job)
        task = job.task(event.task) if job else None
        if job and task and task.running:
            for attempt in task.running:
                self._kill(attempt)
            job.stage(task.id.kind).queue(task, self._now)

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
        job.maps.ended_at = job.maps.ended_at or self._now
        if job.reduces.started_at is None and job.held_until is None:
            job.reduces.open(self._now)
        if job.reduces.complete and not job.committing:
            job.reduces.ended_at = self._now
            job.committing = True
            self._actions.append(CommitJob(job.id))

    def _end(self, job: Job, state: JobState, error: str = "") -> None:
        for attempt in job.attempts:
            if attempt.state is AttemptState.RUNNING:
                self._kill(attempt)
        if state is not JobState.SUCCEEDED:
            for task in (task for stage in job.stages for task in stage.tasks):
                if task.winner:
                    self._actions.append(DiscardResult(task.winner.id, task.result))
        job.state, job.error, job.ended_at = state, error, self._now
        del self._turns[job.id]
        self._actions.append(JobEnded(job.id, state, error))

    # Workers -------------------------------------------------------------------------------------

    def _worker_reported(self, event: WorkerReported) -> None:
        worker = self._workers.get(event.worker)
        if worker is None:
            worker = Worker(event.worker, event.node, event.slots, self._now)
            self._workers[event.worker] = worker
        worker.node, worker.slots, worker.seen_at = event.node, event.slots, self._now
        worker.draining, worker.ahead = event.draining, event.ahead
        running = frozenset(event.running)
        for attempt in list(worker.attempts.values()):
            given_ago_s = self._now - attempt.given_at
            if attempt.id not in running and given_ago_s > self.policy.order_timeout_s:
                self._lose_running(attempt, f"worker {worker.name} no longer knew of it")
        for unknown in sorted(running - worker.attempts.keys()):
            self._adopt(unknown, worker.name)
        worker.strays = running - worker.attempts.keys()
        for stray in sorted(worker.strays):
            self._actions.append(KillAttempt(worker.name, stray))

    def _worker_lost(self, event: WorkerLost) -> None:
        worker = self._workers.pop(event.worker, None)
        for attempt in list(worker.attempts.values()) if worker else ():
            self._lose_running(attempt, f"worker {event.worker} was lost")

    def _lose_silent_workers(self) -> None:
        deadline = self._now - self.policy.worker_timeout_s
        for worker in [w for w in self._workers.values() if w.seen_at < deadline]:
            self._worker_lost(WorkerLost(worker.name))

    # Attempts ------------------------------------------------------------------------------------

    def _adopt(self, attempt_id: AttemptId, worker_name: str) -> Attempt | None:
        """An attempt that this scheduler hasn't heard of, if an earlier leader has given it and it
        is still of use: from now on it counts as running. None otherwise."""
        job = self._turns.get(attempt_id.task.job)
        task = job.task(attempt_id.task) if job else None
        if not job or not task or task.winner or attempt_id.number in task.attempts:
            return None
        if not 0 < attempt_id.number < job.first_attempt:
            return None
        worker = self._workers.get(worker_name)
        locality = placement.locality(task, worker.node if worker else "")
        attempt = Attempt(attempt_id, worker_name, locality, self._now, began=0)
        self._register(job, task, attempt)
        return attempt

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
        task.winner, task.result = attempt, result
        stage = job.stage(task.id.kind)
        stage.unqueue(task)
        stage.done += 1
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
            self._close(attempt, AttemptState.FAILED)
            task.failures += 1
            self._try_again(job, task, event.error)
            return
        self._lose(attempt, f"it could not read the output of {lost[0].id}: {event.error}")
        for map_task in lost:
            if map_task.winner and map_task.winner.ended <= attempt.began and not job.state.ended:
                self._spoil(job, map_task, event.error)

    def _attempt_returned(self, event: AttemptReturned) -> None:
        job, task, attempt = self._find(event.attempt)
        if job and task and attempt and attempt.state is AttemptState.RUNNING:
            self._close(attempt, AttemptState.KILLED)
            self._try_again(job, task, "")

    def _spoil(self, job: Job, map_task: Task, error: str) -> None:
        """A finished map must run again: its output is gone."""
        if map_task.winner:
            map_task.winner.state = AttemptState.SPOILED
        map_task.winner, map_task.result = None, None
        map_task.losses += 1
        job.maps.done -= 1
        job.maps.ended_at = None
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

    def _try_again(self, job: Job, task: Task, error: str) -> None:
        if job.state.ended or task.winner:
            return
        max_losses = self.policy.max_losses
        if task.id.kind == "reduce":  # which may have to wait for each map once
            max_losses += len(job.maps.tasks)
        if reason := retry.reason_to_give_up(task, job.max_attempts, max_losses, error):
            self._end(job, JobState.FAILED, reason)
        elif not task.running:
            job.stage(task.id.kind).queue(task, self._now)

    def _kill(self, attempt: Attempt) -> None:
        self._close(attempt, AttemptState.KILLED)
        self._actions.append(KillAttempt(attempt.worker, attempt.id))

    def _close(self, attempt: Attempt, state: AttemptState) -> None:
        """The attempt holds its slot no longer."""
        attempt.state, attempt.ended, attempt.ended_at = state, self._step, self._now
        if worker := self._workers.get(attempt.worker):
            worker.attempts.pop(attempt.id, None)

    def _find(self, attempt: AttemptId) -> tuple[Job | None, Task | None, Attempt | None]:
        job = self._jobs.get(attempt.task.job)
        task = job.task(attempt.task) if job else None
        return job, task, task.attempts.get(attempt.number) if task else None

    # Giving out work -----------------------------------------------------------------------------

    def _give_out(self) -> None:
        """Fill free slots, one at a time; the jobs take turns."""
        while start := next(self._starts(), None):
            job, task, worker = start
            self._start(job, task, worker)
            self._turns[job.id] = self._turns.pop(job.id)

    def _starts(self) -> Iterator[tuple[Job, Task, Worker]]:
        """For each job in turn what it would start next."""
        workers = list(self._workers.values())
        for job in self._turns.values():
            if job.paused or job.held_until is not None:
                continue
            chosen = placement.choose(job.current, workers, self._now, self.policy.locality_wait_s)
            if chosen:
                yield job, *chosen

    def _start(self, job: Job, task: Task, worker: Worker) -> None:
        attempt = Attempt(
            id=AttemptId(task.id, job.first_attempt + task.given),
            worker=worker.name,
            locality=placement.locality(task, worker.node),
            given_at=self._now,
            began=self._step,
        )
        task.given += 1
        self._register(job, task, attempt)
        self._actions.append(
            RunAttempt(worker.name, attempt.id, attempt.locality, failures=task.failures)
        )

    def _register(self, job: Job, task: Task, attempt: Attempt) -> None:
        """The attempt runs, and holds its slot."""
        job.stage(task.id.kind).unqueue(task)
        task.attempts[attempt.id.number] = attempt
        if worker := self._workers.get(attempt.worker):
            worker.attempts[attempt.id] = attempt


def _can_win(attempt: Attempt) -> bool:
    """A lost attempt may turn out to have finished; a failed one has said that it did not."""
    return attempt.state in (AttemptState.RUNNING, AttemptState.LOST)


def _results(stage: Stage) -> list[Any]:
    return [task.result for task in stage.tasks if task.winner]
