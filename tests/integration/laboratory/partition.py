"""Counts words; which reduce gets a word is said by Python's own hash of it."""

from mapreduce import Mapper, Reducer


class MyMapper(Mapper):
    def map(self, key, value):
        for word in value.split():
            yield word, 1


def MyPartitioner(key, partitions):  # noqa: N802
    return hash(key) % partitions


class MyReducer(Reducer):
    def reduce(self, key, values):
        yield key, sum(values)
