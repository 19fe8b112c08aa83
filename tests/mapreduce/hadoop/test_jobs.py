"""Whole jobs in Hadoop's style: keys, contexts, several inputs and jobs, and a job's life."""

import itertools
import time
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from examples import hadoop_secondary_sort, hadoop_wordcount
from mapreduce.api import Context
from mapreduce.engine.events import JobState
from mapreduce.errors import BadPair, JobError, JobFailed
from mapreduce.hadoop import (
    ControlledJob,
    DoubleWritable,
    IntWritable,
    Job,
    JobControl,
    LongWritable,
    Mapper,
    MultipleOutputs,
    NullWritable,
    Partitioner,
    Reducer,
    Text,
    TotalOrderPartitioner,
    WritableComparable,
    WritableComparator,
)
from mapreduce.hadoop.contexts import AT_ONCE, MapContext
from mapreduce.hadoop.settings import Settings
from tests.mapreduce.hadoop.jobs import COUNTS, LINES, Sum, Words, counting, output
from tests.waiting import wait_until


def test_the_word_count_of_the_tutorial(book: Path) -> None:
    job = hadoop_wordcount.word_count(runner="inline")
    job.set_num_reduce_tasks(3)
    job.add_input_path(book)
    job.set_output_path(book.parent / "out")
    assert sorted(output(job)) == COUNTS
    assert len(list(book.parent.glob("out/part-*"))) == 3
    assert (book.parent / "out" / "_SUCCESS").exists()
    assert job.get_counters()["combine_input_records"] == 8
    assert (job.map_progress(), job.reduce_progress()) == (1.0, 1.0)


# Composite keys ----------------------------------------------------------------------------------


@pytest.mark.parametrize("reducers", [1, 3])
def test_a_secondary_sort_brings_values_in_order_and_moves_the_key(
    tmp_path: Path, reducers: int
) -> None:
    (tmp_path / "r.csv").write_text("city,celsius\nOslo,3\nRome,17\nOslo,4.5\nOslo,-1\nRome,-20\n")

    class WithKeys(Reducer):
        def reduce(self, key, values, context):
            assert key is context.current_key
            pairs = [(context.current_key.celsius.get(), value.get()) for value in values]
            assert all(of_key == of_value for of_key, of_value in pairs)
            context.write(key.city, Text(" ".join(str(value) for _, value in pairs)))

    job = hadoop_secondary_sort.secondary_sort(runner="inline")
    job.set_reducer_class(WithKeys)
    job.set_num_reduce_tasks(reducers)
    job.add_input_path(tmp_path / "r.csv")
    job.set_output_path(tmp_path / "out")
    assert sorted(output(job)) == [("Oslo", "4.5 3.0 -1.0"), ("Rome", "17.0 -20.0")]
    assert job.find_counter("readings", "headers") == 1


class Caseless(WritableComparable):
    """A key class without a dataclass, for which whale and Whale are one."""

    def __init__(self, text: str) -> None:
        self.text = text

    def write(self):
        return self.text

    @classmethod
    def read_fields(cls, written):
        return cls(written)

    def compare_to(self, other):
        mine, theirs = self.text.lower(), other.text.lower()
        return (mine > theirs) - (mine < theirs)

    def hash_code(self):
        return len(self.text)

    def __str__(self):
        return self.text.lower()


class Lengths(Partitioner):
    def get_partition(self, key, value, num_partitions):
        return len(key.get()) % num_partitions


class Backwards(WritableComparator):
    def compare(self, one, other):
        return -one.compare_to(other)


def test_keys_that_compare_as_one_are_one_group_in_one_partition(book: Path) -> None:
    book.write_text("Whale sea whale\nSEA whale\n")

    class Any_(Mapper):  # noqa: N801
        def map(self, key, value, context):
            for word in str(value).split():
                context.write(Caseless(word), IntWritable(1))

    job = counting(book, mapper=Any_)
    job.set_output_key_class(Caseless)
    job.set_num_reduce_tasks(2)
    assert output(job) == [("sea", "2"), ("whale", "3")]
    assert [path.read_text() for path in sorted(book.parent.glob("out/part*"))] == [
        "",
        "sea\t2\nwhale\t3\n",
    ]


def test_partitioner_and_sort_comparator(book: Path) -> None:
    job = counting(book)
    job.set_partitioner_class(Lengths)
    job.set_sort_comparator_class(Backwards)
    job.set_num_reduce_tasks(2)
    assert [word for word, _ in output(job)] == ["to", "that", "or", "is", "be", "not"]


class LongAndRare(Partitioner):
    """By key and value: pairs of one key go to different reducers."""

    def get_partition(self, key, value, num_partitions):
        assert num_partitions == 3
        return value.get() if type(value) is IntWritable else -1


class Numbered(Mapper):
    def map(self, key, value, context):
        for number, word in enumerate(str(value).split()):
            context.write(Text(word), IntWritable(number % 3))


class AsTheyCome(Reducer):
    """Also as a combiner, which keeps the partition."""

    def reduce(self, key, values, context):
        for value in sorted(values, key=IntWritable.get):
            context.write(key, value)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("combiner", [None, AsTheyCome])
def test_a_partitioner_sees_the_value_of_each_pair(
    book: Path, combiner: type | None, backwards: bool
) -> None:
    book.write_text("to be to be to\nbe be\n")
    job = counting(book, mapper=Numbered, reducer=AsTheyCome)
    job.set_partitioner_class(LongAndRare)
    job.set_num_reduce_tasks(3)
    if combiner is not None:
        job.set_combiner_class(combiner)
    if backwards:
        job.set_sort_comparator_class(Backwards)
    assert job.wait_for_completion()
    parts = [path.read_text().splitlines() for path in sorted(book.parent.glob("out/part*"))]
    in_order = [sorted(part, reverse=backwards) for part in parts]
    assert parts == in_order
    assert [sorted(part) for part in parts] == [
        ["be\t0", "be\t0", "to\t0"],
        ["be\t1", "be\t1", "to\t1"],
        ["to\t2"],
    ]


def test_where_there_is_one_partition_no_partitioner_is_called(book: Path) -> None:
    job = counting(book)
    job.set_partitioner_class(LongAndRare)
    assert output(job) == COUNTS


def test_a_partition_that_there_is_not_is_told_with_the_record(book: Path) -> None:
    class Outside(Partitioner):
        def get_partition(self, key, value, num_partitions):
            return num_partitions

    job = counting(book)
    job.set_partitioner_class(Outside)
    job.set_num_reduce_tasks(2)
    with pytest.raises(JobError, match=r"Outside.get_partition .* gave 2 .* from 0 to 1") as caught:
        job.submit()
    assert "Words.map (" in caught.value.__notes__[0]
    assert "at the record (0, 'to be or')" in caught.value.__notes__[0]


def test_total_order_over_all_partitions(book: Path) -> None:
    job = counting(book)
    job.set_partitioner_class(TotalOrderPartitioner)
    job.set_num_reduce_tasks(3)
    assert output(job) == COUNTS


# Run, and what is written ------------------------------------------------------------------------


def test_run_may_be_replaced_on_both_sides(book: Path) -> None:
    class FirstLine(Words):
        def run(self, context):
            assert context.next_key_value()
            self.map(context.get_current_key(), context.get_current_value(), context)

    class TwoKeys(Sum):
        def run(self, context):
            for _ in range(2):
                assert context.next_key()
                self.reduce(context.get_current_key(), context.get_values(), context)

    assert output(counting(book, mapper=FirstLine, reducer=TwoKeys)) == [("be", "1"), ("or", "1")]


class Seen(Enum):
    LINES = 1


def test_setup_and_cleanup_write_and_know_the_task(book: Path) -> None:
    class Around(Mapper):
        def setup(self, context):
            self.least = context.configuration.get_int("least", 0)
            context.write(Text("a setup"), IntWritable(self.least))

        def map(self, key, value, context):
            assert type(key) is LongWritable
            context.get_counter("lines", "read").increment(2)
            context.get_counter(Seen.LINES).increment()
            context.set_status(f"at {key}")

        def cleanup(self, context):
            name = Path(context.get_input_split().get_path()).name
            context.write(Text(f"{name} {context.context.status}"), IntWritable(7))

    job = counting(book, mapper=Around, configuration={"least": 3})
    assert output(job) == [("a setup", "3"), ("book.txt at 19", "7")]
    assert job.find_counter("lines", "read") == 6
    assert job.find_counter(Seen.LINES) == job.find_counter("Seen", "LINES") == 3


def context_over(records: Iterator[Any]) -> MapContext:
    settings = Settings(Mapper, Reducer, None, Text, IntWritable, Text, IntWritable)
    return MapContext(Context(reducers=1), settings, "Test", records)


def test_what_run_writes_is_taken_while_it_runs_and_it_ends_with_its_reader() -> None:
    read = []
    ended = []

    def run(context):
        try:
            while context.next_key_value():
                context.write(Text("a"), IntWritable(1))
        finally:
            ended.append(True)

    endless = ((read.append(n), n) for n in itertools.count())
    pairs = context_over(endless).streamed(run)
    assert list(itertools.islice(pairs, 3 * AT_ONCE)) == [("a", 1)] * (3 * AT_ONCE)
    assert AT_ONCE <= len(read) <= 4 * AT_ONCE
    assert not ended
    pairs.close()
    assert ended


def test_an_object_may_be_changed_once_it_is_written() -> None:
    word = Text("to")
    context = context_over(iter(()))
    context.write(word, IntWritable(1))
    word.set("be")
    context.write(word, IntWritable(1))
    assert context.taken() == [("to", 1), ("be", 1)]


WRONG_WRITES: dict[str, tuple[Callable[[Any], None], str]] = {
    "the key": (
        lambda context: context.write(IntWritable(1), IntWritable(1)),
        r"Wrong wrote the key IntWritable\(1\), IntWritable, and .* map_output key class is Text",
    ),
    "the value": (lambda context: context.write(Text("a"), Text("b")), r"the value Text\('b'\)"),
    "no Writable": (lambda context: context.write("a", IntWritable(1)), r"the key 'a', str"),
    "what it holds": (
        lambda context: context.write(Text("a"), IntWritable("b")),
        r"an IntWritable holds an int of 32 bits, not 'b'",
    ),
}


@pytest.mark.parametrize(("write", "message"), WRONG_WRITES.values(), ids=WRONG_WRITES.keys())
def test_a_wrong_class_is_told_with_mapper_and_record(
    book: Path, write: Callable[[Any], None], message: str
) -> None:
    class Wrong(Mapper):
        def map(self, key, value, context):
            if "not" in str(value):
                write(context)

    with pytest.raises(JobError, match=message) as caught:
        counting(book, mapper=Wrong).submit()
    assert "at the record (9, 'not to be')" in caught.value.__notes__[0]
    assert not (book.parent / "out").exists()


class Returns(Mapper):
    def map(self, key, value, context):
        return [(value, 1)]


class OtherKey(Reducer):
    def reduce(self, key, values, context):
        context.write(Text("other"), IntWritable(1))


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"mapper": Returns}, r"Returns.map \(.*\) returned something: pairs are given by context"),
        (
            {"combiner": OtherKey},
            r"OtherKey.reduce \(.*test_jobs.py, .* made a pair with the key 'other' from",
        ),
    ],
)
def test_what_would_be_lost_or_lead_astray_is_told_of_the_user_s_own_method(
    book: Path, part: dict[str, type], said: str
) -> None:
    job = counting(book, mapper=part.get("mapper", Words))
    if "combiner" in part:
        job.set_combiner_class(part["combiner"])
    with pytest.raises((JobError, BadPair), match=said):
        job.submit()


def test_an_error_in_the_reducer_is_its_own_with_the_key(book: Path) -> None:
    class Fails(Reducer):
        def reduce(self, key, values, context):
            if key.get() == "not":
                raise ValueError("my own")

    with pytest.raises(ValueError, match="my own") as caught:
        counting(book, reducer=Fails).submit()
    assert "at the key 'not'" in caught.value.__notes__[0]


def test_map_only_jobs_and_nothing_as_key_or_value(book: Path) -> None:
    class Plain(Mapper):
        def map(self, key, value, context):
            context.write(value, NullWritable.get())

    job = counting(book, mapper=Plain)
    job.set_output_value_class(NullWritable)
    job.set_num_reduce_tasks(0)
    assert job.wait_for_completion()
    assert (book.parent / "out" / "part-00000").read_text() == LINES


# Several inputs, outputs and jobs ----------------------------------------------------------------


def test_multiple_inputs_and_outputs(book: Path) -> None:
    class Pairs(Mapper):
        def map(self, key, value, context):
            context.write(key, IntWritable(int(value.get())))

    class Both(Sum):
        def setup(self, context):
            self.outputs = MultipleOutputs(context)

        def reduce(self, key, values, context):
            self.outputs.write("keys", key, NullWritable())
            super().reduce(key, values, context)

    (book.parent / "counts").write_text("to\t10\n")
    job = counting(book, reducer=Both)
    job.add_input_path(book.parent / "counts", "KeyValueTextInputFormat", Pairs)
    MultipleOutputs.add_named_output(job, "keys")
    assert dict(output(job))["to"] == "12"
    assert (book.parent / "out" / "keys-r-00000").read_text().startswith("be\t")


class ByCount(Mapper):
    def map(self, key, value, context):
        assert type(key) is Text
        context.write(value, key)


def chain(book: Path, **first: Any) -> tuple[ControlledJob, ControlledJob]:
    counted = counting(book, **first)
    counted.set_output_format_class("SequenceFileOutputFormat")
    ranked = Job("ranked", runner="inline")
    ranked.set_mapper_class(ByCount)
    ranked.set_sort_comparator_class(Backwards)
    ranked.set_output_key_class(IntWritable)
    ranked.set_output_value_class(Text)
    ranked.set_input_format_class("SequenceFileInputFormat")
    ranked.add_input_path(book.parent / "out")
    ranked.set_output_path(book.parent / "ranked")
    one = ControlledJob(counted)
    return one, ControlledJob(ranked, [one])


def test_chained_jobs_hand_typed_pairs_on(book: Path) -> None:
    one, two = chain(book)
    control = JobControl("chain")
    control.add_job(two)  # the order in which they are added is no matter
    control.add_job(one)
    assert control.run()
    assert list(two.job.result())[:2] == [("2", "be"), ("2", "to")]
    assert control.get_successful_jobs() == [two, one]


def test_a_job_that_needs_what_has_failed_is_not_begun(book: Path) -> None:
    one, two = chain(book.parent / "absent" / "book.txt")
    control = JobControl()
    control.jobs += [one, two]
    assert not control.run()
    assert "absent" in one.message
    assert two.message == "not begun, as it needs what has failed: word count"
    assert two.job.status is None


def test_jobs_that_wait_for_each_other_are_refused(book: Path) -> None:
    one, two = chain(book)
    one.add_depending_job(two)
    control = JobControl()
    control.jobs += [one, two]
    with pytest.raises(JobError, match="wait for each other: word count, ranked"):
        control.run()
    assert one.job.status is None


# The life of a job -------------------------------------------------------------------------------


def test_classes_by_name_as_the_pass_api_has_them(book: Path) -> None:
    job = counting(book)
    job.set_mapper_class("examples.hadoop_wordcount:TokenizerMapper")
    assert output(job) == COUNTS


class Endless(Mapper):
    def map(self, key, value, context):
        while True:
            time.sleep(0.01)


class Waits(Mapper):
    """Goes on from its third line when there is a file."""

    def map(self, key, value, context):
        while str(value) == "that is" and not Path(context.configuration["go"]).exists():
            time.sleep(0.01)
        super().map(key, value, context)


def test_progress_is_that_of_the_task_which_runs(book: Path) -> None:
    go = book.parent / "go"
    job = counting(book, mapper=Waits, runner="local", processes=1, configuration={"go": go})
    job.set_output_key_class(LongWritable)
    job.set_output_value_class(Text)
    job.set_reducer_class(Reducer)
    job.submit()
    wait_until(lambda: 0.5 < job.map_progress() < 1.0, 20.0, "two lines of three")
    assert job.reduce_progress() == 0.0
    go.touch()
    assert job.wait_for_completion()
    assert (job.map_progress(), job.reduce_progress()) == (1.0, 1.0)


class Divides(Mapper):
    def map(self, key, value, context):
        context.write(Text("a"), IntWritable(1 // 0))


def test_a_job_of_processes_is_killed_and_leaves_no_output(book: Path) -> None:
    job = counting(book, mapper=Endless, runner="local", processes=1)
    assert job.status is None
    job.submit()
    assert job.status is JobState.RUNNING
    assert not job.is_complete()
    assert job.map_progress() == 0.0
    job.kill_job()
    assert not job.wait_for_completion()
    assert job.status is JobState.KILLED
    assert "kill_job was called" in job.failure
    assert not (book.parent / "out").exists()


def test_a_job_of_processes_fails_with_the_users_own_error(book: Path) -> None:
    configuration = {"mapreduce.map.maxattempts": "1"}
    job = counting(book, mapper=Divides, configuration=configuration, runner="local", processes=1)
    job.submit()
    assert not job.wait_for_completion()
    assert job.status is JobState.FAILED
    assert "ZeroDivisionError" in job.failure
    with pytest.raises(JobFailed):
        job.result()


def test_an_output_that_exists_is_refused_by_submit(book: Path) -> None:
    (book.parent / "out").mkdir()
    (book.parent / "out" / "mine").touch()
    job = counting(book, runner="local", processes=1)
    with pytest.raises(JobError, match="out"):
        job.submit()
    with pytest.raises(JobError, match="was not submitted"):
        job.kill_job()


def test_values_of_other_classes_than_the_output(book: Path) -> None:
    class Mean(Reducer):
        def reduce(self, key, values, context):
            numbers = [value.get() for value in values]
            context.write(key, DoubleWritable(sum(numbers) / len(numbers)))

    job = counting(book, reducer=Mean)
    job.set_map_output_value_class(IntWritable)
    job.set_output_value_class(DoubleWritable)
    assert output(job)[0] == ("be", "1.0")
