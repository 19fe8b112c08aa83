"""An inverted index as an mrjob script: `python mrjob_index.py -r local --output-dir OUT INPUT`."""

from mrjob.job import MRJob
from mrjob.protocol import TextProtocol


class Index(MRJob):
    INPUT_PROTOCOL = INTERNAL_PROTOCOL = OUTPUT_PROTOCOL = TextProtocol

    def mapper(self, document, text):
        for word in set(text.split()):
            yield word, document

    def reducer(self, word, documents):
        yield word, " ".join(sorted(documents))


if __name__ == "__main__":
    Index.run()
