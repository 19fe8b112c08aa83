"""Partitions by a hash of the user's own, the `do_hash` of Repy's MapReduce."""

import operator
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from mapreduce.data.shuffle.placing import answers
from mapreduce.errors import BadPair, place_of


@dataclass(frozen=True)
class HashPartitioner:
    """The partition of a key is its hash modulo the number of partitions, of negative ones too.

    >>> where = HashPartitioner(len, 3)
    >>> where.each(["", "to", "whale", "be"])
    [0, 2, 2, 2]
    >>> HashPartitioner(lambda key: -key, 3).each([1, 2, 3, 4])
    [2, 1, 0, 2]
    """

    do_hash: Callable[[Any], Any]
    partitions: int

    def __call__(self, key: Any, partitions: int) -> int:
        return self.each([key])[0]

    def each(self, keys: Collection[Any]) -> list[int]:
        """The partition of each of many keys. Raises `BadPair` for a hash that is no int."""
        numbers = answers(self.do_hash, keys)
        if set(map(type, numbers)) != {int}:
            numbers = [self._number(key, number) for key, number in zip(keys, numbers)]
        partitions = self.partitions
        return [number % partitions for number in numbers]

    def _number(self, key: Any, number: Any) -> int:
        """What also is an int, such as one of numpy's."""
        try:
            return operator.index(number)
        except TypeError:
            raise BadPair(
                f"do_hash, {place_of(self.do_hash)}, gave {repr(number)[:60]} for the key "
                f"{repr(key)[:60]}: it must give an int, any int"
            ).of_key(key) from None
