"""The master's inside, without a network: what happens while the store takes its time."""

import io
import threading
import time
from types import SimpleNamespace

import gevent
import pytest

from dynamo import files
from dynamo.config import MasterConfig
from dynamo.errors import QuorumFailed
from dynamo.store import MemoryStore
from mapreduce.cluster.journal import Journal
from mapreduce.cluster.leadership import Leadership, Term
from mapreduce.cluster.messages import Orders, Report
from mapreduce.cluster.threads import Threads
from mapreduce.data.outputs.store import StoreOutput
from mapreduce.engine.events import AttemptId, FailureCounted, JobState, TaskId, Tick
from mapreduce.engine.executor import Outcome
from mapreduce.engine.orders import TaskResult
from mapreduce.engine.watching import Note
from mapreduce.errors import JobError
from tests.mapreduce.specs import job_spec

SOURCE = b"class MyMapper: ...\nclass MyReducer: ..."
SPEC = job_spec(reducers=0)


class Patient(MemoryStore):
    """A store that waits with `locate` until it may go on, and can refuse puts of some key."""

    def __init__(self) -> None:
        super().__init__()
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.refused = ""

    def locate(self, key, **options):
        assert self.may_go_on.wait(10.0)
        return super().locate(key, **options)

    def put(self, key, value, **options):
        if self.refused and key.startswith(self.refused):
            raise QuorumFailed("put", key, 2, [], ["n1", "n2", "n3"], 1.0)
        return super().put(key, value, **options)


@pytest.fixture
def store():
    store = Patient()
    files.write(store, "/books/a", io.BytesIO(b"to be\n"))
    return store


@pytest.fixture
def term(store, tmp_path):
    leadership = Leadership("m1", [MasterConfig("m1", "127.0.0.1:1", "", tmp_path)], store)
    leadership.start()
    until(lambda: leadership.standing.term, "its term")
    leadership.term.requests.new_job(SPEC, SOURCE)
    yield leadership.term
    leadership.stop()


def report(term: Term, number: int, *finished: Outcome, worker: str = "w1") -> Orders:
    return term.reports.report(
        Report(worker=worker, node="", slots=1, session="s", number=number, finished=finished)
    )


def until(condition, what: str) -> None:
    with gevent.Timeout(5.0, AssertionError(f"waited in vain for: {what}")):
        while not condition():
            gevent.sleep(0.01)


def test_a_leader_whose_journal_the_store_does_not_take_lets_another_lead(store, monkeypatch):
    monkeypatch.setattr("mapreduce.cluster.journal.RESIGN_S", 0.0)
    monkeypatch.setattr("mapreduce.cluster.journal.TRY_AGAIN_S", 0.01)
    resigned = []

    def resign():
        resigned.append(store.refused)
        store.refused = ""

    threads = Threads(1)
    journal = Journal(store, 1, threads, resign)
    store.refused = "job:"
    attempt = AttemptId(TaskId("wc-1.1", "map", 0), 1)
    journal.note(FailureCounted(attempt, "w1"))
    with gevent.Timeout(5.0):
        journal.flush()
    journal.stop()
    assert resigned == ["job:"]


def test_the_scheduler_hears_of_the_machine_of_a_worker_and_of_progress(term):
    report(term, 1)
    term.requests.run_job(SPEC.name)
    scheduler = term.dispatcher.scheduler
    job = next(iter(term.dispatcher.runs.values())).job
    [running] = scheduler.running(job)
    note = Note(attempt=running.attempt, progress=0.5)
    told = {"worker": "w1", "node": "n1", "host": "10.0.0.1", "slots": 1, "session": "s"}
    term.reports.report(Report(**told, number=2, running=(running.attempt,), notes=(note,)))
    assert [worker.host for worker in term.requests.workers()] == ["10.0.0.1"]
    assert scheduler.status(job).map.seconds_left is not None  # known by progress only


def test_a_master_that_stood_still_takes_nobody_to_be_silent(term, monkeypatch):
    report(term, 1)
    moved = SimpleNamespace(monotonic=lambda: time.monotonic() + 10.0, time=time.time)
    monkeypatch.setattr("mapreduce.cluster.dispatcher.time", moved)
    term.dispatcher.tell(Tick())
    [worker] = term.dispatcher.scheduler.scoreboard().workers
    assert (worker.name, worker.strikes) == ("w1", 0)


def test_a_job_that_is_run_as_a_term_begins_waits_for_the_workers_to_find_the_leader(term):
    running = gevent.spawn(term.requests.run_job, SPEC.name)
    gevent.idle()
    assert not running.ready()
    report(term, 1)
    assert running.get(timeout=5.0).state is JobState.RUNNING


def test_no_worker_looks_dead_that_has_yet_to_find_a_leader_that_has_just_begun(term):
    asked = gevent.spawn(term.requests.await_workers, ["w1", "w2"])
    report(term, 1)
    gevent.idle()
    assert not asked.ready()
    report(term, 1, worker="w2")
    assert [worker.name for worker in asked.get(timeout=5.0)] == ["w1", "w2"]


def test_the_master_answers_while_the_store_does_not(term, store):
    report(term, 1)
    store.may_go_on.clear()
    starting = gevent.spawn(term.requests.run_job, "wc")
    until(lambda: term.requests.record("wc").state is JobState.RUNNING, "the start")
    with pytest.raises(JobError, match="running already"):
        term.requests.run_job("wc")
    store.may_go_on.set()
    starting.get(timeout=5.0)
    assert len(report(term, 2).run) == 1


def test_a_job_killed_while_it_is_planned_gives_no_orders(term, store):
    report(term, 1)
    store.may_go_on.clear()
    starting = gevent.spawn(term.requests.run_job, "wc")
    until(lambda: term.requests.record("wc").state is JobState.RUNNING, "the start")
    term.requests.kill_job("wc")
    store.may_go_on.set()
    assert starting.get(timeout=5.0).state is JobState.KILLED
    assert report(term, 2).run == ()


def test_a_plan_that_fails_leaves_the_job_as_it_was(term, store):
    report(term, 1)
    files.remove(store, "/books/a")
    with pytest.raises(JobError, match="no input '/books'"):
        term.requests.run_job("wc")
    assert term.requests.record("wc").state is JobState.NEW


def test_a_commit_that_fails_fails_the_job_and_leaves_no_output(term, store):
    report(term, 1)
    term.requests.run_job("wc")
    [order] = report(term, 2).run
    part = StoreOutput(store, "/out/wc").write("part-00000", "map-0.1", [(b"be\t2\n", 1)])
    store.refused = "/out/wc"
    report(term, 3, Outcome(attempt=order.attempt, result=TaskResult(parts=(part,))))
    until(lambda: term.requests.record("wc").state is JobState.FAILED, "the end")
    assert "could not be committed" in term.requests.record("wc").error
    until(lambda: len(list(store.list("file:"))) == 1, "only the input's chunk to be left")
    assert files.under(store, "/out/wc") == []
