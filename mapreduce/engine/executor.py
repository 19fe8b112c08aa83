"""Child processes that run tasks: warm, and able to be killed.

Each slot is a thread here and a process of its own session there. Threads, not gevent: an
`Executor` can live beside a gevent hub, which its callbacks must enter as from any other thread.
"""

import contextlib
import functools
import os
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from threading import Condition, Thread
from types import TracebackType
from typing import NamedTuple

from dynamo.store import Store
from mapreduce.data.inputs import Files
from mapreduce.engine import limits, skipping
from mapreduce.engine.ahead import STUCK_S, Pace
from mapreduce.engine.allowance import UNLIMITED, Allowance
from mapreduce.engine.events import AttemptId
from mapreduce.engine.orders import Boot, MorePieces, Outcome, PhaseOrder, TaskOrder
from mapreduce.engine.process import OpenGate, TaskProcess
from mapreduce.engine.warden import Warden
from mapreduce.engine.watching import Note

__all__ = ["Executor", "Outcome"]


class _Slot:
    """The process that a slot has at the moment."""

    def __init__(self, boot: Boot, warden: Warden | None, open_gate: OpenGate | None) -> None:
        self._boot = boot
        self._warden = warden
        self._open_gate = open_gate
        self.process: TaskProcess | None = None

    def revive(self, run: str = "") -> TaskProcess:
        """A process that lives, and may hold the code of `run`. Raises OSError if none can be
        started."""
        process = self.process
        if process is not None and not (process.alive and (not run or process.may_run(run))):
            self.end()
        if self.process is None:
            self.process = TaskProcess(self._boot, self._open_gate)
            if self._warden is not None:
                self._warden.add(self.process)
        return self.process

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()

    def end(self) -> None:
        if self.process is not None:
            if self._warden is not None:
                self._warden.remove(self.process)
            self.process.end()
            self.process = None


class _Running(NamedTuple):
    """An attempt that a slot works on."""

    slot: _Slot
    began: float
    phase: PhaseOrder
    order: TaskOrder
    """With all that it was told besides."""


class _Killed(Exception):
    """The attempt was killed between two things that it had to do."""


class Executor:
    """Runs attempts in `slots` warm child processes, each in a session of its own.

    `open_store` is pickled and called once in each child: it gives the store that holds the job's
    code (`paths.code(run)`), the pieces and, with `files="store"`, the inputs and outputs.
    `on_done` is called from a thread of the executor, once for each attempt that was started,
    except for those that were killed or recalled. `place` is what errors call this machine;
    `allowance` what its owner lets tasks take of it. `open_gate` gives each process in a sandbox
    its own way to the store.
    """

    def __init__(
        self,
        slots: int,
        open_store: Callable[[], Store],
        on_done: Callable[[Outcome], None],
        *,
        files: Files = "store",
        place: str = "this machine",
        allowance: Allowance = UNLIMITED,
        open_gate: OpenGate | None = None,
    ) -> None:
        self._open_gate = open_gate
        self._boot = Boot(pickle.dumps(open_store), files, place, allowance=allowance)
        self._warden = Warden(allowance) if allowance.limited else None
        self._on_done = on_done
        self._changed = Condition()
        """Held wherever the tables below are touched."""
        self._waiting: dict[AttemptId, tuple[PhaseOrder, TaskOrder]] = {}
        self._running: dict[AttemptId, _Running] = {}
        self._notes: dict[AttemptId, Note] = {}
        self._pace = Pace()
        self._closed = False
        self._threads = [
            Thread(target=self._serve, name=f"slot-{number}", daemon=True)
            for number in range(slots)
        ]
        for thread in self._threads:
            thread.start()

    # What runs -----------------------------------------------------------------------------------

    @property
    def running(self) -> tuple[AttemptId, ...]:
        """The attempts that have been started and have neither ended nor been killed."""
        with self._changed:
            return (*self._running, *self._waiting)

    @property
    def notes(self) -> tuple[Note, ...]:
        """How far the running attempts are, as far as they have told."""
        with self._changed:
            return tuple(self._notes.values())

    def printed(self) -> dict[AttemptId, str]:
        """The end of what each running attempt has printed so far."""
        with self._changed:
            processes = {a: running.slot.process for a, running in self._running.items()}
            return {a: process.printed for a, process in processes.items() if process}

    @property
    def ahead(self) -> int:
        """How many attempts may well be started that then have to wait for a slot."""
        with self._changed:
            return self._pace.ahead(len(self._threads) - self._stuck())

    def _stuck(self) -> int:
        """How many slots work on something that is no short task."""
        now = time.monotonic()
        return sum(now - running.began > STUCK_S for running in self._running.values())

    # Starting and ending -------------------------------------------------------------------------

    def start(self, phase: PhaseOrder, order: TaskOrder) -> None:
        """Run an attempt in the next free slot. Returns at once."""
        with self._changed:
            if not self._closed:
                self._waiting[order.attempt] = phase, order
                self._changed.notify()

    @property
    def early(self) -> tuple[AttemptId, ...]:
        """The reduce attempts that have yet to be told of pieces."""
        with self._changed:
            known = (running.order for running in self._running.values())
            waiting = (order for _, order in self._waiting.values())
            return tuple(o.attempt for o in (*known, *waiting) if o.maps_left)

    def more(self, pieces: MorePieces) -> bool:
        """Tell a reduce attempt that was started early of further pieces. False if something before
        these was lost on the way here: then it has to be told everything again."""
        attempt = pieces.attempt
        with self._changed:
            if waiting := self._waiting.get(attempt):
                phase, order = waiting
                if is_next := pieces.since in (0, order.told):
                    self._waiting[attempt] = phase, order.with_more(pieces)
                return is_next
            running = self._running.get(attempt)
            if running is None or not running.order.maps_left:
                return True
            if pieces.since not in (0, running.order.told):
                return False
            self._running[attempt] = running._replace(order=running.order.with_more(pieces))
            process = running.slot.process
        if process is not None:
            process.more(running.phase, pieces)
        return True

    def recall(self) -> tuple[AttemptId, ...]:
        """Take back what waits behind attempts that take long; nothing more is heard of it."""
        with self._changed:
            if self._stuck() < len(self._threads):
                return ()
            recalled = tuple(self._waiting)
            self._waiting.clear()
            return recalled

    def kill(self, attempt: AttemptId) -> None:
        """End an attempt and every process it has started; nothing more is heard of it.

        Returns at once; killing what is not running is no error."""
        with self._changed:
            self._waiting.pop(attempt, None)
            running = self._running.pop(attempt, None)
            self._notes.pop(attempt, None)
            if running is not None:
                running.slot.kill()

    def close(self) -> None:
        """End all children. Blocks until they are gone."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            running = list(self._running.values())
            self._running.clear()
            for attempt in running:
                attempt.slot.kill()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        if self._warden is not None:
            self._warden.close()

    def __enter__(self) -> "Executor":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # A slot --------------------------------------------------------------------------------------

    def _serve(self) -> None:
        """One slot: give its process one order after the other."""
        slot = _Slot(self._boot, self._warden, self._open_gate)
        try:
            while True:
                with contextlib.suppress(OSError):  # then the next order will say so
                    slot.revive()
                if (given := self._next(slot)) is None:
                    return
                self._report(self._outcome(slot, *given))
        finally:
            slot.end()

    def _next(self, slot: "_Slot") -> tuple[PhaseOrder, TaskOrder] | None:
        """The order that has waited longest; None when the executor is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if self._closed:
                return None
            attempt = next(iter(self._waiting))
            phase, order = self._waiting.pop(attempt)
            self._running[attempt] = _Running(slot, time.monotonic(), phase, order)
            return phase, order

    def _outcome(self, slot: "_Slot", phase: PhaseOrder, order: TaskOrder) -> Outcome:
        attempt = functools.partial(self._attempt, slot, phase)
        try:
            if order.skipping:
                return skipping.run(order, phase.spec.skip_bad_records, attempt)
            return attempt(order)
        except _Killed:
            return Outcome(attempt=order.attempt)
        except OSError as error:
            room = limits.room(self._boot.place, Path(os.environ.get("TMPDIR") or "/tmp"))
            told = f"no process could be started for it: {error}\n{room}"
            return Outcome(attempt=order.attempt, error=told)

    def _attempt(self, slot: "_Slot", phase: PhaseOrder, order: TaskOrder) -> Outcome:
        """What the slot's process makes of an order, or another one if that has died."""
        with self._changed:
            running = self._running.get(order.attempt)
            if running is None:
                raise _Killed
            process = slot.revive(phase.run)
            if order.maps_left:
                order = running.order
        return process.run(phase, order, self._note)

    def _note(self, note: Note) -> None:
        with self._changed:
            if note.attempt in self._running:
                self._notes[note.attempt] = note

    def _report(self, outcome: Outcome) -> None:
        with self._changed:
            running = self._running.pop(outcome.attempt, None)
            self._notes.pop(outcome.attempt, None)
            if running is not None:
                self._pace.took(time.monotonic() - running.began)
        if running is not None:
            self._on_done(outcome)
