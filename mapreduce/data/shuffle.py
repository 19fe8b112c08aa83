"""From map to reduce: partition, combine, sort, store as pieces, merge, group."""

import msgspec


class Piece(msgspec.Struct, frozen=True, array_like=True):
    """One sorted run that one map attempt made for one partition, stored as `blocks` keys."""

    map_index: int
    attempt: int
    partition: int
    run: int
    blocks: int
    records: int
    size_bytes: int
