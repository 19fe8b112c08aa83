"""What is read: the inputs of a job, and the slices of files that its map tasks are given.

Plain data that crosses processes. Below formats and sources, because both speak of slices.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, Protocol

import msgspec

Source = Literal["store", "local", "url", "key", "range"]
"""Where a slice is: a file in the store, a local file, an fsspec URL, a plain key of the store; or
nowhere, as it is a range of numbers."""


class InputSpec(msgspec.Struct, frozen=True):
    """One input of a job, as its user gave it.

    `path` names a file, a folder or a glob; `keys:PREFIX` names plain keys of the store,
    `range:COUNT` numbers, and `scheme://...` is an fsspec URL. `mapper` is an index into the
    mappers of the job.
    """

    path: str
    format: str = "text"
    mapper: int = 0


class Slice(msgspec.Struct, frozen=True, array_like=True):
    """The bytes from `start` up to `stop` of one input file, on the store nodes in `nodes`.

    A record belongs to the slice in which it begins. `starts_record` is False where the slice may
    begin inside a line, which then belongs to the slice before; of records that are no lines it
    says nothing. `version` tells the file that
    was planned from one that has taken its place since.

    Of a range of numbers it is those from `start` up to `stop`.

    A compressed file is one slice; `stop` is its compressed size. A `Reader` gives what is in it.
    """

    path: str
    start: int
    stop: int
    starts_record: bool = True
    nodes: tuple[str, ...] = ()
    version: str = ""
    source: Source = "store"
    input: int = 0
    """An index into the job's inputs: it tells the format and the mapper."""
    splittable: bool = True
    """False for what has to be read from the file's beginning to its end."""

    @property
    def size_bytes(self) -> int:
        return 0 if self.source == "range" else self.stop - self.start


class Split(msgspec.Struct, frozen=True, array_like=True):
    """What one map task reads: a part of one large file, or several small files of one input."""

    slices: tuple[Slice, ...]

    @property
    def size_bytes(self) -> int:
        return sum(part.size_bytes for part in self.slices)

    @property
    def nodes(self) -> tuple[str, ...]:
        """The store nodes that hold all of the split, in the order of its first slice."""
        if not self.slices:
            return ()
        common = set(self.slices[0].nodes).intersection(*(part.nodes for part in self.slices[1:]))
        return tuple(node for node in self.slices[0].nodes if node in common)


class Reader(Protocol):
    """Reads ranges of input files."""

    def prepare(self, slices: Sequence[Slice]) -> None:
        """Look all the files up that are about to be read, at once."""

    def read(self, part: Slice, start: int, stop: int) -> Iterator[bytes]:
        """The bytes from `start` up to `stop`, or up to the file's end, in blocks of about 1 MiB.
        The range may begin before the slice and end behind it.

        What can only be read from its beginning, such as a compressed file, is given whole for
        `start` 0, whatever `stop` is, and has nothing elsewhere.
        """
