"""Combiners: fewer pairs, before they leave the mapper's side."""

import functools
import itertools
import operator
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from mapreduce.api import Pair
from mapreduce.errors import BadPair

Combine = Callable[[Any, Iterator[Any]], Iterable[Pair] | None]
"""`Reducer.reduce` of a combiner."""


class Fold(NamedTuple):
    """A combiner that is a function of two values, such as `operator.add`.

    The values of a key are folded as they come: one value of each key is held, and no list.
    """

    function: Callable[[Any, Any], Any]

    def times(self, value: Any, count: int) -> Any:
        """What `count` times the same value fold to.

        >>> Fold(operator.add).times(2, 3), Fold(operator.add).times("ab", 2)
        (6, 'abab')
        """
        if self.function is operator.add and type(value) is int:
            return value * count
        return functools.reduce(self.function, itertools.repeat(value, count))


def combined(combine: Combine, key: Any, values: Iterable[Any]) -> list[Any]:
    """A key's values after a combiner, which has to keep the key."""
    kept = []
    for pair in combine(key, iter(values)) or ():
        try:
            new_key, value = pair
        except (TypeError, ValueError):
            raise BadPair(
                f"{_named(combine)} gave {repr(pair)[:60]}, which is no pair: yield key, value"
            ) from None
        if new_key is not key and new_key != key:
            raise BadPair(
                f"{_named(combine)} made a pair with the key {repr(new_key)[:60]} from values of "
                f"{repr(key)[:60]}: a combiner must keep the key it is given"
            )
        kept.append(value)
    return kept


def _named(combine: Combine) -> str:
    """The combiner, and where it stands."""
    function = getattr(combine, "__wrapped__", combine)
    code = getattr(function, "__code__", None)
    where = f" ({code.co_filename}, line {code.co_firstlineno})" if code else ""
    return f"the combiner {getattr(function, '__qualname__', repr(function))}{where}"
