"""Jobs that hold more than their memory."""

import random
import zlib
from typing import Any

from mapreduce import Job, Mapper, PartitionReducer
from tests.mapreduce.battery.jobs.common import SPILLING, Case, Digest
from tests.mapreduce.battery.jobs.keys import PLAIN_KEYS, mirrored, numbers


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


class ExpandedTexts(Mapper):
    def map(self, key, value):
        chosen = random.Random(int(value))
        for _ in range(4000):
            yield chosen.choice(PLAIN_KEYS), "x" * chosen.randrange(1000)


class Told(PartitionReducer):
    """Tells what each piece holds, and in which order."""

    def setup(self):
        self.digests = []

    def reduce(self, piece):
        self.context.count("pieces")
        self.context.emit(piece[0][0], len(piece), to="sizes")
        self.digests.append(zlib.crc32(repr(piece).encode()))
        if len(self.digests) == 1:
            self.context.emit("first", piece[:3])

    def output(self):
        return enumerate(self.digests)

    def cleanup(self):
        yield "pieces", len(self.digests)


def first_of(key):
    return key[0]


def by_last(value):
    return value[2], -value[1]


def spilling(name: str, **step: Any) -> Case:
    settings = {"mapper": Expanded, "reducer": Digest, "reducers": 2, **step}
    job = Job("spilling", memory_bytes=SPILLING, split_bytes=12, **settings)
    return Case(f"spills, {name}", job, {"in": numbers(7, 20, 100)})


SPILLS = [
    spilling("as they come", reducers=1),
    spilling("secondary sort", group_key=first_of, descending=True, sort_values=by_last),
    spilling("keys and values sorted", sort_key=mirrored, sort_values=True),
    spilling("mixed types", mapper=ExpandedNumbers, reducer=Digest),
    Case(
        "spills, whole pieces",
        Job(
            "pieces",
            mapper=ExpandedTexts,
            reducer=Told,
            reducers=3,
            input_format="whole",  # each file is a map task
            outputs={"sizes": "text"},
            split_bytes=1,
            memory_bytes=SPILLING,
        ),
        {f"in/{name}": name.encode() for name in ("3", "14", "15")},
    ),
]
