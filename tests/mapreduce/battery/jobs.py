"""The battery: jobs that together use everything a job can say, each small enough to be evaluated
by hand, and each cut so that it has several splits, several reducers and several runs to merge."""

import bz2
import dataclasses
import enum
import gzip
import itertools
import json
import operator
import random
import zlib
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from mapreduce import Input, Job, Mapper, Reducer, Step
from tests.mapreduce.battery.sequential import Content

SIDE = Path(__file__).parent / "side"
SPILLING = 1 << 20
"""The least memory that a task can be given."""


class Case(NamedTuple):
    """A job with the files that it reads, by their paths below some folder."""

    name: str
    job: Job
    files: Mapping[str, Content]
    inputs: Sequence[Input] = (Input("in"),)


# What the jobs are made of -----------------------------------------------------------------------


class Words(Mapper):
    def map(self, key, value):
        self.context.count("lines")
        for word in value.split():
            yield word, 1


class Sum(Reducer):
    def reduce(self, key, values):
        yield key, sum(values)


class Listed(Reducer):
    """Shows the order of values."""

    def reduce(self, key, values):
        return [(key, list(values))]


class Digest(Reducer):
    """Shows the order of values where there are many."""

    def reduce(self, key, values):
        count = checksum = 0
        for value in values:
            count += 1
            checksum = zlib.crc32(repr(value).encode(), checksum)
        yield key, (count, checksum)


class Positions(Mapper):
    def map(self, key, value):
        name = Path(self.context.input).name
        return [(word, (name, key, place)) for place, word in enumerate(value.split())]


def text(seed: int, lines: int, words: Sequence[str]) -> bytes:
    chosen = random.Random(seed)
    return b"".join(
        " ".join(chosen.choices(words, k=chosen.randrange(9))).encode()
        + chosen.choice([b"\n", b"\r\n"])
        for _ in range(lines)
    )


ODD_FILES = {
    "in/words.txt": text(1, 60, ["to", "be", "or", "not", "Elsinore", "é", "😀", "naïve"]),
    "in/a-b/no end.txt": b"a b\nb c",
    "in/a/below.txt": b"x y\n" * 9,
    "in/a-c.txt": b"x z\n" * 9,
    "in/b empty": b"",
    "in/empty lines": b"\n\n\r\n\nx\n\n",
    "in/one byte": b"x",
    "in/one newline": b"\n",
    "in/only multi-byte": "ßß 😀😀😀 é\r\nend".encode() * 20,
    "in/long line": b"long " * 60 + b"\nshort\n",
}


# Words, by every kind of mapper and combiner -----------------------------------------------------


class WordsOfBatches(Mapper):
    def map_batch(self, records):
        for place, line in records:
            for word in line.split():
                yield word, place


class EmittedWords(Mapper):
    """Emits, and counts in itself until the end."""

    def setup(self):
        self.seen = {}
        self.context.emit("setup", 0)

    def map(self, key, value):
        for word in value.split():
            if word in self.seen or len(self.seen) < 5:
                self.seen[word] = self.seen.get(word, 0) + 1
            else:
                self.context.emit(word, 1)
        self.context.status = f"at {key}"
        if not value:
            self.context.count("balance", -3)
        else:
            self.context.count("balance", 2)
        self.context.count("never", 0)

    def cleanup(self):
        return list(self.seen.items())


class SumInSetup(Reducer):
    """Needs its setup, and counts what it gave at its end."""

    def setup(self):
        self.total = 0

    def reduce(self, key, values):
        count = sum(values)
        self.total += count
        self.context.emit(key, count)

    def cleanup(self):
        self.context.emit("emitted", self.total)
        return [("returned", self.total)]


class Largest(Reducer):
    def reduce(self, key, values):
        yield key, max(values)


class Capped(Reducer):
    def setup(self):
        self.cap = int(self.context.params["cap"])

    def reduce(self, key, values):
        yield key, min(sum(values), self.cap)


WORDS = [
    Case(
        "words folded",
        Job("words", mapper=Words, reducer=Sum, combiner=operator.add, reducers=3, split_bytes=179),
        ODD_FILES,
    ),
    Case(
        "words of batches with a folding maximum",
        Job(
            "batches",
            mapper=WordsOfBatches,
            reducer=Largest,
            combiner=max,
            reducers=2,
            split_bytes=100,
        ),
        {"in/words.txt": text(2, 50, ["a", "bb", "ccc"])},
    ),
    Case(
        "words emitted with a combining class",
        Job(
            "emitted",
            mapper=EmittedWords,
            reducer=SumInSetup,
            combiner=Sum,
            reducers=4,
            split_bytes=300,
        ),
        ODD_FILES,
        [Input("in/*"), Input("in/a"), Input("in/words.txt")],
    ),
    Case(
        "parameters in a combiner",
        Job(
            "capped",
            mapper=Words,
            reducer=Capped,
            combiner=Capped,
            params={"cap": 7},
            split_bytes=200,
            least_split_bytes=90,
        ),
        ODD_FILES,
    ),
    Case(
        "order of values",
        Job("positions", mapper=Positions, reducer=Listed, reducers=3, split_bytes=3),
        {
            "in/a/1": b"a b a\n\nb\r\n" * 4,
            "in/a-b": "é é\né a é\n".encode(),
            "in/a.b": b"b a",
            "in/b": b"a",
        },
    ),
]


# Keys of all types -------------------------------------------------------------------------------


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


# Spills ------------------------------------------------------------------------------------------


class Expanded(Mapper):
    """Few bytes of input, many of map output."""

    def map(self, key, value):
        chosen = random.Random(int(value))
        for place in range(1500):
            number = chosen.randrange(200)
            yield (f"key {number % 50}", number), (number, place, "x" * (number % 40))


class ExpandedNumbers(Mapper):
    def map(self, key, value):
        chosen = random.Random(int(value))
        for _ in range(8000):
            yield PLAIN_KEYS[chosen.randrange(len(PLAIN_KEYS))], chosen.randrange(1000)


def first_of(key):
    return key[0]


def by_last(value):
    return value[2], -value[1]


def mirrored(key):
    return shown(key)[::-1]


def spilling(name: str, **step: Any) -> Case:
    settings = {"mapper": Expanded, "reducer": Digest, "reducers": 2, **step}
    job = Job("spilling", memory_bytes=SPILLING, split_bytes=12, **settings)
    return Case(f"spills, {name}", job, {"in": numbers(7, 20, 100)})


SPILLS = [
    spilling("as they come", reducers=1),
    spilling("secondary sort", group_key=first_of, descending=True, sort_values=by_last),
    spilling("keys and values sorted", sort_key=mirrored, sort_values=True),
    spilling("mixed types", mapper=ExpandedNumbers, reducer=Digest),
]


# Partitions and orders ---------------------------------------------------------------------------


def by_length(key, partitions):
    return len(key) % partitions


class ByLetter:
    def partition(self, key, partitions):
        return ord(key[0]) % partitions


class Neighbours(Mapper):
    """Each word with the one behind it."""

    def map(self, key, value):
        words = value.split()
        for word, following in itertools.pairwise(words):
            yield (word, following), 1


class First(Reducer):
    """Of a group in order, the first values."""

    def reduce(self, key, values):
        for value, _ in zip(values, range(2)):
            yield key, value


class Swap(Mapper):
    def map(self, key, value):
        yield value, key


class Unswap(Reducer):
    def reduce(self, key, values):
        for value in values:
            yield value, key


class Next(Mapper):
    """(word, following), count -> ordered by word and count."""

    def map(self, key, value):
        word, following = key
        yield (word, value, following), (following, value)


class Parted(Mapper):
    """Parts its records between outputs, in all of its methods."""

    def setup(self):
        stop = self.context.file("stopwords.txt").read_text().split()
        self.stop = set(stop)
        self.long = int(self.context.params["long"])

    def map(self, key, value):
        for word in value.split():
            if word in self.stop:
                self.context.emit(word, key, to="stopped")
            elif len(word) >= self.long:
                self.context.emit(key, word, to="long")
                yield word, 1
            else:
                yield word, 1


TEXT = text(8, 80, ["whale", "ship", "sea", "ahab", "i", "call", "me", "é"])

ORDERS = [
    Case(
        "a function as partitioner, ordered by length",
        Job(
            "partitioner",
            mapper=Words,
            reducer=Sum,
            combiner=Sum,
            partitioner=by_length,
            sort_key=len,
            descending=True,
            reducers=3,
            split_bytes=200,
        ),
        {"in": TEXT},
    ),
    Case(
        "a class as partitioner, values sorted",
        Job(
            "partitioner",
            mapper=Positions,
            reducer=Listed,
            partitioner=ByLetter,
            sort_values=operator.itemgetter(2),
            reducers=3,
            split_bytes=200,
        ),
        {"in/1": TEXT, "in/2": TEXT},
    ),
    Case(
        "next words by secondary sort in steps",
        Job(
            "next",
            steps=[
                Step(mapper=Neighbours, reducer=Sum, combiner=operator.add, reducers=3),
                Step(mapper=Next, reducer=First, group_key=first_of, descending=True, reducers=2),
            ],
            split_bytes=200,
        ),
        {"in": TEXT},
    ),
    Case(
        "total order",
        Job(
            "sorted",
            mapper=Positions,
            reducer=Listed,
            sort_values=operator.itemgetter(2),
            total_order=True,
            reducers=4,
            split_bytes=200,
        ),
        {"in": TEXT},
    ),
    Case(
        "total order of what a step gave, the greatest first, in one file",
        Job(
            "most",
            steps=[
                Step(mapper=Words, reducer=Sum, reducers=2),
                Step(mapper=Swap, reducer=Unswap, total_order=True, descending=True, reducers=3),
            ],
            split_bytes=100,
            merged=True,
        ),
        {"in": TEXT},
    ),
    Case(
        "total order of keys of all types",
        Job(
            "sorted",
            mapper=ManyKeys,
            reducer=ShownKeys,
            total_order=True,
            reducers=5,
            split_bytes=300,
        ),
        {"in": numbers(9, 300, 1000)},
    ),
    Case(
        "total order by a key of its own, with a combiner and another output",
        Job(
            "sorted",
            mapper=Parted,
            reducer=Sum,
            combiner=operator.add,
            sort_key=mirrored,
            total_order=True,
            reducers=3,
            outputs={"stopped": "text", "long": "text"},
            files=[SIDE / "stopwords.txt"],
            params={"long": 5},
            split_bytes=100,
        ),
        {"in": text(13, 60, ["the", "whale", "sea", "Leviathan", "dry", "sky"])},
    ),
    Case(
        "total order of nothing",
        Job("sorted", mapper=Words, reducer=Sum, total_order=True, reducers=4),
        {"in/empty": b""},
    ),
]


# Steps, inputs, outputs --------------------------------------------------------------------------


class Sums(Reducer):
    def setup(self):
        self.keys = 0

    def reduce(self, key, values):
        count = sum(values)
        self.keys += 1
        self.context.count("reduced")
        if count > 20:
            self.context.emit(key, count, to="many")
        yield key, count

    def cleanup(self):
        self.context.emit("keys", self.keys, to="totals")


class Weighed(Mapper):
    def map(self, key, value):
        import battery_helper
        import battery_units

        self.context.count(f"weighed in step {self.context.step}")
        yield key, battery_helper.weight(key) * battery_units.SCALE * value


class Even(Mapper):
    """A step without a reducer; what is odd goes to another output."""

    def map(self, key, value):
        if value % 2 == 0:
            return [(key, value)]
        self.context.emit(key, value, to="long")
        return None


class Users(Mapper):
    def map(self, key, value):
        return [(key, ("user", value))]


class Orders(Mapper):
    def map(self, key, value):
        user, _, thing = value.partition(" ")
        yield user, ("order", thing)


class Visits(Mapper):
    def map(self, key, value):
        yield key, ("visit", value)


class Join(Reducer):
    def reduce(self, key, values):
        by_kind = {"user": [], "order": [], "visit": []}
        for kind, value in values:
            by_kind[kind].append(value)
        for user in by_kind["user"]:
            for thing in by_kind["order"]:
                yield key, f"{user} {thing} {by_kind['visit']}"


JOIN_FILES = {
    "users": b"".join(b"u%d\tname %d\n" % (n % 17, n) for n in range(20)),
    "orders/1": b"".join(b"u%d thing %d\n" % (n % 13, n) for n in range(40)),
    "orders/2": b"".join(b"u%d thing\t%d\n" % (n % 5, n) for n in range(10)),
    "visits": [(f"u{n % 7}", (n, None)) for n in range(30)],
}

FLOWS = [
    Case(
        "map-only with named outputs, in one file",
        Job(
            "parted",
            mapper=Parted,
            outputs={"stopped": "text", "long": "text"},
            files=[SIDE / "stopwords.txt"],
            params={"long": 5},
            split_bytes=100,
            merged=True,
        ),
        {"in": text(10, 60, ["the", "of", "whale", "sea", "Leviathan"])},
    ),
    Case(
        "map-only, as many files as tasks",
        Job("same", mapper=Mapper, split_bytes=257),
        ODD_FILES,
    ),
    Case(
        "steps with named outputs, side files and modules",
        Job(
            "steps",
            steps=[
                Step(mapper=Parted, reducer=Sums, reducers=3),
                Step(mapper=Even),
                Step(mapper=Weighed),
                Step(reducer=Sums, reducers=2),
                Step(mapper=Even),
            ],
            outputs=dict.fromkeys(["stopped", "long", "many", "totals"], "text"),
            files=[SIDE / "stopwords.txt"],
            modules=[SIDE / "battery_helper.py", SIDE / "battery_units"],
            params={"long": 5},
            split_bytes=150,
        ),
        {"in": text(11, 90, ["the", "of", "whale", "sea", "Leviathan", "and", "ahab"])},
    ),
    Case(
        "join of three inputs, each with a mapper and a format",
        Job("join", reducer=Join, reducers=3, split_bytes=90, sort_values=True),
        JOIN_FILES,
        [
            Input("users", format="pairs", mapper=Users),
            Input("orders", mapper=Orders),
            Input("visits", format="pickle", mapper=Visits),
        ],
    ),
    Case(
        "reduce-only over pairs",
        Job("listed", reducer=Listed, reducers=2, input_format="pairs", split_bytes=40),
        {"in/1": b"a\t1\nb\t2\t3\nc\n\n\t4\n", "in/2": b"a\t2\nb\t1"},
    ),
    Case(
        "reduce-only over objects",
        Job("shown", reducer=ShownKeys, reducers=3, input_format="pickle", split_bytes=500),
        {"in/1": [(key, n) for n, key in enumerate(KEYS)], "in/2": [(KEYS[5], "x")], "in/3": []},
    ),
    Case(
        "objects as output",
        Job(
            "objects",
            mapper=ManyKeys,
            reducer=Listed,
            reducers=3,
            output_format="pickle",
            split_bytes=300,
        ),
        {"in": numbers(12, 200, 1000)},
    ),
    Case(
        "compressed inputs and outputs, and bytes that are not UTF-8",
        Job(
            "packed",
            mapper=Words,
            reducer=Sum,
            reducers=2,
            input_format="text:errors=replace",
            output_format="text:compress=gzip",
            merged=True,
            split_bytes=100,
        ),
        {
            "in/1.gz": gzip.compress(TEXT),
            "in/2.txt": b"whale \xff\xfe whale\nsea\xc3\n" * 9,
            "in/3.bz2": bz2.compress(b"sea\n"),
        },
    ),
    Case(
        "nothing",
        Job("nothing", mapper=Words, reducer=Sums, reducers=2, outputs={"totals": "text"}),
        {"in/empty": b""},
    ),
]

# Formats -----------------------------------------------------------------------------------------


class Rows(Mapper):
    """Sums of rows, which are dicts; those without a number go elsewhere."""

    def map(self, key, value):
        if value["count"].isdigit():
            yield value["word"], int(value["count"])
        else:
            self.context.emit(key, value, to="bad")


class Fields(Mapper):
    def map(self, key, value):
        yield value[0], int(value[1])


class Objects(Mapper):
    def map(self, key, value):
        yield value["word"], value["count"]


class Whole(Mapper):
    def map(self, key, value):
        yield Path(key).name, len(value)


class Blocks(Mapper):
    def map(self, key, value):
        yield value.hex(), key


class Quoted(Reducer):
    """Values that need quotes in CSV."""

    def reduce(self, key, values):
        total = sum(values)
        yield key, (total, f"{key}, {total}", f'"{key}"')


class Bytes(Reducer):
    def reduce(self, key, values):
        yield None, f"{key}={sorted(values)};".encode()


COUNTS = [("whale", 3), ("é", 4), ("sea, the", 5), ("whale", 6), ('a "quote"', 7)] * 4
ROW_FILES = {
    "rows/1.csv": "word,count\r\n{}".format(
        "".join('"{}",{}\r\n'.format(word.replace('"', '""'), n) for word, n in COUNTS)
    ).encode(),
    "rows/2.csv": b"count,word\n5,ship\nmany,ship\n,sea",
    "fields.tsv": "".join(f"{word}\t{n}\n" for word, n in COUNTS).encode(),
    "objects.jsonl": "".join(
        json.dumps({"word": word, "count": n}) + "\n" for word, n in COUNTS
    ).encode(),
    "whole/1": "whole\nfile é".encode(),
    "whole/2": b"",
    "blocks": bytes(range(48)) * 3,
}
ROW_INPUTS = [
    Input("rows", format="csv:header=yes", mapper=Rows),
    Input("fields.tsv", format="tsv", mapper=Fields),
    Input("objects.jsonl", format="jsonlines", mapper=Objects),
    Input("whole", format="whole", mapper=Whole),
    Input("blocks", format="fixed:size=12", mapper=Blocks),
]


def in_format(output_format: str, reducer: Any, **changes: Any) -> Case:
    job = Job(
        "formats",
        reducer=reducer,
        reducers=3,
        outputs={"bad": "jsonlines"},
        output_format=output_format,
        split_bytes=60,
        **changes,
    )
    return Case(f"rows as {output_format.replace(':', ' ')}", job, ROW_FILES, ROW_INPUTS)


FORMATS = [
    in_format("csv:header=word,count,both,quoted", Quoted, merged=True),
    in_format("csv", Quoted),
    in_format("jsonlines", Quoted),
    in_format("tsv:compress=gzip", Sum),
    in_format("raw", Bytes, merged=True),
    in_format("parquet", Sum),
]

BATTERY = [*WORDS, *TYPES, *SPILLS, *ORDERS, *FLOWS, *FORMATS]
ON_CLUSTER = [
    case
    for case in BATTERY
    # A cluster has no part in what these try beyond the others.
    if case not in (WORDS[1], WORDS[3], *TYPES[1:3], SPILLS[0], SPILLS[2], *FORMATS[1:5])
]
