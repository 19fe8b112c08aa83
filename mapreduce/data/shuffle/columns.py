"""Pairs in bulk: columns of keys and of values, for code that makes many at once."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, overload


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
