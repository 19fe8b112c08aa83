"""What goes from map tasks to reduce tasks, and how it is stored and fetched."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

MEMORY_BYTES = 256 << 20
"""The memory for pairs that one task may hold, where a job does not say."""


class Piece(msgspec.Struct, frozen=True, array_like=True):
    """One sorted run that one map attempt made for one partition, stored as `blocks` keys.

    `records` counts values; `size_bytes` is the size before compression.
    """

    map_index: int
    attempt: int
    partition: int
    run: int
    blocks: int
    records: int
    size_bytes: int


Put = Callable[[int, int, int, bytes], None]
"""Stores one block: put(partition, run, block, data)."""
Fetch = Callable[[Sequence[tuple[Piece, int]]], Sequence[bytes | None]]
"""Reads blocks, each given by its piece and number; None for one that is missing."""
Group = tuple[Any, Iterator[Any]]
"""A key, and its values."""
