"""A join as an mrjob script: `python mrjob_join.py -r local --output-dir OUT CUSTOMERS ORDERS`."""

from pathlib import Path

from mrjob.compat import jobconf_from_env
from mrjob.job import MRJob
from mrjob.protocol import TextProtocol


class Join(MRJob):
    INPUT_PROTOCOL = INTERNAL_PROTOCOL = OUTPUT_PROTOCOL = TextProtocol
    SORT_VALUES = True

    def mapper(self, customer, rest):
        # The table by the file's name, as in Hadoop; "customers" sorts before "orders".
        table = Path(jobconf_from_env("mapreduce.map.input.file")).name
        yield customer, f"{table[0]}{rest}"

    def reducer(self, customer, rows):
        name = None
        for row in rows:
            if row[0] == "c":
                name = row[1:]
            elif name is not None:
                yield customer, f"{name}\t{row[1:]}"


if __name__ == "__main__":
    Join.run()
