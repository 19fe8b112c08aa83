"""Second copies of slow tasks: `mapreduce.engine.backups`, as lists of actions."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapreduce.engine.events import (
    AttemptFailed,
    AttemptId,
    AttemptSucceeded,
    CommitJob,
    Event,
    JobStarted,
    KillAttempt,
    Locality,
    RunAttempt,
    Tick,
    WorkerLost,
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

PATIENT = Policy(worker_timeout_s=1e9, order_timeout_s=1e9, backup_after_s=1.0)
AS_IT_IS = Policy(worker_timeout_s=1e9, order_timeout_s=1e9)


def one_left(tasks: int = 4, seconds: float = 2.0, policy: Policy = PATIENT) -> Quiet:
    """All tasks but the first have taken so many seconds; the first one runs on w1 still."""
    s = with_workers(*(f"w{i + 1}" for i in range(tasks)), policy=policy)
    s.handle(started(tasks), 0.0)
    for index in range(1, tasks):
        s.handle(AttemptSucceeded(map_attempt(index), f"w{index + 1}"), seconds)
    return s


class TestWhen:
    def test_a_task_that_runs_much_longer_than_others_gets_a_copy_on_another_worker(self):
        s = one_left(seconds=2.0)
        assert s.handle(Tick(), 3.0) == []
        assert s.handle(Tick(), 3.1) == [
            RunAttempt("w2", map_attempt(0, 2), Locality.ANY, backup=True)
        ]
        assert s.status("job").backups == 1

    def test_short_tasks_are_given_a_second_at_least(self):
        s = one_left(seconds=0.01)
        assert s.handle(Tick(), 1.0) == []
        assert len(runs(s.handle(Tick(), 1.1))) == 1

    def test_without_one_that_has_ended_there_is_nothing_to_compare_with(self):
        s = with_workers("w1", "w2", policy=PATIENT)
        s.handle(started(1), 0.0)
        assert s.handle(Tick(), 1000.0) == []

    def test_one_that_is_nearly_done_by_its_progress_gets_none(self):
        s = one_left(seconds=2.0)
        told = ((map_attempt(0), 0.8),)
        s.handle(WorkerReported("w1", "n1", 1, (map_attempt(0),), progress=told), 4.0)
        assert s.handle(Tick(), 4.0) == []

    def test_one_that_makes_little_progress_gets_one(self):
        s = one_left(seconds=2.0)
        told = ((map_attempt(0), 0.2),)
        s.handle(WorkerReported("w1", "n1", 1, (map_attempt(0),), progress=told), 4.0)
        assert len(runs(s.handle(Tick(), 4.0))) == 1

    def test_one_that_hangs_at_its_end_gets_one_in_time(self):
        s = one_left(seconds=2.0)
        told = ((map_attempt(0), 1.0),)
        s.handle(WorkerReported("w1", "n1", 1, (map_attempt(0),), progress=told), 30.0)
        assert len(runs(s.handle(Tick(), 30.0))) == 1

    def test_the_slowest_by_progress_comes_first(self):
        s = with_workers("w1", "w2", "w3", policy=PATIENT)
        s.handle(started(3), 0.0)
        s.handle(AttemptSucceeded(map_attempt(2), "w3"), 1.0)
        for index, part in ((0, 0.5), (1, 0.1)):
            told = ((map_attempt(index), part),)
            worker = f"w{index + 1}"
            report = WorkerReported(worker, "", 1, (map_attempt(index),), progress=told)
            s.handle(report, 8.0)
        assert runs(s.handle(Tick(), 8.0)) == [("w3", map_attempt(1, 2))]

    def test_while_tasks_wait_there_are_none(self):
        s = with_workers("w1", "w2", policy=PATIENT)
        s.handle(JobStarted("job", ((), ("n1",), ("n1",)), ()), 0.0)
        assert s.status("job").map.waiting == 1
        s.handle(AttemptSucceeded(map_attempt(0), "w2"), 0.1)
        assert not any(run.backup for run in s.handle(Tick(), 0.9))

    def test_a_job_that_wants_none_gets_none(self):
        s = with_workers("w1", "w2", policy=PATIENT)
        s.handle(JobStarted("job", ((), ()), (), backups=False), 0.0)
        s.handle(AttemptSucceeded(map_attempt(1), "w2"), 1.0)
        assert s.handle(Tick(), 1000.0) == []

    def test_reduces_get_copies_too(self):
        s = with_workers("w1", "w2", policy=PATIENT)
        s.handle(started(1, 2), 0.0)
        s.handle(AttemptSucceeded(map_attempt(0), "w1"), 1.0)
        s.handle(AttemptSucceeded(reduce_attempt(1), "w1"), 2.0)
        [run] = s.handle(Tick(), 5.0)
        assert (run.attempt, run.worker, run.backup) == (reduce_attempt(0, 2), "w1", True)


TELLS: dict[str, Callable[[float], float]] = {
    "nothing": lambda done: 0.0,
    "the truth": lambda done: done,
    "that it has read all": lambda done: 1.0,
    "that it reads in four blocks": lambda done: min(1.0, (int(4 * done) + 1) / 4),
}


STEP_S = 0.25


def runs_of_each(seconds: list[float], workers: int, told: Callable[[float], float]) -> Counter:
    """How often each map of a job ran on workers with two slots. `told` is the progress that an
    attempt tells when a part of its time has passed."""
    s = with_workers(*(f"w{number}" for number in range(workers)), slots=2, policy=AS_IT_IS)
    begun = dict.fromkeys((a for _, a in runs(s.handle(started(len(seconds)), 0.0))), 0.0)
    steps = itertools.count(1)
    while s.status("job").map.done < len(seconds):
        now = next(steps) * STEP_S
        for event in _what_is_told(s, now, begun, seconds, told):
            begun |= dict.fromkeys((a for _, a in runs(s.handle(event, now))), now)
    return Counter(attempt.task.index for attempt in begun)


def _what_is_told(s, now, begun, seconds, told) -> Iterator[Event]:
    """What ends, what goes on and how far it is, and that time passes."""
    held: dict[str, list[tuple[AttemptId, float]]] = {}
    for run in s.running("job"):
        done = (now - begun[run.attempt]) / seconds[run.attempt.task.index]
        if done >= 1.0:
            yield AttemptSucceeded(run.attempt, run.worker)
        else:
            held.setdefault(run.worker, []).append((run.attempt, told(done)))
    for worker, parts in held.items():
        yield WorkerReported(worker, "", 2, tuple(a for a, _ in parts), progress=tuple(parts))
    yield Tick()


class TestShortTasks:
    @pytest.mark.parametrize("told", TELLS.values(), ids=TELLS)
    @settings(max_examples=25)
    @given(
        seconds=st.lists(st.floats(0.01, 6.0), min_size=1, max_size=12), workers=st.integers(1, 6)
    )
    def test_each_runs_once_though_some_take_much_longer(self, told, seconds, workers):
        """Five seconds, and one more until the last is told."""
        assert runs_of_each(seconds, workers, told) == Counter(range(len(seconds)))

    @pytest.mark.parametrize("told", TELLS.values(), ids=TELLS)
    def test_a_long_one_does_not(self, told):
        assert runs_of_each([1.0, 1.0, 1.0, 60.0], 2, told) == Counter({0: 1, 1: 1, 2: 1, 3: 2})


class TestEarlyReduces:
    """All slots but that of the slow map are held by reduces that wait for it."""

    def waiting(self, **fields) -> Quiet:
        s = with_workers("w1", "w2", "w3", policy=PATIENT)
        s.handle(started(3, 2, slow_start=0.0, **fields), 0.0)
        for index in (1, 2):
            s.handle(AttemptSucceeded(map_attempt(index), f"w{index + 1}"), 1.0)
        assert s.status("job").reduce.running == 2
        return s

    def test_the_youngest_makes_room_for_a_copy(self):
        s = self.waiting()
        assert s.handle(Tick(), 1.5) == []
        assert s.handle(Tick(), 9.0) == [
            KillAttempt("w3", reduce_attempt(1)),
            RunAttempt("w3", map_attempt(0, 2), Locality.ANY, backup=True),
        ]
        assert s.handle(Tick(), 99.0) == []
        done = s.handle(AttemptSucceeded(map_attempt(0, 2), "w3"), 100.0)
        assert done == [
            KillAttempt("w1", map_attempt(0)),
            RunAttempt("w3", reduce_attempt(1, 2), Locality.ANY),
        ]

    def test_a_job_at_its_limit_has_a_copy_all_the_same(self):
        assert runs(self.waiting(max_running=3).handle(Tick(), 9.0)) == [("w3", map_attempt(0, 2))]

    def test_it_stays_where_its_worker_could_not_take_the_copy(self):
        s = self.waiting()
        for index, worker in enumerate(("w2", "w3")):
            running = (reduce_attempt(index),)
            s.handle(WorkerReported(worker, "", 1, running, draining=True), 2.0)
        assert s.handle(Tick(), 9.0) == []


class TestHowMany:
    def test_a_task_has_one_copy(self):
        s = one_left()
        s.handle(Tick(), 4.0)
        assert s.handle(Tick(), 400.0) == []

    def test_a_copy_that_failed_is_not_made_again(self):
        s = one_left()
        s.handle(Tick(), 4.0)
        s.handle(AttemptFailed(map_attempt(0, 2), "w2", "boom"), 5.0)
        assert s.handle(Tick(), 400.0) == []
        assert s.status("job").map.running == 1

    def test_a_copy_that_was_lost_is(self):
        s = one_left()
        s.handle(Tick(), 4.0)
        s.handle(WorkerLost("w2"), 5.0)
        assert runs(s.handle(Tick(), 6.0)) == [("w3", map_attempt(0, 3))]

    def test_a_tenth_of_the_tasks_at_a_time(self):
        s = with_workers(*(f"w{i}" for i in range(20)), policy=PATIENT)
        s.handle(started(20), 0.0)
        for index in range(10, 20):
            s.handle(AttemptSucceeded(map_attempt(index), f"w{index}"), 1.0)
        assert len(runs(s.handle(Tick(), 9.0))) == 2
        assert s.handle(Tick(), 9.2) == []

    def test_a_limit_of_the_job_holds(self):
        s = with_workers("w1", slots=4, policy=PATIENT)
        s.handle(WorkerReported("w2", "n2", 4), 0.0)
        s.handle(started(3, max_running=2), 0.0)
        for _ in range(2):
            newest = s.running("job")[-1]
            s.handle(AttemptSucceeded(newest.attempt, newest.worker), 1.0)
        s.handle(started(1, job="other", max_running=1), 1.0)
        assert len(s.running("job")) == 1
        assert len(runs(s.handle(Tick(), 9.0))) == 1


class TestWho:
    def test_the_first_that_ends_wins_and_the_other_is_killed(self):
        s = one_left()
        s.handle(Tick(), 4.0)
        assert s.handle(AttemptSucceeded(map_attempt(0, 2), "w2", "copy"), 5.0) == [
            KillAttempt("w1", map_attempt(0)),
            CommitJob("job"),
        ]
        assert s.map_results("job")[0] == "copy"

    def test_the_original_may_win_as_well(self):
        s = one_left()
        s.handle(Tick(), 4.0)
        assert s.handle(AttemptSucceeded(map_attempt(0), "w1", "first"), 5.0) == [
            KillAttempt("w2", map_attempt(0, 2)),
            CommitJob("job"),
        ]

    def test_a_copy_never_runs_on_the_same_worker(self):
        s = with_workers("w1", slots=4, policy=PATIENT)
        s.handle(started(2), 0.0)
        s.handle(AttemptSucceeded(map_attempt(1), "w1"), 1.0)
        assert s.handle(Tick(), 100.0) == []

    def test_a_copy_runs_beside_the_data_if_it_can(self):
        s = with_workers("w1", "w2", "w3", "w4", policy=PATIENT)
        s.handle(JobStarted("job", (("n1", "n4"), ("n1", "n4")), ()), 0.0)
        s.handle(AttemptSucceeded(map_attempt(1), "w4"), 1.0)
        [run] = s.handle(Tick(), 10.0)
        assert (run.worker, run.locality, run.backup) == ("w4", Locality.NODE, True)
