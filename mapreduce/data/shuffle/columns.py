"""Pairs in bulk: columns of keys and of values, for code that makes many at once.

Who takes them as pairs need not know; the collector takes them column by column.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, overload

from mapreduce.api import Pair


class Same(Sequence[Any]):
    """One value, so many times; takes the room of one, in memory and in a block.

    >>> same = Same("x", 3)
    >>> list(same), len(same[1:]), same[0]
    (['x', 'x', 'x'], 2, 'x')
    """

    __slots__ = ("size", "value")

    def __init__(self, value: Any, size: int) -> None:
        self.value = value
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[Any]:
        return itertools.repeat(self.value, self.size)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> "Same": ...
    def __getitem__(self, index: int | slice) -> Any:
        found = range(self.size)[index]
        return self.value if isinstance(found, int) else Same(self.value, len(found))

    def __reduce__(self) -> Any:
        return Same, (self.value, self.size)


class Columns(NamedTuple):
    """Some pairs: the keys, and as many values."""

    keys: Sequence[Any]
    values: Sequence[Any]


class ColumnPairs(Iterator[Pair]):
    """An iterator over pairs that come as columns.

    >>> list(ColumnPairs([Columns(["to", "be"], Same(1, 2)), Columns(["or"], [2])]))
    [('to', 1), ('be', 1), ('or', 2)]
    """

    def __init__(self, columns: Iterable[Columns]) -> None:
        self.columns = iter(columns)
        self._pairs = itertools.chain.from_iterable(itertools.starmap(zip, self.columns))

    def __iter__(self) -> Iterator[Pair]:
        return self._pairs

    def __next__(self) -> Pair:
        pair: Pair = next(self._pairs)
        return pair
