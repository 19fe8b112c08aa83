"""What waits in a worker's queue: short tasks only, and it can be taken back."""

from mapreduce.engine.ahead import MOST, Pace
from mapreduce.engine.events import (
    AttemptId,
    AttemptReturned,
    JobStarted,
    RunAttempt,
    TaskId,
    WorkerReported,
)
from mapreduce.engine.scheduler import Scheduler
from tests.mapreduce.engine.bench import Bench
from tests.waiting import wait_until


def given(actions: list) -> list[str]:
    return [f"{a.worker}: {a.attempt}" for a in actions if isinstance(a, RunAttempt)]


def test_a_worker_gets_as_many_more_as_it_says() -> None:
    scheduler = Scheduler()
    scheduler.handle(WorkerReported("w1", "", slots=1, ahead=2), 0.0)
    actions = scheduler.handle(JobStarted("job", ((),) * 5, ()), 0.0)
    assert given(actions) == ["w1: map-00000.1", "w1: map-00001.1", "w1: map-00002.1"]


def test_what_a_worker_gives_back_runs_elsewhere_and_counts_as_nothing() -> None:
    scheduler = Scheduler()
    scheduler.handle(WorkerReported("w1", "", slots=1, ahead=1), 0.0)
    scheduler.handle(JobStarted("job", ((),) * 2, (), 1), 0.0)
    scheduler.handle(WorkerReported("w2", "", slots=1), 0.1)
    running, waiting = (AttemptId(TaskId("job", "map", index), 1) for index in range(2))
    scheduler.handle(WorkerReported("w1", "", 1, (running, waiting), ahead=0), 0.3)
    actions = scheduler.handle(AttemptReturned(waiting, "w1"), 0.3)
    assert given(actions) == ["w2: map-00001.2"]
    assert scheduler.handle(AttemptReturned(waiting, "w1"), 0.4) == []  # told twice
    status = scheduler.status("job").map
    assert (status.failed_attempts, status.lost_attempts) == (0, 0)


def test_one_long_task_among_short_ones_ends_the_queue_for_a_while() -> None:
    pace = Pace()
    for _ in range(100):
        pace.took(0.0001)
    assert pace.ahead(slots=1) == MOST
    pace.took(1.0)
    assert pace.ahead(slots=1) == 0
    for _ in range(100):
        pace.took(0.0001)
    assert pace.ahead(slots=1) == MOST


def test_what_waits_behind_a_long_task_is_given_back(bench: Bench) -> None:
    phase, long = bench.order(f"{bench.tell('runs', '1')}\ntime.sleep(600)")
    _, waiting = bench.order("pass", index=1)
    assert bench.executor.recall() == ()
    bench.executor.start(phase, long)
    bench.executor.start(phase, waiting)
    bench.told("runs")
    recalled: list[AttemptId] = []
    wait_until(lambda: recalled.extend(bench.executor.recall()) or recalled, 5, "the recall")
    assert recalled == [waiting.attempt]
    assert bench.executor.running == (long.attempt,)


def test_short_tasks_make_a_queue_and_a_long_one_that_runs_none(bench: Bench) -> None:
    assert bench.executor.ahead == 0
    for number in range(1, 60):
        bench.run("pass", number=number)
    assert bench.executor.ahead > 0
    bench.executor.start(*bench.order("time.sleep(600)", index=1))
    wait_until(lambda: bench.executor.ahead == 0, 5, "the queue to end")
