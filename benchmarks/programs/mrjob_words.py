"""Word count as an mrjob script: `python mrjob_words.py -r local --output-dir OUTPUT INPUT`."""

from mrjob.job import MRJob
from mrjob.protocol import TextProtocol


class Words(MRJob):
    OUTPUT_PROTOCOL = TextProtocol

    def mapper(self, _, line):
        for word in line.split():
            yield word, 1

    def combiner(self, word, counts):
        yield word, sum(counts)

    def reducer(self, word, counts):
        yield word, str(sum(counts))


if __name__ == "__main__":
    Words.run()
