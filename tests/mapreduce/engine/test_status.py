"""What the scheduler tells of jobs that it has: read-only copies of its tables."""

from mapreduce.engine.events import (
    AttemptFailed,
    AttemptSucceeded,
    JobResumed,
    JobStarted,
    Locality,
    RunAttempt,
    WorkerReported,
)
from mapreduce.engine.scheduler import Scheduler
from mapreduce.engine.status import AttemptStatus


def test_the_times_of_tasks_have_each_attempt_in_order_and_how_it_ended():
    s = Scheduler()
    s.handle(WorkerReported("w1", "n1", 1), 0.0)
    [first] = s.handle(JobStarted("job", (("n1",),), ((),), slow_start=1.0), 1.0)
    [second] = s.handle(AttemptFailed(first.attempt, "w1", "boom"), 3.0)
    s.handle(AttemptSucceeded(second.attempt, "w1"), 4.0)
    done, running = s.tasks("job")
    assert (done.id, done.state) == (first.attempt.task, "done")
    where = {"worker": "w1", "locality": Locality.NODE, "backup": False}
    assert done.attempts == (
        AttemptStatus(number=1, state="failed", started_at=1.0, ended_at=3.0, **where),
        AttemptStatus(number=2, state="succeeded", started_at=3.0, ended_at=4.0, **where),
    )
    assert (running.state, running.attempts[0].state) == ("running", "running")
    assert running.attempts[0].ended_at is None


def test_a_job_that_starts_paused_waits_until_it_is_resumed():
    s = Scheduler()
    s.handle(WorkerReported("w1", "n1", 1), 0.0)
    assert s.handle(JobStarted("job", ((),), (), paused=True), 0.0) == []
    [run] = s.handle(JobResumed("job"), 1.0)
    assert isinstance(run, RunAttempt)


def test_a_worker_that_drains_is_said_to():
    s = Scheduler()
    s.handle(WorkerReported("w1", "n1", 1, draining=True), 0.0)
    assert [(worker.name, worker.draining) for worker in s.workers()] == [("w1", True)]
