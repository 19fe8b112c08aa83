"""Combiners: fewer pairs, before they leave the mapper's side."""

import functools
import itertools
import operator
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from mapreduce.api import Pair
from mapreduce.errors import BadPair, place_of

Combine = Callable[[Any, Iterator[Any]], Iterable[Pair] | None]
"""`Reducer.reduce` of a combiner."""


class Fold(NamedTuple):
    """A combiner that is a function of two values, such as `operator.add`.

    The values of a key are folded as they come: one value of each key is held, and no list.
    """

    function: Callable[[Any, Any], Any]

    def times_each(self, value: Any, counts: list[int]) -> list[Any]:
        """What so many times the same value fold to, for each of several keys.

        >>> Fold(operator.add).times_each(2, [3, 1]), Fold(operator.add).times_each("ab", [2])
        ([6, 2], ['abab'])
        """
        if self.function is operator.add and type(value) is int:
            return counts if value == 1 else [value * count for count in counts]
        same = itertools.repeat
        return [functools.reduce(self.function, same(value, count)) for count in counts]


class CombineAll(NamedTuple):
    """A combiner that is called once for a whole run, with all its groups in order of their keys,
    and gives pairs of any keys, in any order."""

    function: Callable[[Iterable[tuple[Any, Iterator[Any]]]], Iterable[Pair]]


Combiner = Combine | Fold | CombineAll


def combined(combine: Combine, key: Any, values: Iterable[Any]) -> list[Any]:
    """A key's values after a combiner, which has to keep the key."""
    kept = []
    for pair in combine(key, iter(values)) or ():
        try:
            new_key, value = pair
        except (TypeError, ValueError):
            raise BadPair(
                f"the combiner {place_of(combine)} gave {repr(pair)[:60]}, which is no pair: "
                "yield key, value"
            ).of_key(key) from None
        if new_key is not key and new_key != key:
            raise BadPair(
                f"the combiner {place_of(combine)} made a pair with the key {repr(new_key)[:60]} "
                f"from values of {repr(key)[:60]}: a combiner must keep the key it is given"
            ).of_key(key)
        kept.append(value)
    return kept
