"""What attempts print, and the worker says of them, on its way into the store: while they run, and
once more when they end."""

import contextlib
import time
from collections.abc import Callable, Mapping

import gevent
from gevent.event import Event
from gevent.threadpool import ThreadPool

from dynamo.errors import DynamoError
from dynamo.store import Store
from mapreduce.cluster.serverlog import ServerLog
from mapreduce.engine import paths
from mapreduce.engine.events import AttemptId
from mapreduce.engine.orders import Outcome

KEEP_S = 1.0
"""So often the end of what running attempts have printed is stored, if there is more of it."""
GOODBYE_S = 1.0


class LogKeeper:
    """Stores logs, one set after the other, so that what an attempt printed last is stored last. A
    log that can't be stored stops nothing.

    `printed` tells of the attempts that run, `said` has the worker's own lines; every method is
    called in the hub.
    """

    def __init__(
        self, store: Store, printed: Callable[[], Mapping[AttemptId, str]], said: ServerLog
    ) -> None:
        self._store = store
        self._printed = printed
        self._said = said
        self._ended: dict[AttemptId, str] = {}
        self._kept: dict[AttemptId, str] = {}
        """What is in the store of the attempts that run."""
        self._said_at = float("-inf")
        self._news = Event()
        self._stopping = False
        self._hurried = False
        self._threads = ThreadPool(1)
        self._keeping: gevent.Greenlet | None = None

    def start(self) -> None:
        """Look at what is printed from now on."""
        self._keeping = gevent.spawn(self._keep)

    def ended(self, outcome: Outcome) -> None:
        """Keep all that an attempt has printed, and why it failed."""
        self._kept.pop(outcome.attempt, None)
        text = outcome.output
        if outcome.error:
            text += ("\n" if text and not text.endswith("\n") else "") + outcome.error
        if text:
            self._ended[outcome.attempt] = text
            self._news.set()

    def hurry(self) -> None:
        """Keep what was said at once: nobody may listen any more in a moment."""
        self._hurried = True
        self._news.set()

    def stop(self) -> None:
        """Store what is left, if that takes no longer than a moment."""
        self._stopping = True
        self._news.set()
        if self._keeping:
            self._keeping.join(GOODBYE_S)

    def _keep(self) -> None:
        while not self._stopping or self._ended:
            self._news.wait(KEEP_S)
            self._news.clear()
            ended, self._ended = self._ended, {}
            texts = {**self._more(), **ended}
            said = self._what_was_said()
            if texts or said:
                self._threads.apply(_store_logs, (self._store, texts, said))

    def _what_was_said(self) -> dict[str, bytes]:
        """Lines of a busy worker wait for each other."""
        now = time.monotonic()
        if not (self._hurried or self._stopping or now - self._said_at >= KEEP_S):
            return {}
        self._hurried, self._said_at = False, now
        return self._said.take()

    def _more(self) -> dict[AttemptId, str]:
        """What running attempts have printed since it was last asked."""
        printed = {attempt: text for attempt, text in self._printed().items() if text}
        more = {a: text for a, text in printed.items() if text != self._kept.get(a)}
        self._kept = printed
        return more


def _store_logs(store: Store, texts: Mapping[AttemptId, str], said: Mapping[str, bytes]) -> None:
    logs = {paths.log(attempt): text.encode("utf-8", "replace") for attempt, text in texts.items()}
    with contextlib.suppress(DynamoError):
        store.multi_put({**logs, **said}, durable=False)
