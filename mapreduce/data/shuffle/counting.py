"""Pairs in memory of which each key needs one thing: how often it came, or one folded value."""

import itertools
import operator
import sys
from collections import _count_elements  # type: ignore[attr-defined]
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from mapreduce.api import Pair
from mapreduce.data.shuffle.blocks import Values, flattened
from mapreduce.data.shuffle.columns import Same
from mapreduce.data.shuffle.combining import Combine, Fold, combined
from mapreduce.data.shuffle.holding import NOTHING, Holding, Rest, check_pair, next_batch
from mapreduce.data.shuffle.listing import Listed
from mapreduce.data.shuffle.sizes import Mean

_NUMBER_BYTES = 32


class Counted(Holding):
    """How often each key came with the one value that all pairs have."""

    def __init__(self, combine: Combine | Fold | None) -> None:
        super().__init__()
        self.value: Any = None
        self._counts: dict[Any, int] = {}
        self._combine = combine

    @property
    def groups(self) -> dict[Any, int]:
        return self._counts

    @property
    def records(self) -> int:
        return sum(self._counts.values())

    @property
    def held_bytes(self) -> int:
        return sys.getsizeof(self._counts) + len(self._counts) * (self._keys.size + _NUMBER_BYTES)

    def gather_same(self, keys: Sequence[Any], value: Any) -> bool:
        """Take many keys that all have `value`; False, and nothing is taken, if others have not."""
        if not self._counts:
            self.value = value
        elif self.value != value:
            return False
        _count_elements(self._counts, keys)  # what Counter.update calls; any dict will do
        self._keys.add(keys[-1])
        return True

    def _gather(self, pairs: Iterator[Pair], limit_bytes: int) -> Rest:
        counts, value = self._counts, self.value
        get = counts.get
        batch = 1
        for pair in pairs:
            check_pair(pair)
            key, one = pair
            if not counts:
                self.value = value = one
            if one is not value:
                return itertools.chain((pair,), pairs)
            counts[key] = get(key, 0) + 1
            for key, one in itertools.islice(pairs, batch):
                if one is not value:
                    return itertools.chain(((key, one),), pairs)
                counts[key] = get(key, 0) + 1
            size = self._keys.add(key)
            if self.held_bytes > limit_bytes:
                return pairs
            batch = next_batch(batch, size, limit_bytes)
        return None

    def values_of(self, keys: Sequence[Any]) -> Values:
        value, combine = self.value, self._combine
        numbers = list(map(self._counts.__getitem__, keys))
        if combine is None:
            return numbers, Same(value, sum(numbers))
        self.combine_input_records += sum(numbers)
        found = self._combined(combine, keys, numbers)
        self.combine_output_records += len(found[1])
        return found

    def _combined(self, combine: Combine | Fold, keys: Sequence[Any], numbers: list[int]) -> Values:
        value, same = self.value, itertools.repeat
        if isinstance(combine, Fold):
            return None, combine.times_each(value, numbers)
        return flattened(combined(combine, k, same(value, n)) for k, n in zip(keys, numbers))

    def emptied(self) -> "Counted":
        return Counted(self._combine)

    def with_other_values(self) -> "Folded | Listed":
        """The same pairs, held in another way, as other values follow."""
        combine, counts = self._combine, self._counts
        if isinstance(combine, Fold):
            values = combine.times_each(self.value, list(counts.values()))
            return Folded(combine, dict(zip(counts, values)), self.records)
        return Listed(combine, {key: [self.value] * n for key, n in counts.items()})


class Folded(Holding):
    """One value for each key, folded with each that comes. `values` and `records` are what has been
    folded already."""

    def __init__(self, fold: Fold, values: dict[Any, Any] | None = None, records: int = 0) -> None:
        super().__init__()
        self._fold = fold
        self._values = values or {}
        self._records = records
        self._sizes = Mean()
        for key in itertools.islice(self._values, 1):
            self._look(key)

    @property
    def groups(self) -> dict[Any, Any]:
        return self._values

    @property
    def records(self) -> int:
        return self._records

    @property
    def held_bytes(self) -> int:
        each = self._keys.size + self._sizes.size
        return sys.getsizeof(self._values) + len(self._values) * each

    def _look(self, key: Any) -> int:
        return self._keys.add(key) + self._sizes.add(self._values[key])

    def _gather(self, pairs: Iterator[Pair], limit_bytes: int) -> Rest:
        take = self._add if self._fold.function is operator.add else self._apply
        batch = 1
        for pair in pairs:
            check_pair(pair)
            take((pair,))
            # What is left of these tells how many pairs there were: to add 1 for each takes longer.
            ticks = itertools.repeat(True, batch)
            take(itertools.compress(itertools.islice(pairs, batch), ticks))
            self._records += 1 + batch - operator.length_hint(ticks)
            size = self._look(pair[0])
            if self.held_bytes > limit_bytes:
                return pairs
            batch = next_batch(batch, size, limit_bytes)
        return None

    def _add(self, pairs: Iterable[Pair]) -> None:
        """Fold some pairs. An operator is quicker than its function."""
        values, get = self._values, self._values.get
        for key, value in pairs:
            held = get(key, NOTHING)
            values[key] = value if held is NOTHING else held + value

    def _apply(self, pairs: Iterable[Pair]) -> None:
        values, get, function = self._values, self._values.get, self._fold.function
        for key, value in pairs:
            held = get(key, NOTHING)
            values[key] = value if held is NOTHING else function(held, value)

    def values_of(self, keys: Sequence[Any]) -> Values:
        self.combine_input_records += self._records
        self._records = 0
        self.combine_output_records += len(keys)
        return None, list(map(self._values.__getitem__, keys))

    def emptied(self) -> "Folded":
        return Folded(self._fold)
