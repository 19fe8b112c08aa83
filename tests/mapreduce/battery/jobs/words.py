"""Words, by every kind of mapper and combiner."""

import operator

from mapreduce import Input, Job, Mapper, Reducer
from tests.mapreduce.battery.jobs.common import ODD_FILES, Case, Listed, Positions, Sum, Words, text


class WordsOfBatches(Mapper):
    def map_batch(self, records):
        for place, line in records:
            for word in line.split():
                yield word, place


class AllWords(Mapper):
    def map_all(self, records):
        words = 0
        for place, line in records:
            for word in line.split():
                words += 1
                yield word, place
        self.context.count("words", words)


class AllPlaces(Reducer):
    """Leaves the values of one key, and knows of the key before."""

    def reduce_all(self, groups):
        before = None
        for key, values in groups:
            if key != "bb":
                yield key, [before, *values]
            before = key

    def cleanup(self):
        yield "the end", []


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
        "all records and all groups in one call",
        Job("all", mapper=AllWords, reducer=AllPlaces, reducers=2, split_bytes=100),
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
