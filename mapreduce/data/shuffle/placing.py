"""Which partition a key belongs to: asked for many keys at once, and checked."""

import itertools
import operator
from collections.abc import Callable, Collection
from typing import Any

from mapreduce.data.portable_hash import has_partition, partitions_of
from mapreduce.errors import BadPair, place_of

Partition = Callable[[Any, int], int]
"""A partitioner: a function of a key and the number of partitions."""


class Placing:
    """`partition` says where a key belongs (one that can do it for many keys at once has a method
    `each`); by default that is `portable_hash` of the key, or of what `group_key` gives for it.

    >>> Placing(3, lambda key, partitions: len(key) % partitions).numbers(["to", "be", "not"])
    [2, 2, 0]
    """

    def __init__(
        self,
        partitions: int,
        partition: Partition | None = None,
        group_key: Callable[[Any], Any] | None = None,
    ) -> None:
        self.partitions = partitions
        self._partition = partition
        self._group_key = group_key

    def numbers(self, keys: Collection[Any]) -> list[int]:
        """The partition of each key. Raises `BadPair` for a key or an answer that can't be used."""
        if not keys:
            return []
        return self._hashed(keys) if self._partition is None else self._asked(keys, self._partition)

    def _hashed(self, keys: Collection[Any]) -> list[int]:
        group_key = self._group_key
        groups = keys if group_key is None else list(map(group_key, keys))
        try:
            return partitions_of(groups, self.partitions)
        except TypeError as error:
            group_of = group_key or _itself
            wrong = BadPair(str(error))
            raise wrong.late(lambda given: not has_partition(group_of(given[0]))) from error

    def _asked(self, keys: Collection[Any], function: Partition) -> list[int]:
        """What the job's partitioner says, checked."""
        each = getattr(function, "each", None)
        if each is not None:
            return each(keys)  # type: ignore[no-any-return]
        partitions = self.partitions
        numbers = answers(function, keys, partitions)
        if set(map(type, numbers)) == {int} and min(numbers) >= 0 and max(numbers) < partitions:
            return numbers
        for key, number in zip(keys, numbers):
            if type(number) is not int or not 0 <= number < partitions:
                raise BadPair(
                    f"the partitioner {place_of(function)} gave {repr(number)[:60]} for the key "
                    f"{repr(key)[:60]}: it must give an int from 0 to {partitions - 1}"
                ).of_key(key)
        return numbers


def answers(function: Callable[..., Any], keys: Collection[Any], *more: Any) -> list[Any]:
    """What a function of the user's gives for each key. An error gets a note for which."""
    rest = iter(keys)
    try:
        return list(map(function, rest, *map(itertools.repeat, more)))
    except Exception as error:
        at = len(keys) - operator.length_hint(rest) - 1
        [key] = itertools.islice(keys, at, at + 1)
        error.add_note(f"in {place_of(function)}, for the key {repr(key)[:60]}")
        raise


def _itself(key: Any) -> Any:
    return key
