"""What can be wrong with the classes of a job, found before anything is sent: without an object of
them being made, and without a record."""

import inspect
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mapreduce.engine import calling
from mapreduce.errors import JobError, place_of
from mapreduce.hadoop.settings import Partitioner, TotalOrderPartitioner, WritableComparator
from mapreduce.hadoop.tasks import Mapper, Reducer
from mapreduce.hadoop.writables import Writable, WritableComparable, check_holds

CLASSES: Mapping[str, tuple[type, bool]] = {
    # The class that each has to be derived from, and whether it may be left out.
    "mapper_class": (Mapper, False),
    "reducer_class": (Reducer, False),
    "combiner_class": (Reducer, True),
    "partitioner_class": (Partitioner, True),
    "sort_comparator_class": (WritableComparator, True),
    "grouping_comparator_class": (WritableComparator, True),
    "output_key_class": (Writable, False),
    "output_value_class": (Writable, False),
    "map_output_key_class": (WritableComparable, True),
    "map_output_value_class": (Writable, True),
}

_CALLS: Mapping[type, Mapping[str, tuple[str, ...]]] = {
    # What each method is called with, beside `self`.
    Mapper: {
        "setup": ("the context",),
        "map": ("a key", "a value", "the context"),
        "cleanup": ("the context",),
        "run": ("the context",),
    },
    Reducer: {
        "setup": ("the context",),
        "reduce": ("a key", "its values", "the context"),
        "cleanup": ("the context",),
        "run": ("the context",),
    },
    Partitioner: {"get_partition": ("a key", "a value", "the number of partitions")},
    WritableComparator: {"compare": ("a key", "another key")},
    Writable: {"write": ()},
    WritableComparable: {"write": (), "compare_to": ("another key",), "hash_code": ()},
}
_HAVE_TO_BE_GIVEN = (Partitioner.get_partition, WritableComparator.compare)


def found(setter: str, given: Any, base: type, wrong: list[str]) -> Any:
    """The class that was given, perhaps by name; None if it is wrong, and `wrong` says why."""
    if isinstance(given, str):
        try:
            given = pkgutil.resolve_name(given)
        except (ImportError, AttributeError, ValueError) as error:
            wrong.append(f"{setter}: {given!r} can't be found: {error}")
            return None
    if given is None:
        return None
    if not (isinstance(given, type) and issubclass(given, base)):
        what = given.__qualname__ if isinstance(given, type) else repr(given)[:60]
        wrong.append(f"{setter} takes a class derived from {base.__name__}, not {what}")
        return None
    faults = list(_faults(given, base))
    wrong += [f"{setter}: {fault}" for fault in faults]
    return None if faults else given


def _faults(kind: type, base: type) -> Iterable[str]:
    """What is wrong with a class that is of the right kind."""
    check = check_holds if issubclass(kind, Writable) else calling.check_takes
    if fault := _fault_of(check, kind):
        yield fault
    for name, given in _CALLS[base].items():
        method = calling.as_of_object(kind, name)
        if getattr(kind, name) in _HAVE_TO_BE_GIVEN and not issubclass(kind, TotalOrderPartitioner):
            yield f"{kind.__qualname__} lacks {name}"
        elif fault := _fault_of(calling.check_takes, method, *given):
            yield fault
        elif inspect.isgeneratorfunction(method):
            yield (
                f"{place_of(method)} has a yield, so calling it runs nothing: pairs are given by "
                "context.write(key, value)"
            )


def _fault_of(check: Callable[..., object], *given: Any) -> str:
    try:
        check(*given)
    except JobError as error:
        return str(error)
    return ""
