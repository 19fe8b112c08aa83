"""Keeps what the kernel does not keep for a whole family of processes: a thread of the worker that
measures what its tasks take, stops and continues them, and ends those that took too much.

Processor time is shared by all tasks of the worker; memory, disk and processes are each task's.
"""

import os
import signal
import time
from threading import Event, Lock, Thread
from typing import Protocol

from mapreduce.engine import families, sandbox
from mapreduce.engine.allowance import Allowance
from mapreduce.engine.throttle import LOOK_S, Throttle

DISK_LOOK_S = 0.5
"""To measure the disk a folder has to be walked."""
_DISK_PART = 20
"""At most one part in so many of the time goes into that."""


class Watched(Protocol):
    """What the warden has to know of a task's process."""

    scratch: str

    @property
    def pid(self) -> int: ...
    @property
    def alive(self) -> bool: ...
    def fail(self, reason: str) -> None:
        """End the process, and the attempt with this error."""


class Warden:
    """Watches the processes that were added, until they are removed."""

    def __init__(self, allowance: Allowance) -> None:
        self._allowance = allowance
        self._lock = Lock()
        """Held while processes are signalled: who was removed no longer is."""
        self._spent_s: dict[Watched, float] = {}
        """The processor time of each, when it was last looked at."""
        self._throttle = self._new_throttle()
        self._looked = time.monotonic()
        self._next_sizes = self._next_disk = self._looked
        self._closing = Event()
        self._thread = Thread(target=self._run, name="warden", daemon=True)
        self._thread.start()

    def add(self, process: Watched) -> None:
        with self._lock:
            self._spent_s[process] = 0.0

    def remove(self, process: Watched) -> None:
        with self._lock:
            self._spent_s.pop(process, None)

    def close(self) -> None:
        self._closing.set()
        self._thread.join()

    def _new_throttle(self) -> Throttle:
        return Throttle(self._allowance.cpu_share or 1.0, os.cpu_count() or 1)

    def _run(self) -> None:
        pause_s = 0.0
        try:
            while not self._closing.wait(pause_s):
                with self._lock:
                    pause_s = self._look(time.monotonic())
        except BaseException:
            os.kill(os.getpid(), signal.SIGTERM)  # no worker goes on whose limits nobody keeps
            raise

    def _look(self, now: float) -> float:
        """Measure and act; gives the time until the next look."""
        found = {p: families.members(p.pid) for p in self._spent_s if p.alive}
        if self._allowance.cpu_share:
            self._pace(found, now)
        if now >= self._next_sizes:
            self._next_sizes = now + LOOK_S
            self._check_sizes(found)
        if self._allowance.disk_mb and now >= self._next_disk:
            self._check_disk(found)
            took_s = time.monotonic() - now
            self._next_disk = now + max(DISK_LOOK_S, took_s * _DISK_PART)
        return min(LOOK_S, self._throttle.pause_s) if self._allowance.cpu_share else LOOK_S

    # Processor time ------------------------------------------------------------------------------

    def _pace(self, found: dict[Watched, list[int]], now: float) -> None:
        used = {process: self._used_s(process, found[process]) for process in found}
        throttle, was_stopped = self._throttle, self._throttle.stopped
        throttle.spend(sum(used.values()), now - self._looked)
        self._looked = now
        if throttle.stopped:
            for process in found:
                families.stop(process.pid)
        elif was_stopped:
            for process in found:
                families.go_on(process.pid)
        if throttle.evaded and used:
            worst = max(used, key=used.__getitem__)
            worst.fail(self._allowance.exceeded("cpu_share", throttle.owed_s))
            self._throttle = self._new_throttle()  # others need not pay its debt

    def _used_s(self, process: Watched, family: list[int]) -> float:
        """What a family has used since the last look. What nobody waits for is lost at its end, so
        the sum may become less."""
        spent_s, before_s = families.cpu_s(family), self._spent_s[process]
        self._spent_s[process] = spent_s
        return max(0.0, spent_s - before_s)

    # Sizes ---------------------------------------------------------------------------------------

    def _check_sizes(self, found: dict[Watched, list[int]]) -> None:
        allowance = self._allowance
        own = sandbox.OWN_PROCESSES if allowance.boxed else 0
        for process, family in found.items():
            if allowance.processes and len(family) - own > allowance.processes:
                process.fail(allowance.exceeded("processes", len(family) - own))
            elif most := allowance.task_memory_bytes:
                taken = families.memory_bytes(family, enough=most)
                if taken > most:
                    process.fail(allowance.exceeded("memory_mb", taken))

    def _check_disk(self, found: dict[Watched, list[int]]) -> None:
        for process, family in found.items():
            taken = families.disk_bytes(process.scratch, family)
            if taken > self._allowance.task_disk_bytes:
                process.fail(self._allowance.exceeded("disk_mb", taken))
