"""How far a running attempt is: at which record, and what its user code says of itself.

A thread of the task's process looks twice a second and tells what has changed; nothing is asked of
the task, which may be in the middle of anything.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated

import msgspec

from mapreduce.api import Context
from mapreduce.data import codecs
from mapreduce.data.formats import Batch
from mapreduce.data.inputs import Reader, Slice
from mapreduce.engine.events import AttemptId

LOOK_S = 0.5
STATUS_CHARACTERS = 200
"""No more than so much of a status is told."""


class Note(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What is known of a running attempt. `progress` is a part of 1, or None."""

    attempt: AttemptId
    status: Annotated[str, msgspec.Meta(max_length=STATUS_CHARACTERS)] = ""
    progress: float | None = None


class Watch:
    """Tells of the attempt at hand, if it goes on for a while."""

    def __init__(self, tell: Callable[[Note], None]) -> None:
        self._tell = tell
        self._lock = threading.Lock()
        self._at_hand: tuple[AttemptId, Context] | None = None
        self._told: Note | None = None
        threading.Thread(target=self._look, daemon=True).start()

    @contextlib.contextmanager
    def over(self, attempt: AttemptId, context: Context) -> Iterator[None]:
        """Watch one attempt; nothing is told of it afterwards."""
        self._at_hand = attempt, context
        try:
            yield
        finally:
            with self._lock:
                self._at_hand = None

    def _look(self) -> None:
        pause = threading.Event()
        while not pause.wait(LOOK_S):
            with self._lock:
                if self._at_hand is not None:
                    self._tell_changes(*self._at_hand)

    def _tell_changes(self, attempt: AttemptId, context: Context) -> None:
        status = str(context.status)[:STATUS_CHARACTERS]
        progress = context.progress
        if progress is None and context.measured:
            progress = context.measured()
        note = Note(attempt=attempt, status=status, progress=progress)
        if note != self._told:
            self._told = note
            self._tell(note)


class Watched:
    """A reader that knows how much of what it has read has been dealt with."""

    def __init__(self, reader: Reader, total_bytes: int) -> None:
        self._reader = reader
        self._total_bytes = max(total_bytes, 1)
        self._read_bytes = 0
        self._at: tuple[int, int, Batch | None] = 0, 0, None
        """What had been read before the batch at hand, with it, and that batch: one value, as
        another thread asks."""

    def progress(self) -> float:
        """The part of the bytes whose records lie before the current one."""
        before, up_to, batch = self._at
        part = batch.done / max(1, batch.size) if batch else 0.0
        return min(1.0, (before + part * (up_to - before)) / self._total_bytes)

    def begin(self, batch: Batch) -> None:
        """These records come next; all before them have been dealt with."""
        self._at = self._at[1], self._read_bytes, batch

    def prepare(self, slices: Sequence[Slice]) -> None:
        self._reader.prepare(slices)

    def read(self, part: Slice, start: int, stop: int) -> Iterator[bytes]:
        self._at = self._read_bytes, self._read_bytes, None
        counts = codecs.codec_of(part.path) is None  # else it is more than what is read
        for block in self._reader.read(part, start, stop):
            if counts:
                self._read_bytes += len(block)
            yield block
        if not counts:
            self._read_bytes += part.size_bytes
