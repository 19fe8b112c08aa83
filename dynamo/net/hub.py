"""A gevent hub in a thread of its own, for programs that know nothing of gevent."""

from collections import deque
from collections.abc import Callable
from threading import Event, Lock, Thread

import gevent
from gevent.hub import get_hub


class HubThread:
    """Runs functions in its hub, in the order in which any threads posted them.

    A posted function must not block; to do something long it spawns a greenlet.
    """

    def __init__(self, name: str) -> None:
        self._posted: deque[Callable[[], object]] = deque()
        self._posting = Lock()
        self._closed = False
        self._started = Event()
        self._thread = Thread(target=self._main, name=name, daemon=True)
        self._thread.start()
        self._started.wait()

    def post(self, function: Callable[[], object], *, last: bool = False) -> bool:
        """Run `function` in the hub soon; returns at once: False if the hub is closed, and the
        function is not going to run. No other will after one that is the `last`."""
        with self._posting:
            if self._closed:
                return False
            self._closed = last
            self._posted.append(function)
            self._wake.send()
        return True

    def close(self) -> None:
        """Run what has been posted, then end the thread."""
        self.post(lambda: self._stop.set(), last=True)
        self._thread.join()

    def _main(self) -> None:
        hub = get_hub()
        self._stop = gevent.event.Event()
        self._work = gevent.event.Event()
        self._wake = hub.loop.async_()
        self._wake.start(self._work.set)
        self._started.set()
        while not self._stop.is_set():
            self._work.wait()
            self._work.clear()
            while self._posted:
                self._posted.popleft()()
        self._wake.stop()
        self._wake.close()
        hub.destroy(destroy_loop=True)
