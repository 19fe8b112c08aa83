"""What follows from failures: `mapreduce.engine.retry`, as lists of actions."""

import pytest

from mapreduce.engine.events import (
    AttemptFailed,
    AttemptId,
    AttemptSucceeded,
    JobState,
    Tick,
    WorkerLost,
    WorkerReported,
)
from mapreduce.engine.scheduler import Policy
from tests.mapreduce.engine.scheduling import Quiet, map_attempt, runs, started, with_workers

AT_ONCE = Policy(backoff_s=0.0, other_worker_wait_s=0.0)


def fail(s: Quiet, attempt: AttemptId, worker: str, now: float = 1.0) -> list:
    return s.handle(AttemptFailed(attempt, worker, "boom"), now)


class TestBackOff:
    @pytest.mark.parametrize(("failures", "rest_s"), [(2, 1.0), (3, 2.0), (4, 4.0), (7, 30.0)])
    def test_each_failure_but_the_first_doubles_the_rest(self, failures, rest_s):
        s = with_workers("w1")
        s.handle(started(max_attempts=10), 0.0)
        now = 0.0
        for _ in range(failures):
            now += 100.0
            s.handle(Tick(), now - 50.0)
            s.handle(WorkerReported("w1", "n1", 1), now - 50.0)
            s.handle(WorkerReported("w1", "n1", 1, tuple(a.attempt for a in s.running("job"))), now)
            actions = fail(s, s.running("job")[0].attempt, "w1", now)
        assert actions == []
        assert s.handle(WorkerReported("w1", "n1", 1), now + rest_s - 0.1) == []
        assert len(runs(s.handle(Tick(), now + rest_s))) == 1

    def test_it_is_tried_again_at_once_after_the_first_failure(self):
        s = with_workers("w1")
        s.handle(started(), 0.0)
        assert runs(fail(s, map_attempt(0), "w1")) == [("w1", map_attempt(0, 2))]

    def test_other_tasks_use_the_slot_meanwhile(self):
        s = with_workers("w1", policy=Policy(set_aside_after=99))
        s.handle(started(2), 0.0)
        fail(s, map_attempt(0), "w1")
        fail(s, map_attempt(1), "w1")
        assert runs(fail(s, map_attempt(0, 2), "w1")) == [("w1", map_attempt(1, 2))]


class TestSetAside:
    def with_three_failures(self, *workers: str, on: str = "w1") -> Quiet:
        """A job of many tasks, three of which have failed on one worker."""
        s = with_workers(*workers, policy=AT_ONCE)
        s.handle(started(100), 0.0)
        for _ in range(3):
            [attempt] = [a.attempt for a in s.running("job") if a.worker == on]
            actions = fail(s, attempt, on)
        self.last = actions
        return s

    def test_a_worker_on_which_three_tasks_failed_gets_no_more_of_the_job(self):
        s = self.with_three_failures("w1", "w2", "w3")
        assert runs(self.last) == []
        assert s.status("job").set_aside == ("w1",)
        assert "w1" not in {a.worker for a in s.running("job")}

    def test_another_job_still_gets_it(self):
        s = self.with_three_failures("w1", "w2", "w3")
        assert runs(s.handle(started(job="other"), 2.0)) == [("w1", map_attempt(0, job="other"))]

    def test_the_same_task_three_times_sets_nothing_aside(self):
        s = with_workers("w1", "w2", policy=AT_ONCE)
        s.handle(started(3), 0.0)
        assert runs(fail(s, map_attempt(0), "w1")) == [("w1", map_attempt(2))]
        fail(s, map_attempt(2), "w1")
        assert s.status("job").set_aside == ()

    def test_never_more_than_half_of_the_workers(self):
        s = self.with_three_failures("w1", "w2")
        for _ in range(3):
            [attempt] = [a.attempt for a in s.running("job") if a.worker == "w2"]
            fail(s, attempt, "w2")
        assert s.status("job").set_aside == ("w1",)

    def test_the_only_worker_stays(self):
        s = self.with_three_failures("w1")
        assert len(runs(self.last)) == 1
        assert s.status("job").set_aside == ()

    def test_a_job_whose_code_is_bad_ends_by_its_attempts(self):
        s = with_workers("w1", "w2", "w3", policy=AT_ONCE)
        s.handle(started(20, max_attempts=2), 0.0)
        while s.status("job").state is JobState.RUNNING:
            worst = s.running("job")[0]
            fail(s, worst.attempt, worst.worker)
        assert s.status("job").state is JobState.FAILED

    def test_when_others_are_lost_it_is_trusted_again(self):
        s = self.with_three_failures("w1", "w2", "w3")
        s.handle(WorkerLost("w2"), 2.0)
        assert s.status("job").set_aside == ("w1",)
        assert [w for w, _ in runs(s.handle(WorkerLost("w3"), 2.5))] == ["w1"]
        assert s.status("job").set_aside == ()

    def test_a_worker_that_comes_back_begins_anew(self):
        s = self.with_three_failures("w1", "w2", "w3")
        s.handle(WorkerLost("w1"), 2.0)
        assert len(runs(s.handle(WorkerReported("w1", "n1", 1), 3.0))) == 1


def test_the_first_error_is_kept():
    s = with_workers("w1", "w2")
    s.handle(started(2), 0.0)
    s.handle(AttemptFailed(map_attempt(1), "w2", "Traceback: the user's"), 1.0)
    s.handle(AttemptFailed(map_attempt(0), "w1", "another"), 1.0)
    assert s.status("job").first_error == "map-00001 on w2: Traceback: the user's"


def test_a_task_that_succeeds_after_failures_is_done():
    s = with_workers("w1")
    s.handle(started(), 0.0)
    fail(s, map_attempt(0), "w1")
    s.handle(AttemptSucceeded(map_attempt(0, 2), "w1", "m0"), 2.0)
    assert s.map_results("job") == ["m0"]
