"""What the jobs of the virtual world do: they count words, in earnest but little.

The words of a job are small numbers that follow from its salt. Map tasks sort their words by
reducer, reduce tasks count them; a job without reducers gives its words back. `evaluate` does the
same in one go, without tasks: what a job gives must equal that.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from mapreduce.engine.events import AttemptId, TaskId
from tests.simulation.jobs.plan import JobPlan

BAD = -1
"""The record that makes the mapper raise."""

Piece = list[int]
"""The words of one map task for one reducer."""
Part = tuple[tuple[int, int], ...]
"""What one task gives to the job's output: words and how often they came."""


class Result(NamedTuple):
    """What a successful attempt tells of itself; what it has made is in the store."""

    attempt: AttemptId
    counters: dict[str, int]


class BadRecord(Exception):
    """The mapper raises."""


class PiecesMissing(Exception):
    """A reduce task can't read what these map tasks have made."""

    def __init__(self, maps: tuple[TaskId, ...]) -> None:
        super().__init__(f"no pieces of {', '.join(map(str, maps))}")
        self.maps = maps


@dataclass
class Store:
    """What attempts have made. Faults take pieces away."""

    pieces: dict[AttemptId, list[Piece]] = field(default_factory=dict)
    parts: dict[AttemptId, Part] = field(default_factory=dict)
    makers: dict[AttemptId, str] = field(default_factory=dict)
    """The workers that have made the pieces."""
    walls: frozenset[frozenset[str]] = frozenset()
    """Pairs of workers of which neither can read what the other has made."""

    def read(self, attempt: AttemptId, reader: str) -> list[Piece] | None:
        """The pieces that an attempt has made, as the worker `reader` finds them."""
        parted = frozenset((reader, self.makers.get(attempt, reader))) in self.walls
        return None if parted else self.pieces.get(attempt)

    def discard(self, attempt: AttemptId) -> None:
        self.pieces.pop(attempt, None)
        self.parts.pop(attempt, None)

    def sweep(self, job: str) -> None:
        """The job is over: its intermediate data goes."""
        for attempt in [a for a in self.pieces if a.task.job == job]:
            del self.pieces[attempt]


def records(job: JobPlan, index: int) -> list[int]:
    """The input of a map task."""
    count = 1 + (job.salt + index) % 4
    words = [(job.salt + 7 * index + 13 * k) % 31 for k in range(count)]
    return [*words, BAD] if index in job.bad_maps else words


def run_map(job: JobPlan, attempt: AttemptId, skipping: bool, store: Store, maker: str) -> Result:
    """Raises `BadRecord` unless bad records are skipped."""
    given = records(job, attempt.task.index)
    words = [word for word in given if word != BAD]
    if len(words) < len(given) and not skipping:
        raise BadRecord(f"record {len(words)} of {attempt.task} is bad")
    if job.reduces:
        pieces: list[list[int]] = [[] for _ in range(job.reduces)]
        for word in words:
            pieces[word % len(pieces)].append(word)
        store.pieces[attempt], store.makers[attempt] = pieces, maker
    else:
        store.parts[attempt] = _counted(words)
    skipped = len(given) - len(words)
    return Result(attempt, {"maps": 1, "words": len(words), "skipped": skipped})


class Gathering:
    """What a reduce attempt has read: the pieces of one attempt of each map, as it is told."""

    def __init__(self, job: JobPlan, attempt: AttemptId, reader: str) -> None:
        self._job = job
        self._reader = reader
        self._attempt = attempt
        self._pieces: dict[int, Piece] = {}

    @property
    def complete(self) -> bool:
        return len(self._pieces) == self._job.maps

    def read(self, told: Iterable[AttemptId], store: Store) -> None:
        """Raises `PiecesMissing`."""
        partition, missing = self._attempt.task.index, []
        for attempt in told:
            if attempt.task.index not in self._pieces:
                if made := store.read(attempt, self._reader):
                    self._pieces[attempt.task.index] = made[partition]
                else:
                    missing.append(attempt.task)
        if missing:
            raise PiecesMissing(tuple(missing))

    def reduce(self, store: Store) -> Result:
        words = [word for piece in self._pieces.values() for word in piece]
        store.parts[self._attempt] = _counted(words)
        groups = len(store.parts[self._attempt])
        return Result(self._attempt, {"reduces": 1, "groups": groups})


def evaluate(job: JobPlan) -> tuple[list[Part], Counter[str]]:
    """The output and the counters of a job, by a sequential run."""
    counters: Counter[str] = Counter()
    parts: list[list[int]] = [[] for _ in range(job.reduces or job.maps)]
    for index in range(job.maps):
        given = records(job, index)
        words = [word for word in given if word != BAD]
        counters.update(maps=1, words=len(words), skipped=len(given) - len(words))
        for word in words:
            parts[word % job.reduces if job.reduces else index].append(word)
    output = [_counted(words) for words in parts]
    if job.reduces:
        counters.update(reduces=job.reduces, groups=sum(map(len, output)))
    return output, counters


def _counted(words: list[int]) -> Part:
    return tuple(sorted(Counter(words).items()))
