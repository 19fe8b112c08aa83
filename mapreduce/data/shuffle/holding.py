"""The pairs that a map task holds in memory, by key, in one of four ways.

    Counted  while every value is one and the same object, the 1 of a word count: how often
    Folded   with a `Fold`: one value of each key
    Listed   else: a list of values
    Paired   where hardly two pairs have the same key: the pairs as they came

The loops here are what a job spends its time in. They take pairs from the mapper, 4,096 at a time,
and look at the size of one of these: enough to know a text from a picture. An error that is raised
in a loop itself, not in user code below it, is due to what the mapper gave.
"""

import itertools
import operator
import sys
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mapreduce.api import Pair
from mapreduce.data.shuffle.blocks import Values, flattened
from mapreduce.data.shuffle.combining import Combine, Fold, combined
from mapreduce.data.shuffle.sizes import LIST_BYTES, POINTER_BYTES, Mean, deep_size
from mapreduce.errors import BadPair, NotAPair

LOOK_PAIRS = 4096
"""One in as many pairs is looked at."""
_PAIRED_FROM = 2048
"""After so many pairs it is seen whether hardly two have the same key."""
_NUMBER_BYTES = 32
_NOTHING: Any = object()
"""What is held of a key that has not come yet."""
_ENTRY_BYTES = 80

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


class Counted(Holding):
    """How often each key came with the one value that all pairs have."""

    def __init__(self, combine: Combine | None) -> None:
        super().__init__()
        self.value: Any = None
        self._counts: dict[Any, int] = {}
        self._combine = combine
        self._taken = 0

    @property
    def groups(self) -> dict[Any, int]:
        return self._counts

    @property
    def records(self) -> int:
        return sum(self._counts.values())

    @property
    def held_bytes(self) -> int:
        keys = len(self._counts) * (self._keys.size + _NUMBER_BYTES)
        # Without a combiner the values have to be made when they are written.
        values = 0 if self._combine else self._taken * POINTER_BYTES
        return sys.getsizeof(self._counts) + keys + values

    def _gather(self, pairs: Iterator[Pair], limit_bytes: int) -> Rest:
        counts, value = self._counts, self.value
        get = counts.get
        batch = 1
        for pair in pairs:
            _check(pair)
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
            self._taken += batch + 1
            size = self._keys.add(key)
            if self.held_bytes > limit_bytes:
                return pairs
            batch = _next_batch(batch, size, limit_bytes)
        return None

    def values_of(self, keys: Sequence[Any]) -> Values:
        value, combine = self.value, self._combine
        numbers = list(map(self._counts.__getitem__, keys))
        if combine is None:
            return numbers, [value for number in numbers for _ in range(number)]
        self.combine_input_records += sum(numbers)
        same = itertools.repeat
        found = flattened(combined(combine, k, same(value, n)) for k, n in zip(keys, numbers))
        self.combine_output_records += len(found[1])
        return found

    def emptied(self) -> "Counted":
        return Counted(self._combine)

    def as_listed(self) -> "Listed":
        """The same pairs, for those that follow with other values."""
        return Listed(self._combine, {key: [self.value] * n for key, n in self._counts.items()})


class Folded(Holding):
    """One value for each key, folded with each that comes."""

    def __init__(self, fold: Fold) -> None:
        super().__init__()
        self._fold = fold
        self._values: dict[Any, Any] = {}
        self._records = 0
        self._sizes = Mean()

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
            _check(pair)
            self._records += take((pair,)) + take(itertools.islice(pairs, batch))
            size = self._look(pair[0])
            if self.held_bytes > limit_bytes:
                return pairs
            batch = _next_batch(batch, size, limit_bytes)
        return None

    def _add(self, pairs: Iterable[Pair]) -> int:
        """Fold some pairs; returns their number. An operator is quicker than its function."""
        values, get, count = self._values, self._values.get, 0
        for key, value in pairs:
            held = get(key, _NOTHING)
            values[key] = value if held is _NOTHING else held + value
            count += 1
        return count

    def _apply(self, pairs: Iterable[Pair]) -> int:
        values, get, function, count = self._values, self._values.get, self._fold.function, 0
        for key, value in pairs:
            held = get(key, _NOTHING)
            values[key] = value if held is _NOTHING else function(held, value)
            count += 1
        return count

    def values_of(self, keys: Sequence[Any]) -> Values:
        self.combine_input_records += self._records
        self._records = 0
        self.combine_output_records += len(keys)
        return None, list(map(self._values.__getitem__, keys))

    def emptied(self) -> "Folded":
        return Folded(self._fold)


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
            _check(pair)
            key, value = pair
            lists[key].append(value)
            size = self._look(key, value, batch + 1)
            for key, value in itertools.islice(pairs, batch):
                lists[key].append(value)
            if self.held_bytes > limit_bytes or self.is_distinct:
                return pairs
            batch = _next_batch(batch, size, limit_bytes)
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
                _check(pair)
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
            _check(pair)
            self._pairs.append(pair)
            size = self._sizes.add(pair)
            self._pairs.extend(itertools.islice(pairs, batch))
            if self.held_bytes > limit_bytes:
                return pairs
            batch = _next_batch(batch, size, limit_bytes)
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


def _next_batch(batch: int, pair_bytes: int, limit_bytes: int) -> int:
    """How many pairs to take before the next look: of large ones fewer."""
    return max(1, min(2 * batch, LOOK_PAIRS, limit_bytes // (8 * (pair_bytes + 1))))


def _check(pair: Any) -> None:
    """A text of two characters would unpack like a pair."""
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise NotAPair(pair)


def _found_wrong(pairs: Iterable[Any], error: Exception) -> Exception:
    """The error about the pair that could not go into a dict."""
    for pair in pairs:
        if len(pair) != 2:
            return NotAPair(pair)
        try:
            hash(pair[0])
        except TypeError as unhashable:
            return _no_key(pair[0], unhashable)
    return error


def _no_key(key: Any, error: TypeError) -> BadPair:
    return BadPair(
        f"{repr(key)[:60]} can't be a key: {error}; a key must be hashable, such as a text, a "
        "number, or a tuple of these"
    )


def _wrong(error: Exception) -> BadPair | None:
    """What a mapper gave that made a loop of this file fail; None for user code's own errors."""
    innermost = error.__traceback__
    while innermost is not None and innermost.tb_next is not None:
        innermost = innermost.tb_next
    if innermost is None or innermost.tb_frame.f_code.co_filename != __file__:
        return None
    if "to unpack" in str(error) or "cannot unpack" in str(error):
        return NotAPair.unseen(error)
    found = innermost.tb_frame.f_locals
    if "key" not in found:
        return None
    key, value, held = found["key"], found.get("value"), found.get("held", _NOTHING)
    try:
        hash(key)
    except TypeError as unhashable:
        return _no_key(key, unhashable)
    return None if held is _NOTHING else _can_not_fold(found, key, held, value, error)


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
