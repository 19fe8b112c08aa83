"""In which order reducers see keys and values, and which keys come to one call.

Without options that is the order of `mapreduce.data.portable_hash.order`: Python's own where it has
one. Every choice is a function of a key or a value, so the order is the same in every process, and
the same whether all fits into memory or sorted runs are merged from disk.
"""

from collections.abc import Callable, Collection, Iterable
from typing import Any, NamedTuple

from mapreduce.data import portable_hash
from mapreduce.data.portable_hash import Shape, is_plain, order, shape_of
from mapreduce.errors import BadPair

Rank = Any
"""What is compared in place of a key or value: a smaller rank comes first."""


class Ordering(NamedTuple):
    """The order of keys and values within a partition.

    `sort_key` gives what a key is ordered by, by default the key itself; keys of which it says the
    same follow each other in an order of their own. `descending` reverses the order of keys.
    `group_key` gives a key's group: all keys of a group come to one call, groups in their own
    order and the keys within a group in the order of keys. `sort_values` is True, or gives what a
    value is ordered by; the values of each key then come sorted, ascending.

    >>> Ordering(sort_key=lambda name: name.split()[-1]).sorted({"ann lee", "bo adams", "cy kim"})
    ['bo adams', 'cy kim', 'ann lee']
    >>> Ordering(descending=True).sorted([("a", 1), ("b", 1), ("b", 2)])
    [('b', 2), ('b', 1), ('a', 1)]
    """

    sort_key: Callable[[Any], Any] | None = None
    descending: bool = False
    group_key: Callable[[Any], Any] | None = None
    sort_values: bool | Callable[[Any], Any] = False

    def sorted(self, keys: Collection[Any]) -> list[Any]:
        """Distinct keys in order. Raises `BadPair` for keys that can't be compared."""
        rank = self.ranking(shape_of(keys))
        try:
            return sorted(keys, key=rank, reverse=self.descending)
        except TypeError as error:
            raise self._incomparable(keys, error) from error

    def ranking(self, shape: Shape) -> Callable[[Any], Rank] | None:
        """What gives the rank of keys of this shape, ascending; None if a key is its own rank."""
        if self.sort_key is None and self.group_key is None:
            return None if is_plain(shape) else order
        return self.rank

    def rank(self, key: Any) -> Rank:
        """What a key is compared by, whatever the other keys are; equal for equal keys only."""
        if self.sort_key is None:
            rank: Rank = order(key)
        else:
            rank = self.sort_key(key), isinstance(key, str), portable_hash.written(key)
        return rank if self.group_key is None else (order(self.group_key(key)), rank)

    def value_rank(self, value: Any) -> Rank:
        """What a value is compared by, if values are sorted."""
        return self.sort_values(value) if callable(self.sort_values) else order(value)

    def arranged(self, values: list[Any]) -> list[Any]:
        """The values of one key in the order in which they come; the list may be the same."""
        if not self.sort_values:
            return values
        plain = self.sort_values is True and is_plain(shape_of(values))
        try:
            return sorted(values, key=None if plain else self.value_rank)
        except TypeError as error:
            raise BadPair(
                f"values can't be sorted: {error}; give sort_values a function of the value"
            ) from error

    def _incomparable(self, keys: Iterable[Any], error: TypeError) -> BadPair:
        one, other = _first_incomparable(keys, self.rank)
        return BadPair(
            f"the keys {_shown(one)} and {_shown(other)} can't be compared: {error}; "
            "give the job a sort_key, a function of the key whose results can be"
        ).of_key(other)


PLAIN = Ordering()


class Descending:
    """A rank that compares the other way round."""

    __slots__ = ("rank",)

    def __init__(self, rank: Rank) -> None:
        self.rank = rank

    def __lt__(self, other: "Descending") -> bool:
        return bool(other.rank < self.rank)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Descending) and bool(self.rank == other.rank)

    __hash__ = None  # type: ignore[assignment]


def _first_incomparable(keys: Iterable[Any], rank: Callable[[Any], Rank]) -> tuple[Any, Any]:
    """Two of the keys that can't be compared; one key twice if it has no rank at all."""
    before: dict[type, Any] = {}
    for key in keys:
        try:
            mine = rank(key)
        except TypeError:
            return key, key
        for other in before.values():
            try:
                _ = rank(other) < mine
            except TypeError:
                return other, key
        before[type(key)] = key
    return key, key


def _shown(key: Any) -> str:
    return repr(key)[:60]
