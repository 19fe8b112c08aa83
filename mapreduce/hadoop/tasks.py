"""`Mapper` and `Reducer` as Hadoop has them, and how the engine runs them.

The engine calls `map_all` or `reduce_all` once for a task; that calls the user's `run`.
"""

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from mapreduce.api import Context, Pair
from mapreduce.errors import JobError, place_of
from mapreduce.hadoop.contexts import MapContext, ReduceContext
from mapreduce.hadoop.settings import Settings, unplaced


class Mapper:
    """The base of mappers; itself, it writes what it reads.

    For text `key` is a LongWritable, the position of the line in its file in bytes, and `value` the
    line as Text.
    """

    def setup(self, context: MapContext) -> None:
        """Called once before the first record of a task."""

    def map(self, key: Any, value: Any, context: MapContext) -> None:
        """Called for each record."""
        context.write(key, value)

    def cleanup(self, context: MapContext) -> None:
        """Called once after the last record of a task."""

    def run(self, context: MapContext) -> None:
        """The whole of a task: may be replaced, as by one that reads less, or with threads."""
        self.setup(context)
        user: Callable[..., object] = self.map
        while context.next_key_value():
            if user(context.current_key, context.current_value, context) is not None:
                raise _returned(user)
        self.cleanup(context)


class Reducer:
    """The base of reducers and combiners; itself, it writes every value with its key.

    A combiner gets `setup` and `reduce` only, any number of times, and writes pairs of the key it
    was given.
    """

    def setup(self, context: ReduceContext) -> None:
        """Called once before the first key of a task."""

    def reduce(self, key: Any, values: Iterator[Any], context: ReduceContext) -> None:
        """Called for each key, in order; `values` are read from the disk as they are asked for, and
        can be read once."""
        for value in values:
            context.write(context.current_key, value)

    def cleanup(self, context: ReduceContext) -> None:
        """Called once after the last key of a task."""

    def run(self, context: ReduceContext) -> None:
        """The whole of a task: may be replaced, as by one that stops early."""
        self.setup(context)
        user: Callable[..., object] = self.reduce
        while context.next_key():
            if user(context.current_key, context.values, context) is not None:
                raise _returned(user)
        self.cleanup(context)


def _returned(method: Callable[..., object]) -> JobError:
    """What would be lost."""
    return JobError(
        f"{place_of(method)} returned something: pairs are given by context.write(key, value)"
    )


class _Task:
    """What the engine makes for a task. Of the methods that it calls errors say the name and place
    of the user's own."""

    context: Context

    def __init__(self, settings: Settings, user: type) -> None:
        self.settings = settings
        self.user = user

    def setup(self) -> None:
        """`run` calls that of the user's class."""

    def cleanup(self) -> None:
        """And that."""


class MapTask(_Task):
    """A mapper's `run` over all records of a task."""

    def __init__(self, settings: Settings, user: type[Mapper]) -> None:
        super().__init__(settings, user)
        own = user.map if user.run is Mapper.run else user.run
        self.map_all = functools.update_wrapper(lambda records: self._map_all(records), own)

    def _map_all(self, records: Iterable[Pair]) -> Iterator[Pair]:
        context = MapContext(self.context, self.settings, self.user.__qualname__, records)
        return context.streamed(self.user().run)


class ReduceTask(_Task):
    """A reducer's `run` over all groups of a task."""

    def __init__(self, settings: Settings, user: type[Reducer]) -> None:
        super().__init__(settings, user)
        own = user.reduce if user.run is Reducer.run else user.run
        self.reduce_all = functools.update_wrapper(lambda groups: self._reduce_all(groups), own)

    def _reduce_all(self, groups: Iterable[tuple[Any, Iterator[Any]]]) -> Iterator[Pair]:
        if self.settings.partitioner is not None:
            groups = unplaced(groups)
        context = ReduceContext(self.context, self.settings, self.user.__qualname__, groups)
        return context.streamed(self.user().run)


class CombineTask(_Task):
    """A combiner's `reduce`, a key at a time."""

    def __init__(self, settings: Settings, user: type[Reducer]) -> None:
        super().__init__(settings, user)
        combine = self._with_partition if settings.partitioner else self._combined
        self.reduce = functools.update_wrapper(
            lambda key, values: combine(key, values), user.reduce
        )

    def setup(self) -> None:
        self._combiner = self.user()
        self._combiner.setup(self._over([]))

    def _with_partition(self, key: Any, values: Iterator[Any]) -> list[Pair]:
        partition, of_partition = key
        pairs = self._combined(of_partition, values)
        return [((partition, written), value) for written, value in pairs]

    def _combined(self, key: Any, values: Iterator[Any]) -> list[Pair]:
        context = self._over([(key, values)])
        context.next_key()
        user: Callable[..., object] = self._combiner.reduce
        if user(context.current_key, context.values, context) is not None:
            raise _returned(user)
        return context.taken()

    def _over(self, groups: Iterable[tuple[Any, Iterable[Any]]]) -> ReduceContext:
        return ReduceContext(
            self.context, self.settings, self.user.__qualname__, groups, combines=True
        )


def factory(task: type[_Task], settings: Settings, user: type) -> Callable[[], Any]:
    """What makes a task's object, by the name of the user's class."""
    return known_by(user, functools.partial(task, settings, user))


def known_by(user: type, made: Callable[..., Any]) -> Callable[..., Any]:
    """Something that goes by the name of the user's class and comes from the same module, so that
    this is sent along."""
    vars(made).update(__name__=user.__qualname__, __module__=user.__module__)
    return made
