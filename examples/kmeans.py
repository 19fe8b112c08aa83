"""K-means: parts points into groups, so that each is nearest to the centre of its own.

    mapreduce run examples/kmeans.py points.csv -o out/ --set start=start.csv --set rounds=10

Input: CSV of numbers, a point in each row, of any dimension. The file `start`, which goes with the
job as a side file, has the centres to begin with in rows of the same form: with the same start the
answer is always the same. Output: JSON lines, for each group its number, how many points it has,
and its centre.

Between the steps a pair is (group, point). A round begins with new centres: each mapper adds up the
points of each group and sends the sums to every partition, under keys that sort before its points
(as in pagerank.py). So a reducer knows the centres of all groups before its first point. A counter
says how many points changed their group in each round: when none did, there were rounds enough. A
group that has lost all its points is gone. (Lloyd, "Least Squares Quantization in PCM", 1982.)
"""

import csv
import functools
import math
from pathlib import Path

from mapreduce import Job, Mapper, Reducer, Step

SUMS, POINT = 0, 1  # kinds of keys: sums are sorted before points


def nearest(centres, point):
    return min(centres, key=lambda group: (math.dist(centres[group], point), group))


def added(one, other):
    """(number, sum of points) of two lots together."""
    return one[0] + other[0], tuple(map(sum, zip(one[1], other[1])))


def mean(count, total):
    return tuple(place / count for place in total)


class Start(Mapper):
    def setup(self):
        name = Path(self.context.params["start"]).name
        with self.context.file(name).open(newline="") as rows:
            self.centres = dict(enumerate(tuple(map(float, row)) for row in csv.reader(rows)))

    def map(self, key, value):
        point = tuple(map(float, value))
        yield nearest(self.centres, point), point


class Sums(Mapper):
    def setup(self):
        self.sums = {}

    def map(self, key, value):
        mine = (1, value)
        self.sums[key] = added(self.sums[key], mine) if key in self.sums else mine
        yield (POINT, key), value

    def cleanup(self):
        for partition in range(self.context.reducers):
            yield (SUMS, partition), self.sums


def partitioner(key, partitions):
    _, number = key
    return number % partitions


class Assign(Reducer):
    def setup(self):
        self.centres, self.changed = {}, 0

    def reduce(self, key, values):
        kind, group = key
        if kind == SUMS:
            self.centres = centres_of(values)
            return
        for point in values:
            now = nearest(self.centres, point)
            self.changed += now != group
            yield now, point

    def cleanup(self):
        number = self.context.step - 1
        self.context.count(f"points that changed in round {number:2}", self.changed)


def centres_of(partial_sums):
    totals = {}
    for sums in partial_sums:
        for group, mine in sums.items():
            totals[group] = added(totals[group], mine) if group in totals else mine
    return {group: mean(*total) for group, total in totals.items()}


class Single(Mapper):
    def map(self, key, value):
        yield key, (1, value)


class Group(Reducer):
    def reduce(self, key, values):
        count, total = functools.reduce(added, values)
        yield key, {"points": count, "centre": mean(count, total)}


def job(start: str, rounds: int = 10, reducers: int = 1) -> Job:
    one_round = Step(mapper=Sums, partitioner=partitioner, reducer=Assign, reducers=reducers)
    groups = Step(mapper=Single, combiner=added, reducer=Group)
    return Job(
        "kmeans",
        steps=[Step(mapper=Start), *[one_round] * rounds, groups],
        files=[start],
        params={"start": start},
        input_format="csv",
        output_format="jsonlines",
    )
