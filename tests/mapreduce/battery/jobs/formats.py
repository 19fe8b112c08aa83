"""Formats of input and output."""

import json
from pathlib import Path
from typing import Any

from mapreduce import Input, Job, Mapper, Reducer
from tests.mapreduce.battery.jobs.common import Case, Sum


class Rows(Mapper):
    """Sums of rows, which are dicts; those without a number go elsewhere."""

    def map(self, key, value):
        if value["count"].isdigit():
            yield value["word"], int(value["count"])
        else:
            self.context.emit(key, value, to="bad")


class Fields(Mapper):
    def map(self, key, value):
        yield value[0], int(value[1])


class Objects(Mapper):
    def map(self, key, value):
        yield value["word"], value["count"]


class ObjectsOfBatches(Mapper):
    def map_batch(self, records):
        for _, value in records:
            yield value["word"], value["count"]


class Whole(Mapper):
    def map(self, key, value):
        yield Path(key).name, len(value)


class Blocks(Mapper):
    def map(self, key, value):
        yield value.hex(), key


class Quoted(Reducer):
    """Values that need quotes in CSV."""

    def reduce(self, key, values):
        total = sum(values)
        yield key, (total, f"{key}, {total}", f'"{key}"')


class QuotedInAll(Quoted):
    """To another output in each of the other formats."""

    def reduce(self, key, values):
        [(key, value)] = super().reduce(key, values)
        for name in ("tabs", "objects", "columns"):
            self.context.emit(key, value[0], to=name)
        self.context.emit(None, f"{key};".encode(), to="bytes")
        yield key, value


class Bytes(Reducer):
    def reduce(self, key, values):
        yield None, f"{key}={sorted(values)};".encode()


COUNTS = [("whale", 3), ("é", 4), ("sea, the", 5), ("whale", 6), ('a "quote"', 7)] * 4
ROW_FILES = {
    "rows/1.csv": "word,count\r\n{}".format(
        "".join('"{}",{}\r\n'.format(word.replace('"', '""'), n) for word, n in COUNTS)
    ).encode(),
    "rows/2.csv": b"count,word\n5,ship\nmany,ship\n,sea",
    "fields.tsv": "".join(f"{word}\t{n}\n" for word, n in COUNTS).encode(),
    "objects.jsonl": "".join(
        json.dumps({"word": word, "count": n}) + "\n" for word, n in COUNTS
    ).encode(),
    "whole/1": "whole\nfile é".encode(),
    "whole/2": b"",
    "blocks": bytes(range(48)) * 3,
}
ROW_INPUTS = [
    Input("rows", format="csv:header=yes", mapper=Rows),
    Input("fields.tsv", format="tsv", mapper=Fields),
    Input("objects.jsonl", format="jsonlines", mapper=Objects),
    Input("whole", format="whole", mapper=Whole),
    Input("blocks", format="fixed:size=12", mapper=Blocks),
]


def in_format(output_format: str, reducer: Any, **changes: Any) -> Case:
    job = Job(
        "formats",
        reducer=reducer,
        reducers=3,
        outputs={"bad": "jsonlines"},
        output_format=output_format,
        split_bytes=60,
        **changes,
    )
    return Case(f"rows as {output_format.replace(':', ' ')}", job, ROW_FILES, ROW_INPUTS)


IN_ALL_FORMATS = Case(
    "rows in all formats",
    Job(
        "formats",
        reducer=QuotedInAll,
        reducers=3,
        outputs={
            "bad": "jsonlines",
            "tabs": "tsv:compress=gzip",
            "objects": "pickle",
            "columns": "parquet",
            "bytes": "raw",
        },
        output_format="csv:header=word,count,both,quoted",
        split_bytes=60,
        merged=True,
    ),
    ROW_FILES,
    [
        Input("objects.jsonl", format="jsonlines", mapper=ObjectsOfBatches),
        *(given for given in ROW_INPUTS if given.format != "jsonlines"),
    ],
)
FORMATS = [
    in_format("csv:header=word,count,both,quoted", Quoted, merged=True),
    in_format("csv", Quoted),
    in_format("jsonlines", Quoted),
    in_format("tsv:compress=gzip", Sum),
    in_format("raw", Bytes, merged=True),
    in_format("parquet", Sum),
    IN_ALL_FORMATS,
]
