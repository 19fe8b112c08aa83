"""What goes from map tasks to reduce tasks, and how it is stored and fetched."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

MEMORY_BYTES = 256 << 20
"""The memory for pairs that one task may hold, where a job does not say."""


class LineForm(msgspec.Struct, frozen=True, array_like=True):
    """Where the key of a line ends: after so many fields, with the separator between them."""

    separator: bytes = b"\t"
    fields: int = 1


class Piece(msgspec.Struct, frozen=True, array_like=True):
    """One sorted run that one map attempt made for one partition, stored as `blocks` keys.

    `records` counts values; `size_bytes` is the size before compression. `lines` says that it is
    lines in order of their keys, byte by byte, and which form they have.
    """

    map_index: int
    attempt: int
    partition: int
    run: int
    blocks: int
    records: int
    size_bytes: int
    lines: LineForm | None = None


Put = Callable[[int, int, int, bytes], None]
"""Stores one block: put(partition, run, block, data)."""
Fetch = Callable[[Sequence[tuple[Piece, int]]], Sequence[bytes | None]]
"""Reads blocks, each given by its piece and number; None for one that is missing."""
Group = tuple[Any, Iterator[Any]]
"""A key, and its values."""
