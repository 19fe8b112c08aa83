"""A word count as Hadoop has it, for tests that change something of it."""

from collections import Counter
from pathlib import Path
from typing import Any

from mapreduce.hadoop import IntWritable, Job, Mapper, Reducer, Text

LINES = "to be or\nnot to be\nthat is\n"


class Words(Mapper):
    def map(self, key, value, context):
        for word in str(value).split():
            context.write(Text(word), IntWritable(1))


class Sum(Reducer):
    def reduce(self, key, values, context):
        context.write(key, IntWritable(sum(value.get() for value in values)))


def counting(book: Path, *, mapper: type = Words, reducer: type = Sum, **where: Any) -> Job:
    job = Job("word count", **{"runner": "inline", **where})
    job.set_mapper_class(mapper)
    job.set_reducer_class(reducer)
    job.set_output_key_class(Text)
    job.set_output_value_class(IntWritable)
    job.add_input_path(book)
    job.set_output_path(book.parent / "out")
    return job


def output(job: Job) -> list[tuple[str, str]]:
    assert job.wait_for_completion()
    assert job.is_complete()
    assert job.is_successful()
    return list(job.result())


COUNTS = sorted((word, str(count)) for word, count in Counter(LINES.split()).items())
