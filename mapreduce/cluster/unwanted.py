"""What attempts have left that nobody will use: deleted once each later leader would know it too.

First the journal names what was chosen in its place, then the term is confirmed, then it goes. A
master that was followed meanwhile deletes nothing: its successor may have chosen otherwise.
"""

from collections import Counter
from collections.abc import Callable

import gevent
from gevent.queue import Queue

from dynamo.store import Store
from mapreduce.cluster import runs
from mapreduce.cluster.decisions import Decisions
from mapreduce.cluster.journal import Journal
from mapreduce.cluster.threads import Threads
from mapreduce.engine.events import AttemptId
from mapreduce.engine.orders import TaskResult
from mapreduce.engine.run import Run

LOOK_AGAIN_S = 0.02


class Unwanted:
    """Deletes during one term. `spawn` runs something in its own greenlet while the term lasts."""

    def __init__(
        self,
        store: Store,
        journal: Journal,
        decisions: Decisions,
        threads: Threads,
        spawn: Callable[..., None],
    ) -> None:
        self._store = store
        self._journal = journal
        self._decisions = decisions
        self._threads = threads
        self._spawn = spawn
        self._waiting: Queue[tuple[Run, AttemptId, TaskResult]] = Queue()
        self._left: Counter[str] = Counter()
        """How much is to be deleted, by run."""

    def add(self, run: Run, attempt: AttemptId, result: TaskResult) -> None:
        """Delete what the attempt has left, sooner or later; returns at once."""
        self._left[run.id] += 1
        self._waiting.put((run, attempt, result))

    def await_end(self, run: Run) -> None:
        """Return when nothing is left of a run that is to be deleted."""
        while self._left[run.id]:
            gevent.sleep(LOOK_AGAIN_S)
        del self._left[run.id]

    def delete(self) -> None:
        """Delete what is added, as long as the term lasts."""
        while True:
            together = [self._waiting.get()]
            while not self._waiting.empty():
                together.append(self._waiting.get())
            self._journal.flush()
            self._decisions.confirm()
            for run, attempt, result in together:
                self._spawn(self._delete_one, run, attempt, result)

    def _delete_one(self, run: Run, attempt: AttemptId, result: TaskResult) -> None:
        self._threads.call(runs.discard, self._store, run, attempt, result)
        self._left[run.id] -= 1
