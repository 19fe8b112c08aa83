"""Counts words.

    mapreduce run examples/wordcount.py book.txt -o out/

Input: lines of text. Output: `word TAB count`, in the order of the words; with `--reducers 4` four
files, each with a part of the words. (Dean & Ghemawat, "MapReduce: Simplified Data Processing on
Large Clusters", OSDI 2004, section 2.1.)
"""

from mapreduce import Mapper, Reducer


class MyMapper(Mapper):
    def map(self, key, value):
        for word in value.split():
            yield word, 1


class MyReducer(Reducer):
    def reduce(self, key, values):
        yield key, sum(values)


MyCombiner = MyReducer
