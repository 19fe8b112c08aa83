"""A map attempt's runs, stored: the blocks of a run for one partition become a piece."""

from collections.abc import Iterable
from typing import NamedTuple

from mapreduce.data.pieces import LineForm, Piece, Put
from mapreduce.data.shuffle.blocks import Block


class Storing(NamedTuple):
    """Stores the blocks of one map attempt with `put`."""

    map_index: int
    attempt: int
    put: Put

    def piece(
        self, partition: int, run: int, blocks: Iterable[Block], lines: LineForm | None = None
    ) -> Piece:
        """Store the blocks of a piece, as they come; `lines` is the form of those that hold any."""
        count = records = size_bytes = 0
        for block in blocks:
            self.put(partition, run, count, block.data)
            count += 1
            records += block.records
            size_bytes += block.size_bytes
        return Piece(
            self.map_index, self.attempt, partition, run, count, records, size_bytes, lines
        )
