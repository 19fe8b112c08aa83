"""Next words: for each word those that most often follow it, and how likely they are.

    mapreduce run examples/next_word.py 'books/*.txt' -o out/ --set top=3 --set reducers=2

Input: lines of text; the first word of a line follows none. Output: CSV with a row for each of the
`top` words that follow a word, the likeliest first, and equally likely ones in alphabetical order:

    word,next,count,probability
    to,be,2,0.6666666666666666
    to,sleep,1,0.3333333333333333

The first step counts pairs of words. The second has the word as key and (next, count) as values,
which `sort_values` brings into the order of falling counts before the reducer sees them (secondary
sort). So it needs to keep no more than `top` of them, however many there are, while it adds up all.
(Relative frequencies and secondary sort: Lin & Dyer, "Data-Intensive Text Processing with
MapReduce", 2010, sections 3.3 and 3.4.)
"""

import operator
import re
from itertools import pairwise

from mapreduce import Job, Mapper, Reducer, Step

words_in = re.compile(r"\w+").findall


class Neighbours(Mapper):
    def map(self, key, value):
        for pair in pairwise(words_in(value.lower())):
            yield pair, 1


class Counted(Reducer):
    def reduce(self, key, values):
        word, follower = key
        yield word, (follower, sum(values))


class Likeliest(Reducer):
    def setup(self):
        self.top = int(self.context.params["top"])

    def reduce(self, key, values):
        best, total = [], 0
        for follower, count in values:
            total += count
            if len(best) < self.top:
                best.append((follower, count))
        for follower, count in best:
            yield key, (follower, count, count / total)


def falling_count(value):
    follower, count = value
    return -count, follower


def job(top: int = 3, reducers: int = 1) -> Job:
    count = Step(mapper=Neighbours, combiner=operator.add, reducer=Counted, reducers=reducers)
    choose = Step(reducer=Likeliest, reducers=reducers, sort_values=falling_count)
    return Job(
        "next-word",
        steps=[count, choose],
        params={"top": top},
        output_format="csv:header=word,next,count,probability",
    )
