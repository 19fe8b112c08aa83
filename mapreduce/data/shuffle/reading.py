"""The blocks of pieces as a reduce task reads them: in order, many small ones in one round trip."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from mapreduce.data.pieces import Fetch, Piece
from mapreduce.data.shuffle.blocks import Damaged
from mapreduce.errors import PieceLost

WINDOW_BLOCKS = 256
WINDOW_BYTES = 8 << 20
"""So much is fetched at once; sizes are those before compression."""

Fetched = tuple[Piece, bytes | None]
"""A piece, and one of its blocks as it was fetched."""
Held = TypeVar("Held")


def read_ahead(pieces: Iterable[Piece], fetch: Fetch) -> Iterator[Fetched]:
    """All blocks, in order of map task and run."""
    ordered = sorted(pieces, key=lambda piece: (piece.map_index, piece.run))
    wanted = ((piece, index) for piece in ordered for index in range(piece.blocks))
    window: list[tuple[Piece, int]] = []
    held_bytes = 0
    for piece, index in wanted:
        block_bytes = piece.size_bytes // piece.blocks
        if window and (held_bytes + block_bytes > WINDOW_BYTES or len(window) == WINDOW_BLOCKS):
            yield from _fetched(window, fetch)
            window, held_bytes = [], 0
        window.append((piece, index))
        held_bytes += block_bytes
    if window:
        yield from _fetched(window, fetch)


def _fetched(window: Sequence[tuple[Piece, int]], fetch: Fetch) -> Iterator[Fetched]:
    return zip((piece for piece, _ in window), fetch(window))


def opened(fetched: Fetched, decode: Callable[[bytes], Held]) -> Held:
    """What `decode` finds in a block; `PieceLost` if that is missing or damaged."""
    piece, data = fetched
    if data is None:
        raise PieceLost(piece.map_index, f"a block for partition {piece.partition} is missing")
    try:
        return decode(data)
    except Damaged:
        raise PieceLost(
            piece.map_index, f"a block for partition {piece.partition} fails its checksum"
        ) from None
