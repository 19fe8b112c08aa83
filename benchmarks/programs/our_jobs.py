"""The workloads as jobs of ours, on the `local` runner."""

import sys
from pathlib import Path

from mapreduce import Job, Mapper, Reducer

REDUCERS = 4


class Words(Mapper):
    def map(self, key, value):
        for word in value.split():
            yield word, 1


class Sum(Reducer):
    def reduce(self, key, values):
        yield key, sum(values)


class Postings(Mapper):
    def map(self, key, value):
        document, _, text = value.partition("\t")
        for word in set(text.split()):
            yield word, document


class Documents(Reducer):
    def reduce(self, key, values):
        yield key, " ".join(sorted(values))


JOBS = {
    "words": Job("words", mapper=Words, combiner=Sum, reducer=Sum, reducers=REDUCERS),
    "index": Job("index", mapper=Postings, reducer=Documents, reducers=REDUCERS),
}


def run(name: str, output: str | Path, *inputs: str | Path, processes: int = 2) -> None:
    JOBS[name].run(*inputs, output=output, processes=processes)


if __name__ == "__main__":
    run(*sys.argv[1:])
