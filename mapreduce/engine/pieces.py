"""Pieces in the store: many blocks in one round trip, on the way there and back.

A map task stores what it has for all reducers in one call for each 4 MiB, a reduce task reads up to
256 blocks in one: 1,000 map tasks with small pieces for 100 reducers take about 1,400 calls.
"""

import contextlib
from collections.abc import Sequence

from dynamo.errors import DynamoError
from dynamo.store import Store
from mapreduce.data import shuffle
from mapreduce.data.pieces import Piece
from mapreduce.data.shuffle.blocks import is_whole
from mapreduce.engine import paths
from mapreduce.engine.events import AttemptId

PIECE_TTL_S = 7 * 24 * 3600.0
"""How long pieces live whose job nobody has cleaned up. In a job that takes longer they are lost
like any others: their maps run again."""
_SINK_BYTES = 4 << 20


class PieceSink:
    """Stores blocks of the pieces of one map attempt; drops them if there is no store."""

    def __init__(self, store: Store | None, attempt: AttemptId) -> None:
        self.stored_bytes = 0
        self._store = store
        self._attempt = attempt
        self._waiting: dict[str, bytes] = {}
        self._waiting_bytes = 0

    def put(self, partition: int, run: int, block: int, data: bytes) -> None:
        task = self._attempt.task
        key = paths.block(task.job, partition, task.index, self._attempt.number, run, block)
        self._waiting[key] = data
        self._waiting_bytes += len(data)
        if self._waiting_bytes >= _SINK_BYTES:
            self.flush()

    def flush(self) -> None:
        """Store what waits. Pieces can be made again, so nobody waits for their fsync."""
        if self._waiting and self._store is not None:
            self._store.multi_put(self._waiting, ttl_s=PIECE_TTL_S, ephemeral=True)
        self.stored_bytes += self._waiting_bytes
        self._waiting, self._waiting_bytes = {}, 0


def piece_fetch(store: Store, job: str) -> shuffle.Fetch:
    """Reads blocks of pieces: from one replica, and those that it lacks or has damaged from a
    quorum, and then from all replicas. What stays damaged is given as it is."""

    def fetch(wanted: Sequence[tuple[Piece, int]]) -> list[bytes | None]:
        keys = [paths.piece_key(job, piece, index) for piece, index in wanted]
        found = _values(store, keys, 1)
        for read in (_values, _values_of_all):
            if bad := [key for key, data in found.items() if data is None or not is_whole(data)]:
                found.update(read(store, bad))
        return [found[key] for key in keys]

    return fetch


def _values(store: Store, keys: Sequence[str], r: int | None = None) -> dict[str, bytes | None]:
    return {key: reading.value for key, reading in store.multi_get(keys, r=r).items()}


def _values_of_all(store: Store, keys: Sequence[str]) -> dict[str, bytes | None]:
    """The first whole value that any replica has. Where one does not answer, what the others have
    stays unknown: the map task can run again."""
    found: dict[str, bytes | None] = {}
    for key in keys:
        replicas = len(store.locate(key)) or 1
        with contextlib.suppress(DynamoError):
            if whole := [data for data in store.get(key, r=replicas).values if is_whole(data)]:
                found[key] = whole[0]
    return found
