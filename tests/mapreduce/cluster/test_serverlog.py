"""What servers say of runs: by run, bounded, in order of time, and gone with the run."""

import pytest

from dynamo.errors import Unreachable
from dynamo.store import MemoryStore
from mapreduce.cluster import records, serverlog
from mapreduce.cluster.serverlog import Line, ServerLog


class Clock:
    """A second passes at each look."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def test_lines_of_all_servers_and_parts_are_read_in_order_of_time() -> None:
    store, clock = MemoryStore(), Clock()
    master, worker = ServerLog("master-m1", "07", clock), ServerLog("worker-w1", "9f", clock)
    for number in range(3):
        master.say("wc-1.1", f"master {number}")
        worker.say("wc-1.2.sample", f"worker {number}")
        serverlog.keep(store, {**master.take(), **worker.take()})
    assert serverlog.read(store, "wc-1") == [
        Line(1.0, "master-m1", "master 0"),
        Line(2.0, "worker-w1", "worker 0"),
        Line(3.0, "master-m1", "master 1"),
        Line(4.0, "worker-w1", "worker 1"),
        Line(5.0, "master-m1", "master 2"),
        Line(6.0, "worker-w1", "worker 2"),
    ]


def test_runs_are_kept_apart_and_a_line_stays_one() -> None:
    store, log = MemoryStore(), ServerLog("master-m1", "07", Clock())
    log.say("a-1.1", "two\nlines \N{SNOWMAN}")
    log.say("a-10.1", "another run")
    assert len(log.take("a-1")) == 1
    serverlog.keep(store, log.take())
    assert [line.text for line in serverlog.read(store, "a-10")] == ["another run"]
    assert serverlog.read(store, "a-1") == []
    for text in ("two\nlines \N{SNOWMAN}", "what others\x85take for lines"):
        log.say("a-1.1", text)
    serverlog.keep(store, log.take())
    assert [line.text for line in serverlog.read(store, "a-1")] == [
        "two lines \N{SNOWMAN}",
        "what others\x85take for lines",
    ]


def test_a_server_says_so_much_of_a_run_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serverlog, "LIMIT_CHARACTERS", 100)
    log = ServerLog("master-m1", "07", Clock())
    for _ in range(50):
        log.say("a-1.1", "x" * 1000)
        log.say("b-1.1", "short")
    (first, other) = log.take().values()
    assert first.decode().splitlines()[-1].endswith(" it has said too much")
    assert max(len(first), len(other)) < 300 + serverlog.LINE_CHARACTERS


def test_of_a_run_that_is_closed_nothing_is_said() -> None:
    log = ServerLog("master-m1", "07", Clock())
    log.say("a-1.1", "waits")
    log.close("a-1")
    log.say("a-1.1", "too late")
    assert log.take() == {}


def test_a_store_that_fails_stops_nothing() -> None:
    class Away(MemoryStore):
        def multi_put(self, items, **options):
            raise Unreachable("no node answers")

    log = ServerLog("master-m1", "07", Clock())
    log.say("a-1.1", "lost")
    serverlog.keep(Away(), log.take())


def test_what_was_said_goes_with_the_run() -> None:
    store, log = MemoryStore(), ServerLog("worker-w1", "9f", Clock())
    for phase in ("a-1.1", "a-1.2.sample", "a-10.1"):
        log.say(phase, "said")
    serverlog.keep(store, log.take())
    records.forget_run(store, "a-1")
    assert serverlog.read(store, "a-1") == []
    assert len(serverlog.read(store, "a-10")) == 1
