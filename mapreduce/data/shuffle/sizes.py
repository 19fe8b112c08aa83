"""How much memory Python objects take, estimated from a few of them.

Sizes are those of the objects, not of their pickles: a pair of 12 bytes in a block is 150 in
memory. The same objects in the same order give the same estimates, so a task spills at the same
places whenever it runs.
"""

import sys
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

POINTER_BYTES = 17
"""What a list takes for each element, with the room in which it grows, and its copy while a run is
written."""
LIST_BYTES = 104
"""What a short list takes beside its elements, with the place of its key in a dict."""
_LEAVES = (str, bytes, int, float, type(None))
_LOOK_AT = 64
"""Of long containers this many elements stand for all."""
_DEPTH = 8


def deep_size(value: Any, depth: int = _DEPTH) -> int:
    """The bytes that an object takes with all that it holds, about.

    >>> deep_size(["x" * 1000] * 3) > 3000
    True
    """
    size: int = sys.getsizeof(value, 64)
    if isinstance(value, _LEAVES) or depth == 0:
        return size
    if isinstance(value, dict):
        return size + _sizes(value, depth) + _sizes(value.values(), depth, len(value))
    if isinstance(value, list | tuple | set | frozenset):
        return size + _sizes(value, depth)
    held = getattr(value, "__dict__", None)
    slots = getattr(type(value), "__slots__", ())
    names = (slots,) if isinstance(slots, str) else slots
    return (
        size
        + deep_size(held, depth - 1) * (held is not None)
        + sum(deep_size(getattr(value, name, None), depth - 1) for name in names)
    )


def _sizes(values: Iterable[Any], depth: int, count: int | None = None) -> int:
    sizes = [deep_size(value, depth - 1) for value in islice(values, _LOOK_AT)]
    total = len(values) if count is None else count  # type: ignore[arg-type]
    return sum(sizes) * total // max(len(sizes), 1)


def sampled_size(values: Sequence[Any], samples: int = 8) -> int:
    """The bytes of all values together, estimated from some that lie evenly between them."""
    if not values:
        return 0
    some = values[:: max(1, len(values) // samples)]
    return sum(map(deep_size, some)) * len(values) // len(some)


class Mean:
    """The mean size of what has been looked at so far."""

    def __init__(self) -> None:
        self._total = self._count = 0

    def add(self, value: Any) -> int:
        """Look at one more; returns its size."""
        size = deep_size(value)
        self._total += size
        self._count += 1
        return size

    @property
    def size(self) -> int:
        return self._total // max(self._count, 1)
