"""What the sources of input have in common: how they tell what an input names, and how it lies."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from mapreduce.data.slices import Slice
from mapreduce.errors import JobError

BLOCK_BYTES = 1 << 20


class Extent(NamedTuple):
    """A run of a file's bytes that lies in one place; `starts_record` as in `Slice`."""

    start: int
    stop: int
    starts_record: bool = True
    nodes: tuple[str, ...] = ()


class Found(NamedTuple):
    """A file that an input names. Without extents it is empty.

    `in_ranges` is False for one that may be readable from its beginning only.
    """

    path: str
    version: str
    extents: tuple[Extent, ...]
    in_ranges: bool = True

    @property
    def size_bytes(self) -> int:
        return self.extents[-1].stop if self.extents else 0


class InputSource(Protocol):
    """Finds and reads the files of one kind of place."""

    def find(self, path: str, split_bytes: int) -> Iterable[Found]:
        """The files that an input names, in order; raises `InputMissing` if there are none.

        Only of those larger than `split_bytes` it matters whether they can be read in ranges.
        """

    def prepare(self, slices: Sequence[Slice]) -> None:
        """As in `Reader`."""

    def read(self, part: Slice, start: int, stop: int) -> Iterator[bytes]:
        """As in `Reader`, but compressed files as they are."""


def check_version(part: Slice, version: str) -> None:
    """Raise if a file is not the one that was planned."""
    if part.version and part.version != version:
        raise changed(part)


def changed(part: Slice) -> JobError:
    return JobError(
        f"the input {part.path!r} was changed or removed while the job ran; run it again"
    )
