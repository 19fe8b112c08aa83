"""Which job gets a slot: `mapreduce.engine.fairness`, as lists of actions."""

from collections import Counter

from mapreduce.engine.events import AttemptSucceeded, JobPaused, JobStarted, Tick
from tests.mapreduce.engine.scheduling import Quiet, map_attempt, runs, started, with_workers


def holders(s: Quiet, *jobs: str) -> dict[str, int]:
    return {job: len(s.running(job)) for job in jobs}


def turn_over(s: Quiet, job: str, times: int) -> None:
    """The oldest attempt of `job` ends, again and again."""
    for _ in range(times):
        oldest = s.running(job)[0]
        s.handle(AttemptSucceeded(oldest.attempt, oldest.worker), 1.0)


class TestFairness:
    def test_jobs_take_turns(self):
        s = with_workers("w1")
        s.handle(started(3, job="a"), 0.0)
        s.handle(started(3, job="b"), 0.0)
        attempt, order = map_attempt(0, job="a"), []
        for _ in range(4):
            [(_, attempt)] = runs(s.handle(AttemptSucceeded(attempt, "w1"), 1.0))
            order.append(attempt.task.job)
        assert order == ["b", "a", "b", "a"]

    def test_a_short_job_is_not_stuck_behind_a_long_one(self):
        s = with_workers("w1", slots=4)
        s.handle(started(100, job="long"), 0.0)
        s.handle(started(2, job="short"), 0.0)
        turn_over(s, "long", 2)
        assert holders(s, "long", "short") == {"long": 2, "short": 2}

    def test_a_job_gets_slots_by_its_priority(self):
        s = with_workers("w1", slots=6)
        s.handle(started(100, job="a"), 0.0)
        s.handle(started(100, job="b", priority=2.0), 0.0)
        turn_over(s, "a", 4)
        assert holders(s, "a", "b") == {"a": 2, "b": 4}
        turn_over(s, "b", 10)
        assert holders(s, "a", "b") == {"a": 2, "b": 4}

    def test_a_limit_holds_and_the_rest_goes_to_others(self):
        s = with_workers("w1", slots=4)
        first = runs(s.handle(started(10, job="a", max_running=1), 0.0))
        assert len(first) == 1
        assert len(runs(s.handle(started(10, job="b"), 0.0))) == 3
        turn_over(s, "a", 3)
        assert holders(s, "a", "b") == {"a": 1, "b": 3}

    def test_a_paused_job_takes_no_slot(self):
        s = with_workers("w1", slots=2)
        s.handle(started(10, job="a"), 0.0)
        s.handle(started(10, job="b"), 0.0)
        s.handle(JobPaused("a"), 0.0)
        turn_over(s, "a", 1)
        turn_over(s, "a", 1)
        assert holders(s, "a", "b") == {"a": 0, "b": 2}

    def test_a_job_that_waits_for_a_place_lets_others_pass(self):
        s = with_workers("w1", "w2")
        s.handle(JobStarted("near", (("n1",), ("n1",)), ()), 0.0)
        assert runs(s.handle(started(job="any"), 0.1)) == [("w2", map_attempt(0, job="any"))]

    def test_jobs_of_the_same_weight_take_the_same_number_of_turns(self):
        s = with_workers("w1")
        for job in "abc":
            s.handle(started(10, job=job), 0.0)
        turns = Counter()
        for _ in range(9):
            [job] = [job for job in "abc" if s.running(job)]
            turns[job] += 1
            turn_over(s, job, 1)
        assert turns == {"a": 3, "b": 3, "c": 3}

    def test_a_priority_of_nothing_is_the_least_one(self):
        s = with_workers("w1")
        assert len(runs(s.handle(started(priority=0.0), 0.0))) == 1
        assert s.handle(Tick(), 1.0) == []
