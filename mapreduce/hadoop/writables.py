"""Typed keys and values: `IntWritable`, `Text` and their kin, and classes of the user's own.

On its way a Writable is what it holds, of Python's own types: an int, a text, a tuple of fields.
`write` gives that and `read_fields` makes the object again. So the shuffle pickles, sorts, hashes
and partitions plain values, as quickly as in any job and the same on every machine, and an object
may be changed and written again, as Hadoop's programs do.
"""

import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any, ClassVar, Self

from mapreduce.errors import JobError


class Writable:
    """The base of values. A dataclass is written as the tuple of its fields, which may be Writables
    themselves; any other class has to define `write` and `read_fields`.

    >>> @dataclasses.dataclass
    ... class Visit(Writable):
    ...     page: Text
    ...     seconds: float
    >>> Visit(Text("/home"), 1.5).write()
    ('/home', 1.5)
    >>> Visit.read_fields(('/home', 1.5))
    Visit(page=Text('/home'), seconds=1.5)
    >>> Visit(Text("/home"), 1.5).output()
    '/home\\t1.5'
    """

    __slots__ = ()

    def write(self) -> Any:
        """What the object holds, of Python's own types."""
        return tuple(
            getattr(self, name) if kind is None else getattr(self, name).write()
            for name, kind in _fields_of(type(self))
        )

    @classmethod
    def read_fields(cls, written: Any) -> Self:
        """The object of which `write` gave this."""
        fields = zip(_fields_of(cls), written)
        given = (held if kind is None else kind.read_fields(held) for (_, kind), held in fields)
        return cls(*given)

    def output(self) -> Any:
        """What formats of text write of it: its own `str`."""
        return str(self)

    def __str__(self) -> str:
        return "\t".join(str(getattr(self, name)) for name, _ in _fields_of(type(self)))


class WritableComparable(Writable):
    """The base of keys. A dataclass is ordered by its fields, the first one first; a class with a
    `compare_to` by that, and keys for which it gives 0 come to one call of `reduce`.

    >>> @dataclasses.dataclass
    ... class Temperature(WritableComparable):
    ...     city: str
    ...     celsius: float
    ...     def compare_to(self, other):
    ...         return other.celsius - self.celsius
    >>> rank = rank_of(Temperature)
    >>> sorted([("Oslo", 3.5), ("Rome", 17.0)], key=rank)
    [('Rome', 17.0), ('Oslo', 3.5)]
    """

    __slots__ = ()

    def compare_to(self, other: Any) -> int:
        """Less than 0 if this comes before `other`, more than 0 if after, 0 if they are one key."""
        mine, theirs = self.write(), other.write()
        return int(mine > theirs) - int(mine < theirs)

    def hash_code(self) -> int:
        """The partition is this modulo their number: any int, equal for keys that are one key, and
        the same in every process, which Python's own `hash` is not. Not called unless a class
        defines its own: the hash is that of what `write` gives."""
        raise NotImplementedError

    def __lt__(self, other: Any) -> bool:
        return self.compare_to(other) < 0


Rank = Callable[[Any], Any]
"""Of a written key what it is sorted by."""


def rank_of(kind: type[WritableComparable]) -> Rank | None:
    """What keys of a class are sorted by; None where what is written has that order itself."""
    if kind.compare_to is not WritableComparable.compare_to:
        return Ranked(kind, kind.compare_to)
    if kind.__lt__ is not WritableComparable.__lt__:
        return Ranked(kind, _by_less)
    return None


@dataclasses.dataclass(frozen=True)
class Ranked:
    """What written keys of a class are sorted by, if `compare` says how the objects are."""

    kind: type[Writable]
    compare: Callable[[Any, Any], int]

    def __call__(self, written: Any) -> Any:
        return functools.cmp_to_key(self.compare)(self.kind.read_fields(written))


def _by_less(one: Any, other: Any) -> int:
    return int(other < one) - int(one < other)


def reader_of(kind: type[Writable]) -> Callable[[Any], Any]:
    """What makes objects of what was written, with as few calls as there can be."""
    is_plain = issubclass(kind, _Box) and kind.__init__ is _Box.__init__
    own = vars(kind).get("read_fields")
    return kind if is_plain and own is None else kind.read_fields


_Fields = tuple[tuple[str, type[Writable] | None], ...]


def _find_fields(kind: Any) -> _Fields:
    """The fields of a dataclass, each with its class if that is a Writable."""
    name = kind.__qualname__
    if not dataclasses.is_dataclass(kind):
        raise JobError(
            f"nothing says what {name} holds: make it a dataclass, or give it "
            "write(self) and a classmethod read_fields(cls, written)"
        )
    try:
        hints = typing.get_type_hints(kind)
    except NameError as error:
        raise JobError(
            f"the classes of {name}'s fields can't be told: {error}; define that at the top level "
            f"of the module, without `from __future__ import annotations`, or give {name} write "
            "and read_fields"
        ) from None
    kinds = (hints[field.name] for field in dataclasses.fields(kind))
    return tuple(
        (field.name, hint if isinstance(hint, type) and issubclass(hint, Writable) else None)
        for field, hint in zip(dataclasses.fields(kind), kinds)
    )


_fields_of: Callable[[Any], _Fields] = functools.cache(_find_fields)


def check_holds(kind: type[Writable]) -> None:
    """Raise `JobError` for a class of which nothing says what it holds, or how it is read."""
    read = inspect.getattr_static(kind, "read_fields")
    if not isinstance(read, classmethod | staticmethod):
        raise JobError(
            f"{kind.__qualname__}.read_fields fills no object, it makes one: "
            "@classmethod def read_fields(cls, written)"
        )
    if kind.write is not Writable.write and read is not vars(Writable)["read_fields"]:
        return
    for _, field in _fields_of(kind):
        if field is not None:
            check_holds(field)


# Hadoop's own ------------------------------------------------------------------------------------


class _Box(WritableComparable):
    """One value of a type of Python's, with Hadoop's `get` and `set`."""

    __slots__ = ("value",)
    default: ClassVar[Any] = None
    holds: ClassVar[type] = object

    def __init__(self, value: Any = None) -> None:
        self.value = self.default if value is None else value

    def get(self) -> Any:
        return self.value

    def set(self, value: Any) -> None:
        self.value = value

    def write(self) -> Any:
        if type(self.value) is not self.holds:
            self._complain(f"a {self.holds.__name__}")
        return self.value

    @classmethod
    def read_fields(cls, written: Any) -> Self:
        return cls(written)

    def output(self) -> Any:
        return self.write()

    def _complain(self, wanted: str) -> typing.NoReturn:
        raise JobError(f"{_article(type(self))} holds {wanted}, not {repr(self.value)[:60]}")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.value == other.value

    def __hash__(self) -> int:
        return hash(self.value)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.value,)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.value!r})"

    def __str__(self) -> str:
        return str(self.value)


def _article(kind: type) -> str:
    return f"{'an' if kind.__name__[0] in 'AEIOU' else 'a'} {kind.__name__}"


class Text(_Box):
    """A text. Order is by code points, which is that of the bytes of UTF-8, as in Hadoop.

    >>> word = Text("whale")
    >>> word.set("sea")
    >>> word, str(word)
    (Text('sea'), 'sea')
    """

    __slots__ = ()
    default = ""
    holds = str


class LongWritable(_Box):
    """An int of 64 bits."""

    __slots__ = ()
    default = 0
    holds = int
    _limit: ClassVar[int] = 1 << 63

    def write(self) -> Any:
        value = self.value
        if type(value) is not int or not -self._limit <= value < self._limit:
            self._complain(f"an int of {self._limit.bit_length()} bits")
        return value

    def __int__(self) -> int:
        return int(self.value)


class IntWritable(LongWritable):
    """An int of 32 bits; more is an error, where Java would begin again at the other end.

    >>> IntWritable(1 << 31).write()
    Traceback (most recent call last):
        ...
    mapreduce.errors.JobError: an IntWritable holds an int of 32 bits, not 2147483648
    """

    __slots__ = ()
    _limit = 1 << 31


class DoubleWritable(_Box):
    """A float. In text it is written as Python does: 1e+16 where Java has 1.0E16."""

    __slots__ = ()
    default = 0.0
    holds = float

    def __float__(self) -> float:
        return float(self.value)


class BooleanWritable(_Box):
    """True or false, which is also how text has it."""

    __slots__ = ()
    default = False
    holds = bool

    def output(self) -> Any:
        return str(self)

    def __str__(self) -> str:
        return "true" if self.value else "false"


class BytesWritable(_Box):
    """Bytes."""

    __slots__ = ()
    default = b""
    holds = bytes


class NullWritable(_Box):
    """Nothing; text has neither it nor the tab beside it."""

    __slots__ = ()
    holds = type(None)

    @staticmethod
    def get() -> "NullWritable":
        """The one that is enough."""
        return _NULL

    def __str__(self) -> str:
        return "(null)"


_NULL = NullWritable()

_FOR: dict[type, type[Writable]] = {
    kind.holds: kind
    for kind in (Text, LongWritable, DoubleWritable, BooleanWritable, BytesWritable, NullWritable)
}


def wrapped(value: Any) -> Any:
    """What an input format gives, typed: lines are Text, positions LongWritable; rows of formats
    that have them stay as they are.

    >>> wrapped(7), wrapped("line"), wrapped(["a", "row"])
    (LongWritable(7), Text('line'), ['a', 'row'])
    """
    kind: Any = _FOR.get(type(value))
    return value if kind is None else kind(value)
