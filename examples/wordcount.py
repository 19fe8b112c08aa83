"""Counts words: `mapreduce run examples/wordcount.py book.txt -o out/`."""

from mapreduce import Mapper, Reducer


class MyMapper(Mapper):
    def map(self, key, value):
        for word in value.split():
            yield word, 1


class MyReducer(Reducer):
    def reduce(self, key, values):
        yield key, sum(values)


MyCombiner = MyReducer
