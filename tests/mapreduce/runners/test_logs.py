"""Logs as they are read, and as they are followed while attempts print."""

from collections.abc import Iterator

import pytest

from dynamo.store import MemoryStore
from mapreduce.engine import paths
from mapreduce.engine.events import AttemptId, TaskId
from mapreduce.runners import logs
from mapreduce.runners.logs import Log


def key(kind: str, index: int, step: int = 1) -> str:
    return paths.log(AttemptId(TaskId(f"wc-1.{step}", kind, index), 1))


def record(state: str, *running: str) -> dict:
    return {"run": "wc-1", "state": state, "tasks": [{"attempt": name} for name in running]}


def test_logs_are_read_in_order_and_other_keys_are_not(monkeypatch):
    monkeypatch.setattr(logs, "READ_AT_ONCE", 2)
    store = MemoryStore()
    for number in range(3):
        store.put(key("map", number), b"%d\n" % number)
    store.put(key("reduce", 0, step=2), b"end\n")
    store.put(paths.run_keys("wc-1") + "1:plan", b"no log")
    store.put(key("map", 0).replace("wc-1", "wc-10"), b"another run's\n")
    assert [(log.step, log.attempt, log.text) for log in logs.read(store, "wc-1")] == [
        ("1", "map-00000.1", "0\n"),
        ("1", "map-00001.1", "1\n"),
        ("1", "map-00002.1", "2\n"),
        ("2", "reduce-00000.1", "end\n"),
    ]
    assert [log.text for log in logs.read(store, "wc-1", "map-00001")] == ["1\n"]


def test_who_follows_gets_each_line_once_up_to_the_last(monkeypatch):
    monkeypatch.setattr(logs, "POLL_S", 0)
    store = MemoryStore()

    def steps() -> Iterator[dict]:
        yield record("running", "map-00000.1")  # which run it is
        store.put(key("map", 0), b"one\n")
        yield record("running", "map-00000.1")
        store.put(key("map", 0), b"one\ntwo\n")
        store.put(key("map", 1), b"other\n")
        yield record("running", "map-00001.1")
        yield record("running", "map-00001.1")
        yield record("succeeded")
        store.put(key("map", 1), b"other\nlast\n")  # kept a moment after the job's end
        yield record("succeeded")

    moments = steps()
    told = list(logs.follow(store, lambda: next(moments)))
    assert told == [
        Log("1", "map-00000.1", "one\n"),
        Log("1", "map-00000.1", "two\n"),
        Log("1", "map-00001.1", "other\n"),
        Log("1", "map-00001.1", "last\n"),
    ]


@pytest.mark.parametrize(
    ("before", "now", "new"),
    [
        ("", "a\n", "a\n"),
        ("a\n", "a\n", ""),
        ("a\nb\n", "b\nc\n", "c\n"),
        ("a\n", "x\ny\n", "x\ny\n"),
    ],
)
def test_of_a_log_that_has_lost_its_beginning_the_new_lines_are_told(before, now, new):
    assert logs.news(before, now) == new
