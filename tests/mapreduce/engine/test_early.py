"""Reduces that start before all maps are done: `mapreduce.engine.early`, as lists of actions."""

import pytest

from mapreduce.engine.events import (
    AttemptFailed,
    AttemptSucceeded,
    CommitJob,
    JobPaused,
    KillAttempt,
    Locality,
    RunAttempt,
    Tick,
    WorkerReported,
)
from mapreduce.engine.scheduler import Policy
from tests.mapreduce.engine.scheduling import (
    Quiet,
    map_attempt,
    reduce_attempt,
    runs,
    started,
    with_workers,
)


def early(maps: int = 4, reduces: int = 3, slots: int = 4, slow_start: float = 0.5) -> Quiet:
    """All maps run, in `slots` of one worker."""
    s = with_workers("w1", slots=slots, policy=Policy(order_timeout_s=1e9, worker_timeout_s=1e9))
    s.handle(started(maps, reduces, slow_start=slow_start), 0.0)
    return s


class TestStart:
    def test_reduces_start_when_enough_maps_are_done_and_none_waits(self):
        s = early()
        assert s.handle(AttemptSucceeded(map_attempt(0), "w1"), 1.0) == []
        assert runs(s.handle(AttemptSucceeded(map_attempt(1), "w1"), 2.0)) == [
            ("w1", reduce_attempt(0)),
            ("w1", reduce_attempt(1)),
        ]

    @pytest.mark.parametrize(("slow_start", "at"), [(0.0, 0), (0.05, 1), (0.75, 3), (1.0, 4)])
    def test_it_is_the_part_of_the_maps_that_are_done_that_counts(self, slow_start, at):
        s = early(reduces=1, slots=5, slow_start=slow_start)
        done = 0
        while not any(a.attempt.task.kind == "reduce" for a in s.running("job")):
            s.handle(AttemptSucceeded(map_attempt(done), "w1"), 1.0)
            done += 1
        assert done == at

    def test_while_a_map_waits_or_rests_no_reduce_starts(self):
        s = early(maps=6, slots=2, slow_start=0.0)
        for index in range(4):
            [(_, attempt)] = runs(s.handle(AttemptSucceeded(map_attempt(index), "w1"), 1.0))
            assert attempt.task.kind == "map"
        s = early(maps=2, slots=2, slow_start=0.0)
        s.handle(AttemptFailed(map_attempt(0), "w1", "boom"), 1.0)
        assert s.handle(AttemptFailed(map_attempt(0, 2), "w1", "boom"), 1.0) == []

    def test_another_job_comes_first(self):
        s = early(maps=1, reduces=4, slots=2, slow_start=1.0)
        s.handle(started(1, 4, job="early", slow_start=0.0), 0.0)
        s.handle(started(9, job="other"), 0.0)
        assert {a.attempt.task.kind for a in s.running("early")} == {"map"}
        s.handle(AttemptSucceeded(map_attempt(0), "w1"), 1.0)
        assert s.running("job") == []
        assert len(s.running("other")) == 1

    def test_the_job_goes_on_as_any_other(self):
        s = early(maps=2, reduces=1, slots=2)
        s.handle(AttemptSucceeded(map_attempt(0), "w1"), 1.0)
        assert s.handle(AttemptSucceeded(map_attempt(1), "w1"), 2.0) == []
        assert s.handle(AttemptSucceeded(reduce_attempt(0), "w1"), 3.0) == [CommitJob("job")]


class TestYield:
    """All slots but one are held by reduces that wait for the last map."""

    def waiting(self) -> Quiet:
        s = with_workers("w1", slots=3, policy=Policy(worker_timeout_s=100.0))
        s.handle(started(3, 3, slow_start=0.0), 0.0)
        s.handle(AttemptSucceeded(map_attempt(0), "w1"), 1.0)
        s.handle(AttemptSucceeded(map_attempt(1), "w1"), 2.0)
        assert [str(a.attempt) for a in s.running("job")] == [
            "map-00002.1",
            "reduce-00000.1",
            "reduce-00001.1",
        ]
        return s

    def lost(self) -> AttemptFailed:
        """A reduce can't read what the first two maps have stored."""
        maps = tuple(map_attempt(index).task for index in (0, 1))
        return AttemptFailed(reduce_attempt(1), "w1", "gone", maps)

    def test_the_youngest_reduce_gives_way_to_a_map_that_finds_no_slot(self):
        s = self.waiting()
        assert s.handle(self.lost(), 3.0) == [
            RunAttempt("w1", map_attempt(0, 2), Locality.ANY),
            KillAttempt("w1", reduce_attempt(0)),
            RunAttempt("w1", map_attempt(1, 2), Locality.ANY),
        ]

    def test_none_gives_way_on_a_worker_that_would_be_given_nothing(self):
        s = self.waiting()
        running = tuple(attempt.attempt for attempt in s.running("job"))
        s.handle(WorkerReported("w1", "n1", 3, running, draining=True), 2.5)
        assert s.handle(self.lost(), 3.0) == []

    def test_it_runs_again_and_has_not_failed(self):
        s = self.waiting()
        s.handle(self.lost(), 3.0)
        for attempt in (map_attempt(2), map_attempt(0, 2), map_attempt(1, 2)):
            s.handle(AttemptSucceeded(attempt, "w1"), 4.0)
        running = {str(a.attempt) for a in s.running("job")}
        assert running == {"reduce-00000.2", "reduce-00001.2", "reduce-00002.1"}
        assert s.status("job").reduce.failed_attempts == 0

    def test_reduces_that_began_with_all_maps_done_keep_their_slots(self):
        s = with_workers("w1", slots=3)
        s.handle(started(1, 3, slow_start=1.0), 0.0)
        s.handle(AttemptSucceeded(map_attempt(0), "w1"), 1.0)
        gone = AttemptFailed(reduce_attempt(0), "w1", "gone", (map_attempt(0).task,))
        assert s.handle(gone, 2.0) == [RunAttempt("w1", map_attempt(0, 2), Locality.ANY)]

    def test_a_limit_of_the_job_counts_as_no_free_slot(self):
        s = with_workers("w1", slots=9)
        s.handle(started(2, 3, slow_start=0.0, max_running=2), 0.0)
        s.handle(AttemptSucceeded(map_attempt(0), "w1"), 1.0)
        s.handle(AttemptFailed(map_attempt(1), "w1", "boom"), 1.0)
        s.handle(AttemptFailed(map_attempt(1, 2), "w1", "boom"), 1.0)
        assert {str(a.attempt) for a in s.running("job")} == {"reduce-00000.1"}
        s.handle(AttemptFailed(reduce_attempt(0), "w1", "gone", (map_attempt(0).task,)), 1.5)
        assert {str(a.attempt) for a in s.running("job")} == {"map-00000.2"}
        s.handle(Tick(), 2.0)
        assert {str(a.attempt) for a in s.running("job")} == {"map-00000.2", "map-00001.3"}

    def test_another_job_below_its_share_gets_the_slots_of_waiting_reduces(self):
        s = self.waiting()
        assert s.handle(started(5, job="other"), 3.0) == [
            KillAttempt("w1", reduce_attempt(1)),
            RunAttempt("w1", map_attempt(0, job="other"), Locality.ANY),
            KillAttempt("w1", reduce_attempt(0)),
            RunAttempt("w1", map_attempt(1, job="other"), Locality.ANY),
        ]
        assert s.handle(Tick(), 3.2) == []

    def test_a_paused_job_gives_all_of_them_to_others(self):
        s = self.waiting()
        s.handle(JobPaused("job"), 3.0)
        s.handle(started(5, job="other"), 3.0)
        assert [str(a.attempt) for a in s.running("job")] == ["map-00002.1"]
        assert len(s.running("other")) == 2


class TestQueues:
    """Workers where tasks may wait for a slot."""

    def test_no_reduce_waits_at_a_worker_before_all_maps_are_done(self):
        s = with_workers()
        s.handle(WorkerReported("w1", "n1", 1, ahead=4), 0.0)
        s.handle(started(2, 1, slow_start=0.0), 0.0)
        assert s.handle(AttemptSucceeded(map_attempt(0), "w1"), 1.0) == []

    def test_no_task_waits_at_a_worker_behind_a_reduce_that_waits_for_maps(self):
        s = with_workers()
        s.handle(WorkerReported("w1", "n1", 2, ahead=4), 0.0)
        s.handle(started(2, 1, slow_start=0.0), 0.0)
        s.handle(AttemptSucceeded(map_attempt(0), "w1"), 1.0)
        gone = AttemptFailed(map_attempt(1), "w1", "boom")
        assert runs(s.handle(gone, 2.0)) == [("w1", map_attempt(1, 2))]
        s.handle(WorkerReported("w2", "n2", 1, ahead=4), 2.0)
        told = s.handle(started(3, job="other"), 3.0)
        assert [worker for worker, _ in runs(told)] == ["w2"] * 3
