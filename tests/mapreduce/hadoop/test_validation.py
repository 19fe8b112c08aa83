"""What can't run is refused before anything is sent, all of it at once."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from mapreduce.errors import JobError
from mapreduce.hadoop import (
    HashPartitioner,
    Job,
    Mapper,
    Partitioner,
    Reducer,
    Writable,
    WritableComparable,
    WritableComparator,
)
from tests.mapreduce.hadoop.jobs import Sum, Words, counting


class AnyCase(Writable):
    """Can be no key."""


def test_all_that_is_wrong_is_told_at_once_before_anything_is_sent() -> None:
    class Cleans(Reducer):
        def cleanup(self, context):
            pass

    job = Job("wrong", {"mapreduce.map.maxattempts": "often"}, runner="moon")
    job.set_mapper_class(Sum)
    job.set_reducer_class("no.such.module:Class")
    job.set_combiner_class(Cleans)
    job.set_partitioner_class(HashPartitioner())
    job.set_map_output_key_class(AnyCase)
    job.set_num_reduce_tasks(-1)
    with pytest.raises(JobError) as caught:
        job.submit()
    told = str(caught.value).split("\n  - ")[1:]
    for words in (
        ("no input: call add_input_path",),
        ("no output: call set_output_path",),
        ("set_mapper_class", "Mapper, not Sum"),
        ("set_reducer_class", "'no.such.module:Class' can't be found"),
        ("Cleans.cleanup is never called",),
        ("set_partitioner_class", "Partitioner, not <"),
        ("set_map_output_key_class", "WritableComparable, not AnyCase"),
        ("mapreduce.map.maxattempts is 'often'",),
        ("no runner 'moon'",),
        ("set_num_reduce_tasks", "-1"),
    ):
        assert [one for one in told if all(word in one for word in words)], (words, told)
    assert len(told) == 10
    assert job.status is None


class TakesTwo(Mapper):
    def map(self, key, value):
        yield key, value


class Yields(Reducer):
    def reduce(self, key, values, context):
        yield key, sum(values)


class NeedsMore(Mapper):
    def __init__(self, least):
        self.least = least


class NoPartition(Partitioner):
    pass


class NoOrder(WritableComparator):
    pass


class HoldsWhat(WritableComparable):
    pass


class FillsItself(WritableComparable):
    def write(self):
        return ""

    def read_fields(self, written):
        pass


@dataclass
class Within(WritableComparable):
    inner: HoldsWhat


WRONG_SETTINGS: dict[str, tuple[Callable[[Job], object], str]] = {
    "a map without a context": (
        lambda job: job.set_mapper_class(TakesTwo),
        r"TakesTwo.map \(.*test_validation.py, line \d+\) is called with a key and a value and",
    ),
    "a reduce that yields": (
        lambda job: job.set_combiner_class(Yields),
        r"set_combiner_class: Yields.reduce .* has a yield, so calling it runs nothing",
    ),
    "arguments of a mapper": (
        lambda job: job.set_mapper_class(NeedsMore),
        r"NeedsMore is called with nothing, and it takes \(least\)",
    ),
    "no partitions": (
        lambda job: job.set_partitioner_class(NoPartition),
        "NoPartition lacks get_partition",
    ),
    "no order": (lambda job: job.set_grouping_comparator_class(NoOrder), "NoOrder lacks compare"),
    "a key of nothing": (
        lambda job: job.set_map_output_key_class(HoldsWhat),
        "nothing says what HoldsWhat holds",
    ),
    "a key within a key": (
        lambda job: job.set_map_output_key_class(Within),
        "nothing says what HoldsWhat holds",
    ),
    "a key that fills itself": (
        lambda job: job.set_map_output_key_class(FillsItself),
        "FillsItself.read_fields fills no object, it makes one",
    ),
    "an input format": (
        lambda job: job.set_input_format_class(Words),
        "set_input_format_class takes the name of a format, .* not <class",
    ),
    "an input": (lambda job: job.add_input_path(None), "add_input_path takes a path, not None"),
    "a name": (lambda job: job.set_job_name(None), "set_job_name takes a text, not None"),
    "yes or no": (
        lambda job: job.configuration.set("mapreduce.map.speculative", "maybe"),
        "mapreduce.map.speculative is 'maybe', which is neither true nor false",
    ),
    "a number of reduces": (
        lambda job: job.configuration.set("mapreduce.job.reduces", "-1"),
        "mapreduce.job.reduces takes an int of 0 or more, not '-1'",
    ),
}


@pytest.mark.parametrize(("change", "said"), WRONG_SETTINGS.values(), ids=WRONG_SETTINGS.keys())
def test_what_could_not_work_is_refused_before_anything_runs(
    book: Path, change: Callable[[Job], object], said: str
) -> None:
    job = counting(book)
    change(job)
    with pytest.raises(JobError, match=f"can't run as it is:\n  - .*{said}"):
        job.submit()
    assert job.status is None


def test_what_the_engine_refuses_is_told_as_well(book: Path) -> None:
    job = counting(book, configuration={"mapreduce.task.io.sort.mb": "0"})
    with pytest.raises(JobError, match=r"can't run as it is:\n  - memory_bytes is a number from"):
        job.validate()
