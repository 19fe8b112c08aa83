"""What `map`, `reduce` and `run` are given: records or groups one by one, and `write`."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

import greenlet

from mapreduce.api import Context, Pair
from mapreduce.errors import JobError
from mapreduce.hadoop.settings import Configuration, Placing, Settings
from mapreduce.hadoop.writables import Writable, reader_of, wrapped

AT_ONCE = 1024
"""So many pairs are written before `run` rests, and they are taken."""


class FileSplit(NamedTuple):
    """The input that is being mapped."""

    path: str

    def get_path(self) -> str:
        return self.path


@dataclass(frozen=True)
class Counter:
    """One of the job's counters; what it says here is this task's part of it."""

    context: Context
    name: str

    def increment(self, by: int = 1) -> None:
        self.context.count(self.name, by)

    def get_value(self) -> int:
        return self.context.counters[self.name]


def counter_name(group: str | Enum, name: str | None = None) -> str:
    """What the engine calls a counter of a group, or one that a member of an enum names.

    >>> counter_name("words", "long"), counter_name(Enum("Words", "LONG").LONG)
    ('words.long', 'Words.LONG')
    """
    return f"{type(group).__name__}.{group.name}" if isinstance(group, Enum) else f"{group}.{name}"


class TaskContext:
    """What mappers and reducers have in common. `who` is named in errors."""

    def __init__(self, context: Context, settings: Settings, who: str) -> None:
        self.context = context
        """The engine's own."""
        self.settings = settings
        self.configuration = Configuration(context.params)
        self._who = who
        self._pairs: list[Pair] = []
        self._rest: Callable[[], object] | None = None
        self._pair_of: Callable[[Any, Any], Pair] = _on_its_way
        self._declare("map_output", settings.map_key, settings.map_value)

    def write(self, key: Any, value: Any) -> None:
        """Give a pair. The objects may be changed and written again at once.

        Raises `JobError` for classes that are not those of the job.
        """
        if type(key) is not self._key_class or type(value) is not self._value_class:
            self._complain(key, value)
        self._pairs.append(self._pair_of(key, value))
        if len(self._pairs) >= AT_ONCE and self._rest is not None:
            self._rest()

    def get_counter(self, group: str | Enum, name: str | None = None) -> Counter:
        """By its group and name, or by a member of an enum."""
        return Counter(self.context, counter_name(group, name))

    def set_status(self, status: str) -> None:
        """A few words on what the task does, for `mapreduce status`."""
        self.context.status = status

    def get_configuration(self) -> Configuration:
        return self.configuration

    def get_job_name(self) -> str:
        return self.context.job

    def get_task_attempt_id(self) -> str:
        return self.context.task

    def progress(self) -> None:
        """Nothing need be told: a task is seen to live while its process does."""

    def taken(self) -> list[Pair]:
        """What was written since the last call."""
        pairs, self._pairs = self._pairs, []
        return pairs

    def streamed(self, run: Callable[["TaskContext"], object]) -> Iterator[Pair]:
        """All that `run` writes, while it runs: it rests whenever something is to be taken."""
        running = greenlet.greenlet(run)
        self._rest = lambda: running.parent.switch()
        try:
            while not running.dead:
                running.parent = greenlet.getcurrent()
                # The first switch begins with `self` as the argument; others let it go on.
                running.switch(*(() if running else (self,)))
                yield from self.taken()
        finally:
            if running:
                running.throw()

    def _writes_output(self) -> None:
        """What is written is the job's output."""
        settings = self.settings
        self._declare("output", settings.output_key, settings.output_value)
        if settings.as_objects:
            self._pair_of = _objects
        else:
            self._pair_of = _key_as_value if settings.bare_key else _texts

    def _declare(self, which: str, key: type[Writable], value: type[Writable]) -> None:
        self._which, self._key_class, self._value_class = which, key, value

    def _complain(self, key: Any, value: Any) -> None:
        for part, given, wanted in (
            ("key", key, self._key_class),
            ("value", value, self._value_class),
        ):
            if type(given) is not wanted:
                raise JobError(
                    f"{self._who} wrote the {part} {repr(given)[:80]}, {type(given).__name__}, "
                    f"and the job's {self._which} {part} class is {wanted.__name__}: write that, "
                    f"or declare it with set_{self._which}_{part}_class"
                )


def _on_its_way(key: Any, value: Any) -> Pair:
    return key.write(), value.write()


def _objects(key: Any, value: Any) -> Pair:
    """Copies: the mapper may change its own."""
    return type(key).read_fields(key.write()), type(value).read_fields(value.write())


def _texts(key: Any, value: Any) -> Pair:
    return key.output(), value.output()


def _key_as_value(key: Any, value: Any) -> Pair:
    """For a format that writes values only."""
    return None, key.output()


class MapContext(TaskContext):
    """A mapper's context: `while context.next_key_value(): ...`."""

    def __init__(
        self, context: Context, settings: Settings, who: str, records: Iterable[Pair]
    ) -> None:
        super().__init__(context, settings, who)
        self.current_key: Any = None
        self.current_value: Any = None
        self._records = iter(records)
        if context.reducers == 0:
            self._writes_output()
        elif settings.partitioner is not None:
            self._pair_of = Placing(settings.partitioner(), context.reducers)

    def next_key_value(self) -> bool:
        """Go on to the next record; False if there is none."""
        for key, value in self._records:
            self.current_key, self.current_value = wrapped(key), wrapped(value)
            return True
        return False

    def get_current_key(self) -> Any:
        return self.current_key

    def get_current_value(self) -> Any:
        return self.current_value

    def get_input_split(self) -> FileSplit:
        return FileSplit(self.context.input)


class ReduceContext(TaskContext):
    """A reducer's context: `while context.next_key(): ...`.

    With a grouping comparator the keys of a group differ, and `current_key` is the one of the value
    that was read last; the `key` that `reduce` was called with stays the first.
    """

    def __init__(
        self,
        context: Context,
        settings: Settings,
        who: str,
        groups: Iterable[tuple[Any, Iterable[Any]]],
        *,
        combines: bool = False,
    ) -> None:
        super().__init__(context, settings, who)
        self.current_key: Any = None
        self.values: Iterator[Any] = iter(())
        self._read_key = reader_of(settings.map_key)
        self._read_value = reader_of(settings.map_value)
        if combines:
            self._groups = self._by_key(groups)
        else:
            self._writes_output()
            rank = settings.group_rank()
            self._groups = self._by_key(groups) if rank is None else self._by_rank(groups, rank)

    def next_key(self) -> bool:
        """Go on to the next group, whatever is left of this one; False if there is none."""
        for values in self._groups:
            self.values = values
            return True
        return False

    def get_current_key(self) -> Any:
        return self.current_key

    def get_values(self) -> Iterator[Any]:
        return self.values

    def _by_key(self, groups: Iterable[tuple[Any, Iterable[Any]]]) -> Iterator[Iterator[Any]]:
        for key, values in groups:
            self.current_key = self._read_key(key)
            yield map(self._read_value, values)

    def _by_rank(
        self, groups: Iterable[tuple[Any, Iterable[Any]]], rank: Callable[[Any], Any]
    ) -> Iterator[Iterator[Any]]:
        """Keys of the same rank as one group: they follow each other."""
        for _, same in itertools.groupby(groups, lambda group: rank(group[0])):
            key, values = next(same)
            self.current_key = self._read_key(key)
            yield itertools.chain(map(self._read_value, values), self._others(same))  # noqa: B031

    def _others(self, same: Iterable[tuple[Any, Iterable[Any]]]) -> Iterator[Any]:
        """The values of the keys of a group behind its first."""
        for key, values in same:
            self.current_key = self._read_key(key)
            yield from map(self._read_value, values)


class MultipleOutputs:
    """Named outputs of a task, which `MultipleOutputs.add_named_output` has given the job."""

    def __init__(self, context: TaskContext) -> None:
        self._context = context

    def write(self, name: str, key: Any, value: Any) -> None:
        """Write a pair of any Writables to the output `name`."""
        self._context.context.emit(key.output(), value.output(), to=name)

    def close(self) -> None:
        """Nothing is to be closed: the task does, when all is written."""

    @staticmethod
    def add_named_output(job: Any, name: str, output_format: str = "text") -> None:
        job.named_outputs[name] = output_format
