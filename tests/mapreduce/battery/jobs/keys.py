"""Keys and values of all types."""

import dataclasses
import enum
import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple
from uuid import UUID

from mapreduce import Job, Mapper, Reducer
from tests.mapreduce.battery.jobs.common import Case


class Colour(enum.Enum):
    RED = 1
    GREEN = "g"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 20


@dataclasses.dataclass(frozen=True, order=True)
class Place:
    city: str
    number: int


@dataclasses.dataclass(frozen=True)
class Person:
    name: str
    home: Place


class Pointed(NamedTuple):
    x: int
    y: float


class Version:
    """A class with an order of its own."""

    def __init__(self, number):
        self.number = number

    def __eq__(self, other):
        return isinstance(other, Version) and self.number == other.number

    def __hash__(self):
        return hash(self.number)

    def __lt__(self, other):
        return self.number < other.number

    def __repr__(self):
        return f"v{self.number}"


KEYS = [
    None, 0, 1, True, 1.0, -1, 2**70, -(2**70), 0.5, -0.0, float("inf"), float("-inf"),
    Decimal("1.0"), Decimal("0.5"), Decimal("2.75"), Fraction(1, 2), Fraction(1, 3),
    "", "a", "é", "\udc80", "1", b"", b"a", b"\xff",
    (), ("a",), ("a", 1), ("a", 1.0), ("a", None), (1, ("b", b"c")), ((), ""),
    frozenset(), frozenset([1, 2]), frozenset(["a", 2.5]), frozenset([frozenset(["x"])]),
    date(2024, 2, 29), date(1970, 1, 1), datetime(2024, 2, 29, 12, 30, tzinfo=UTC),
    datetime(2024, 2, 29, 12, 30), timedelta(seconds=-1), timedelta(days=3),
    UUID(int=7), UUID(int=2**100),
    Colour.RED, Colour.GREEN, Level.LOW, Level.HIGH,
    Place("Rome", 2), Place("Bern", 10), Place("Bern", 9), Person("ann", Place("Rome", 1)),
    Person("ann", Place("Bern", 1)), Pointed(1, 2.0), Pointed(1, 0.5), Version(3), Version(21),
    3 + 0j,
]  # fmt: skip
PLAIN_KEYS = [None, 0, 1, True, 1.0, 2, 0.5, "a", "b", b"a", (1, "a"), (1.0, "a"), ("a",), ()]


class ManyKeys(Mapper):
    """Each line is a number: of one of the keys."""

    keys = KEYS

    def map(self, key, value):
        number = int(value)
        yield self.keys[number % len(self.keys)], number


class ManyPlainKeys(ManyKeys):
    keys = PLAIN_KEYS


def shown(value):
    """`repr`, but the same in every process for sets of texts too."""
    members = sorted(map(shown, value)) if isinstance(value, frozenset) else repr(value)
    return f"{type(value).__name__} {members}"


def mirrored(key):
    return shown(key)[::-1]


class ShownKeys(Reducer):
    """Which of equal keys stands for all of them is seen too."""

    def reduce(self, key, values):
        yield shown(key), list(values)


class SwappedKeys(Mapper):
    """Keys of all types as values."""

    def map(self, key, value):
        number = int(value)
        yield number % 5, KEYS[number % len(KEYS)]


class ShownValues(Reducer):
    def reduce(self, key, values):
        yield key, list(map(shown, values))


def numbers(seed: int, count: int, below: int) -> bytes:
    chosen = random.Random(seed)
    return b"".join(b"%d\n" % chosen.randrange(below) for _ in range(count))


TYPES = [
    Case(
        "keys of all types",
        Job("types", mapper=ManyKeys, reducer=ShownKeys, reducers=4, split_bytes=200),
        {"in": numbers(3, 400, 1000)},
    ),
    Case(
        "keys of all types, the other way round",
        Job(
            "types",
            mapper=ManyPlainKeys,
            reducer=ShownKeys,
            descending=True,
            reducers=2,
            split_bytes=50,
        ),
        {"in": numbers(4, 100, 1000)},
    ),
    Case(
        "values of all types, sorted",
        Job(
            "values",
            mapper=SwappedKeys,
            reducer=ShownValues,
            reducers=2,
            sort_values=shown,
            split_bytes=300,
        ),
        {"in": numbers(5, 300, 1000)},
    ),
    Case(
        "values of all types",
        Job("values", mapper=SwappedKeys, reducer=ShownValues, reducers=3, split_bytes=300),
        {"in": numbers(6, 300, 1000)},
    ),
]
