"""Top k: the keys with the greatest numbers, such as the commonest words.

    mapreduce run examples/wordcount.py 'books/*.txt' -o counts/ --reducers 4
    mapreduce run examples/top_k.py counts/ -o out/ --set k=10

Input: `key TAB number`, which is what many jobs write. Output: the same, the greatest first, and
equal ones in alphabetical order.

A map task keeps its own k best and yields them in `cleanup`, behind its last record: at most k
pairs leave each task, however long the input is. `heapq.nsmallest` holds a heap of k. The one
reducer sees them all in order and passes on the first k. (In-mapper combining: Lin & Dyer,
"Data-Intensive Text Processing with MapReduce", 2010, section 3.1.)
"""

import heapq
from itertools import chain, islice

from mapreduce import Job, Mapper, Reducer


class Best(Mapper):
    def setup(self):
        self.k = int(self.context.params["k"])
        self.best = []

    def map_batch(self, records):
        ranked = ((-int(number), key) for key, number in records)
        self.best = heapq.nsmallest(self.k, chain(self.best, ranked))

    def cleanup(self):
        return [(rank, None) for rank in self.best]


class First(Reducer):
    def setup(self):
        self.left = int(self.context.params["k"])

    def reduce(self, key, values):
        negative, name = key
        for _ in islice(values, self.left):
            self.left -= 1
            yield name, -negative


def job(k: int = 10) -> Job:
    return Job("top-k", mapper=Best, reducer=First, input_format="pairs", params={"k": k})
