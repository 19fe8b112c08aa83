"""What the processes of the JSON master and worker have in common: a queue of what is heard, which
is handled to its end one at a time, and an end by Ctrl-C or SIGTERM.
"""

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable

from mapreduce.jsonwire.actions import Action, Event, Report, Stop, Tick
from mapreduce.jsonwire.messages import AnyMessage
from mapreduce.jsonwire.wire import Outbox


class Shell:
    """Carries out what a state machine decides. Subclasses give `decide` and `perform`."""

    def __init__(self, say: Callable[[str], None], tick_s: float = float("inf")) -> None:
        self._say = say
        self._tick_s = tick_s
        self._loop = asyncio.get_running_loop()
        self._heard: asyncio.Queue[AnyMessage | Event | Report | Stop] = asyncio.Queue()
        self.outbox = Outbox(self.heard)
        self._loop.add_signal_handler(signal.SIGTERM, self._heard.put_nowait, Stop())
        self._loop.add_signal_handler(signal.SIGINT, self._heard.put_nowait, Stop())

    def heard(self, what: AnyMessage | Event | Report) -> None:
        """Something to be handled; may be called from any thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody listens any more
            self._loop.call_soon_threadsafe(self._heard.put_nowait, what)

    def decide(self, event: AnyMessage | Event) -> list[Action]:
        raise NotImplementedError

    def perform(self, action: Action) -> None:
        raise NotImplementedError

    async def run(self, first: list[Action]) -> None:
        """Return at the end."""
        stop = self._perform_all(first)
        while stop is None:
            stop = self._handle(await self._next())
        if stop.flush_s:
            await self.outbox.flush(stop.flush_s)
        self.outbox.close()

    async def _next(self) -> AnyMessage | Event | Report | Stop:
        timeout_s = None if self._tick_s == float("inf") else self._tick_s
        try:
            return await asyncio.wait_for(self._heard.get(), timeout_s)
        except TimeoutError:
            return Tick()

    def _handle(self, what: AnyMessage | Event | Report | Stop) -> Stop | None:
        if isinstance(what, Report | Stop):
            return self._perform_all([what])
        return self._perform_all(self.decide(what))

    def _perform_all(self, actions: list[Action]) -> Stop | None:
        """Carry them out; `Stop` if that is the end."""
        for action in actions:
            if isinstance(action, Report):
                self._say(action.text)
            elif isinstance(action, Stop):
                return action
            else:
                self.perform(action)
        return None


class Clock:
    """Seconds that this process has been running: they stand still while it is stopped or its
    machine sleeps, so that nobody is taken for dead whom it could not hear.

    >>> clock = Clock(longest_s=1.0, monotonic=iter([0.0, 0.5, 100.0]).__next__)
    >>> clock.now(), clock.now()
    (0.5, 1.5)
    """

    def __init__(self, longest_s: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`longest_s`: no more than this passes between two looks at it."""
        self._longest_s = longest_s
        self._monotonic = monotonic
        self._seen = monotonic()
        self._now = 0.0

    def now(self) -> float:
        seen = self._monotonic()
        self._now += min(seen - self._seen, self._longest_s)
        self._seen = seen
        return self._now
