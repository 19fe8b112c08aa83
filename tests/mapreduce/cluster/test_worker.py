"""A real worker, and masters whose messages go astray: played in this process."""

import functools
import io
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import gevent
import pytest
import zerorpc

from cli.local_cluster import free_ports
from dynamo import files
from dynamo.config import MasterConfig
from dynamo.errors import DynamoError
from mapreduce.cluster import messages
from mapreduce.cluster.leadership import Leadership
from mapreduce.cluster.messages import Orders
from mapreduce.cluster.worker import TaskServer
from mapreduce.engine.events import JobState
from mapreduce.engine.policy import Policy
from mapreduce.runners.folderstore import FolderStore
from tests.mapreduce.cluster.serving import OneNode
from tests.mapreduce.specs import job_spec

SOURCE = b"""
from mapreduce import Mapper, Reducer

class MyMapper(Mapper):
    def map(self, key, value):
        self.context.count("lines")
        for word in value.split():
            yield word, 1

class MyReducer(Reducer):
    def reduce(self, key, values):
        yield key, sum(values)
"""
TEXT = "to be or not to be\n"


def until(condition: Callable[[], object], what: str, timeout_s: float = 20.0) -> None:
    with gevent.Timeout(timeout_s, AssertionError(f"waited in vain for: {what}")):
        while not condition():
            gevent.sleep(0.01)


@contextmanager
def served(service: object) -> Iterator[str]:
    """The address at which `service` answers."""
    server = zerorpc.Server(service, heartbeat=None)
    address = f"127.0.0.1:{free_ports(1)[0]}"
    server.bind(f"tcp://{address}")
    answering = gevent.spawn(server.run)
    try:
        yield address
    finally:
        answering.kill()
        server.close()


@contextmanager
def working(folder: Path, *masters: str) -> Iterator[TaskServer]:
    worker = TaskServer(
        "w1", "folder", 2, masters, functools.partial(FolderStore, folder), lambda: None
    )
    running = gevent.spawn(worker.run)
    try:
        yield worker
    finally:
        worker.stop()
        running.join()


class Played:
    """A master that gives the same orders for each report, or none that count."""

    def __init__(self, orders: Orders) -> None:
        self.orders = orders
        self.leads = True
        self.heard: list[messages.Report] = []

    def report(self, data: bytes) -> bytes:
        self.heard.append(messages.decode_report(data))
        gevent.sleep(0.01)
        if not self.leads:
            raise DynamoError("another leads")
        return messages.encode(self.orders)


def test_orders_of_an_older_term_are_not_obeyed(tmp_path):
    new, old = Played(Orders(term=5)), Played(Orders(term=4, drain=True))
    with served(new) as first, served(old) as second, working(tmp_path, first, second):
        until(lambda: len(new.heard) > 2, "orders to be taken")
        new.leads = False
        until(lambda: len(old.heard) > 1, "reports to the other")
        new.leads = True
        known = len(new.heard)
        until(lambda: len(new.heard) > known, "reports to the first again")
        assert not any(report.draining for report in new.heard + old.heard)
        old.orders = Orders(term=6, drain=True)
        new.leads = False
        until(lambda: old.heard[-1].draining, "a newer term to be obeyed")


class Lossy:
    """A master that some reports don't reach, that hears some twice, and some of whose answers are
    lost."""

    def __init__(self, leadership: Leadership) -> None:
        self._leadership = leadership
        self._count = 0

    def report(self, data: bytes) -> bytes:
        self._count += 1
        if self._count % 4 == 1:
            raise DynamoError("lost on the way there")
        orders = self._leadership.term.reports.report(messages.decode_report(data))
        if self._count % 4 == 2:
            orders = self._leadership.term.reports.report(messages.decode_report(data))
        if self._count % 4 == 3:
            raise DynamoError("lost on the way back")
        return messages.encode(orders)


def test_lost_and_doubled_messages_change_nothing_in_the_output(tmp_path, monkeypatch):
    monkeypatch.setattr("mapreduce.cluster.reports.HOLD_S", 0.1)
    folder = tmp_path / "store"
    folder.mkdir()
    store = OneNode(folder)
    for number in range(6):
        files.write(store, f"/books/{number}", io.BytesIO(TEXT.encode()))
    policy = Policy(order_timeout_s=0.5, backup_after_s=60.0)
    me = MasterConfig("m1", "127.0.0.1:1", "", tmp_path / "m1")
    leadership = Leadership("m1", [me], store, policy)
    leadership.start()
    try:
        until(lambda: leadership.standing.term, "its term")
        requests = leadership.term.requests
        with served(Lossy(leadership)) as address, working(folder, address):
            until(requests.workers, "the worker")
            requests.new_job(job_spec(reducers=2, split_bytes=len(TEXT)), SOURCE)
            requests.run_job("wc")
            until(lambda: requests.record("wc").state.ended, "the end")
        record = requests.record("wc")
        assert record.state is JobState.SUCCEEDED, record.error
        assert record.counters["lines"] == 6
        names = [name for name in files.under(store, "/out/wc") if "part" in name]
        lines = b"".join(b"".join(files.read(store, name)) for name in names).decode().splitlines()
        found = dict(line.split("\t") for line in lines)
        assert found == {word: str(6 * count) for word, count in Counter(TEXT.split()).items()}
    finally:
        leadership.stop()


def test_without_any_master_it_goes_on_asking(tmp_path, capfd):
    with working(tmp_path, *(f"127.0.0.1:{port}" for port in free_ports(2))) as worker:
        del worker
        silent = "no master answers at"
        seen: list[str] = []
        until(lambda: seen.append(capfd.readouterr().err) or silent in "".join(seen), "it")


@pytest.fixture(autouse=True)
def quick_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A master that does not answer is given up sooner than it would be."""
    monkeypatch.setattr("mapreduce.cluster.worker.ANSWER_TIMEOUT_S", 0.4)
