"""Combiners: fewer pairs, before they leave the mapper's side."""

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
            ) from None
        if new_key is not key and new_key != key:
            raise BadPair(
                f"the combiner {place_of(combine)} made a pair with the key {repr(new_key)[:60]} "
                f"from values of {repr(key)[:60]}: a combiner must keep the key it is given"
            )
        kept.append(value)
    return kept
