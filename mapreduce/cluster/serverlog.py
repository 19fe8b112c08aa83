"""What servers have to say of a run, on its way into the store and back.

Each value at `paths.said(run, server, life, sequence)` is some lines of one server, in UTF-8:

    SECONDS TEXT        when it was said, by that server's clock, since 1970; and what

SERVER is KIND-NAME, LIFE a master's term or the session of a worker's process. The lines go with
the run: a new run of its job, or the job's removal, deletes them.
"""

import contextlib
import functools
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import NamedTuple

from dynamo.errors import DynamoError
from dynamo.store import Store
from mapreduce.engine import paths
from mapreduce.engine.events import AttemptId, TaskId

LIMIT_CHARACTERS = 1 << 20
"""Of one run a server keeps so much; after that it is silent."""
LINE_CHARACTERS = 300
REMEMBERED_RUNS = 200


class Line(NamedTuple):
    """What a server such as "worker-w1" has said, at a time in seconds since 1970."""

    at: float
    server: str
    text: str


class ServerLog:
    """The lines of one life of a server, by run, until they are taken to the store."""

    def __init__(self, server: str, life: str, clock: Callable[[], float] = time.time) -> None:
        self._server = server
        self._life = life
        self._clock = clock
        self._sequence = 0
        self._waiting: dict[str, list[str]] = {}
        self._left: OrderedDict[str, int] = OrderedDict()
        """How many characters may still be said of a run; the one spoken of last is last."""

    def say(self, phase: str, text: str) -> None:
        """Say something of the run that `phase` belongs to."""
        run = paths.run_of(phase)
        left = self._left.get(run, LIMIT_CHARACTERS)
        if left <= 0:
            return
        if "\n" in text or len(text) > LINE_CHARACTERS:
            text = " ".join(text.split())[:LINE_CHARACTERS]
        left -= len(text)
        if left <= 0:
            text = "says no more of this run: it has said too much"
        self._waiting.setdefault(run, []).append(f"{self._clock():.3f} {text}\n")
        self._remember(run, left)

    def take(self, run: str | None = None) -> dict[str, bytes]:
        """What waits to be stored, by key; of one run only, if it is named."""
        runs = list(self._waiting) if run is None else [run]
        items = {}
        for name in runs:
            if lines := self._waiting.pop(name, None):
                self._sequence += 1
                key = paths.said(name, self._server, self._life, self._sequence)
                items[key] = "".join(lines).encode("utf-8", "replace")
        return items

    def close(self, run: str) -> None:
        """Say nothing more of a run that is over."""
        self._waiting.pop(run, None)
        self._remember(run, 0)

    def _remember(self, run: str, left: int) -> None:
        self._left[run] = left
        self._left.move_to_end(run)
        if len(self._left) > REMEMBERED_RUNS:
            self._left.popitem(last=False)


def keep(store: Store, items: Mapping[str, bytes]) -> None:
    """Store what was taken; what can't be stored stops nothing."""
    with contextlib.suppress(DynamoError):
        store.multi_put(dict(items), durable=False)


def read(store: Store, run: str) -> list[Line]:
    """All that servers have said of a run, in order of time."""
    found = []
    prefix = paths.said_of(run)
    keys = list(store.list(prefix))
    readings = store.multi_get(keys)
    for key in keys:
        server = key.removeprefix(prefix).partition(":")[0]
        text = (readings[key].value or b"").decode("utf-8", "replace")
        for line in text.split("\n")[:-1]:
            at, _, said = line.partition(" ")
            found.append(Line(float(at), server, said))
    return sorted(found, key=lambda line: line.at)


@functools.lru_cache(1000)
def step_of(phase: str) -> str:
    """
    >>> step_of("wc-1a2b.2.sample")
    '2.sample'
    """
    return phase.removeprefix(f"{paths.run_of(phase)}.")


def name(named: AttemptId | TaskId) -> str:
    """An attempt or task as people know it: with its step, unless that is the first.

    >>> name(AttemptId(TaskId("wc-1a2b.1", "map", 3), 1)), name(TaskId("wc-1a2b.2", "reduce", 0))
    ('map-00003.1', '2/reduce-00000')
    """
    step = step_of(named.task.job if isinstance(named, AttemptId) else named.job)
    return str(named) if step == "1" else f"{step}/{named}"


def gist(error: str) -> str:
    """What a traceback is about: its last line, and the place in the user's code behind it.

    >>> gist("Traceback ...\\nValueError: too large\\nin MyMapper.map (wc.py, line 3)")
    'ValueError: too large, in MyMapper.map (wc.py, line 3)'
    """
    lines = error.strip().splitlines() or [""]
    return ", ".join(lines[-2:]) if lines[-1].startswith("in ") else lines[-1]
