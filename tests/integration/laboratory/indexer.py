"""For each word how many documents have it, and which."""

import re

from mapreduce import Mapper, Reducer


class MyMapper(Mapper):
    def map(self, key, value):
        for word in set(re.findall("[A-Za-z]+", value)):
            yield word, self.context.input


class MyReducer(Reducer):
    def reduce(self, key, values):
        documents = sorted(set(values))
        yield key, f"{len(documents)} {','.join(documents)}"
