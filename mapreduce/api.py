"""What users write: a `Mapper`, a `Reducer`, the steps of a job; and what their code can know of
its task."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mapreduce.errors import JobError, place_of

Pair = tuple[Any, Any]
"""A key and a value."""


@dataclass
class Context:
    """Where user code is running: `self.context` in a mapper or reducer.

    >>> context = Context("wordcount", "map-00003.1", params={"least": "3"})
    >>> context.count("empty lines")
    >>> context.counters["empty lines"], int(context.params["least"])
    (1, 3)
    """

    job: str = ""
    task: str = ""
    """The attempt, such as "map-00003.1"."""
    run: str = ""
    """Names this run of the job; no other has had that name."""
    step: int = 1
    """Which of the job's steps this is, counted from 1."""
    reducers: int = 0
    """How many partitions the step has, and so how many reduce tasks."""
    params: Mapping[str, str] = field(default_factory=dict)
    """What `--set name=value` or `Job(params=...)` have set, as texts."""
    input: str = ""
    """The input that is being mapped: a path or a key."""
    counters: Counter[str] = field(default_factory=Counter)
    status: str = ""
    """A few words on what the task is doing, for `mapreduce status`; yours to set."""
    progress: float | None = None
    """How much of its work the task has done, from 0 to 1; yours to set. Else a map task's follows
    from the record that it is at, and a reduce task's is not known."""
    measured: Callable[[], float] | None = field(default=None, repr=False)
    """How far it is, seen from outside."""
    file_names: Sequence[str] = ()
    """The names of the job's side files."""
    scratch: Path | None = None
    """A folder on this machine for what the task needs until its end."""
    ending: ExitStack = field(default_factory=ExitStack, repr=False)
    """What is closed, or ended, when the task is over, however that comes."""
    find_file: Callable[[str], Path] | None = field(default=None, repr=False)
    write_named: Callable[[str, Any, Any], None] | None = field(default=None, repr=False)
    emitted: list[Pair] = field(default_factory=list, repr=False)
    """Pairs on their way; whoever calls the method takes them."""
    where: Callable[[bool], str] | None = field(default=None, repr=False)
    """What is being called, and with True the record it is called with: for errors."""

    def emit(self, key: Any, value: Any, *, to: str = "") -> None:
        """Give a pair, as `yield` does in a method that is a generator; with `to` to the named
        output of the job's `outputs`, from any method."""
        if not to:
            self.emitted.append((key, value))
        elif self.write_named is None:
            raise JobError(f"nothing takes the pairs of the named output {to!r} here")
        else:
            self.write_named(to, key, value)

    def count(self, name: str, by: int = 1) -> None:
        """Add to one of the job's counters; tasks that fail or lose a race count nothing."""
        self.counters[name] += by

    def file(self, name: str) -> Path:
        """Where a side file of the job is on this machine: one of `Job(files=...)`, by its name.

        Raises `JobError` for a file that the job has not been given.
        """
        if self.find_file is None:
            raise JobError(f"the job has no side files, and so no {name!r}: give it files=[...]")
        return self.find_file(name)


class Mapper:
    """The base of mappers: `map` is called once for each record of the input.

    A class may have `map_batch(records)` in its place, which gets an iterable of many records, each
    a pair of key and value, and gives pairs as `map` does; or `map_all(records)`, which is called
    once with an iterator over all records of a task.

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

    A class may have `reduce_all(groups)` in its place, which is called once for a task with an
    iterator over all its groups, each a key and an iterator of its values, in key order. The values
    of a group can be read until the next is taken.

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


class PartitionReducer(ABC):
    """The base of reducers that want what each map task gave as a whole: `reduce` is called once
    for each task's piece, in order of the tasks, and then `output` gives the result.

    One piece at a time is in memory. What a piece holds depends on the splits, and so on the runner
    and on where the input lies: a result that is to be the same everywhere must not depend on how
    the pairs are parted.

    >>> class Longest(PartitionReducer):
    ...     def setup(self):
    ...         self.longest = ""
    ...     def reduce(self, piece):
    ...         self.longest = max([self.longest, *(word for word, _ in piece)], key=len)
    ...     def output(self):
    ...         yield self.longest, len(self.longest)
    """

    context: Context = Context()
    """Set anew for each task, before `setup`."""

    def setup(self) -> None:  # noqa: B027 - most have none
        """Called once before the first piece of a task."""

    @abstractmethod
    def reduce(self, piece: list[Pair]) -> None:
        """Take all pairs that one map task gave to this partition: in order of the keys, those of
        one key in order of emission. A map task that gave none has no piece."""

    @abstractmethod
    def output(self) -> Iterable[Pair] | None:
        """Called once, after the last piece: yield the pairs of the result."""

    def cleanup(self) -> Iterable[Pair] | None:
        """Called once, after all else; may yield further pairs."""
        return ()

    def reduce_all(self, pieces: Iterator[tuple[str, Iterator[Pair]]]) -> Iterable[Pair] | None:
        """How the engine calls it: with the name of each map task, and its pairs."""
        for _, pairs in pieces:
            if self.reduce(list(pairs)) is not None:
                raise JobError(
                    f"{place_of(self.reduce)} yields or returns something, and only output() gives "
                    "pairs: keep in self what is found in a piece"
                )
        return self.output()


MAP_METHODS = ("map_all", "map_batch", "map")
REDUCE_METHODS = ("reduce_all", "reduce")
"""What may be called with records or groups, the first of them that there is."""


def method_of(user: Any, methods: Sequence[str]) -> str:
    """The name of the method that is called: the first that a class, or an object, has, or the last
    of `methods` if it has none."""
    return next((name for name in methods if hasattr(user, name)), methods[-1])


def check_methods(user: Any, base: type[Mapper] | type[Reducer]) -> None:
    """Raise `JobError` if a class, or an object, lacks what a mapper or reducer has to have."""
    methods = REDUCE_METHODS if base is Reducer else MAP_METHODS
    method = method_of(user, methods)
    lacks = [name for name in ("setup", method, "cleanup") if not hasattr(user, name)]
    if lacks:
        kind = user if isinstance(user, type) else type(user)
        raise JobError(
            f"{kind.__qualname__} is no {base.__name__.lower()}, it lacks {', '.join(lacks)}: "
            f"derive it from mapreduce.{base.__name__}"
        )


# Jobs --------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Step:
    """One map and one reduce; a job is one of these, or several that feed each other.

    `mapper` and `reducer` are classes, or functions that make objects with the methods of `Mapper`
    and `Reducer`, or a `PartitionReducer`. Without a mapper the records go on as they are; without
    a reducer the mapper's pairs are the output. Between the two:

    `combiner`      a class like `Reducer`, or a function of two values such as `operator.add`,
                    which folds the values of a key as they come
    `partitioner`   a function of key and number of partitions, or a class with such a method
                    `partition`: the partition of the key
    `do_hash`       in place of a partitioner, a function of the key that gives any int: the
                    partition is that modulo the number of partitions
    `sort_key`      a function of the key: what keys are ordered by
    `descending`    keys come in reversed order
    `group_key`     a function of the key: all keys for which it gives the same are one group, and
                    `reduce` is called once with that and all their values, in order of the keys
    `sort_values`   True, or a function of the value: the values of each key come in order
    `total_order`   every key of a partition comes before every key of the next one

    >>> Step(mapper=Mapper, reducer=Reducer, reducers=4, descending=True).reducers
    4
    >>> Step(mapper=Mapper, combiner=max)
    Traceback (most recent call last):
        ...
    mapreduce.errors.JobError: a combiner without a reducer would change nothing; give it both
    """

    mapper: Callable[[], Any] | None = None
    reducer: Callable[[], Any] | None = None
    combiner: Callable[..., Any] | None = None
    partitioner: Callable[..., Any] | None = None
    reducers: int = 1
    do_hash: Callable[[Any], int] | None = None
    sort_key: Callable[[Any], Any] | None = None
    group_key: Callable[[Any], Any] | None = None
    sort_values: bool | Callable[[Any], Any] = False
    descending: bool = False
    total_order: bool = False

    def __post_init__(self) -> None:
        if self.reducers < 0:
            raise JobError(f"a step has 0 reduce tasks or more, not {self.reducers}")
        for name in _CALLED:
            _check_callable(name, getattr(self, name))
        if self.reducer is None or self.reducers == 0:
            self._check_has_no_use_for_a_reducer()
            object.__setattr__(self, "reducers", 0)
            object.__setattr__(self, "reducer", None)
        if self.partitioner is not None and self.do_hash is not None:
            raise JobError("partitioner and do_hash both say where a key belongs: give one of them")
        if self.total_order and (chosen := self.partitioner or self.do_hash) is not None:
            name = "partitioner" if chosen is self.partitioner else "do_hash"
            raise JobError(f"total_order chooses the partitions itself: give it no {name}")
        if self.total_order and self.group_key is not None:
            raise JobError("total_order could part a group: give group_key or total_order")
        if takes_pieces(self.reducer):
            check_takes_pieces(self)

    def _check_has_no_use_for_a_reducer(self) -> None:
        if self.combiner is not None:
            raise JobError("a combiner without a reducer would change nothing; give it both")
        for name in _OF_REDUCING:
            if getattr(self, name):
                raise JobError(
                    f"{name} needs a reducer and at least 1 reduce task: without them nothing is "
                    "sorted; mapreduce.Reducer itself hands all pairs on as they are"
                )


_CALLED = ("mapper", "reducer", "combiner", "partitioner", "do_hash", "sort_key", "group_key")
_OF_REDUCING = (
    *("partitioner", "do_hash", "sort_key", "group_key"),
    *("sort_values", "descending", "total_order"),
)


def takes_pieces(reducer: Any) -> bool:
    """True for a `PartitionReducer`, the class or an object. What a function is going to make can't
    be seen."""
    made = getattr(reducer, "func", reducer)  # of a partial
    return issubclass(made if isinstance(made, type) else type(made), PartitionReducer)


def check_takes_pieces(step: Any, skip_bad_records: int = 0) -> None:
    """Raise `JobError` for what a job says that means nothing to a `PartitionReducer`. The step may
    be one that has names in place of code."""
    if lacks := sorted(getattr(step.reducer, "__abstractmethods__", ())):
        raise JobError(
            f"{place_of(step.reducer)} lacks {' and '.join(lacks)}: a PartitionReducer has "
            "reduce(piece) and output()"
        )
    for name in _OF_KEYS:
        if getattr(step, name):
            raise JobError(
                f"{name} is about keys and their values, and a PartitionReducer gets whole pieces, "
                "the pairs of a map task as they are: leave it out, or derive the reducer from "
                "mapreduce.Reducer"
            )
    if skip_bad_records:
        raise JobError(
            "skip_bad_records would leave out all that a map task gave, as a PartitionReducer gets "
            "no less: leave it out, and let reduce() pass over bad pairs"
        )


_OF_KEYS = ("combiner", "sort_key", "group_key", "sort_values", "descending", "total_order")


def _check_callable(name: str, given: Any) -> None:
    if given is not None and not (
        callable(given) or (name == "partitioner" and hasattr(given, "partition"))
    ):
        raise JobError(
            f"the {name} has to be a class or a function, and it is {given!r}: give the class "
            "itself, which makes an object for each task"
        )


@dataclass(frozen=True)
class Input:
    """An input with a format, or a mapper, of its own: several of them make a join.

    >>> Input("users.csv", format="csv:header=yes").path
    'users.csv'
    """

    path: str | Path
    format: str | None = None
    """None: the job's `input_format`."""
    mapper: Callable[[], Any] | None = None
    """None: the mapper of the job's first step."""

    def __post_init__(self) -> None:
        _check_callable("mapper", self.mapper)


def mappers_of(steps: Sequence[Step], inputs: Sequence[Input]) -> tuple[Any, ...]:
    """All that may map the inputs of a job: the first step's mapper, and those of single inputs."""
    own = dict.fromkeys(given.mapper for given in inputs if given.mapper is not None)
    return (steps[0].mapper, *own)
