"""Where user code is called: mappers over batches of records, reducers over groups of values.

Nothing here knows of a store. What comes out are iterators of pairs; user code runs as these are
read.
"""

import inspect
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from mapreduce.api import Context, Pair
from mapreduce.data.formats import Batch
from mapreduce.data.shuffle import Group

_NO_PAIRS: tuple[Pair, ...] = ()


def made(make: Callable[[], Any], context: Context) -> Any:
    """A user's object for one task."""
    user = make()
    user.context = context
    return user


def map_pairs(mapper: Any, batches: Iterable[Batch]) -> Iterator[Pair]:
    """All that a mapper yields for some records. Between the records no Python code runs here."""
    mapper.setup()
    all_records = itertools.chain.from_iterable(batch.pairs for batch in batches)
    mapped = itertools.starmap(_many(mapper.map), all_records)
    return itertools.chain(itertools.chain.from_iterable(mapped), _cleanup(mapper))


def reduce_pairs(reducer: Any, groups: Iterable[Group], counters: Counter[str]) -> Iterator[Pair]:
    """All that a reducer yields for groups of values."""
    reducer.setup()
    reduce = reduce_method(reducer)
    count = 0
    for key, values in groups:
        count += 1
        yield from reduce(key, values)
    counters["reduce_input_groups"] += count
    yield from _cleanup(reducer)


def reduce_method(reducer: Any) -> Callable[[Any, Iterator[Any]], Iterable[Pair]]:
    """The `reduce` of a user's object, made to give an iterable always."""
    return _many(reducer.reduce)


def _many(method: Callable[[Any, Any], Iterable[Pair] | None]) -> Callable[..., Iterable[Pair]]:
    """A user's method so that it always gives an iterable: a plain function may return None."""
    if inspect.isgeneratorfunction(method):
        return method

    def called(key: Any, value: Any) -> Iterable[Pair]:
        pairs = method(key, value)
        return _NO_PAIRS if pairs is None else pairs

    return called


def _cleanup(user: Any) -> Iterator[Pair]:
    pairs = user.cleanup()
    if pairs is not None:
        yield from pairs
