"""What must hold at each step of a leader, whatever its scheduler's tables say.

A `Watch` keeps account of what a leader was told and has ordered, in the plainest way, and compares
every action with it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from mapreduce.engine.events import (
    Action,
    AttemptFailed,
    AttemptId,
    AttemptReturned,
    AttemptSucceeded,
    AttemptWon,
    CommitJob,
    Event,
    FailureCounted,
    JobEnded,
    JobKilled,
    JobPaused,
    JobResumed,
    JobStarted,
    JobState,
    KillAttempt,
    Locality,
    OutputLost,
    RunAttempt,
    TaskId,
    WorkerLost,
    WorkerReported,
)
from mapreduce.engine.scheduler import Scheduler

if TYPE_CHECKING:
    from tests.simulation.jobs.world import World


class Violation(Exception):
    """Something that must never happen."""


def check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Violation(otherwise)


class Watch:
    """The account of one leader."""

    def __init__(self, world: World, scheduler: Scheduler, leader: str) -> None:
        self._world = world
        self._scheduler = scheduler
        self._leader = leader
        self._jobs: dict[str, JobStarted] = {}
        self._ended: set[str] = set()
        self._paused: set[str] = set()
        self._committing: set[str] = set()
        self._workers: dict[str, WorkerReported] = {}
        self._seen_at: dict[str, float] = {}
        self._open: dict[AttemptId, str] = {}
        """The attempts that hold a slot, and at which worker."""
        self._held: Counter[str | TaskId] = Counter()
        """worker, job or task -> how many of its attempts hold a slot"""
        self._backups: set[AttemptId] = set()
        self._strays: Counter[str] = Counter()
        """worker -> slots held by what it should not be working on any more"""
        self._closed: set[AttemptId] = set()
        self._succeeded: set[AttemptId] = set()
        self._won: dict[TaskId, AttemptId] = {}
        self._failures: Counter[TaskId] = Counter()
        self._maps_done: Counter[str] = Counter()

    @property
    def open(self) -> list[AttemptId]:
        """The attempts that hold a slot."""
        return list(self._open)

    def answers_for(self, attempt: AttemptId) -> bool:
        """True if this leader has heard of what the attempt has made: it is kept or discarded."""
        return attempt in self._succeeded or self._won.get(attempt.task) == attempt

    def see(self, event: Event, actions: list[Action]) -> None:
        """The leader's scheduler was told `event` and answered `actions`."""
        match event:
            case JobStarted():
                self._job_started(event)
            case JobPaused(job=job):
                self._paused.add(job)
            case JobResumed(job=job):
                self._paused.discard(job)
            case WorkerReported():
                self._worker_reported(event, actions)
            case JobKilled(job=job):
                self._job_killed(job, actions)
            case WorkerLost(worker=worker):
                self._workers.pop(worker, None)
            case AttemptSucceeded(attempt=attempt):
                self._succeeded.add(attempt)
                self._close(attempt)
            case AttemptReturned(attempt=attempt):
                self._close(attempt)
            case AttemptFailed():
                self._attempt_failed(event)
        for action in actions:
            self._check(action)

    # What it was told ----------------------------------------------------------------------------

    def _job_started(self, event: JobStarted) -> None:
        self._jobs[event.job] = event
        if event.paused:
            self._paused.add(event.job)
        for done in event.done:
            self._note_won(done.attempt)
        for attempt in {failure.attempt for failure in event.failed}:  # two leaders may have heard
            self._failures[attempt.task] += 1
            self._closed.add(attempt)

    def _job_killed(self, job: str, actions: list[Action]) -> None:
        """It ends at once, unless its output is just being made visible."""
        if job in self._jobs and job not in self._ended | self._committing:
            ended = any(isinstance(a, JobEnded) and a.job == job for a in actions)
            self._say(ended, job, "was killed and goes on")

    def _worker_reported(self, event: WorkerReported, actions: list[Action]) -> None:
        """What it works on is wanted, known from now on, or told to stop."""
        self._workers[event.worker] = event
        self._seen_at[event.worker] = self._world.now
        killed = {action.attempt for action in actions if isinstance(action, KillAttempt)}
        strays = 0
        for attempt in event.running:
            if attempt in self._open:
                continue
            of_use = self._can_be_adopted(attempt)
            if attempt in killed and not (of_use and self._is_early(attempt)):
                alone = not self._held[attempt.task]
                self._say(not (of_use and alone), attempt, "was of use, and was stopped")
                strays += 1
            else:  # an early reduce may have to give its slot back as soon as it is known
                self._say(of_use, attempt, f"goes on at {event.worker}, which nobody wants")
                self._world.counted["adopted"] += 1
                self._hold(attempt, event.worker)
        self._strays[event.worker] = strays

    def _can_be_adopted(self, attempt: AttemptId) -> bool:
        """True for what an earlier leader has started and nobody has stopped."""
        job = self._jobs.get(attempt.task.job)
        if job is None or attempt.task.job in self._ended or attempt.task in self._won:
            return False
        return attempt not in self._closed and attempt.number < job.first_attempt

    def _attempt_failed(self, event: AttemptFailed) -> None:
        known = event.attempt in self._open or self._can_be_adopted(event.attempt)
        if known and not event.lost:
            self._failures[event.attempt.task] += 1
        self._close(event.attempt)

    # What it orders ------------------------------------------------------------------------------

    def _check(self, action: Action) -> None:
        match action:
            case RunAttempt():
                self._check_run(action)
                self._hold(action.attempt, action.worker)
            case KillAttempt(attempt=attempt):
                if attempt in self._open and self._is_early(attempt):
                    self._world.counted["yielded"] += 1
                self._close(attempt)
            case AttemptWon(attempt=attempt):
                self._say(attempt in self._succeeded, attempt, "won and had not succeeded")
                self._say(attempt.task not in self._won, attempt, "won after another attempt")
                self._note_won(attempt)
            case FailureCounted(attempt=attempt):
                self._say(attempt in self._closed, attempt, "failed and nobody has said so")
            case OutputLost(task=task):
                self._say(task in self._won, task, "lost what it never had")
                self._note_lost(task)
            case CommitJob(job=job):
                started = self._jobs[job]
                tasks = len(started.map_nodes) + len(started.reduce_nodes)
                done = sum(1 for task in self._won if task.job == job)
                self._say(done == tasks, job, f"commits with {done} of {tasks} tasks done")
                self._check_counts(job)
                self._committing.add(job)
            case JobEnded():
                self._check_end(action)

    def _check_run(self, run: RunAttempt) -> None:
        attempt, task = run.attempt, run.attempt.task
        worker, job = self._workers.get(run.worker), self._jobs[task.job]
        first_time = attempt not in self._world.attempts
        self._say(first_time, attempt, "was given out twice, or its number was used before")
        self._world.attempts.add(attempt)
        if worker is None:
            raise Violation(f"{self._leader}: {attempt} was given to {run.worker}, which is lost")
        silent_s = self._world.now - self._seen_at[run.worker]
        alive = silent_s <= self._world.policy.worker_timeout_s
        self._say(alive, attempt, f"was given to {run.worker}, silent for {silent_s:.1f} s")
        self._say(not worker.draining, attempt, f"was given to {run.worker}, which is draining")
        held = self._held[run.worker] + self._strays[run.worker]
        self._say(held < worker.slots + worker.ahead, attempt, f"is one too many for {run.worker}")
        self._say(task not in self._won, attempt, "runs though its task is done")
        self._say(task.job not in self._ended, attempt, "runs though its job has ended")
        self._say(task.job not in self._paused, attempt, "runs though its job is paused")
        below = not job.max_running or self._held[task.job] < job.max_running
        self._say(below, attempt, f"exceeds max_running {job.max_running}")
        counted = self._failures[task]
        self._say(run.failures == counted, attempt, f"is told {run.failures} failures: {counted}")
        near = self._locality(task, worker)
        self._say(run.locality == near, attempt, f"is called {run.locality} and is {near}")
        self._check_backup(run, job)
        if self._is_early(attempt):
            self._world.counted["early"] += 1
            self._check_early(attempt, job)

    def _locality(self, task: TaskId, worker: WorkerReported) -> Locality:
        job = self._jobs[task.job]
        nodes = (job.map_nodes if task.kind == "map" else job.reduce_nodes)[task.index]
        if not nodes:
            return Locality.ANY
        if worker.node in nodes:
            return Locality.NODE
        beside = any(job.hosts.get(node) == worker.host for node in nodes)
        return Locality.HOST if beside else Locality.REMOTE

    def _check_backup(self, run: RunAttempt, job: JobStarted) -> None:
        """A task runs twice only if the second attempt is a backup, and few do."""
        attempt, held = run.attempt, self._held[run.attempt.task]
        self._say(held == run.backup, attempt, f"runs beside {held}, backup: {run.backup}")
        if not run.backup:
            return
        self._world.counted["backups"] += 1
        self._say(job.backups, attempt, "is a backup, and the user wants none")
        self._backups.add(attempt)
        stage = job.map_nodes if attempt.task.kind == "map" else job.reduce_nodes
        most = max(1, int(self._world.policy.backup_share * len(stage)))
        of_stage = [
            (other.task.job, other.task.kind) == (job.job, attempt.task.kind)
            for other in self._backups
        ]
        self._say(sum(of_stage) <= most, attempt, f"is backup number {sum(of_stage)} of its stage")

    def _is_early(self, attempt: AttemptId) -> bool:
        """True for a reduce while not all maps of its job are done."""
        job = self._jobs[attempt.task.job]
        maps_are_done = self._maps_done[job.job] == len(job.map_nodes)
        return attempt.task.kind == "reduce" and not maps_are_done

    def _check_early(self, attempt: AttemptId, job: JobStarted) -> None:
        done, maps = self._maps_done[job.job], len(job.map_nodes)
        needed = job.slow_start * maps
        self._say(done >= needed, attempt, f"runs when {done} of {maps} maps are done")
        tasks = (TaskId(job.job, "map", index) for index in range(maps))
        idle = sum(not self._held[task] and task not in self._won for task in tasks)
        self._say(idle == 0, attempt, f"runs when {idle} maps wait")

    def _check_counts(self, job: str) -> None:
        """What people are shown when all is done."""
        status = self._scheduler.status(job)
        for stage in (status.map, status.reduce):
            counts = (stage.done, stage.waiting, stage.running, sum(stage.localities.values()))
            expected = (stage.total, 0, 0, stage.total)
            self._say(counts == expected, job, f"commits, and its status shows {stage}")

    def _check_end(self, ended: JobEnded) -> None:
        job, state, world = ended.job, ended.state, self._world
        self._say(job not in self._ended, job, "ended twice")
        self._ended.add(job)
        left = [attempt for attempt in self._open if attempt.task.job == job]
        self._say(not left, job, f"has ended and {left} run on")
        self._check_history(job, state)
        record = world.records[job]
        if state is JobState.KILLED:
            self._say(record.kill_wanted, job, "was killed and nobody wanted it")
        elif state is JobState.SUCCEEDED:
            self._say(record.winners is not None, job, "succeeded without a commit")
        elif "was lost" in ended.error:
            self._say(world.plan.max_losses < 100, job, f"was given up: {ended.error}")
        else:
            worst = max((n for t, n in self._failures.items() if t.job == job), default=0)
            failed = worst >= record.plan.max_attempts or job in world.failed_commits
            self._say(failed, job, f"failed after {worst} failures: {ended.error}")

    def _check_history(self, job: str, state: JobState) -> None:
        """What people are shown of the past: each task of a job that succeeded was won once."""
        for task in self._scheduler.tasks(job):
            states = [attempt.state for attempt in task.attempts]
            self._say("running" not in states, job, f"has ended, and its history says {task}")
            if state is JobState.SUCCEEDED:
                winners = [a.number for a in task.attempts if a.state == "succeeded"]
                won = [self._won[task.id].number]
                self._say(winners == won, job, f"was won by {won}, and its history says {task}")

    # The account ---------------------------------------------------------------------------------

    def _hold(self, attempt: AttemptId, worker: str) -> None:
        self._open[attempt] = worker
        self._held.update((worker, attempt.task.job, attempt.task))

    def _close(self, attempt: AttemptId) -> None:
        self._closed.add(attempt)
        worker = self._open.pop(attempt, None)
        if worker is not None:
            self._held.subtract((worker, attempt.task.job, attempt.task))
            self._backups.discard(attempt)

    def _note_won(self, attempt: AttemptId) -> None:
        self._won[attempt.task] = attempt
        if attempt.task.kind == "map":
            self._maps_done[attempt.task.job] += 1

    def _note_lost(self, task: TaskId) -> None:
        del self._won[task]
        self._maps_done[task.job] -= 1

    def _say(self, holds: bool, what: object, otherwise: str) -> None:
        if not holds:
            job = f" of {what.task.job}" if isinstance(what, AttemptId) else ""
            raise Violation(f"{self._leader}: {what}{job} {otherwise}")
