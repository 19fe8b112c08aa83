"""What reduce attempts have been told that began before all maps were done: how much of the list of
finished maps each of them knows."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from mapreduce.data.pieces import Piece
from mapreduce.engine.events import AttemptId
from mapreduce.engine.orders import MorePieces, TaskResult


class _Early(NamedTuple):
    worker: str
    told: int | None
    """So many finished maps it knows of; None: it is not known what it knows."""


class EarlyReduces:
    """Those of one phase."""

    def __init__(self) -> None:
        self._won: list[TaskResult] = []
        """Maps in the order in which they have finished; one that had to run again twice."""
        self._attempts: dict[AttemptId, _Early] = {}

    def __bool__(self) -> bool:
        return bool(self._attempts)

    @property
    def won(self) -> int:
        """How many times a map has finished."""
        return len(self._won)

    def map_won(self, result: TaskResult) -> None:
        self._won.append(result)

    def started(self, attempt: AttemptId, worker: str, told: int | None) -> None:
        """From now on the attempt is told of what it does not know."""
        self._attempts[attempt] = _Early(worker, told)

    def news(self, results: Sequence[TaskResult], maps_left: int) -> list[tuple[str, MorePieces]]:
        """What each attempt has to be told, and its worker. `results` are those of all maps that
        are done, `maps_left` is how many are not."""
        found = []
        for attempt, (worker, told) in list(self._attempts.items()):
            if told is None or told < self.won or not maps_left:
                since = told or 0
                new = results if told is None else self._won[since:]
                pieces = _of_partition(new, attempt.task.index)
                more = MorePieces(
                    attempt=attempt,
                    pieces=pieces,
                    maps_left=maps_left,
                    since=since,
                    told=self.won,
                )
                found.append((worker, more))
                self._attempts[attempt] = _Early(worker, self.won)
            if not maps_left:
                del self._attempts[attempt]
        return found


def _of_partition(results: Iterable[TaskResult], partition: int) -> tuple[Piece, ...]:
    return tuple(p for result in results for p in result.pieces if p.partition == partition)
