"""The same partition and the same order for a key on every machine and in every process.

Python's own `hash` of a text differs from process to process. Here a key is written down in one
form that equal keys share (1 == 1.0 == True), and that form is hashed with CRC-32.

Keys are None, numbers, texts, bytes, and tuples and frozensets of keys.
"""

import math
import struct
from collections.abc import Collection, Iterable
from typing import Any
from zlib import crc32

Order = tuple[Any, ...]

_PLAIN = ({str}, {bytes})
_NUMBERS = {int, bool, float}


def portable_hash(key: Any) -> int:
    """A number from 0 to 2**32 - 1 that equal keys share, everywhere.

    Raises TypeError for what can't be a key.

    >>> portable_hash("whale"), portable_hash(1) == portable_hash(1.0) == portable_hash(True)
    (3469149253, True)
    """
    if type(key) is str:
        return crc32(key.encode("utf-8", "surrogatepass"))
    return crc32(_written(key))


def partition_of(key: Any, partitions: int) -> int:
    """The partition of a key: the default partitioner."""
    return portable_hash(key) % partitions


def sorted_keys(keys: Collection[Any]) -> list[Any]:
    """Distinct keys in the order in which reducers see them.

    That is Python's own order where it has one for all of them; keys of different types are
    ordered by type, as in `order`.

    >>> sorted_keys([(2, "b"), "a", 3, None])
    [None, 3, 'a', (2, 'b')]
    """
    return sorted(keys) if is_plain(set(map(type, keys))) else sorted(keys, key=order)


def is_plain(types: set[type]) -> bool:
    """True if Python orders keys of these types by itself as `order` does."""
    return types in _PLAIN or types <= _NUMBERS


def order(key: Any) -> Order:
    """What keys of any types are sorted by; equal for equal keys and only for those."""
    if isinstance(key, str):
        return 2, key
    if isinstance(key, bytes):
        return 3, key
    if isinstance(key, int | float):
        return 1, key
    if key is None:
        return (0,)
    if isinstance(key, tuple):
        return 4, tuple(map(order, key))
    if isinstance(key, frozenset):
        return 5, tuple(sorted(map(order, key)))
    raise _no_key(key)


def _written(key: Any) -> bytes:
    """One form that equal keys share."""
    if isinstance(key, str):
        return key.encode("utf-8", "surrogatepass")
    if isinstance(key, bytes):
        return b"b" + key
    if isinstance(key, int | float):
        return _written_number(key)
    if key is None:
        return b"n"
    if isinstance(key, tuple):
        return b"t" + _joined(map(_written, key))
    if isinstance(key, frozenset):
        return b"s" + _joined(sorted(map(_written, key)))
    raise _no_key(key)


def _written_number(key: int | float) -> bytes:
    if isinstance(key, float) and not key.is_integer():
        if math.isnan(key):
            raise TypeError("nan can't be a key: it does not equal itself")
        return b"f" + struct.pack(">d", key)
    whole = int(key)
    return b"i" + whole.to_bytes(whole.bit_length() // 8 + 1, "big", signed=True)


def _joined(parts: Iterable[bytes]) -> bytes:
    """Each with its length before it, so that ("ab", "c") and ("a", "bc") differ."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def _no_key(key: Any) -> TypeError:
    return TypeError(
        f"{key!r} of type {type(key).__name__} can't be a key: keys are None, numbers, texts, "
        "bytes, and tuples and frozensets of these"
    )
