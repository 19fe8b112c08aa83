"""Sorts lines: the files of output, one behind the other, are the sorted input.

    mapreduce run examples/sort.py 'logs/*.log' -o out/ --set reducers=4
    mapreduce run examples/sort.py 'logs/*.log' -o out/ --set descending=yes

Input: any lines of text. Output: the same lines in the order of their characters' code points;
equal lines are all there.

With a `total_order` each reducer gets a range of keys. A sample of the mapper's keys, taken before
the job's map tasks run, says where the ranges end, so that they hold about as much each. Keys are
sorted on their way to the reducer; there is nothing left for it to do. Equal lines travel as one
with their number, by the combiner. (TeraSort of Hadoop; Dean & Ghemawat, OSDI 2004, section 5.3.)
"""

import operator

from mapreduce import Job, Mapper, Reducer


class Lines(Mapper):
    def map(self, key, value):
        yield value, 1


class Repeated(Reducer):
    def reduce(self, key, values):
        for _ in range(sum(values)):
            yield None, key


def job(reducers: int = 2, descending: bool = False) -> Job:
    return Job(
        "sort",
        mapper=Lines,
        combiner=operator.add,
        reducer=Repeated,
        reducers=reducers,
        total_order=True,
        descending=descending,
        output_format="text:keys=no",
    )
