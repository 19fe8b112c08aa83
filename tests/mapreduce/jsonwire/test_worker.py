"""The rules of the JSON worker, each as what comes and what it does."""

from copy import copy

import pytest

from mapreduce.jsonwire.actions import (
    Abandon,
    BeginHeartbeats,
    Drop,
    MasterGone,
    Perform,
    Performed,
    Report,
    Send,
    Stop,
    Undelivered,
)
from mapreduce.jsonwire.messages import (
    Heartbeat,
    NewSortJob,
    NewWorkerJob,
    Register,
    RegisterAck,
    Shutdown,
    Status,
)
from mapreduce.jsonwire.worker import Worker

HOST = "127.0.0.1"
MAP = NewWorkerJob(["in/a", "in/b"], "map.py", "var/job-0/mapper-output", worker_pid=1)
NOTHING = NewWorkerJob([], "map.py", "out", worker_pid=7)
SORT = NewSortJob(["a", "b"], "sorted", worker_pid=7)


@pytest.fixture
def worker() -> Worker:
    return Worker(pid=7, port=6001, master_port=6000, patience_s=12.0)


def finished(**outputs: object) -> Send:
    """An answer with the worker's own pid, whatever the task said."""
    status = Status(**outputs, status="finished", worker_pid=7)  # type: ignore[arg-type]
    return Send(HOST, 6000, status, patience_s=12.0)


def test_it_registers_until_a_master_is_there(worker: Worker) -> None:
    [send] = worker.begin()
    assert send == Send(HOST, 6000, Register(HOST, 6001, 7), patience_s=float("inf"))


def test_heartbeats_begin_with_the_first_acknowledgement(worker: Worker) -> None:
    assert worker.handle(RegisterAck(HOST, 6001, 7)) == [BeginHeartbeats()]
    assert worker.handle(RegisterAck(HOST, 6001, 7)) == []


@pytest.mark.parametrize(
    ("order", "outputs"),
    [
        (
            MAP,
            {"output_files": ["var/job-0/mapper-output/a", "var/job-0/mapper-output/b"]},
        ),
        (NOTHING, {"output_files": []}),
        (SORT, {"output_file": "sorted"}),
    ],
    ids=["map", "without a file", "sort"],
)
def test_a_task_is_done_and_answered_in_its_form(
    worker: Worker, order: NewWorkerJob | NewSortJob, outputs: dict
) -> None:
    assert worker.handle(order) == [Perform(order)]
    assert worker.handle(Performed(order)) == [finished(**outputs)]


def test_tasks_are_done_one_at_a_time_in_their_order_with_an_answer_each(worker: Worker) -> None:
    first, second = copy(NOTHING), copy(NOTHING)
    assert worker.handle(SORT) == [Perform(SORT)]
    assert worker.handle(first) == []
    assert worker.handle(second) == []
    assert worker.handle(Performed(SORT)) == [finished(output_file="sorted"), Perform(first)]
    assert worker.handle(Performed(first)) == [finished(output_files=[]), Perform(second)]
    assert worker.handle(Performed(second)) == [finished(output_files=[])]
    assert worker.handle(SORT) == [Perform(SORT)]


def test_for_the_next_master_it_begins_anew_without_the_tasks_of_the_one_before(
    worker: Worker,
) -> None:
    old, new = copy(SORT), copy(SORT)
    worker.handle(RegisterAck(HOST, 6001, 7))
    worker.handle(old)
    worker.handle(MAP)
    report, *actions = worker.handle(MasterGone())
    assert isinstance(report, Report)
    assert actions == [Abandon(), Drop(HOST, 6000), *worker.begin()]
    assert worker.handle(RegisterAck(HOST, 6001, 7)) == [BeginHeartbeats()]
    assert worker.handle(Performed(old)) == []
    assert worker.handle(new) == [Perform(new)]
    assert worker.handle(Performed(old)) == [], "it ended before it could be abandoned"
    assert worker.handle(Performed(new)) == [finished(output_file="sorted")]


def test_shutdown_ends_it_in_the_middle_of_a_task_and_at_once(worker: Worker) -> None:
    worker.handle(SORT)
    assert worker.handle(Shutdown()) == [Stop(flush_s=0.0)]


@pytest.mark.parametrize(
    "event", [Heartbeat(7), Register(HOST, 1, 7), Undelivered(HOST, 6000, "refused")]
)
def test_what_means_nothing_to_a_worker_is_reported(
    worker: Worker, event: Heartbeat | Register | Undelivered
) -> None:
    [report] = worker.handle(event)
    assert isinstance(report, Report)
