"""Total order: partitions that are ranges of the key order, and the sample for their borders.

Before the step runs, its mapper is run over a small part of the input (`thinned`); from the keys
that come out, in order, `borders` takes those that part them evenly, and `RangePartitioner` tells
for each key of the real run where it belongs. The borders decide how even the partitions are, and
never what the whole output is. (Hadoop's `InputSampler` and `TotalOrderPartitioner` sample the
input's keys; here it is the mapper's output, so that any mapper may change the key.)
"""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec

from mapreduce.data.inputs import Slice, Split
from mapreduce.data.ordering import Ordering
from mapreduce.data.portable_hash import common_shape, shape_of

SPLITS = 64
"""At most so many splits are sampled."""
SLICES = 4
SLICE_BYTES = 32 << 10
"""So many places of a slice are read, and so much at each. Few of them: a file in the store gives
no less than a chunk, 1 MiB, at each place."""
RECORDS = 2_000
"""At most so many records of a split are mapped: for formats that are read from the beginning."""


def thinned(splits: Sequence[Split]) -> list[Split]:
    """A small part of the input, from everywhere in it."""
    step = max(1, -(-len(splits) // SPLITS))
    return [
        Split(tuple(thin for part in split.slices for thin in _thin(part)))
        for split in splits[::step]
    ]


def _thin(part: Slice) -> list[Slice]:
    size_bytes = part.size_bytes
    if not part.splittable or size_bytes <= SLICES * SLICE_BYTES:
        return [part]
    starts = [part.start + number * size_bytes // SLICES for number in range(SLICES)]
    return [
        msgspec.structs.replace(
            part,
            start=start,
            stop=start + SLICE_BYTES,
            starts_record=part.starts_record and start == part.start,
        )
        for start in starts
    ]


def borders(keys: Iterable[Any], partitions: int) -> list[Any]:
    """The first keys of all partitions but the first, taken evenly from sampled keys in order.

    There are fewer if the sample has too few different keys: the last partitions are then empty.

    >>> borders("abbbcdef", 4)
    ['b', 'c', 'e']
    """
    found = list(keys)
    at = (number * len(found) // partitions for number in range(1, partitions))
    return list(dict.fromkeys(found[index] for index in at if found))


class RangePartitioner:
    """The partition of a key by borders.

    >>> where = RangePartitioner(["b", "c", "e"], Ordering())
    >>> [where(key, 4) for key in ("a", "b", "d", "z")]
    [0, 1, 2, 3]
    >>> RangePartitioner(["e", "c", "b"], Ordering(descending=True)).each(["z", "e", "d", "c", "a"])
    [0, 1, 1, 2, 3]
    """

    def __init__(self, borders: Sequence[Any], ordering: Ordering) -> None:
        self._ordering = ordering
        self._borders = list(reversed(borders) if ordering.descending else borders)
        self._ranks = [ordering.rank(key) for key in self._borders]
        self._shape = shape_of(self._borders)

    def __call__(self, key: Any, partitions: int) -> int:
        return self.each([key])[0]

    def each(self, keys: Collection[Any]) -> list[int]:
        """The partition of each of many keys."""
        ranking = self._ordering.ranking(common_shape(self._shape, shape_of(keys)))
        borders: Sequence[Any] = self._ranks
        ranks: Iterable[Any] = map(self._ordering.rank, keys)
        if ranking is None:
            borders, ranks = self._borders, keys
        if not self._ordering.descending:
            return [bisect_right(borders, rank) for rank in ranks]
        # Descending, a border is the greatest key of its partition.
        return [len(borders) - bisect_left(borders, rank) for rank in ranks]
