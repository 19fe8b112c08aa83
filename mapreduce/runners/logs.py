"""What the attempts of a run have printed, as it is kept in the store; also while it grows."""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from dynamo.store import Store
from mapreduce.cluster.connection import Record
from mapreduce.engine import paths
from mapreduce.engine.events import JobState

READ_AT_ONCE = 50
POLL_S = 0.5


class Log(NamedTuple):
    """What an attempt such as "map-00003.1" of a step such as "2" has printed."""

    step: str
    attempt: str
    text: str


def read(store: Store, run: str, task: str | None = None) -> Iterator[Log]:
    """The logs of a run, in order of step, kind and task; or those of `task` only: a kind, a task
    or one of its attempts, as "map", "map-00003" or "map-00003.1"."""
    return _read(store, run, _keys(store, run, task))


def follow(store: Store, ask: Callable[[], Record], task: str | None = None) -> Iterator[Log]:
    """What attempts print from now on, and have printed, until the job has ended.

    Each `Log` has what is new of one attempt. `ask` gives the job's record.
    """
    told: dict[str, str] = {}
    settled: set[str] = set()
    record = ask()
    run, ended, before = record["run"], False, _running(record)
    while True:
        record = ask()
        running, before = _running(record) | before, _running(record)
        keys = [key for key in _keys(store, run, task) if key not in settled]
        for key, log in zip(keys, _read(store, run, keys), strict=True):
            if log.attempt not in running and told.get(key) == log.text:
                settled.add(key)  # a log is kept a moment after its attempt's end
            if new := news(told.get(key, ""), log.text):
                yield log._replace(text=new)
            told[key] = log.text
        if ended:
            return
        ended = record["run"] != run or JobState(record["state"]).ended
        time.sleep(POLL_S)


def _running(record: Record) -> set[str]:
    return {task["attempt"] for task in record["tasks"]}


def news(before: str, now: str) -> str:
    """What has been printed since: a long log loses its beginning.

    >>> news("one\\ntwo\\n", "one\\ntwo\\nthree\\n"), news("one\\ntwo\\n", "two\\nthree\\n")
    ('three\\n', 'three\\n')
    """
    if now.startswith(before):
        return now[len(before) :]
    last_line = before.rstrip("\n").rpartition("\n")[2]
    _, found, behind = now.partition(last_line)
    return behind.lstrip("\n") if found else now


def is_of(attempt: str, task: str | None) -> bool:
    """True for map-00003.1 if `task` is map, map-00003 or map-00003.1, or None for all."""
    kind, _, _ = attempt.partition("-")
    return task in (None, kind, attempt, attempt.partition(".")[0])


def _keys(store: Store, run: str, task: str | None) -> list[str]:
    return [key for key in store.list(paths.run_keys(run)) if _is_log(_parts(key, run), task)]


def _is_log(parts: tuple[str, str, str], task: str | None) -> bool:
    return parts[1] == ":log:" and is_of(parts[2], task)


def _parts(key: str, run: str) -> tuple[str, str, str]:
    return key.removeprefix(paths.run_keys(run)).partition(":log:")


def _read(store: Store, run: str, keys: Iterable[str]) -> Iterator[Log]:
    remaining = iter(keys)
    while some := list(itertools.islice(remaining, READ_AT_ONCE)):
        readings = store.multi_get(some)
        for key in some:
            step, _, attempt = _parts(key, run)
            yield Log(step, attempt, (readings[key].value or b"").decode(errors="replace"))
