"""Pairs in memory of which every value is kept: in a list for each key, or as they came."""

import itertools
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from mapreduce.api import Pair
from mapreduce.data.shuffle.blocks import Values, flattened
from mapreduce.data.shuffle.combining import Combine, combined
from mapreduce.data.shuffle.holding import Holding, Rest, check_pair, next_batch, no_key
from mapreduce.data.shuffle.sizes import LIST_BYTES, POINTER_BYTES, Mean, deep_size
from mapreduce.errors import NotAPair

_PAIRED_FROM = 2048
"""After so many pairs it is seen whether hardly two have the same key."""
_ENTRY_BYTES = 80


class Listed(Holding):
    """All values of each key, in the order in which they came."""

    def __init__(self, combine: Combine | None, lists: dict[Any, list[Any]] | None = None) -> None:
        super().__init__()
        self._combine = combine
        self._lists: defaultdict[Any, list[Any]] = defaultdict(list, lists or {})
        self._folded = 0
        """How many of the values held are results of the combiner, of how many values."""
        self._folded_from = 0
        self._values_bytes = 0
        self._last: Any = None
        for key, values in itertools.islice(self._lists.items(), 1):
            self._look(key, values[0], sum(map(len, self._lists.values())))

    @property
    def groups(self) -> dict[Any, list[Any]]:
        return self._lists

    @property
    def records(self) -> int:
        return self._held() - self._folded + self._folded_from

    @property
    def held_bytes(self) -> int:
        keys = len(self._lists) * (self._keys.size + LIST_BYTES)
        return sys.getsizeof(self._lists) + keys + self._values_bytes

    def _held(self) -> int:
        return sum(map(len, self._lists.values()))

    def _look(self, key: Any, value: Any, stands_for: int) -> int:
        """A value that is the same object as the last one takes no room of its own."""
        size = 0 if value is self._last else deep_size(value)
        self._values_bytes += stands_for * (size + POINTER_BYTES)
        self._last = value
        return self._keys.add(key) + size

    def _gather(self, pairs: Iterator[Pair], limit_bytes: int) -> Rest:
        lists = self._lists
        batch = 1
        for pair in pairs:
            check_pair(pair)
            key, value = pair
            lists[key].append(value)
            size = self._look(key, value, batch + 1)
            for key, value in itertools.islice(pairs, batch):
                lists[key].append(value)
            if self.held_bytes > limit_bytes or self.is_distinct:
                return pairs
            batch = next_batch(batch, size, limit_bytes)
        return None

    @property
    def is_distinct(self) -> bool:
        """True if `Paired` will do better."""
        keys = len(self._lists)
        is_time = _PAIRED_FROM <= keys < 2 * _PAIRED_FROM
        return self._combine is None and is_time and self._held() < keys + keys // 16

    def emptied(self) -> "Listed":
        return Listed(self._combine)

    def as_paired(self) -> "Paired":
        """The same pairs, for more of their kind."""
        return Paired([(key, value) for key, held in self._lists.items() for value in held])

    def values_of(self, keys: Sequence[Any]) -> Values:
        lists = self._lists
        if self._combine is None:
            return flattened(map(lists.__getitem__, keys))
        return flattened(self._combined(key, lists[key]) for key in keys)

    def shrink(self) -> None:
        if self._combine is None:
            return
        before = self._held()
        for key, values in self._lists.items():
            self._lists[key] = self._combined(key, values)
        after = self._held()
        self._folded_from += before - self._folded
        self._folded = after
        self._values_bytes = self._values_bytes * after // max(before, 1)

    def _combined(self, key: Any, values: list[Any]) -> list[Any]:
        if len(values) < 2:
            return values
        assert self._combine is not None
        kept = combined(self._combine, key, values)
        self.combine_input_records += len(values)
        self.combine_output_records += len(kept)
        return kept


class Paired(Holding):
    """All pairs, in the order in which they came; they are sorted out when they are written."""

    def __init__(self, pairs: list[Any]) -> None:
        super().__init__()
        self._pairs = pairs
        self._sizes = Mean()
        self._groups: dict[Any, Any] | None = None
        for pair in pairs[:1]:
            self._sizes.add(pair)

    @property
    def groups(self) -> dict[Any, Any]:
        if self._groups is None:
            for pair in self._pairs:
                check_pair(pair)
            try:
                self._groups = dict(self._pairs)
            except (TypeError, ValueError) as error:
                raise _found_wrong(self._pairs, error) from None
        return self._groups

    @property
    def records(self) -> int:
        return len(self._pairs)

    @property
    def held_bytes(self) -> int:
        # They go through a dict when they are written.
        return len(self._pairs) * (self._sizes.size + POINTER_BYTES + _ENTRY_BYTES)

    def _gather(self, pairs: Iterator[Pair], limit_bytes: int) -> Rest:
        batch = 1
        for pair in pairs:
            check_pair(pair)
            self._pairs.append(pair)
            size = self._sizes.add(pair)
            self._pairs.extend(itertools.islice(pairs, batch))
            if self.held_bytes > limit_bytes:
                return pairs
            batch = next_batch(batch, size, limit_bytes)
        return None

    def values_of(self, keys: Sequence[Any]) -> Values:
        return None, list(map(self.groups.__getitem__, keys))

    def emptied(self) -> "Paired":
        return Paired([])

    def sorted_out(self) -> Holding:
        """The same pairs, so that each key stands once."""
        if len(self.groups) == len(self._pairs):
            return self
        lists: defaultdict[Any, list[Any]] = defaultdict(list)
        for key, value in self._pairs:
            lists[key].append(value)
        return Listed(None, lists)


def _found_wrong(pairs: Iterable[Any], error: Exception) -> Exception:
    """The error about the pair that could not go into a dict."""
    for pair in pairs:
        if len(pair) != 2:
            return NotAPair(pair)
        try:
            hash(pair[0])
        except TypeError as unhashable:
            return no_key(pair[0], unhashable)
    return error
