"""The journal of a phase: what its tasks have come to, for a master that takes over.

Each key `paths.journal(phase, term, sequence)` holds some entries, a list as msgpack, in the order
in which they happened; keys in their order are the whole journal. An entry is one of

    ["won", attempt, worker, locality, result]    this attempt is the task's winner
    ["lost", task]                                the map task's output is gone; it runs again
    ["failed", attempt, worker]                   the attempt counts against its task

There is one writer. What comes while it writes is the next key: so there is at most one put under
way, however fast tasks end. Entries that a master of an earlier term wrote when it led no more sort
before those of its successor, which has told its own tale of the same tasks.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

import gevent
import msgspec
from gevent.event import Event

from dynamo.errors import DynamoError
from dynamo.store import Store
from mapreduce.cluster.election import RESIGN_S
from mapreduce.cluster.threads import Threads
from mapreduce.engine import paths
from mapreduce.engine.events import (
    AttemptId,
    AttemptWon,
    Done,
    Failure,
    FailureCounted,
    Locality,
    OutputLost,
    TaskId,
)
from mapreduce.engine.orders import TaskResult

log = logging.getLogger("mapreduce.master")

KEY_BYTES = 4 << 20
"""About so much goes into one key: half of what fits."""
TRY_AGAIN_S = 0.5


class Won(msgspec.Struct, frozen=True, array_like=True, tag="won"):
    """The task is done."""

    attempt: AttemptId
    worker: str
    locality: Locality
    result: TaskResult


class Lost(msgspec.Struct, frozen=True, array_like=True, tag="lost"):
    """The task is done no more."""

    task: TaskId


class Failed(msgspec.Struct, frozen=True, array_like=True, tag="failed"):
    """An attempt has failed, by its own fault."""

    attempt: AttemptId
    worker: str


class Told(NamedTuple):
    """What a phase has come to."""

    done: tuple[Done, ...]
    failed: tuple[Failure, ...]


Noted = AttemptWon | OutputLost | FailureCounted
"""What the journal keeps of all that the scheduler says."""

_entries = msgspec.msgpack.Decoder(list[Won | Lost | Failed])


def entry(action: Noted) -> tuple[str, bytes]:
    """The phase whose journal has to say what the scheduler has decided, and how it says it."""
    if isinstance(action, AttemptWon):
        won = Won(action.attempt, action.worker, action.locality, action.result)
        return action.attempt.task.job, msgspec.msgpack.encode(won)
    if isinstance(action, FailureCounted):
        failed = Failed(action.attempt, action.worker)
        return action.attempt.task.job, msgspec.msgpack.encode(failed)
    return action.task.job, msgspec.msgpack.encode(Lost(action.task))


def packed(items: Iterable[bytes]) -> list[bytes]:
    """Encoded items as few encoded lists of about `KEY_BYTES` each.

    >>> packed([msgspec.msgpack.encode(number) for number in (1, 2)])
    [b'\\x92\\x01\\x02']
    """
    lists: list[list[msgspec.Raw]] = []
    room_bytes = 0
    for item in items:
        if room_bytes < len(item) or not lists:
            lists.append([])
            room_bytes = KEY_BYTES
        lists[-1].append(msgspec.Raw(item))
        room_bytes -= len(item)
    return [msgspec.msgpack.encode(some) for some in lists]


def read(store: Store, phase: str) -> Told:
    """What a phase has come to, as far as its journal knows; blocks."""
    keys = sorted(store.list(paths.journal_of(phase)))
    found = store.multi_get(keys)
    done: dict[TaskId, Done] = {}
    failed: dict[AttemptId, Failure] = {}
    for key in keys:
        for value in found[key].values[:1]:
            for said in _entries.decode(value):
                if isinstance(said, Won):
                    done[said.attempt.task] = Done(
                        said.attempt, said.worker, said.locality, said.result
                    )
                elif isinstance(said, Lost):
                    done.pop(said.task, None)
                else:
                    failed[said.attempt] = Failure(said.attempt, said.worker)
    return Told(tuple(done[task] for task in sorted(done)), tuple(failed.values()))


class Journal:
    """Writes the journals of all phases during one term. Lives in the hub."""

    def __init__(
        self, store: Store, term: int, threads: Threads, resign: Callable[[], None] = lambda: None
    ) -> None:
        """`resign` is called when the store has not answered for `RESIGN_S`, and then again."""
        self._store = store
        self._resign = resign
        self._term = term
        self._threads = threads
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._sequences: dict[str, int] = {}
        self._news = Event()
        self._progress = Event()
        self.noted = 0
        """How many entries there have been."""
        self.kept = 0
        """How many of them are in the store."""
        self._writer = gevent.spawn(self._write)

    def stop(self) -> None:
        """Write no more; what is not in the store yet is lost."""
        self._writer.kill()

    def note(self, action: Noted) -> None:
        """Take an entry; returns at once."""
        self._waiting.append(entry(action))
        self.noted += 1
        self._news.set()

    def flush(self) -> None:
        """Return when all that was noted before this call is in the store."""
        noted = self.noted
        while self.kept < noted:
            self._progress.wait()

    def _write(self) -> None:
        while True:
            self._news.wait()
            self._news.clear()
            while self._waiting:
                entries = list(self._waiting)
                self._waiting.clear()
                self._put(self._keys(entries))
                self.kept += len(entries)
                self._progress.set()
                self._progress.clear()

    def _keys(self, entries: list[tuple[str, bytes]]) -> dict[str, bytes]:
        """What to put where."""
        by_phase: dict[str, list[bytes]] = {}
        for phase, said in entries:
            by_phase.setdefault(phase, []).append(said)
        items = {}
        for phase, told in by_phase.items():
            for value in packed(told):
                sequence = self._sequences.get(phase, 0)
                self._sequences[phase] = sequence + 1
                items[paths.journal(phase, self._term, sequence)] = value
        return items

    def _put(self, items: dict[str, bytes]) -> None:
        began_at = time.monotonic()
        while True:
            try:
                self._threads.call(self._store.multi_put, items)
                return
            except (DynamoError, OSError) as error:
                log.warning("the journal can't be written; trying on: %s", error)
                if time.monotonic() - began_at > RESIGN_S:
                    self._resign()
                gevent.sleep(TRY_AGAIN_S)
