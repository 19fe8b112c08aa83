"""What is told of jobs while they run: `mapreduce.engine.status`."""

import pytest

from mapreduce.engine.events import (
    AttemptFailed,
    AttemptSucceeded,
    JobKilled,
    JobPaused,
    JobStarted,
    Tick,
    WorkerLost,
    WorkerReported,
)
from mapreduce.engine.scheduler import Policy
from tests.mapreduce.engine.scheduling import (
    Quiet,
    map_attempt,
    reduce_attempt,
    started,
    with_workers,
)

PATIENT = Policy(worker_timeout_s=1e9, order_timeout_s=1e9)


def waits(s: Quiet) -> dict[str, int]:
    return s.status("job").map.waits


class TestWhyTasksWait:
    def test_for_a_slot_and_for_maps(self):
        s = with_workers("w1")
        s.handle(started(3, 2), 0.0)
        assert waits(s) == {"for a free slot": 2}
        assert s.status("job").reduce.waits == {"for 3 maps": 2}

    def test_without_workers(self):
        s = with_workers()
        s.handle(started(2), 0.0)
        assert waits(s) == {"no worker is alive": 2}
        s.handle(WorkerReported("w1", "n1", 1, draining=True), 0.0)
        assert waits(s) == {"all workers are drained": 2}

    def test_as_the_job_is_paused_or_at_its_limit(self):
        s = with_workers("w1", slots=4)
        s.handle(started(3, max_running=1), 0.0)
        assert waits(s) == {"the job may run 1 tasks at once": 2}
        s.handle(JobPaused("job"), 0.0)
        assert waits(s) == {"the job is paused": 2}
        assert s.status("job").paused

    def test_after_a_failure(self):
        s = with_workers("w1")
        s.handle(started(2), 0.0)
        s.handle(AttemptFailed(map_attempt(0), "w1", "boom"), 1.0)
        s.handle(AttemptSucceeded(map_attempt(1), "w1"), 1.0)
        s.handle(AttemptFailed(map_attempt(0, 2), "w1", "boom"), 1.0)
        assert waits(s) == {"for another try after it failed": 1}

    def test_for_a_near_worker(self):
        s = with_workers("w1", "w2")
        s.handle(JobStarted("job", (("n1",), ("n1",)), ()), 0.0)
        assert waits(s) == {"for a worker near its data, or another than it failed on": 1}

    def test_after_another_leader(self):
        s = with_workers("w1")
        s.handle(JobStarted("job", ((),), (), resumed=True, first_attempt=101), 0.0)
        assert waits(s) == {"for workers to tell what they still run": 1}

    def test_when_it_is_over_nothing_waits(self):
        s = with_workers("w1")
        s.handle(started(3), 0.0)
        s.handle(JobKilled("job"), 1.0)
        assert waits(s) == {}
        assert s.status("job").map.seconds_left is None


class TestRate:
    def test_it_is_that_of_the_last_seconds(self):
        s = with_workers("w1", policy=PATIENT)
        s.handle(started(40), 0.0)
        for index in range(10):
            s.handle(AttemptSucceeded(map_attempt(index), "w1"), index + 1.0)
        assert s.status("job").map.rate == pytest.approx(1.0)
        assert s.status("job").map.seconds_left == pytest.approx(30.0)
        s.handle(Tick(), 15.0)
        assert s.status("job").map.rate == pytest.approx(0.6)

    def test_when_none_has_ended_of_late_it_is_that_of_the_whole_stage_that_tells(self):
        s = with_workers("w1", policy=PATIENT)
        s.handle(started(3), 0.0)
        s.handle(AttemptSucceeded(map_attempt(0), "w1"), 50.0)
        s.handle(Tick(), 100.0)
        status = s.status("job").map
        assert (status.rate, status.seconds_left) == (0.0, pytest.approx(200.0))

    def test_progress_counts_before_any_task_is_done(self):
        s = with_workers("w1", policy=PATIENT)
        s.handle(started(1), 0.0)
        assert s.status("job").map.seconds_left is None
        progress = ((map_attempt(0), 0.25),)
        s.handle(WorkerReported("w1", "n1", 1, (map_attempt(0),), progress=progress), 10.0)
        assert s.status("job").map.seconds_left == pytest.approx(30.0)
        assert s.status("job").map.underway == 0.25


def test_each_task_is_told_with_all_its_attempts():
    s = with_workers("w1", policy=PATIENT)
    s.handle(started(1, 1), 0.0)
    s.handle(AttemptFailed(map_attempt(0), "w1", "boom"), 1.0)
    s.handle(AttemptSucceeded(map_attempt(0, 2), "w1"), 3.0)
    one, two = s.tasks("job")
    assert (one.id, one.state) == (map_attempt(0).task, "done")
    assert [(a.number, a.worker, a.state, a.started_at, a.ended_at) for a in one.attempts] == [
        (1, "w1", "failed", 0.0, 1.0),
        (2, "w1", "succeeded", 1.0, 3.0),
    ]
    assert (two.id, two.state, len(two.attempts)) == (reduce_attempt(0).task, "running", 1)


def states(scheduler):
    return [(worker.name, worker.state) for worker in scheduler.scoreboard().workers]


def test_the_scoreboard_says_what_each_worker_does_and_has_done():
    s = with_workers("w1", "w2", "w3", policy=PATIENT)
    assert states(s) == [("w1", "idle"), ("w2", "idle"), ("w3", "idle")]
    s.handle(started(2, 1, slow_start=0.05), 0.0)
    s.handle(AttemptSucceeded(map_attempt(0), "w1"), 1.0)
    assert states(s) == [("w1", "idle"), ("w2", "mapping"), ("w3", "waiting for maps")]
    s.handle(AttemptFailed(map_attempt(1), "w2", "boom"), 1.0)
    s.handle(WorkerReported("w2", "n2", 1, (map_attempt(7),)), 1.0)
    s.handle(AttemptSucceeded(map_attempt(1, 2), "w1"), 2.0)
    assert states(s) == [("w1", "idle"), ("w2", "stopping"), ("w3", "reducing")]
    counts = [(worker.done, worker.failed) for worker in s.scoreboard().workers]
    assert counts == [(2, 0), (0, 1), (0, 0)]


def test_who_said_goodbye_has_stopped_and_who_is_back_is_gone_no_more():
    s = with_workers("w1", "w2", policy=Policy(worker_timeout_s=10.0))
    s.handle(Tick(), 6.0)
    assert [worker.strikes for worker in s.scoreboard().workers] == [1, 1]
    s.handle(WorkerLost("w1"), 6.0)
    board = s.scoreboard()
    assert [(worker.name, worker.state) for worker in board.gone] == [("w1", "stopped")]
    s.handle(WorkerReported("w1", "n1", 1), 7.0)
    assert s.scoreboard().gone == []
    assert states(s) == [("w1", "idle"), ("w2", "idle")]
