"""Cutting a batch call into lots, and lots into rounds.

A lot is keys of one partition: the same nodes hold them, so one request carries them all (see
`dynamo.protocol.lots`). A round is what a batch call has on its way at a time, beside one more.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from dynamo.values.ring import Ring

LOT_KEYS = 500
LOT_BYTES = 1 << 20
"""A lot has at most so many keys and, of more than one key, bytes of values."""
FEW_KEYS = 8
"""Of a lot of so few keys each is read by a request of its own: what is read a few at a time may be
large, and the answer to one request has its limit."""
ROUND_KEYS = 5_000
ROUND_BYTES = 16 << 20
"""A round has at most so many keys and bytes of values, and one lot more."""

Lot = Sequence[str]
SizeBytes = Callable[[str], int]
"""Tells how large a key's value is."""


def cut(keys: Iterable[str], ring: Ring, size_bytes: SizeBytes) -> Iterator[Lot]:
    """Cut `keys` into lots.

    >>> [len(lot) for lot in cut(map(str, range(1000)), Ring(("n1",)), lambda key: 0)]
    [500, 500]
    """
    by_partition: dict[int, list[str]] = {}
    for key in keys:
        by_partition.setdefault(ring.partition_of(key), []).append(key)
    for alike in by_partition.values():
        yield from _cut_alike(alike, size_bytes)


def singly(lots: Iterable[Lot]) -> Iterator[Lot]:
    """Large lots as they are; small ones key by key."""
    for lot in lots:
        if len(lot) > FEW_KEYS:
            yield lot
        else:
            yield from ([key] for key in lot)


def rounds(lots: Iterable[Lot], size_bytes: SizeBytes) -> Iterator[list[Lot]]:
    """Gather lots into rounds."""
    gathered: list[Lot] = []
    keys = gathered_bytes = 0
    for lot in lots:
        gathered.append(lot)
        keys += len(lot)
        gathered_bytes += sum(map(size_bytes, lot))
        if keys >= ROUND_KEYS or gathered_bytes >= ROUND_BYTES:
            yield gathered
            gathered, keys, gathered_bytes = [], 0, 0
    if gathered:
        yield gathered


def _cut_alike(keys: Sequence[str], size_bytes: SizeBytes) -> Iterator[Lot]:
    lot: list[str] = []
    lot_bytes = 0
    for key in keys:
        size = size_bytes(key)
        if lot and (len(lot) >= LOT_KEYS or lot_bytes + size > LOT_BYTES):
            yield lot
            lot, lot_bytes = [], 0
        lot.append(key)
        lot_bytes += size
    if lot:
        yield lot
