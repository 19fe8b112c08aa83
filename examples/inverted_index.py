"""An inverted index: for each word the places where it stands.

    mapreduce run examples/inverted_index.py 'books/*.txt' -o out/ --set reducers=2

Input: text files. Output: JSON lines, such as

    ["whale", [["books/moby.txt", [0, 73, 512]], ["books/sea.txt", [88]]]]

The numbers are the positions of lines in bytes, so a reader can seek to them; a word that a line
has twice stands there once.

The mapper learns from `context.input` which file it reads. With `sort_values` the places of a word
come to the reducer in order, so `groupby` can gather them by file. (Dean & Ghemawat, OSDI 2004,
section 2.3; Lin & Dyer, "Data-Intensive Text Processing with MapReduce", 2010, chapter 4.)
"""

import re
from itertools import groupby
from operator import itemgetter

from mapreduce import Job, Mapper, Reducer

words_in = re.compile(r"\w+").findall


class Places(Mapper):
    def map(self, key, value):
        for word in set(words_in(value.lower())):
            yield word, (self.context.input, key)


class ByFile(Reducer):
    def reduce(self, key, values):
        by_file = groupby(values, key=itemgetter(0))
        yield key, [[file, [position for _, position in places]] for file, places in by_file]


def job(reducers: int = 1) -> Job:
    return Job(
        "inverted-index",
        mapper=Places,
        reducer=ByFile,
        reducers=reducers,
        sort_values=True,
        output_format="jsonlines",
    )
