"""Jobs that hold more than their memory."""

import random
from typing import Any

from mapreduce import Job, Mapper
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
]
