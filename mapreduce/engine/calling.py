"""Where user code is called: mappers over batches of records, reducers over groups of values.

Nothing here knows of a store. What comes out are iterators of pairs; user code runs as these are
read. Records and pairs pass through iterators of C code: no Python but the user's own runs for
each. What was being done when something failed is found out afterwards (`explained`).
"""

import contextlib
import functools
import inspect
import itertools
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

from dynamo.errors import DynamoError
from mapreduce.api import (
    MAP_METHODS,
    REDUCE_METHODS,
    Context,
    Mapper,
    Pair,
    PartitionReducer,
    Reducer,
    check_methods,
    method_of,
)
from mapreduce.data.formats import Batch
from mapreduce.data.shuffle import Group
from mapreduce.errors import BadPair, JobError, NotAPair, is_pair, place_of

_NO_PAIRS: tuple[Pair, ...] = ()
BATCHES_AT_ONCE = 4
"""So many batches, 1 MiB of text each, come to one call of `map_batch`."""
_SHOWN_CHARACTERS = 120
_GIVEN = {
    "map": ("a key", "a value"),
    "map_batch": ("the records",),
    "map_all": ("the records",),
    "reduce": ("a key", "its values"),
    "reduce_all": ("the groups",),
}
"""What methods are called with."""


def made(make: Callable[[], Any], context: Context) -> Any:
    """A user's object for one task."""
    check_takes(make)
    user = make()
    user.context = context
    return user


def map_pairs(mapper: Any, batches: Iterable[Batch]) -> Iterator[Pair]:
    """All that a mapper yields, returns or emits for some records.

    A mapper that has `map_all` is called once, one that has `map_batch` once for some batches, any
    other once for each record.
    """
    check_methods(mapper, Mapper)
    context: Context = mapper.context
    name = method_of(mapper, MAP_METHODS)
    method = getattr(mapper, name)
    check_takes(method, *_GIVEN[name])
    current: list[Batch] = []
    context.where = functools.partial(_where_in_batch, method, context, current)
    _set_up(mapper)

    def each_batch() -> Iterator[Iterator[Pair]]:
        for batch in batches:
            current[:] = [batch]
            yield batch.pairs
            _check_yielded(method, context)
        current.clear()

    call = _many(method, context)
    each, flat = each_batch(), itertools.chain.from_iterable
    results: Iterator[Iterable[Pair]]
    match name:
        case "map_all":
            results = iter((call(flat(each)),))
        case "map_batch":
            results = map(call, _joined(each))
        case _:
            results = itertools.starmap(call, flat(each))
    return itertools.chain(_drained(context), itertools.chain.from_iterable(results), _end(mapper))


def _joined(batches: Iterator[Iterator[Pair]]) -> Iterator[Iterator[Pair]]:
    """Several batches as one, each read when its turn comes: what a mapper gives for a batch, such
    as a count of its words, is less for a large one."""
    for batch in batches:
        more = itertools.islice(batches, BATCHES_AT_ONCE - 1)
        yield itertools.chain(batch, itertools.chain.from_iterable(more))


def reduce_pairs(reducer: Any, groups: Iterable[Group], counters: Counter[str]) -> Iterator[Pair]:
    """All that a reducer yields, returns or emits for groups of values."""
    check_methods(reducer, Reducer)
    context: Context = reducer.context
    name = method_of(reducer, REDUCE_METHODS)
    method = getattr(reducer, name)
    check_takes(method, *_GIVEN[name])
    current: list[Any] = []
    context.where = functools.partial(_where_in_group, method, current)
    _set_up(reducer)

    def each_group() -> Generator[Group, None, None]:
        count = 0
        try:
            for group in groups:
                current[:] = group
                count += 1
                yield group
        finally:
            counters["reduce_input_groups"] += count
        current.clear()
        _check_yielded(method, context)

    call, each = _many(method, context), each_group()
    results = map(call, [each]) if name == "reduce_all" else itertools.starmap(call, each)
    pairs = itertools.chain.from_iterable(results)
    return itertools.chain(_drained(context), pairs, _closed(each), _end(reducer))


def _closed(groups: Generator[Group, None, None]) -> Iterator[Pair]:
    """Ends the groups, of which `reduce_all` may have left some; gives nothing."""
    groups.close()
    yield from ()


def reduce_method(reducer: Any) -> Callable[[Any, Iterator[Any]], Iterable[Pair]]:
    """The `reduce` of a combiner, made to give an iterable always; `setup` has been called."""
    check_methods(reducer, Reducer)
    _set_up(reducer)
    check_takes(reducer.reduce, *_GIVEN["reduce"])
    return _many(reducer.reduce, reducer.context)


def checked(given: Any) -> Pair:
    """What user code gave, if it is a pair; `NotAPair` if not."""
    if not is_pair(given):
        raise NotAPair(given)
    return given[0], given[1]


# What methods give -------------------------------------------------------------------------------


def _many(
    method: Callable[..., Iterable[Pair] | None], context: Context
) -> Callable[..., Iterable[Pair]]:
    """A user's method so that it always gives an iterable: all that it returns and has emitted."""
    if inspect.isgeneratorfunction(method):
        return method
    emitted = context.emitted

    @functools.wraps(method)
    def called(*given: Any) -> Iterable[Pair]:
        pairs = method(*given)
        if pairs is None:
            pairs = _NO_PAIRS
        elif not hasattr(pairs, "__iter__"):
            raise BadPair(f"{_shown(pairs)} is no list of pairs: return pairs, or None")
        if emitted:
            pairs = itertools.chain(_drained(context), pairs)
        return pairs

    return called


def _drained(context: Context) -> list[Pair]:
    emitted = context.emitted.copy()
    context.emitted.clear()
    return emitted


def _check_yielded(method: Callable[..., Any], context: Context) -> None:
    """A method that yields can't emit as well: which of the pairs comes first?"""
    if context.emitted and inspect.isgeneratorfunction(method):
        raise BadPair(
            f"the pair {_shown(context.emitted[0])} was emitted by a method that is a generator, "
            "as it has a yield: write yield key, value there too, or make it no generator"
        ).late()


def _set_up(user: Any) -> None:
    if inspect.isgeneratorfunction(user.setup):
        raise JobError(
            f"{place_of(user.setup)} has a yield, so calling it runs nothing: setup prepares, "
            "pairs are for the other methods"
        )
    user.setup()


def check_class(kind: type, base: type[Mapper] | type[Reducer]) -> None:
    """Raise `JobError` for a class that is no mapper or reducer, can't be made without arguments,
    or whose methods take something else than they are called with."""
    check_methods(kind, base)
    check_takes(kind)
    name = method_of(kind, REDUCE_METHODS if base is Reducer else MAP_METHODS)
    check_takes(as_of_object(kind, name), *_GIVEN[name])
    if issubclass(kind, PartitionReducer):
        check_takes(as_of_object(kind, "reduce"), "a piece")


def as_of_object(kind: type, name: str) -> Callable[..., Any]:
    """A method of a class as if of an object of it, of which none is made."""
    raw = inspect.getattr_static(kind, name)
    found: Callable[..., Any] = getattr(kind, name)
    return raw.__get__(object(), kind) if inspect.isfunction(raw) else found


def check_takes(method: Callable[..., Any], *given: str) -> None:
    """Raise `JobError` if something can't be called so. C code calls it: an error there would name
    nothing that the user has written."""
    if _plainly_takes(method, len(given)):
        return
    try:
        signature = inspect.signature(method)
    except ValueError:
        return  # a method that tells of no parameters
    try:
        signature.bind(*given)
    except TypeError as error:
        what = " and ".join(given) or "nothing"
        raise JobError(
            f"{place_of(method)} is called with {what}, and it takes {signature}: {error}"
        ) from None


def _plainly_takes(method: Callable[..., Any], count: int) -> bool:
    """True for what certainly takes so many arguments: a plain function or method, or a class that
    takes none. To ask for a signature takes longer than all else of a small task."""
    if isinstance(method, type):
        own = ("__init__", "__new__")
        is_bare = all(getattr(method, name) is getattr(object, name) for name in own)
        return is_bare and type(method) is type and count == 0
    function = getattr(method, "__func__", method)
    code = getattr(function, "__code__", None)
    if code is None or code.co_kwonlyargcount:
        return False
    count += function is not method  # `self`
    defaults = getattr(function, "__defaults__", None) or ()
    return bool(code.co_argcount - len(defaults) <= count <= code.co_argcount)


def _end(user: Any) -> Iterator[Pair]:
    """What is left after the last record or group."""
    yield from _drained(user.context)
    yield from _many(user.cleanup, user.context)()
    yield from _drained(user.context)


# What was being done -----------------------------------------------------------------------------


@contextlib.contextmanager
def explained(context: Context, seek: Callable[[BadPair], str] | None = None) -> Iterator[None]:
    """Let errors say where they come from: the user's method with its file and line, the input, and
    the record. Those of user code get it as a note, and are the same otherwise.

    `seek` finds that for a pair which is seen to be wrong when its record has gone by, or gives "".
    """
    try:
        yield
    except BadPair as error:
        if context.where is not None:
            found = "" if error.is_current or seek is None else seek(error)
            error.args = (f"{error}\n  {found or context.where(error.is_current)}",)
        raise
    except Exception as error:
        # A `JobError` itself is what the methods of the context raise.
        is_users = type(error) is JobError or not isinstance(error, DynamoError)
        is_told = any(note.startswith("in ") for note in getattr(error, "__notes__", ()))
        if context.where is not None and is_users and not is_told:
            error.add_note(context.where(True))
        raise


def _where_in_batch(
    method: Callable[..., Any], context: Context, current: list[Batch], with_record: bool
) -> str:
    if not with_record:
        return f"in {place_of(method)}" + (f", over {context.input!r}" if context.input else "")
    record = current[0].current() if current else None
    if record is None:
        return _outside(method)
    key, value = record
    of = f" of {context.input!r}" if context.input else ""
    return f"in {place_of(method)}, at the record ({_shown(key)}, {_shown(value)}){of}"


def _where_in_group(method: Callable[..., Any], current: list[Any], with_record: bool) -> str:
    if not with_record:
        return f"in {place_of(method)}"
    if not current:
        return _outside(method)
    return f"in {place_of(method)}, at the key {_shown(current[0])}"


def _outside(method: Callable[..., Any]) -> str:
    method = getattr(method, "__wrapped__", method)
    code = getattr(method, "__code__", None)
    owner = getattr(method, "__self__", None)
    kind = type(owner).__qualname__ if owner else method.__qualname__.rpartition(".")[0]
    where = f" ({code.co_filename})" if code else ""
    return f"in {kind}{where}, before its first record or after its last"


def _shown(value: Any) -> str:
    """A value in few characters, however large it is."""
    text = repr(value[: 2 * _SHOWN_CHARACTERS] if isinstance(value, str | bytes) else value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
