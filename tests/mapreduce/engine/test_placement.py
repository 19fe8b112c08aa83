"""Where tasks go: `mapreduce.engine.placement`, as lists of actions."""

from mapreduce.engine.events import (
    AttemptFailed,
    AttemptSucceeded,
    JobStarted,
    Locality,
    RunAttempt,
    Tick,
    WorkerLost,
    WorkerReported,
)
from mapreduce.engine.scheduler import Policy
from tests.mapreduce.engine.scheduling import (
    map_attempt,
    reduce_attempt,
    runs,
    started,
    with_workers,
)


class TestPlacement:
    def test_a_task_goes_to_the_worker_beside_its_data(self):
        s = with_workers("w1", "w2")
        [run] = s.handle(JobStarted("job", (("n2",),), ()), 0.0)
        assert run == RunAttempt("w2", map_attempt(0), Locality.NODE)

    def test_a_task_waits_a_moment_for_a_near_worker_and_then_settles_for_a_far_one(self):
        s = with_workers("w1", "w2")
        first = s.handle(JobStarted("job", (("n2",), ("n2",)), ()), 0.0)
        assert runs(first) == [("w2", map_attempt(0))]
        assert s.handle(Tick(), 0.9) == []
        assert s.handle(Tick(), 1.0) == [RunAttempt("w1", map_attempt(1), Locality.REMOTE)]

    def test_a_near_worker_that_gets_free_in_that_moment_is_taken(self):
        s = with_workers("w1", "w2")
        s.handle(JobStarted("job", (("n2",), ("n2",)), ()), 0.0)
        assert s.handle(AttemptSucceeded(map_attempt(0), "w2"), 0.5) == [
            RunAttempt("w2", map_attempt(1), Locality.NODE)
        ]

    def test_nothing_waits_for_a_node_without_a_living_worker(self):
        s = with_workers("w1", "w2")
        s.handle(WorkerLost("w2"), 0.0)
        [run] = s.handle(JobStarted("job", (("n2",),), ()), 0.0)
        assert run == RunAttempt("w1", map_attempt(0), Locality.REMOTE)

    def test_the_wait_of_a_reduce_begins_when_reduces_may_start(self):
        s = with_workers("w1", "w2")
        s.handle(JobStarted("job", (("n1",),), (("n2",), ("n2",))), 0.0)
        assert runs(s.handle(AttemptSucceeded(map_attempt(0), "w1"), 2.5)) == [
            ("w2", reduce_attempt(0))
        ]

    def test_tasks_spread_over_the_workers_with_most_free_slots(self):
        s = with_workers("w1", "w2", slots=2)
        assert [w for w, _ in runs(s.handle(started(4), 0.0))] == ["w1", "w2", "w1", "w2"]

    def test_no_worker_gets_more_attempts_than_it_has_slots(self):
        s = with_workers("w1", slots=3)
        assert len(runs(s.handle(started(10), 0.0))) == 3

    def test_each_level_is_waited_for_in_turn(self):
        policy = Policy(locality_wait_s=1.0, host_wait_s=1.5)
        s = with_workers("w1@h1", "w2@h1", "w3@h2", policy=policy)
        beside_w1 = JobStarted("job", (("n1",),) * 3, ())
        assert runs(s.handle(beside_w1, 0.0)) == [("w1", map_attempt(0))]
        assert s.handle(Tick(), 0.9) == []
        assert s.handle(Tick(), 1.0) == [RunAttempt("w2", map_attempt(1), Locality.HOST)]
        assert s.handle(Tick(), 2.4) == []
        assert s.handle(Tick(), 2.5) == [RunAttempt("w3", map_attempt(2), Locality.REMOTE)]

    def test_the_machine_of_a_node_without_a_worker_is_known_from_the_job(self):
        s = with_workers("w1@h1", "w2@h2")
        event = JobStarted("job", (("n9",),), (), hosts={"n9": "h2"})
        assert s.handle(event, 0.0) == [RunAttempt("w2", map_attempt(0), Locality.HOST)]

    def test_a_task_that_waited_for_all_slots_takes_the_first_and_others_stay_beside_data(self):
        s = with_workers("w1", "w2")
        s.handle(JobStarted("job", (("n1",), ("n2",), ("n1",), ("n1",), ("n2",)), ()), 0.0)
        taken = []
        for attempt, worker in ((0, "w1"), (1, "w2"), (2, "w1")):
            taken += runs(s.handle(AttemptSucceeded(map_attempt(attempt), worker), 2.5))
        assert taken == [("w1", map_attempt(2)), ("w2", map_attempt(4)), ("w1", map_attempt(3))]

    def test_of_several_workers_beside_data_the_one_with_most_free_slots_is_taken(self):
        s = with_workers("w1", "w2", slots=2)
        job = JobStarted("job", (("n1", "n2"),) * 4, ())
        assert [w for w, _ in runs(s.handle(job, 0.0))] == ["w1", "w2", "w1", "w2"]

    def test_a_worker_that_joins_takes_what_waits(self):
        s = with_workers("w1")
        s.handle(started(2), 0.0)
        assert runs(s.handle(WorkerReported("w2", "n2", 1), 1.0)) == [("w2", map_attempt(1))]

    def test_a_task_that_failed_goes_to_another_worker_and_back_if_none_is_free_soon(self):
        s = with_workers("w1", "w2", policy=Policy(other_worker_wait_s=1.0))
        s.handle(started(2), 0.0)
        assert s.handle(AttemptFailed(map_attempt(0), "w1", "boom"), 1.0) == []
        assert s.handle(Tick(), 1.9) == []
        assert runs(s.handle(Tick(), 2.0)) == [("w1", map_attempt(0, 2))]

    def test_others_pass_a_task_that_waits_for_another_worker(self):
        s = with_workers("w1", "w2")
        s.handle(started(3), 0.0)
        assert runs(s.handle(AttemptFailed(map_attempt(0), "w1", "boom"), 1.0)) == [
            ("w1", map_attempt(2))
        ]
        assert runs(s.handle(AttemptSucceeded(map_attempt(1), "w2"), 1.1)) == [
            ("w2", map_attempt(0, 2))
        ]

    def test_a_draining_node_is_not_waited_for(self):
        s = with_workers("w1", "w2")
        s.handle(WorkerReported("w2", "n2", 1, draining=True), 0.0)
        [run] = s.handle(JobStarted("job", (("n2",),), ()), 0.0)
        assert run == RunAttempt("w1", map_attempt(0), Locality.REMOTE)

    def test_slots_that_a_worker_gains_and_loses_count(self):
        s = with_workers("w1", slots=1)
        s.handle(started(6), 0.0)
        more = WorkerReported("w1", "n1", 3, (map_attempt(0),))
        assert len(runs(s.handle(more, 0.5))) == 2
        running = tuple(map_attempt(i) for i in range(3))
        s.handle(WorkerReported("w1", "n1", 2, running), 1.0)
        assert runs(s.handle(AttemptSucceeded(map_attempt(0), "w1"), 1.5)) == []
        assert len(runs(s.handle(AttemptSucceeded(map_attempt(1), "w1"), 1.5))) == 1

    def test_idle_slots_come_before_places_in_a_queue(self):
        s = with_workers()
        s.handle(WorkerReported("w1", "n1", 1, ahead=9), 0.0)
        s.handle(WorkerReported("w2", "n2", 2), 0.0)
        taken = [worker for worker, _ in runs(s.handle(started(6), 0.0))]
        assert taken == ["w2", "w1", "w2", "w1", "w1", "w1"]
