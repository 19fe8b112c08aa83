"""A sort as an mrjob script: `python mrjob_sort.py -r local --output-dir OUTPUT INPUT`."""

from mrjob.job import MRJob
from mrjob.protocol import TextProtocol


class Sort(MRJob):
    INPUT_PROTOCOL = INTERNAL_PROTOCOL = OUTPUT_PROTOCOL = TextProtocol

    def mapper(self, key, rest):
        yield key, rest

    def reducer(self, key, rests):
        for rest in rests:
            yield key, rest


if __name__ == "__main__":
    Sort.run()
