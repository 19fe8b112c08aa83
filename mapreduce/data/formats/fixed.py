"""The format "fixed:size=N": binary records of N bytes, one behind the other, nothing between.

    read:     key: the position of the record in its file in bytes; value: its bytes.

A file whose size is no multiple of N is refused.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from mapreduce.data.formats.contract import Batch
from mapreduce.data.formats.lines import place
from mapreduce.data.formats.ranges import bytes_from, stop_of
from mapreduce.data.slices import Reader, Slice
from mapreduce.errors import BadRecord


@dataclass(frozen=True, kw_only=True)
class ReadFixed:
    """(position, bytes)."""

    size: int

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size is at least 1 byte, not {self.size}")

    splittable: ClassVar[bool] = True

    def read(self, part: Slice, reader: Reader) -> Iterator[Batch]:
        size = self.size
        # Positions tell where records begin; no mark in the data has to be looked for.
        position = -(-part.start // size) * size
        if position >= stop_of(part):
            return
        for data in _multiples(bytes_from(part, reader, position), size):
            fitting = min(len(data), max(0, stop_of(part) - position + size - 1) // size * size)
            if fitting % size:
                raise BadRecord(
                    f"{place(part, position + fitting // size * size)}: the file ends after "
                    f"{fitting % size} of the {size:,} bytes of a record; is that the size?"
                )
            records = [data[at : at + size] for at in range(0, fitting, size)]
            if records:
                yield Batch(records, range(position, position + fitting, size).__iter__)
            position += fitting
            if position >= stop_of(part):
                return


def _multiples(blocks: Iterator[bytes], size: int) -> Iterator[bytes]:
    """The same bytes in blocks that are multiples of `size`, but for the last."""
    waiting: list[bytes] = []
    waiting_bytes = 0
    for block in blocks:
        waiting.append(block)
        waiting_bytes += len(block)
        if waiting_bytes >= size:
            data = b"".join(waiting)
            cut = len(data) // size * size
            yield data[:cut]
            waiting, waiting_bytes = [data[cut:]], len(data) - cut
    if waiting_bytes:
        yield b"".join(waiting)
