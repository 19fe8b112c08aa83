"""Count words: how often does each word occur in the input?

    mapreduce new_job wc examples/wordcount.py --input /books --output /out/wc --reducers 4
    mapreduce run_job wc --wait
    mapreduce output wc

or without a cluster:

    mapreduce run examples/wordcount.py book.txt -o out/
"""

from mapreduce import Mapper, Reducer


class MyMapper(Mapper):
    def map(self, key, value):  # key: position of the line, value: the line
        for word in value.split():
            yield word, 1


class MyReducer(Reducer):
    def reduce(self, key, values):
        yield key, sum(values)


MyCombiner = MyReducer  # adds up on the mapper's side too: less to store and to send
