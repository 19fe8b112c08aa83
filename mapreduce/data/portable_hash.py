"""The same partition and the same order for a key on every machine and in every process.

Python's own `hash` of a text differs from process to process. Here a key is written down in one
form that equal keys share (1 == 1.0 == Decimal(1)), and that form is hashed with CRC-32.

A key is any hashable object that can be pickled and is equal to itself after that. None, numbers,
texts, bytes, dates and times, UUIDs, tuples and frozensets are written by their value, members of
an Enum and classes by name, dataclasses by the fields they compare, objects of other classes by
what a pickle holds of them; of classes only the name counts, not the module. Objects that are equal
have to hold equal things: where a class sees that differently, the job needs a partitioner of its
own.
"""

import dataclasses
import math
import numbers
from collections.abc import Collection, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from operator import itemgetter
from typing import Any
from uuid import UUID
from zlib import crc32

Order = tuple[Any, ...]
Shape = frozenset[type] | tuple[Any, ...]
"""Of which types some keys are; for tuples of one length that of each place."""

MIXED: Shape = frozenset([object])
_BYTES = crc32(b"b")
"""What `written` puts before bytes."""
_NUMBERS = frozenset([int, bool, float])
_UNORDERED = vars(object)["__lt__"]
_PLAIN = {frozenset([one]) for one in (str, bytes, Decimal, Fraction, date, timedelta, UUID)}


# Partitions --------------------------------------------------------------------------------------


def portable_hash(key: Any) -> int:
    """A number from 0 to 2**32 - 1 that equal keys share, everywhere.

    Raises TypeError for what can't be a key.

    >>> portable_hash("whale"), portable_hash(1) == portable_hash(1.0) == portable_hash(True)
    (3469149253, True)
    """
    return crc32(written(key))


def partition_of(key: Any, partitions: int) -> int:
    """The partition of a key: the default partitioner."""
    return portable_hash(key) % partitions


def partitions_of(keys: Collection[Any], partitions: int) -> list[int]:
    """The partition of each key; the same as `partition_of`, and quick for texts and bytes."""
    kinds = set(map(type, keys))
    if kinds == {str}:
        return [crc32(key.encode("utf-8", "surrogatepass")) % partitions for key in keys]
    if kinds == {bytes}:
        return [crc32(key, _BYTES) % partitions for key in keys]
    return [crc32(written(key)) % partitions for key in keys]


def has_partition(key: Any) -> bool:
    """False for what can't be a key."""
    try:
        written(key)
    except TypeError:
        return False
    return True


def written(key: Any) -> bytes:
    """One form that equal keys share; within a type only those. TypeError where there is none."""
    if isinstance(key, str):
        return key.encode("utf-8", "surrogatepass")
    if isinstance(key, bytes):
        return b"b" + key
    if isinstance(key, int | float):
        return _written_number(key)
    if key is None:
        return b"n"
    if isinstance(key, tuple):
        return b"t" + _joined(map(written, key))
    if isinstance(key, frozenset):
        return b"s" + _joined(sorted(map(written, key)))
    return _written_other(key)


def _written_number(key: int | float | Fraction) -> bytes:
    if isinstance(key, float):
        if math.isnan(key):
            raise TypeError("nan can't be a key: it does not equal itself")
        if math.isinf(key):
            return b"f+" if key > 0 else b"f-"
    top, bottom = key.as_integer_ratio()
    if bottom == 1:
        return b"i" + _written_int(top)
    return b"q" + _joined((_written_int(top), _written_int(bottom)))


def _written_int(number: int) -> bytes:
    return number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True)


def _written_other(key: Any) -> bytes:
    """The form of what is neither text nor int, float or container."""
    kind = type(key)
    if isinstance(key, numbers.Number):
        return _written_strange_number(key)
    if isinstance(key, date | time | timedelta):
        return b"d" + _time_of(key)
    if isinstance(key, UUID):
        return b"U" + key.bytes
    if isinstance(key, Enum):
        return b"e" + _joined((kind.__qualname__.encode(), written(key.value)))
    if isinstance(key, type):
        return b"c" + key.__qualname__.encode()
    if _compares_fields(kind):
        return b"o" + _joined((kind.__qualname__.encode(), *map(written, _fields(key))))
    return _written_object(key)


def _written_strange_number(key: Any) -> bytes:
    """Decimal, Fraction, complex, and the numbers of libraries such as numpy."""
    if isinstance(key, complex):
        if key.imag:
            return b"j" + _joined(map(written, (key.real, key.imag)))
        return written(key.real)
    if isinstance(key, numbers.Integral):
        return _written_number(int(key))
    exact = hasattr(key, "as_integer_ratio") and math.isfinite(key)
    return _written_number(Fraction(*key.as_integer_ratio()) if exact else float(key))


def _time_of(key: Any) -> bytes:
    """One form for each moment: those with a time zone are equal wherever they were noted."""
    if isinstance(key, date | timedelta) and not isinstance(key, datetime):
        return repr(key).encode()
    clock = timedelta(hours=key.hour, minutes=key.minute, seconds=key.second)
    day = key.toordinal() if isinstance(key, datetime) else 0
    offset = key.replace(fold=0).utcoffset()
    moment = timedelta(day) + clock - (offset or timedelta())
    kind = "datetime" if isinstance(key, datetime) else "time"
    return f"{kind} {moment!r} {key.microsecond} {offset is None}".encode()


def _written_object(key: Any) -> bytes:
    """An object of any class, by what a pickle of it holds."""
    kind = type(key)
    if kind.__hash__ is None:
        raise TypeError(f"{_shown(key)} can't be a key: a {kind.__qualname__} is not hashable")
    if getattr(kind, "__eq__") is object.__eq__:  # noqa: B009
        raise TypeError(
            f"{_shown(key)} of the class {kind.__qualname__} can't be a key: it equals nothing but "
            "itself, so not even its own copy in another process; give the class __eq__ and "
            "__hash__ (a frozen dataclass has both)"
        )
    try:
        _, arguments, *state = key.__reduce_ex__(4)[:3]
        return b"o" + _joined((kind.__qualname__.encode(), *map(_written_part, (arguments, state))))
    except (TypeError, ValueError, AttributeError) as error:
        raise TypeError(
            f"{_shown(key)} of the class {kind.__qualname__} has no form that is the same in every "
            f"process ({error}): give the job a partitioner of its own, and a sort_key"
        ) from None


def _written_part(part: Any) -> bytes:
    """What an object holds: it may hold what could not be a key."""
    if isinstance(part, list | tuple):
        return b"l" + _joined(map(_written_part, part))
    if isinstance(part, dict):
        entries = ((_written_part(name), _written_part(held)) for name, held in part.items())
        return b"m" + _joined(sorted(map(_joined, entries)))
    if isinstance(part, set):
        return b"s" + _joined(sorted(map(_written_part, part)))
    return written(part)


def _joined(parts: Iterable[bytes]) -> bytes:
    """Each with its length before it, so that ("ab", "c") and ("a", "bc") differ."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def _compares_fields(kind: type) -> bool:
    """True for a dataclass whose equality is the one that `dataclass` made."""
    made = getattr(kind, "__dataclass_params__", None)
    return made is not None and made.eq and "__dataclass_params__" in vars(kind)


def _fields(key: Any) -> list[Any]:
    return [getattr(key, field.name) for field in dataclasses.fields(key) if field.compare]


def _shown(key: Any) -> str:
    return repr(key)[:60]


# Order -------------------------------------------------------------------------------------------


def sorted_keys(keys: Collection[Any]) -> list[Any]:
    """Distinct keys in the order in which reducers see them.

    That is Python's own order where it has one for all of them; keys of different types are
    ordered by type, as in `order`.

    >>> sorted_keys([(2, "b"), "a", 3, None])
    [None, 3, 'a', (2, 'b')]
    """
    return sorted(keys) if is_plain(shape_of(keys)) else sorted(keys, key=order)


def shape_of(keys: Collection[Any]) -> Shape:
    """The shape of some keys.

    >>> shape_of([("a", 1), ("b", 2)]) == (frozenset([str]), frozenset([int]))
    True
    """
    types = set(map(type, keys))
    if types != {tuple}:
        return frozenset(types)
    lengths = set(map(len, keys))
    if len(lengths) > 1:
        return MIXED
    return tuple(shape_of(list(map(itemgetter(place), keys))) for place in range(lengths.pop()))


def common_shape(one: Shape, other: Shape) -> Shape:
    """The shape of keys of two shapes together."""
    if isinstance(one, frozenset) and isinstance(other, frozenset):
        return one | other
    if isinstance(one, tuple) and isinstance(other, tuple) and len(one) == len(other):
        return tuple(map(common_shape, one, other))
    return MIXED


def is_plain(shape: Shape) -> bool:
    """True if Python orders keys of this shape by itself as `order` does."""
    if isinstance(shape, tuple):
        return all(map(is_plain, shape))
    return shape <= _NUMBERS or shape in _PLAIN


def order(key: Any) -> Order:
    """What keys of any types are sorted by; equal for equal keys and only for those.

    Raises TypeError for what has no order. Two results can be compared, unless they are of objects
    of a class whose own `<` fails.
    """
    if isinstance(key, str):
        return 2, key
    if isinstance(key, bytes):
        return 3, key
    if isinstance(key, numbers.Real):
        return 1, key
    if key is None:
        return (0,)
    if isinstance(key, tuple):
        return 4, tuple(map(order, key))
    if isinstance(key, frozenset):
        return 5, tuple(sorted(map(order, key)))
    if isinstance(key, Decimal):
        return 1, Fraction(key) if key.is_finite() else float(key)
    return _order_of_object(key)


def _order_of_object(key: Any) -> Order:
    """Objects are ordered by the names of their classes, and within a class by its own order."""
    kind = type(key)
    name = kind.__qualname__
    if isinstance(key, datetime | time) and key.utcoffset() is not None:
        return 6, f"{name} with time zone", key
    if getattr(kind, "__lt__", None) is not _UNORDERED:
        return 6, name, key
    if isinstance(key, Enum):
        return 6, name, order(key.value)
    if _compares_fields(kind):
        return 6, name, tuple(map(order, _fields(key)))
    raise TypeError(
        f"objects of the class {name} have no order, such as {_shown(key)}: "
        "give the class __lt__, or the job a sort_key"
    )
