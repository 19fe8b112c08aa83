"""Steps, inputs, outputs."""

import bz2
import gzip

from mapreduce import Input, Job, Mapper, Reducer, Step
from tests.mapreduce.battery.jobs.common import ODD_FILES, SIDE, Case, Listed, Sum, Words, text
from tests.mapreduce.battery.jobs.keys import KEYS, ManyKeys, ShownKeys, numbers
from tests.mapreduce.battery.jobs.orders import TEXT, Parted


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
