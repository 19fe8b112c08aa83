"""Bad records are found, whatever they do, and nothing else is left out."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapreduce import Job, Mapper, Reducer
from mapreduce.data.formats import Batch
from mapreduce.engine.events import AttemptId, TaskId
from mapreduce.engine.orders import Outcome, Skipped, TaskOrder, TaskResult
from mapreduce.engine.selecting import Selection
from mapreduce.engine.skipping import run, search
from mapreduce.errors import JobFailed

ATTEMPT = AttemptId(TaskId("job.1", "map", 0), 3)


def found(count: int, fails: Callable[[range], bool], most: int = 1000) -> tuple[list[int], int]:
    """What the search finds, and how many ranges it tries."""
    halving = search(count, most)
    tried = 0
    try:
        wanted = next(halving)
        while True:
            tried += 1
            wanted = halving.send(not fails(range(*wanted)))
    except StopIteration as end:
        return end.value, tried


@given(st.integers(1, 300), st.sets(st.integers(0, 299), max_size=8))
def test_all_bad_records_are_found_and_no_others(count: int, bad: set[int]) -> None:
    bad = {number for number in bad if number < count}
    what, tried = found(count, lambda tried: not bad.isdisjoint(tried))
    assert what == sorted(bad)
    assert tried <= 1 + len(bad) * 2 * count.bit_length()


def test_records_that_fail_only_together_are_not_bad() -> None:
    assert found(64, lambda tried: 3 in tried and 60 in tried)[0] == []


def test_the_search_ends_with_the_first_record_too_many() -> None:
    what, tried = found(1 << 20, lambda tried: len(tried) > 0, most=2)
    assert len(what) == 3
    assert tried < 100


class Done:
    """A task of some records, of which some are bad; and how it was tried."""

    def __init__(self, count: int, bad: dict[int, str]) -> None:
        self.count, self.bad = count, bad
        self.tried: list[TaskOrder] = []

    def __call__(self, order: TaskOrder) -> Outcome:
        self.tried.append(order)
        wanted = range(*order.probe) if order.probe else range(self.count)
        for number in wanted:
            if number in self.bad and number not in order.without:
                return Outcome(attempt=order.attempt, error=self.bad[number])
        skipped = tuple(Skipped(number=n) for n in order.without)
        result = TaskResult(records=self.count, skipped=skipped)
        return Outcome(attempt=order.attempt, result=result)


def test_the_last_run_is_the_task_itself_without_the_bad_records() -> None:
    done = Done(100, {7: "Traceback (most recent call last):\n  File\nValueError: 7", 50: "killed"})
    outcome = run(TaskOrder(attempt=ATTEMPT, skipping=True), 2, done)
    assert done.tried[-1] == TaskOrder(attempt=ATTEMPT, without=(7, 50))
    assert outcome.result is not None
    assert [(s.number, s.error) for s in outcome.result.skipped] == [
        (7, "ValueError: 7"),
        (50, "killed"),
    ]


def test_more_bad_records_than_may_be_skipped_fail_the_task() -> None:
    outcome = run(TaskOrder(attempt=ATTEMPT), 1, Done(100, {7: "seven", 50: "fifty"}))
    assert outcome.result is None
    assert "more bad records than the 1" in outcome.error
    assert "fifty" in outcome.error


def test_a_task_that_fails_without_any_record_says_so_at_once() -> None:
    tried = []

    def fails(order: TaskOrder) -> Outcome:
        tried.append(order.probe)
        return Outcome(attempt=order.attempt, error="in setup")

    assert run(TaskOrder(attempt=ATTEMPT), 10, fails).error == "in setup"
    assert tried == [(0, 0)]


@pytest.mark.parametrize("sizes", [[10], [4, 6], [1] * 10, [0, 10, 0]])
@pytest.mark.parametrize(
    ("probe", "without", "chosen"),
    [
        (None, (), range(10)),
        (None, (0, 5, 9), [1, 2, 3, 4, 6, 7, 8]),
        ((3, 7), (), [3, 4, 5, 6]),
        ((0, 0), (), []),
        ((9, 10), (), [9]),
    ],
)
def test_chosen_records_keep_their_keys(sizes, probe, without, chosen) -> None:
    selection = Selection(TaskOrder(attempt=ATTEMPT, probe=probe, without=without))
    seen, first = [], 0
    for size in sizes:
        numbers = range(first, first + size)
        batch = Batch([str(n) for n in numbers], lambda numbers=numbers: iter(numbers))
        first += size
        if not selection.is_done:
            seen += [pair for part in selection.of_batch(batch, "/in") for pair in part.pairs]
    assert seen == [(n, str(n)) for n in chosen]
    assert [(s.number, s.input, s.position) for s in selection.skipped] == [
        (n, "/in", str(n)) for n in without
    ]


class Fragile(Mapper):
    def map(self, key, value):
        import os

        if value == "raise":
            raise ValueError("what is this?")
        if value == "crash":
            os._exit(5)
        yield value, key


class Poisoned(Reducer):
    def reduce(self, key, values):
        if key == "poison":
            raise KeyError(key)
        yield key, sum(values)


def fragile(folder: Path, skip: int) -> Job:
    lines = ["a", "raise", "b", "poison", "crash", "a", "c"]
    (folder / "in").write_text("".join(line + "\n" for line in lines))
    return Job("fragile", mapper=Fragile, reducer=Poisoned, skip_bad_records=skip, max_attempts=2)


def test_a_job_leaves_out_records_that_raise_crash_or_poison_a_reducer(tmp_path: Path) -> None:
    result = fragile(tmp_path, 2).run(tmp_path / "in", output=tmp_path / "out", processes=1)
    assert sorted(result) == [("a", "23"), ("b", "8"), ("c", "25")]
    path = str(tmp_path / "in")
    told = json.loads((tmp_path / "out" / "_SUCCESS").read_text())
    assert told["counters"]["skipped_records"] == 3
    crash = told["skipped"][1].pop("error")
    assert "exit code 5" in crash
    assert told["skipped"] == [
        {"step": 1, "input": path, "position": "2", "error": "ValueError: what is this?"},
        {"step": 1, "input": path, "position": "17"},
        {"step": 1, "input": "", "position": "'poison'", "error": "KeyError: 'poison'"},
    ]


def test_a_job_with_more_bad_records_fails(tmp_path: Path) -> None:
    with pytest.raises(JobFailed, match="more bad records than the 1"):
        fragile(tmp_path, 1).run(tmp_path / "in", processes=1)
