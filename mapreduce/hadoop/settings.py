"""What a task knows of its job, and the small classes that a user derives to steer keys."""

from collections import UserDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from mapreduce.api import Pair
from mapreduce.data.portable_hash import partition_of
from mapreduce.errors import JobError, place_of
from mapreduce.hadoop.writables import (
    Rank,
    Ranked,
    Writable,
    WritableComparable,
    rank_of,
)


class Configuration(UserDict[str, str]):
    """Names and texts that go with the job to every task.

    >>> configuration = Configuration({"wordcount.least": "3"})
    >>> configuration.set("wordcount.case", False)
    >>> configuration.get_int("wordcount.least", 1), configuration.get("no", "nothing")
    (3, 'nothing')
    >>> configuration.get_boolean("wordcount.case", True)
    False
    """

    def set(self, name: str, value: object) -> None:
        self[name] = str(value)

    def get_int(self, name: str, default: int) -> int:
        """Raises ValueError for what is no int."""
        return int(self.get(name, str(default)))

    def get_float(self, name: str, default: float) -> float:
        """Raises ValueError for what is no number."""
        return float(self.get(name, str(default)))

    def get_boolean(self, name: str, default: bool) -> bool:
        """True for "true", in any case; `default` for what is neither that nor "false"."""
        text = self.get(name, "").strip().lower()
        return text == "true" if text in ("true", "false") else default


class Partitioner:
    """The base of partitioners."""

    def get_partition(self, key: Any, value: Any, num_partitions: int) -> int:
        """From 0 to `num_partitions` - 1, for each pair that a mapper writes; where there is one
        partition it is not called."""
        raise NotImplementedError


class HashPartitioner(Partitioner):
    """The one that there is without any: the same on every machine.

    >>> from mapreduce.hadoop import Text
    >>> HashPartitioner().get_partition(Text("whale"), None, 4)
    1
    """

    def get_partition(self, key: Any, value: Any, num_partitions: int) -> int:
        if has_own_hash(type(key)):
            return int(key.hash_code()) % num_partitions
        return partition_of(key.write(), num_partitions)


class TotalOrderPartitioner(Partitioner):
    """Every key of a partition comes before all of the next. The job samples its input itself: no
    file of partitions is to be written before it."""


class WritableComparator:
    """The base of sort and grouping comparators."""

    def compare(self, one: Any, other: Any) -> int:
        """Less than 0 if `one` comes first, more than 0 if `other` does, 0 if they are alike."""
        raise NotImplementedError


def has_own_hash(kind: type) -> bool:
    return getattr(kind, "hash_code", None) is not WritableComparable.hash_code


@dataclass(frozen=True)
class Settings:
    """The classes of a job, as its tasks get them."""

    mapper: type
    reducer: type
    combiner: type | None
    map_key: type[WritableComparable]
    map_value: type[Writable]
    output_key: type[Writable]
    output_value: type[Writable]
    partitioner: type[Partitioner] | None = None
    """The user's, which sees pairs: keys on their way are then `Placed`."""
    sort_comparator: type[WritableComparator] | None = None
    grouping_comparator: type[WritableComparator] | None = None
    as_objects: bool = False
    """The output format keeps objects."""
    bare_key: bool = False
    """Only the key is written: there are no values."""

    def sort_rank(self) -> Rank | None:
        """What written keys are sorted by; None for their own order."""
        if self.sort_comparator is not None:
            return Ranked(self.map_key, self.sort_comparator().compare)
        return rank_of(self.map_key)

    def group_rank(self) -> Rank | None:
        """What is equal for written keys of one group; None if only equal keys are one group."""
        if self.grouping_comparator is not None:
            return Ranked(self.map_key, self.grouping_comparator().compare)
        return self.sort_rank()


# Where a pair goes --------------------------------------------------------------------------------

Placed = tuple[int, Any]
"""A written key behind the number of its partition. A partitioner of Hadoop's sees the value too,
and the engine's only keys: so what a partitioner of the user's has said goes with the key."""


@dataclass(frozen=True)
class Placing:
    """A pair on its way, where the user's partitioner wants it."""

    user: Partitioner
    partitions: int

    def __call__(self, key: Any, value: Any) -> Pair:
        count = self.partitions
        number = self.user.get_partition(key, value, count) if count > 1 else 0
        if type(number) is not int or not 0 <= number < count:
            raise JobError(
                f"{place_of(self.user.get_partition)} gave {repr(number)[:60]} for the key "
                f"{repr(key)[:60]}: it must give an int from 0 to {count - 1}"
            )
        return (number, key.write()), value.write()


def partition_of_placed(key: Placed, partitions: int) -> int:
    return key[0]


@dataclass(frozen=True)
class PlacedRank:
    """What keys of one partition are sorted by."""

    rank: Rank

    def __call__(self, key: Placed) -> Any:
        return self.rank(key[1])


def unplaced(groups: Iterable[tuple[Placed, Iterator[Any]]]) -> Iterator[tuple[Any, Iterator[Any]]]:
    return ((key, values) for (_, key), values in groups)


@dataclass(frozen=True)
class KeyPartitioner:
    """`HashPartitioner`, as one of the engine's: of written keys."""

    kind: type[Writable]

    def partition(self, key: Any, partitions: int) -> int:
        return HashPartitioner().get_partition(self.kind.read_fields(key), None, partitions)
