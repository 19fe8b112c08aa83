"""Partitions and orders."""

import itertools
import operator

from mapreduce import Job, Mapper, Reducer, Step
from tests.mapreduce.battery.jobs.common import SIDE, Case, Listed, Positions, Sum, Words, text
from tests.mapreduce.battery.jobs.keys import ManyKeys, ShownKeys, mirrored, numbers
from tests.mapreduce.battery.jobs.spills import first_of


def by_length(key, partitions):
    return len(key) % partitions


def by_ends(key):
    return ord(key[0]) - 7 * ord(key[-1])


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
        "a hash of the user's own, also negative",
        Job(
            "do_hash",
            mapper=Words,
            reducer=Sum,
            combiner=Sum,
            do_hash=by_ends,
            reducers=3,
            split_bytes=200,
        ),
        {"in": TEXT},
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
