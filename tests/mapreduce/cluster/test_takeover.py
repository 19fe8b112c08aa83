"""A run goes on under another master: without a network, over a store in memory.

The masters are dispatchers of terms that follow each other. The earlier one is not stopped: it is
what a master is that stood still for a while and does not know yet that it leads no more.
"""

import io
import json
import threading
from collections.abc import Callable, Iterator

import gevent
import msgspec
import pytest

from dynamo import files
from dynamo.store import MemoryStore
from mapreduce.cluster import journal, records
from mapreduce.cluster.dispatcher import Dispatcher
from mapreduce.cluster.election import Election
from mapreduce.cluster.leadership import Term
from mapreduce.cluster.messages import Orders, Report
from mapreduce.cluster.reports import Reports
from mapreduce.cluster.requests import Requests
from mapreduce.data.outputs.store import StoreOutput
from mapreduce.engine import paths
from mapreduce.engine.events import AttemptId, JobState, TaskId
from mapreduce.engine.executor import Outcome
from mapreduce.engine.orders import Skipped, StepSpec, TaskResult
from mapreduce.engine.scheduler import Policy
from mapreduce.errors import NotLeader, TermOver
from tests.mapreduce.specs import job_spec

SOURCE = b"class MyMapper: ...\nclass MyReducer: ..."
POLICY = Policy(takeover_wait_s=0.0, locality_wait_s=0.0)
TEXTS = {"/books/a": b"to be\n", "/books/b": b"or no\n"}


class Gated(MemoryStore):
    """A store in which puts of keys with a prefix wait until the gate is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.closed_for = ""
        self.waiting = 0
        self._open = threading.Event()

    def put(self, key, value, **options):
        if self.closed_for and key.startswith(self.closed_for):
            self.waiting += 1
            assert self._open.wait(10.0)
        return super().put(key, value, **options)

    def open(self) -> None:
        self.closed_for = ""
        self._open.set()


@pytest.fixture
def store() -> Iterator[Gated]:
    store = Gated()
    for path, text in TEXTS.items():
        files.write(store, path, io.BytesIO(text))
    yield store
    store.open()


class Succession:
    """Masters that lead one after the other."""

    def __init__(self, store: Gated, election: Election) -> None:
        self._store = store
        self._election = election
        self.terms: list[Term] = []

    def lead(self) -> Term:
        """The next master begins to lead."""
        if self.terms:
            self._election.raise_above(self._election.standing.term)
        number = self.terms[-1].dispatcher.term if self.terms else 0
        until(lambda: self._election.standing.term > number, "a new term")
        dispatcher = Dispatcher(self._store, self._election, self._election.standing.term, POLICY)
        dispatcher.start()
        self.terms.append(Term(dispatcher, Requests(dispatcher), Reports(dispatcher)))
        return self.terms[-1]


@pytest.fixture(autouse=True)
def short_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports without orders are answered sooner than they would be."""
    monkeypatch.setattr("mapreduce.cluster.reports.HOLD_S", 0.02)


@pytest.fixture
def masters(store, tmp_path) -> Iterator[Succession]:
    election = Election("m1", {"m1": ""}, tmp_path)
    succession = Succession(store, election)
    yield succession
    for term in succession.terms:
        term.dispatcher.stop()
    election.close()


class TaskServer:
    """A worker as masters see it; `slots` is what it says it has."""

    def __init__(self, slots: int = 2) -> None:
        self.slots = slots
        self.number = 0
        self.running: list[AttemptId] = []

    def report(self, term: Term, *finished: Outcome) -> Orders:
        self.number += 1
        done = {outcome.attempt for outcome in finished}
        self.running = [attempt for attempt in self.running if attempt not in done]
        orders = term.reports.report(
            Report(
                worker="w1", node="", slots=self.slots, session="s", number=self.number,
                running=tuple(self.running), finished=finished,
            )
        )  # fmt: skip
        self.running += [order.attempt for order in orders.run]
        return orders


def until(condition: Callable[[], object], what: str) -> None:
    with gevent.Timeout(5.0, AssertionError(f"waited in vain for: {what}")):
        while not condition():
            gevent.sleep(0.005)


def part(store: MemoryStore, task: TaskId, text: bytes, output: str = "/out/wc") -> TaskResult:
    """What an attempt that writes its output has left."""
    run = task.job.rpartition(".")[0]
    written = StoreOutput(store, output, run).write(f"part-{task.index:05d}", "", [(text, 1)])
    return TaskResult(parts=(written,), counters={"lines": 1})


def ended(store: MemoryStore, attempt: AttemptId, text: bytes = b"be\t1\n") -> Outcome:
    return Outcome(attempt=attempt, result=part(store, attempt.task, text))


def output(store: MemoryStore, path: str = "/out/wc") -> dict[str, bytes]:
    return {name: b"".join(files.read(store, name)) for name in files.under(store, path)}


def parts(store: MemoryStore) -> list[bytes]:
    return [text for name, text in output(store).items() if not name.endswith("_SUCCESS")]


def begin(masters: Succession, worker: TaskServer, **fields: object) -> tuple[Term, Orders]:
    """A first master runs the job over two inputs, and the worker gets orders."""
    term = masters.lead()
    fields = {"reducers": 0, "split_bytes": 6, **fields}
    term.requests.new_job(job_spec(**fields), SOURCE)
    worker.report(term)
    term.requests.run_job("wc")
    return term, worker.report(term)


def kept(term: Term, worker: TaskServer) -> None:
    """Wait until all that the worker has told is in the journal."""
    until(lambda: worker.report(term).kept == worker.number, "the journal")


def state(term: Term) -> JobState:
    return term.requests.record("wc").state


def test_what_was_finished_is_not_done_again_and_the_rest_is(masters, store):
    worker = TaskServer(slots=1)
    first, orders = begin(masters, worker)
    [done] = orders.run
    [waiting] = worker.report(first, ended(store, done.attempt, b"first\n")).run
    kept(first, worker)
    second = masters.lead()
    restarted = TaskServer(slots=1)  # nothing of what it ran is left
    [again] = restarted.report(second).run
    assert again.attempt.task == waiting.attempt.task
    assert again.attempt.number > waiting.attempt.number
    restarted.report(second, ended(store, again.attempt, b"second\n"))
    until(lambda: state(second) is JobState.SUCCEEDED, "the end")
    assert parts(store) == [b"first\n", b"second\n"]
    record = second.requests.record("wc")
    assert (record.takeovers, record.term) == (1, second.dispatcher.term)
    assert record.counters["lines"] == 2


def test_what_runs_goes_on_under_the_new_master(masters, store):
    worker = TaskServer()
    _, orders = begin(masters, worker)
    second = masters.lead()
    assert worker.report(second) == Orders(term=second.dispatcher.term, kept=worker.number)
    worker.report(second, *(ended(store, order.attempt) for order in orders.run))
    until(lambda: state(second) is JobState.SUCCEEDED, "the end")
    assert parts(store) == [b"be\t1\n"] * 2


def test_what_is_not_in_the_journal_is_not_called_kept(masters, store):
    worker = TaskServer()
    first, orders = begin(masters, worker)
    store.closed_for = paths.journal_of(orders.run[0].attempt.task.job)
    before = worker.number
    told = [ended(store, order.attempt) for order in orders.run]
    assert worker.report(first, told[0]).kept == before
    until(lambda: store.waiting, "the journal's first key")
    second = masters.lead()
    worker.report(second, *told)  # as it was not kept
    store.open()
    until(lambda: state(second) is JobState.SUCCEEDED, "the end")
    assert parts(store) == [b"be\t1\n"] * 2


def test_two_masters_in_the_middle_of_one_commit_write_the_same(masters, store):
    worker = TaskServer()
    first, orders = begin(masters, worker)
    inputs = set(store.list("file:"))
    store.closed_for = "/out/wc/"
    worker.report(first, *(ended(store, order.attempt) for order in orders.run))
    until(lambda: store.waiting == 1, "the first master's commit")
    second = masters.lead()
    until(lambda: store.waiting == 2, "the second master's commit")
    store.open()
    until(lambda: state(second) is JobState.SUCCEEDED, "the end")
    until(lambda: state(first) is JobState.SUCCEEDED, "the end of what the first one did")
    after = output(store)
    assert list(after.values())[1:] == [b"be\t1\n"] * 2
    summary = json.loads(after["/out/wc/_SUCCESS"])
    assert summary["counters"]["lines"] == 2
    until(lambda: records.load(store)["wc"].state is JobState.SUCCEEDED, "the record")
    assert records.load(store)["wc"].term == second.dispatcher.term
    assert len(set(store.list("file:")) - inputs) == 3  # one `_SUCCESS` beside the parts


def test_a_master_that_was_followed_neither_commits_nor_ends_anything(masters, store):
    worker = TaskServer()
    first, orders = begin(masters, worker)
    second = masters.lead()
    winners = [ended(store, order.attempt, b"second\n") for order in orders.run]
    worker.report(second, winners[0])
    late = TaskServer()
    late.report(first, *(ended(store, order.attempt, b"first\n") for order in orders.run))
    first_flushed = gevent.spawn(first.dispatcher.journal.flush)
    first_flushed.get(timeout=5.0)
    with pytest.raises(TermOver):
        first.requests.kill_job("wc")
    with pytest.raises(TermOver):
        first.requests.new_job(job_spec("other"), SOURCE)
    worker.report(second, winners[1])
    until(lambda: state(second) is JobState.SUCCEEDED, "the end")
    assert parts(store) == [b"second\n"] * 2
    assert first.requests.record("wc").state is not JobState.SUCCEEDED
    assert list(records.load(store)) == ["wc"]


def test_a_loser_is_deleted_only_when_the_journal_names_the_winner(masters, store):
    worker = TaskServer()
    first, orders = begin(masters, worker)
    attempt = orders.run[0].attempt
    chunks = set(store.list("file:"))
    store.closed_for = paths.journal_of(attempt.task.job)
    worker.report(first, ended(store, attempt, b"winner\n"))
    loser = ended(store, AttemptId(attempt.task, 77), b"loser\n")
    both = set(store.list("file:")) - chunks
    worker.report(first, loser)
    until(lambda: store.waiting, "the journal")
    gevent.sleep(0.05)
    assert set(store.list("file:")) - chunks == both
    store.open()
    until(lambda: len(set(store.list("file:")) - chunks) == 1, "the loser's chunk to go")


def test_a_master_that_was_followed_deletes_nothing(masters, store):
    worker = TaskServer()
    first, orders = begin(masters, worker)
    chunks = set(store.list("file:"))
    attempt = orders.run[0].attempt
    second = masters.lead()
    worker.report(first, ended(store, attempt, b"first\n"))
    chosen = ended(store, AttemptId(attempt.task, attempt.number + 1), b"second\n")
    worker.report(first, chosen)  # to the first master it has lost
    until(lambda: first.dispatcher.journal.kept == 1, "the first one's journal")
    assert len(set(store.list("file:")) - chunks) == 2
    worker.report(second, chosen)
    worker.report(second, ended(store, orders.run[1].attempt, b"other\n"))
    until(lambda: state(second) is JobState.SUCCEEDED, "the end")
    assert b"".join(files.read(store, f"/out/wc/part-{attempt.task.index:05d}")) == b"second\n"


def test_a_kill_is_remembered(masters, store):
    worker = TaskServer()
    first, orders = begin(masters, worker)
    worker.report(first, ended(store, orders.run[0].attempt))
    kept(first, worker)
    inputs = set(store.list("file:"))
    assert first.requests.kill_job("wc").state is JobState.KILLED
    first.dispatcher.stop()  # before it could note more than its decision
    second = masters.lead()
    until(lambda: state(second) is JobState.KILLED, "the end")
    assert set(worker.report(second).kill) == {orders.run[1].attempt}
    until(lambda: len(set(store.list("file:"))) < len(inputs), "the winner's chunk to go")
    assert output(store) == {}


def test_a_paused_job_stays_paused(masters, store):
    first, _ = begin(masters, TaskServer(slots=1))
    first.requests.pause_job("wc")
    second = masters.lead()
    restarted = TaskServer()
    assert restarted.report(second).run == ()
    second.requests.resume_job("wc")
    assert len(restarted.report(second).run) == 2


def test_a_failure_that_was_decided_stays_one(masters, store):
    worker = TaskServer()
    first, orders = begin(masters, worker, max_attempts=1)
    store.closed_for = paths.status("wc")  # the first master does not come to note it
    worker.report(first, Outcome(attempt=orders.run[0].attempt, error="Traceback: my own mistake"))
    until(lambda: store.waiting, "the record")
    first.dispatcher.stop()
    store.closed_for = ""
    second = masters.lead()
    until(lambda: records.load(store)["wc"].state is JobState.FAILED, "the record")
    assert "my own mistake" in second.requests.record("wc").error
    store.open()
    assert set(worker.report(second).kill) == {orders.run[1].attempt}


def test_lost_output_is_not_taken_for_done(masters, store):
    worker = TaskServer()
    first, orders = begin(masters, worker, reducers=1, slow_start=1.0)
    maps = [order.attempt for order in orders.run]
    [reduce] = worker.report(
        first, *(Outcome(attempt=attempt, result=TaskResult()) for attempt in maps)
    ).run
    kept(first, worker)
    [again] = worker.report(
        first, Outcome(attempt=reduce.attempt, error="gone", lost=(maps[0].task,))
    ).run
    assert again.attempt.task == maps[0].task
    first.dispatcher.journal.flush()
    assert [done.attempt for done in journal.read(store, reduce.attempt.task.job).done] == [maps[1]]
    second = masters.lead()
    [once_more] = TaskServer().report(second).run
    assert once_more.attempt.task == maps[0].task


def test_what_an_attempt_has_left_that_nobody_heard_of_goes_with_the_run(
    masters, store, monkeypatch
):
    monkeypatch.setattr("mapreduce.cluster.dispatcher.SECOND_SWEEP_S", 0.05)
    worker = TaskServer()
    term, orders = begin(masters, worker)
    chunks = set(store.list("file:"))
    part(store, orders.run[0].attempt.task, b"unheard\n")
    heard = [ended(store, order.attempt) for order in orders.run]
    assert len(set(store.list("file:")) - chunks) == 3
    worker.report(term, *heard)
    until(lambda: state(term) is JobState.SUCCEEDED, "the end")
    output_and_summary = len(orders.run) + 1
    until(lambda: len(set(store.list("file:")) - chunks) == output_and_summary, "it to go")
    assert parts(store) == [b"be\t1\n"] * 2


def test_failures_count_on_and_each_once(masters, store):
    worker = TaskServer()
    first, orders = begin(masters, worker, max_attempts=2)
    failed = Outcome(attempt=orders.run[0].attempt, error="boom")
    [again] = worker.report(first, failed).run
    kept(first, worker)
    second = masters.lead()
    worker.report(second, failed)  # it has not heard that this is kept
    assert second.requests.record("wc").map.failed_attempts == 1
    assert state(second) is JobState.RUNNING
    worker.report(second, Outcome(attempt=again.attempt, error="boom"))
    until(lambda: state(second) is JobState.FAILED, "the end")
    assert "failed in all 2 attempts" in second.requests.record("wc").error


def test_a_run_of_several_steps_goes_on_in_the_step_it_was_in(masters, store):
    worker = TaskServer()
    steps = StepSpec(reducers=0), StepSpec(reducers=0)
    first, orders = begin(masters, worker, steps=steps)
    between = orders.phases[0].output
    for order in orders.run:
        result = part(store, order.attempt.task, b"", between)
        bad = Skipped(number=order.attempt.task.index, input="/books/a", error="bad")
        result = msgspec.structs.replace(result, skipped=(bad,))
        worker.report(first, Outcome(attempt=order.attempt, result=result))
    until(lambda: first.requests.record("wc").step == 2, "the second step")
    second = masters.lead()
    record = second.requests.record("wc")
    assert (record.step, record.state) == (2, JobState.RUNNING)
    assert record.counters["lines"] == 2
    restarted = TaskServer()
    rest = restarted.report(second)
    assert {phase.step for phase in rest.phases} == {1}
    restarted.report(second, *(ended(store, order.attempt) for order in rest.run))
    until(lambda: state(second) is JobState.SUCCEEDED, "the end")
    record = second.requests.record("wc")
    assert len(record.told) == 2
    assert [skipped["step"] for skipped in record.skipped] == [1, 1]


def test_nothing_is_left_of_a_run_that_was_taken_over(masters, store):
    worker = TaskServer()
    _, orders = begin(masters, worker)
    second = masters.lead()
    worker.report(second)
    worker.report(second, *(ended(store, order.attempt) for order in orders.run))
    until(lambda: state(second) is JobState.SUCCEEDED, "the end")
    run = second.requests.record("wc").run

    def left() -> list[str]:
        kept = (":plan:", ".servers:")
        return [k for k in store.list(f"job:{run}") if not any(kind in k for kind in kept)]

    until(lambda: not left(), "the journal to go")
    until(lambda: second.dispatcher.election.decided == {}, "the decisions to be forgotten")


def test_each_master_tells_of_a_run_what_it_did(masters, store):
    worker = TaskServer()
    _, orders = begin(masters, worker)
    told = "gives " + str(orders.run[0].attempt)
    until(lambda: told in said(store, masters.terms[0]), "what the first has said")
    second = masters.lead()
    worker.report(second)
    worker.report(second, *(ended(store, order.attempt) for order in orders.run))
    until(lambda: state(second) is JobState.SUCCEEDED, "the end")
    until(lambda: "the run has succeeded" in said(store, second), "what the second has said")
    assert "begins step 1: 2 map and 0 reduce tasks" in said(store, masters.terms[0])
    assert "takes over step 1: 0 of 2 map and 0 reduce tasks are done" in said(store, second)
    assert "the run has succeeded" not in said(store, masters.terms[0])


def said(store: Gated, term: Term) -> str:
    """What the master of a term has said of the run of wc."""
    run = term.requests.record("wc").run
    keys = store.list(paths.said_of(run))
    own = [key for key in keys if f":{term.dispatcher.term:010d}:" in key]
    return "".join((store.get(key).value or b"").decode() for key in own)


def test_a_run_of_which_too_little_is_known_has_failed(masters, store):
    worker = TaskServer()
    _, orders = begin(masters, worker)
    phase = orders.run[0].attempt.task.job
    store.multi_delete(store.list(paths.begun_in(phase)))
    second = masters.lead()
    record = second.requests.record("wc")
    assert record.state is JobState.FAILED
    assert "`mapreduce run_job wc` starts it again" in record.error
    restarted = TaskServer()
    restarted.report(second)
    second.requests.run_job("wc")
    assert len(restarted.report(second).run) == 2


def test_terms_in_the_store_are_not_undercut_by_masters_that_have_forgotten(store, tmp_path):
    records.create(store, job_spec(), b"", term=41)
    election = Election("m1", {"m1": ""}, tmp_path / "new")
    until(lambda: election.standing.term, "a first term")
    dispatcher = Dispatcher(store, election, election.standing.term, POLICY)
    with pytest.raises(TermOver):
        dispatcher.start()
    dispatcher.stop()
    until(lambda: election.standing.term == 42, "a term above")
    election.close()


def test_large_plans_and_journals_go_over_several_keys(masters, store, monkeypatch):
    monkeypatch.setattr(journal, "KEY_BYTES", 100)
    worker = TaskServer()
    first, orders = begin(masters, worker)
    phase = orders.run[0].attempt.task.job
    worker.report(first, ended(store, orders.run[0].attempt, b"first\n"))
    kept(first, worker)
    assert len(list(store.list(paths.plan_of(phase)))) == 2
    second = masters.lead()
    until(lambda: second.requests.record("wc").map.done == 1, "what was done")


def test_standing_by_names_the_leader():
    error = NotLeader("m2", "m1", "127.0.0.1:7400")
    assert str(error) == "master m2 does not lead; master m1 does: ask it at 127.0.0.1:7400"
    assert str(NotLeader("m2")) == "master m2 does not lead; nor does another yet"
