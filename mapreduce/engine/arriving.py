"""The pieces of a reduce task that began before all maps were done: fetched as they become known.

What has been fetched is kept on the local disk as it is, and read from there when all is known:
values come in the order of map tasks, so nothing can be merged before. A map that runs again tells
of its pieces again, and those told last count. What can't be kept is fetched once more in the end.
"""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from mapreduce.data.pieces import Fetch, Piece
from mapreduce.data.shuffle.blocks import is_whole
from mapreduce.engine.orders import MorePieces, TaskOrder

FETCH_BLOCKS = 256
FETCH_BYTES = 8 << 20


class Arrived(NamedTuple):
    """All pieces of a partition, and how to read their blocks."""

    pieces: tuple[Piece, ...]
    fetch: Fetch


@contextlib.contextmanager
def all_pieces(
    order: TaskOrder, more: Callable[[], MorePieces], fetch: Fetch, scratch: Path
) -> Iterator[Arrived]:
    """Wait until all maps are done; `more` blocks until there is something new. What was fetched
    meanwhile goes at the end of the block."""
    if not order.maps_left:
        yield Arrived(order.pieces, fetch)
        return
    with tempfile.TemporaryFile(dir=scratch, prefix="arrived-") as file:
        kept = _Kept(file, fetch)
        pieces = merged((), order.pieces)
        kept.bring(order.pieces)
        left = order.maps_left
        while left:
            message = more()
            if message.attempt == order.attempt:
                pieces, left = merged(pieces, message.pieces), message.maps_left
                kept.bring(message.pieces)
        yield Arrived(pieces, kept.read)


def merged(known: Iterable[Piece], told: Iterable[Piece]) -> tuple[Piece, ...]:
    """What is known with what was told now: one attempt of each map counts, the one told last.

    >>> a, b, again = (Piece(map_index=m, attempt=n, partition=0, run=0, blocks=1, records=1,
    ...     size_bytes=1) for m, n in ((0, 1), (1, 1), (0, 2)))
    >>> merged([a], [b, again]) == (b, again)
    True
    """
    attempts = {piece.map_index: piece.attempt for piece in told}
    found = {
        (piece.map_index, piece.run): piece
        for piece in (*known, *told)
        if piece.attempt == attempts.get(piece.map_index, piece.attempt)
    }
    return tuple(found.values())


class _Kept:
    """Blocks in a local file."""

    def __init__(self, file: BinaryIO, fetch: Fetch) -> None:
        self._file = file
        self._fetch = fetch
        self._places: dict[tuple[int, int, int, int], tuple[int, int]] = {}
        """Where a block is: its offset and its length."""
        self._end = 0
        self._full = False

    def bring(self, pieces: Iterable[Piece]) -> None:
        """Fetch the blocks of some pieces, as far as there is room for them."""
        window: list[tuple[Piece, int]] = []
        size_bytes = 0
        for piece in pieces:
            for index in range(piece.blocks):
                window.append((piece, index))
                size_bytes += piece.size_bytes // piece.blocks
                if len(window) == FETCH_BLOCKS or size_bytes > FETCH_BYTES:
                    self._keep(window)
                    window, size_bytes = [], 0
        self._keep(window)

    def _keep(self, window: Sequence[tuple[Piece, int]]) -> None:
        new = [(piece, index) for piece, index in window if _name(piece, index) not in self._places]
        if not new or self._full:
            return
        for (piece, index), data in zip(new, self._fetch(new)):
            if data is not None and is_whole(data):
                self._full = not _written(self._file, data, self._end)
                if self._full:
                    return
                self._places[_name(piece, index)] = self._end, len(data)
                self._end += len(data)

    def read(self, wanted: Sequence[tuple[Piece, int]]) -> list[bytes | None]:
        """Blocks as `Fetch` gives them: those that are not kept are fetched."""
        found: dict[tuple[int, int, int, int], bytes | None] = {}
        for name in (_name(piece, index) for piece, index in wanted):
            if name in self._places:
                start, size = self._places[name]
                found[name] = os.pread(self._file.fileno(), size, start)
        missing = [(piece, index) for piece, index in wanted if _name(piece, index) not in found]
        fetched = self._fetch(missing) if missing else []
        found.update((_name(piece, index), data) for (piece, index), data in zip(missing, fetched))
        return [found[_name(piece, index)] for piece, index in wanted]


def _written(file: BinaryIO, data: bytes, start: int) -> bool:
    """False if the disk has no room for it."""
    try:
        return os.pwrite(file.fileno(), data, start) == len(data)
    except OSError:
        return False


def _name(piece: Piece, index: int) -> tuple[int, int, int, int]:
    return piece.map_index, piece.attempt, piece.run, index
