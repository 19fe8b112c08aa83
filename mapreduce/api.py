"""What users write: a `Mapper`, a `Reducer`, and what the two can know of their task."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

Pair = tuple[Any, Any]
"""A key and a value."""


@dataclass
class Context:
    """Where user code is running: `self.context` in a mapper or reducer.

    >>> context = Context("wordcount", "map-00003.1")
    >>> context.count("empty lines")
    >>> context.counters["empty lines"]
    1
    """

    job: str = ""
    task: str = ""
    """The attempt, such as "map-00003.1"."""
    counters: Counter[str] = field(default_factory=Counter)

    def count(self, name: str, by: int = 1) -> None:
        """Add to one of the job's counters; tasks that fail or lose a race count nothing."""
        self.counters[name] += by


class Mapper:
    """The base of mappers: `map` is called once for each record of the input.

    >>> class Words(Mapper):
    ...     def map(self, key, value):
    ...         for word in value.split():
    ...             yield word, 1
    >>> list(Words().map(0, "to be"))
    [('to', 1), ('be', 1)]
    """

    context: Context = Context()
    """Set anew for each task, before `setup`."""

    def setup(self) -> None:
        """Called once before the first record of a task."""

    def map(self, key: Any, value: Any) -> Iterable[Pair] | None:
        """Yield any number of pairs for one record. For text, `key` is the position of the line in
        its file in bytes, and `value` the line without its end."""
        return ((key, value),)

    def cleanup(self) -> Iterable[Pair] | None:
        """Called once after the last record of a task; may yield further pairs."""
        return ()


class Reducer:
    """The base of reducers and combiners: `reduce` is called once for each key, in key order.

    A combiner is a reducer that also runs on the mapper's side, any number of times, on a part of
    a key's values; it must yield pairs of the key it was given.
    """

    context: Context = Context()
    """Set anew for each task, before `setup`."""

    def setup(self) -> None:
        """Called once before the first key of a task."""

    def reduce(self, key: Any, values: Iterator[Any]) -> Iterable[Pair] | None:
        """Yield any number of pairs for one key. `values` can be read once."""
        return ((key, value) for value in values)

    def cleanup(self) -> Iterable[Pair] | None:
        """Called once after the last key of a task; may yield further pairs."""
        return ()
