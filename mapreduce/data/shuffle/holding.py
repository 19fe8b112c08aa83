"""The pairs that a map task holds in memory, by key: what all ways of holding them share.

    Counted  while every value is one and the same object, the 1 of a word count: how often
    Folded   with a `Fold`: one value of each key                      (both in `counting`)
    Listed   else: a list of values
    Paired   where hardly two pairs have the same key: the pairs as they came    (`listing`)

The loops of these are what a job spends its time in. They take pairs from the mapper, 4,096 at a
time, each taken apart as it comes, and look at the size of one of these: enough to know a text from
a picture. An error that is raised in a loop itself, not in user code below it, is due to what the
mapper gave.
"""

import operator
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mapreduce.api import Pair
from mapreduce.data.shuffle.blocks import Values
from mapreduce.data.shuffle.sizes import Mean
from mapreduce.errors import BadPair, NotAPair, is_pair

LOOK_PAIRS = 4096
"""One in as many pairs is looked at."""
NOTHING: Any = object()
"""What is held of a key that has not come yet."""
_HERE = Path(__file__).parent

Rest = Iterator[Pair] | None
"""The pairs that have not been taken; None if there are no more."""


class Holding(ABC):
    """Pairs in memory."""

    def __init__(self) -> None:
        self.combine_input_records = 0
        self.combine_output_records = 0
        self._keys = Mean()

    @property
    @abstractmethod
    def groups(self) -> dict[Any, Any]:
        """What is held of each key."""

    @property
    @abstractmethod
    def records(self) -> int:
        """How many pairs have been taken."""

    @property
    @abstractmethod
    def held_bytes(self) -> int:
        """The memory that the pairs take, about."""

    def gather(self, pairs: Iterator[Pair], limit_bytes: int) -> Rest:
        """Take pairs until they end, or more than `limit_bytes` are held, or one comes that can't
        be held in this way.

        Raises `BadPair` for what is no pair or has no hashable key.
        """
        try:
            return self._gather(pairs, limit_bytes)
        except (TypeError, ValueError) as error:
            if wrong := _wrong(error):
                raise wrong from None
            raise

    @abstractmethod
    def _gather(self, pairs: Iterator[Pair], limit_bytes: int) -> Rest: ...

    @abstractmethod
    def values_of(self, keys: Sequence[Any]) -> Values:
        """The values of some keys, as they are to be stored."""

    def sorted_out(self) -> "Holding":
        """The same pairs, ready to be written."""
        return self

    @abstractmethod
    def emptied(self) -> "Holding":
        """One of the same kind that holds nothing."""

    def shrink(self) -> None:  # noqa: B027 - most have none
        """Make room without writing anything, where there is a way."""


def next_batch(batch: int, pair_bytes: int, limit_bytes: int) -> int:
    """How many pairs to take before the next look: of large ones fewer."""
    return max(1, min(2 * batch, LOOK_PAIRS, limit_bytes // (8 * (pair_bytes + 1))))


def check_pair(pair: Any) -> None:
    """A text of two characters would unpack like a pair."""
    if not is_pair(pair):
        raise NotAPair(pair)


def no_key(key: Any, error: TypeError) -> BadPair:
    wrong = BadPair(
        f"{repr(key)[:60]} can't be a key: {error}; a key must be hashable, such as a text, a "
        "number, or a tuple of these"
    )
    wrong.is_about = lambda given: not _is_hashable(given[0])
    return wrong


def _is_hashable(key: Any) -> bool:
    try:
        hash(key)
    except TypeError:
        return False
    return True


def _wrong(error: Exception) -> BadPair | None:
    """What a mapper gave that made one of the loops fail; None for user code's own errors."""
    innermost = error.__traceback__
    while innermost is not None and innermost.tb_next is not None:
        innermost = innermost.tb_next
    if innermost is None or Path(innermost.tb_frame.f_code.co_filename).parent != _HERE:
        return None
    if "to unpack" in str(error) or "cannot unpack" in str(error):
        return NotAPair.unseen(error)
    found = innermost.tb_frame.f_locals
    if "key" not in found:
        return None
    key, value, held = found["key"], found.get("value"), found.get("held", NOTHING)
    try:
        hash(key)
    except TypeError as unhashable:
        return no_key(key, unhashable)
    return None if held is NOTHING else _can_not_fold(found, key, held, value, error)


def _can_not_fold(
    found: Mapping[str, Any], key: Any, held: Any, value: Any, error: Exception
) -> BadPair | None:
    fold = found.get("function", operator.add)
    try:
        fold(held, value)
    except (TypeError, ValueError):
        name = getattr(fold, "__name__", repr(fold))
        return BadPair(
            f"the combiner {name} can't fold the values {repr(held)[:60]} and "
            f"{repr(value)[:60]} of the key {repr(key)[:60]}: {error}"
        )
    return None  # an iterator that user code gave has failed after this pair
