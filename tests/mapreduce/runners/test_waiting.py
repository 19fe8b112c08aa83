"""Waiting for a job's end, from what a master answers, or does not."""

from collections.abc import Iterator

import pytest

from dynamo.errors import Unreachable
from mapreduce.runners import waiting


def asker(*answers: str):
    """Asks a master that gives these states; for "" none answers."""
    states: Iterator[str] = iter(answers)

    def ask() -> dict:
        if state := next(states):
            return {"state": state}
        raise Unreachable("no master answers")

    return ask


def test_a_master_that_is_away_for_a_moment_is_waited_for(monkeypatch):
    monkeypatch.setattr(waiting, "ASK_AGAIN_S", 0)
    ask = asker("running", "", "", "running", "succeeded", "never asked")
    assert [record["state"] for record in waiting.records(ask)] == [
        "running",
        "running",
        "succeeded",
    ]


def test_one_that_stays_away_is_an_error(monkeypatch):
    monkeypatch.setattr(waiting, "ASK_AGAIN_S", 0)
    monkeypatch.setattr(waiting, "PATIENCE_S", -1)
    with pytest.raises(Unreachable):
        list(waiting.records(asker("running", "", "succeeded")))
