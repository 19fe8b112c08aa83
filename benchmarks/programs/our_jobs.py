"""The workloads as jobs of ours, on the `local` runner."""

import operator
import sys
from collections import Counter
from pathlib import Path

from mapreduce import Input, Job, Mapper, Reducer

REDUCERS = 4


class Words(Mapper):
    def map(self, key, value):
        for word in value.split():
            yield word, 1


class WordsOfBatch(Mapper):
    def map_batch(self, records):
        counts = Counter()
        for _, line in records:
            counts.update(line.split())
        return counts.items()


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


class Customers(Mapper):
    def map(self, key, value):
        customer, _, name = value.partition("\t")
        yield customer, ("name", name)


class Orders(Mapper):
    def map(self, key, value):
        customer, _, order = value.partition("\t")
        yield customer, ("order", order)


class NamedOrders(Reducer):
    def reduce(self, key, values):
        names, orders = [], []
        for side, value in values:
            (names if side == "name" else orders).append(value)
        for name in names:
            for order in orders:
                yield key, f"{name}\t{order}"


def words(text: str) -> Job:
    return Job("words", inputs=[text], mapper=Words, combiner=Sum, reducer=Sum, reducers=REDUCERS)


def words_folding(text: str) -> Job:
    return Job(
        "words", inputs=[text], mapper=Words, combiner=operator.add, reducer=Sum, reducers=REDUCERS
    )


def words_batches(text: str) -> Job:
    return Job(
        "words",
        inputs=[text],
        mapper=WordsOfBatch,
        combiner=operator.add,
        reducer=Sum,
        reducers=REDUCERS,
    )


def sort(records: str) -> Job:
    return Job(
        "sort",
        inputs=[records],
        input_format="pairs",
        reducer=Reducer,
        reducers=REDUCERS,
        total_order=True,
    )


def index(documents: str) -> Job:
    return Job("index", inputs=[documents], mapper=Postings, reducer=Documents, reducers=REDUCERS)


def join(customers: str, orders: str) -> Job:
    inputs = [Input(customers, mapper=Customers), Input(orders, mapper=Orders)]
    return Job("join", inputs=inputs, reducer=NamedOrders, reducers=REDUCERS)


JOBS = {
    "words": words,
    "words-folding": words_folding,
    "words-batches": words_batches,
    "sort": sort,
    "index": index,
    "join": join,
}


def run(name: str, output: str | Path, *inputs: str | Path, processes: int = 2) -> None:
    JOBS[name](*map(str, inputs)).run(output=output, processes=processes)


if __name__ == "__main__":
    run(*sys.argv[1:])
