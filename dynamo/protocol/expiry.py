"""Dropping ephemeral copies whose time has come.

Each purely ephemeral copy (see `dynamo.values.versions`) is noted on disk under the time from which
on it may be dropped, in the commit that writes it. Notes are never corrected: a copy that has
changed since is noted again, and the sweep looks at the copy itself before it drops it. It works in
slices, so no step takes long, and sleeps while there is nothing to drop.
"""

import math
from collections.abc import Callable, Iterable, Iterator

from dynamo.disk import record
from dynamo.disk.contract import EXPIRIES, expiry_key, when_and_copy_of_expiry
from dynamo.disk.staging import Staging
from dynamo.errors import CorruptData
from dynamo.protocol.messages import Envelope
from dynamo.protocol.settings import Settings
from dynamo.values import versions

PAUSE_S = 0.05
"""How long the sweep lets others work between two slices."""


class Expiry:
    """The notes of one node, and the sweep over them; `wall` tells this machine's clock."""

    def __init__(self, staging: Staging, settings: Settings, wall: Callable[[], float]) -> None:
        self._staging = staging
        self._settings = settings
        self._wall = wall
        self.dropped = 0
        """How many ephemeral copies have been dropped."""
        self._first = next((when for when, _, _ in self._notes()), math.inf)
        """When the first copy may be dropped, as far as is known."""
        self._just_noted = math.inf
        """The same of those noted in this step, which no scan of the disk finds yet."""
        self._wake_at = self.idle_until = math.inf if self._first == math.inf else -math.inf

    def note(self, when: float, partition: int, key: str) -> None:
        """A copy that may be dropped at `when` has been staged."""
        self._staging.put(expiry_key(when, partition, key), b"", durable=False)
        self._just_noted = min(self._just_noted, when)
        self._first = min(self._first, when)
        self.idle_until = -math.inf  # this machine's clock may be set at any time

    def next_wake(self) -> float:
        return self._wake_at

    def tick(self, now: float) -> Iterable[Envelope]:
        """Drop what may be dropped, a slice at a time."""
        if self._wake_at <= now and self._wait_s <= 0:
            self._first = min(self._sweep(), self._just_noted)
        self._just_noted = math.inf
        self._wake_at = self._next_wake(now)
        if self._first == math.inf:
            self.idle_until = math.inf
        return ()

    def _next_wake(self, now: float) -> float:
        if self._first == math.inf:
            return math.inf
        # Not for longer than clocks may differ: this machine's may be set forward.
        planned = now + max(min(self._wait_s, self._settings.clock_slack_s), PAUSE_S)
        return min(planned, self._wake_at) if self._wake_at > now else planned

    @property
    def _wait_s(self) -> float:
        """Until the first copy may be dropped: when every machine's clock says it has expired."""
        return self._first + self._settings.clock_slack_s - self._wall()

    def _sweep(self) -> float:
        """Drop a slice; the time of the first note that is left, infinite where none is."""
        due_by = self._wall() - self._settings.clock_slack_s
        for number, (when, note, copy) in enumerate(self._notes()):
            if when > due_by or number == self._settings.sweep_batch:
                return when
            self._staging.delete(note)
            self._drop_if_due(copy, due_by)
        return math.inf

    def _notes(self) -> Iterator[tuple[float, bytes, bytes]]:
        """When a copy may be dropped, where that is noted, and where the copy is: the first one
        first. What can't be read of them stays until the disk is rebuilt."""
        try:
            for note, _ in self._staging.disk.scan(*EXPIRIES):
                when, copy = when_and_copy_of_expiry(note)
                yield when, note, copy
        except CorruptData:
            return

    def _drop_if_due(self, disk_key: bytes, due_by: float) -> None:
        try:
            stored = self._staging.get(disk_key)
            siblings = record.decode(stored).siblings if stored is not None else versions.EMPTY
        except CorruptData:
            return  # found by whoever reads it; it is fetched from the others then
        if versions.forget_at(siblings) <= due_by:
            self._staging.delete(disk_key)
            self.dropped += 1
