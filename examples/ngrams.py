"""N-grams: how often each row of n words stands in a text, if it does so `least` times or more.

    mapreduce run examples/ngrams.py 'books/*.txt' -o out/ --reducers 2 --set n=3 --set least=2

Input: lines of text; n-grams don't reach over the end of a line. Output: `three words like TAB 17`.
Without `--set` n is 2 and least is 1.

A combiner that is a function of two values, here `operator.add`, folds the values of a key as they
come: a map task holds one number for each n-gram and no list. Parameters are read in `setup`, once
for each task. The counters in the summary say how many n-grams were left out as too rare.
"""

import operator
import re

from mapreduce import Mapper, Reducer

words_in = re.compile(r"\w+").findall


class MyMapper(Mapper):
    def setup(self):
        self.n = int(self.context.params.get("n", 2))

    def map(self, key, value):
        words = words_in(value.lower())
        for start in range(len(words) - self.n + 1):
            yield " ".join(words[start : start + self.n]), 1


class MyReducer(Reducer):
    def setup(self):
        self.least = int(self.context.params.get("least", 1))

    def reduce(self, key, values):
        count = sum(values)
        if count >= self.least:
            yield key, count
        else:
            self.context.count("n-grams left out")


MyCombiner = operator.add
