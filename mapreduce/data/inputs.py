"""Splits: which part of the input each map task reads."""

import msgspec


class Slice(msgspec.Struct, frozen=True, array_like=True):
    """The bytes from `start` up to `stop` of one input file, on the store nodes in `nodes`.

    A record belongs to the slice in which it begins. `starts_record` is False where the slice may
    begin inside a record, which then belongs to the slice before.
    """

    path: str
    start: int
    stop: int
    starts_record: bool = True
    nodes: tuple[str, ...] = ()


class Split(msgspec.Struct, frozen=True, array_like=True):
    """What one map task reads: a part of one large file, or several small files."""

    slices: tuple[Slice, ...]

    @property
    def size_bytes(self) -> int:
        return sum(part.stop - part.start for part in self.slices)
