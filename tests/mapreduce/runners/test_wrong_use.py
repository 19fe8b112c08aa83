"""What users do wrong is one error that names the place, the input, the record and the remedy."""

import functools
import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cli.describing import describe
from mapreduce import Input, Job, Mapper, PartitionReducer, Reducer
from mapreduce.cluster import records
from mapreduce.engine import shipping, sources
from mapreduce.errors import JobError, JobFailed
from mapreduce.job import Runner
from mapreduce.runners import inline, local


class Words(Mapper):
    def map(self, key, value):
        for word in value.split():
            yield word, 1


class Sum(Reducer):
    def reduce(self, key, values):
        yield key, sum(values)


class NoPair(Mapper):
    def map(self, key, value):
        yield value


class LatePair(Mapper):
    def map(self, key, value):
        yield (key, value) if key < 6 else value


class NoList(Mapper):
    def map(self, key, value):
        return len(value)


class NotRun(Mapper):
    def map(self, key, value):
        yield self.words(value)

    def words(self, value):
        yield value, 1


class Unordered:
    def __init__(self, text):
        self.text = text

    def __eq__(self, other):
        return self.text == other.text

    def __hash__(self):
        return hash(self.text)

    def __repr__(self):
        return f"Unordered {self.text}"


class UnorderedKeys(Mapper):
    def map(self, key, value):
        yield Unordered(value), 1


class ListKeys(Mapper):
    def map(self, key, value):
        yield [value], 1


class Locks(Mapper):
    def map(self, key, value):
        yield value, threading.Lock() if value == "or not" else 1


class LocksOnce(Mapper):
    """Does something else when the split is mapped again."""

    lines = 0

    def map(self, key, value):
        LocksOnce.lines += 1
        yield value, threading.Lock() if self.lines == 2 else 1


class NoKeys(Mapper):
    def map(self, key, value):
        yield math.nan if value == "or not" else value, 1


class Surrogates(Mapper):
    def map(self, key, value):
        self.context.emit(key, "\udcff" if value == "or not" else value, to="seen")
        yield key, value


class Types(Mapper):
    """The types of columns are learnt from the first pairs."""

    def map(self, key, value):
        for number in range(5000):
            yield key, value if number == 4999 and value == "or not" else number


class TakesPieces(PartitionReducer):
    def reduce(self, piece):
        pass

    def output(self):
        pass


class YieldsOfPieces(TakesPieces):
    def reduce(self, piece):
        yield from piece


class NoOutput(PartitionReducer):
    def reduce(self, piece):
        pass


class OtherKeys(Reducer):
    def reduce(self, key, values):
        yield len(key) if key == "not" else key, sum(values)


class CombinesToNumbers(Reducer):
    def reduce(self, key, values):
        yield sum(values)


class Undeclared(Mapper):
    def map(self, key, value):
        self.context.emit(key, value, to="nowhere")


class NoSuchFile(Mapper):
    def map(self, key, value):
        self.context.file("stop.txt")


class YieldsInSetup(Words):
    def setup(self):
        yield "first", 1


class YieldsAndEmits(Mapper):
    def map(self, key, value):
        self.context.emit(value, 1)
        yield value, 2


class TakesTooLittle(Mapper):
    def map(self, value):
        yield value, 1


class NeedsMore(Words):
    def __init__(self, least):
        self.least = least


class Numbers(Mapper):
    """Its own mistake, though no line of Python of its own runs when it is made."""

    def map(self, key, value):
        return zip(map(int, value.split()), [1, 1])


class ReducesToNumbers(Reducer):
    def reduce(self, key, values):
        yield sum(values)


def too_high(key, partitions):
    return partitions if key == "not" else 0


def by_length(key):
    return None if key == "not" else key


def no_fold(one, other):
    return one.count + other


def lines_of(made: Any) -> str:
    """Where a function stands, as messages name it."""
    return f"{made.__qualname__} ({made.__code__.co_filename}, line {made.__code__.co_firstlineno})"


FIRST = "at the record (0, 'to be') of"
"""Where what is always wrong is noticed."""
SECOND = "at the record (6, 'or not') of"
"""Where what is wrong there is told, though it is noticed when a block is written."""
WRONG: dict[str, tuple[dict[str, Any], list[str]]] = {
    "no pair": (
        {"mapper": NoPair, "reducer": Sum},
        ["'to be' is no pair", "yield key, value", lines_of(NoPair.map), FIRST],
    ),
    "no pair in a map-only job": (
        {"mapper": NoPair},
        ["'to be' is no pair", "yield key, value", lines_of(NoPair.map), FIRST],
    ),
    "no pair late in a map-only job": (
        {"mapper": LatePair},
        ["'or not' is no pair", "yield key, value", lines_of(LatePair.map), SECOND],
    ),
    "no pair in a total order": (
        {"mapper": NoPair, "reducer": Sum, "total_order": True, "reducers": 2},
        ["'to be' is no pair", lines_of(NoPair.map), FIRST],
    ),
    "no pair of a reducer": (
        {"mapper": Words, "reducer": ReducesToNumbers},
        ["2 is no pair", lines_of(ReducesToNumbers.reduce), "at the key 'be'"],
    ),
    "no list": (
        {"mapper": NoList, "reducer": Sum},
        ["5 is no list of pairs", "return pairs, or None", lines_of(NoList.map), FIRST],
    ),
    "a generator nobody ran": (
        {"mapper": NotRun, "reducer": Sum},
        ["generator object NotRun.words", "yield from", lines_of(NotRun.map), FIRST],
    ),
    "keys that can't be compared": (
        {"mapper": UnorderedKeys, "reducer": Sum},
        ["Unordered to be", "no order", "__lt__", "sort_key", lines_of(UnorderedKeys.map), FIRST],
    ),
    "a sort_key that can't be compared": (
        {"mapper": Words, "reducer": Sum, "sort_key": by_length, "reducers": 1},
        ["the keys 'or' and 'not' can't be compared", "sort_key", lines_of(Words.map), SECOND],
    ),
    "keys that equal nothing": (
        {"mapper": NoKeys, "reducer": Sum},
        ["nan can't be a key", lines_of(NoKeys.map), SECOND],
    ),
    "keys that can't be hashed": (
        {"mapper": ListKeys, "reducer": Sum},
        ["['to be'] can't be a key", "hashable", "tuple", lines_of(ListKeys.map), FIRST],
    ),
    "unpicklable values": (
        {"mapper": Locks, "reducer": Sum},
        ["cannot pickle '_thread.lock'", "yield plain data", lines_of(Locks.map), SECOND],
    ),
    "unpicklable values that don't come again": (
        {"mapper": LocksOnce, "reducer": Sum},
        ["cannot pickle '_thread.lock'", "yield plain data", lines_of(LocksOnce.map), "over"],
    ),
    "unpicklable output": (
        {"mapper": Locks, "output_format": "pickle"},
        ["cannot pickle '_thread.lock'", lines_of(Locks.map), SECOND],
    ),
    "output that is no text": (
        {"mapper": Surrogates, "outputs": {"seen": "text"}, "output_format": "csv"},
        ["can't be written as UTF-8", "errors=", lines_of(Surrogates.map), SECOND],
    ),
    "output of another type": (
        {"mapper": Types, "output_format": "parquet"},
        ["(6, 'or not')", "does not fit its column", lines_of(Types.map), SECOND],
    ),
    "a partitioner out of range": (
        {"mapper": Words, "reducer": Sum, "partitioner": too_high, "reducers": 3},
        [
            lines_of(too_high),
            "gave 3 for the key 'not'",
            "from 0 to 2",
            lines_of(Words.map),
            SECOND,
        ],
    ),
    "a combiner that changes the key": (
        {"mapper": Words, "reducer": Sum, "combiner": OtherKeys},
        [lines_of(OtherKeys.reduce), "the key 3 from values of 'not'", "must keep the key", SECOND],
    ),
    "a combiner that gives no pair": (
        {"mapper": Words, "reducer": Sum, "combiner": CombinesToNumbers},
        [lines_of(CombinesToNumbers.reduce), "2, which is no pair", lines_of(Words.map), FIRST],
    ),
    "an undeclared output": (
        {"mapper": Undeclared, "outputs": {"errors": "text"}},
        ["no output 'nowhere'", "it has errors", "outputs={", lines_of(Undeclared.map), FIRST],
    ),
    "a side file that the job lacks": (
        {"mapper": NoSuchFile, "files": [__file__]},
        ["no side file 'stop.txt'", "test_wrong_use.py", lines_of(NoSuchFile.map), FIRST],
    ),
    "a piece that gives pairs": (
        {"mapper": Words, "reducer": YieldsOfPieces},
        [lines_of(YieldsOfPieces.reduce), "only output() gives pairs", "'map-00000'"],
    ),
    "a function that makes a PartitionReducer, with a combiner": (
        {"mapper": Words, "reducer": lambda: TakesPieces(), "combiner": max},
        ["combiner is about keys", "whole pieces"],
    ),
    "setup as a generator": (
        {"mapper": YieldsInSetup, "reducer": Sum},
        [lines_of(YieldsInSetup.setup), "has a yield"],
    ),
    "yield and emit": (
        {"mapper": YieldsAndEmits, "reducer": Sum},
        ["('to be', 1) was emitted", "yield key, value", lines_of(YieldsAndEmits.map)],
    ),
    "a map of one argument": (
        {"mapper": TakesTooLittle, "reducer": Sum},
        [lines_of(TakesTooLittle.map), "called with a key and a value", "it takes (value)"],
    ),
    "a mapper that needs arguments": (
        {"mapper": NeedsMore, "reducer": Sum},
        ["NeedsMore is called with nothing", "it takes (least)"],
    ),
}


@pytest.mark.parametrize("option", ["partitioner", "do_hash"])
def test_what_fails_to_place_a_key_is_named_with_the_key(text: Path, option: str) -> None:
    def place(key: str, *_: int) -> int:
        return {"to": 1, "be": 2}[key]

    job = Job("wrong", mapper=Words, reducer=Sum, reducers=2, **{option: place})
    with pytest.raises(KeyError) as caught:
        job.run(text, runner="inline")
    [note] = caught.value.__notes__
    assert lines_of(place) in note
    assert "for the key 'or'" in note or "for the key 'not'" in note


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "in.txt"
    path.write_text("to be\nor not\nto be\n")
    return path


@pytest.mark.parametrize(("job", "said"), WRONG.values(), ids=WRONG.keys())
def test_inline_says_what_is_wrong_and_leaves_nothing(
    job: dict[str, Any], said: list[str], text: Path, tmp_path: Path
) -> None:
    with pytest.raises(JobError) as caught:
        Job("wrong", **job).run(text, output=tmp_path / "out", runner="inline")
    message = "\n".join([str(caught.value), *getattr(caught.value, "__notes__", ())])
    check_says(message, said, text)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["no pair", "a partitioner out of range", "an undeclared output"])
def test_local_says_the_same(name: str, text: Path, tmp_path: Path) -> None:
    job, said = WRONG[name]
    with pytest.raises(JobFailed) as caught:
        Job("wrong", max_attempts=1, **job).run(text, output=tmp_path / "out", processes=1)
    check_says(caught.value.error, said, text)
    assert not (tmp_path / "out").exists()


def check_says(message: str, said: list[str], text: Path) -> None:
    for words in said:
        assert words in message
    if {FIRST, SECOND, "over"} & set(said):
        assert repr(str(text)) in message


def test_an_error_of_an_iterator_is_the_user_s_own(text: Path) -> None:
    with pytest.raises(ValueError, match="invalid literal for int") as caught:
        Job("wrong", mapper=Numbers, reducer=Sum).run(text, runner="inline")
    assert FIRST in caught.value.__notes__[0]
    with pytest.raises(AttributeError, match="'int' object has no attribute 'count'"):
        Job("wrong", mapper=Words, reducer=Sum, combiner=no_fold).run(text, runner="inline")


def test_a_fold_that_can_t_be_done_names_the_values(text: Path) -> None:
    class Lengths(Mapper):
        def map(self, key, value):
            yield "all", value if key else len(value)

    job = Job("wrong", mapper=Lengths, reducer=Sum, combiner=max)
    with pytest.raises(
        JobError, match=r"max can't fold the values 5 and 'or not' of the key 'all'"
    ):
        job.run(text, runner="inline")


class NoMapper:
    def run(self):
        pass


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: Job("wrong", mapper=NoMapper), "NoMapper is no mapper, it lacks setup, map"),
        (lambda: Job("wrong", mapper=Sum), "Sum is no mapper, it lacks map: derive it from"),
        (lambda: Job("wrong", mapper=Words, reducer=Words), "Words is no reducer, it lacks reduce"),
        (lambda: Job("wrong", mapper=Words()), "give the class itself"),
        (lambda: Job("wrong", mapper=Words, reducer=Sum, sort_key="key"), "the sort_key has to be"),
        (lambda: Input("in", mapper=Words()), "the mapper has to be"),
        (lambda: pieces_with(reducer=NoOutput), "NoOutput lacks output: a PartitionReducer has"),
        (
            lambda: pieces_with(reducer=TakesKeys),
            r"TakesKeys.reduce .* called with a piece, and it",
        ),
        (
            lambda: Job("wrong", mapper=TakesOne),
            r"TakesOne.map .* called with a key and a value, and",
        ),
        (lambda: pieces_with(combiner=max), "combiner is about keys .* a PartitionReducer gets"),
        (lambda: pieces_with(group_key=len), "group_key is about keys"),
        (lambda: pieces_with(sort_key=len), "sort_key is about keys"),
        (lambda: pieces_with(sort_values=True), "sort_values is about keys"),
        (lambda: pieces_with(descending=True), "descending is about keys"),
        (lambda: pieces_with(total_order=True), "total_order is about keys"),
        (lambda: pieces_with(skip_bad_records=1), "skip_bad_records would leave out all"),
        (lambda: pieces_with(reducer=functools.partial(TakesPieces), combiner=max), "combiner is"),
    ],
)
def test_what_is_no_mapper_or_reducer_is_refused_at_once(
    wrong: Callable[[], Any], said: str
) -> None:
    with pytest.raises(JobError, match=said):
        wrong()


PIECES = """
from mapreduce import Job, Mapper, PartitionReducer
class MyMapper(Mapper): ...
class Base(PartitionReducer):
    def reduce(self, piece): ...
class MyReducer(Base):
    def output(self): ...
"""


@pytest.mark.parametrize(
    ("more", "options", "said"),
    [
        ("", {"skip_bad_records": 1}, "skip_bad_records would leave out all"),
        ("MyCombiner = max\n", {}, "combiner is about keys"),
        ("", {"descending": True}, "descending is about keys"),
        (
            "job = Job('whole', mapper=MyMapper, reducer=MyReducer)\n",
            {"skip_bad_records": 1},
            "skip_bad_records would leave out all",
        ),
    ],
)
def test_what_a_source_file_s_pieces_do_not_know_is_refused_before_anything_runs(
    more: str, options: dict[str, Any], said: str, tmp_path: Path
) -> None:
    (tmp_path / "job.py").write_text(PIECES + more)
    with pytest.raises(JobError, match=said):
        describe("job", tmp_path / "job.py", ("in",), "out", **options)


def test_the_master_refuses_that_as_well(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(PIECES)
    spec, code = describe("job", tmp_path / "job.py", ("in",), "out")
    with pytest.raises(JobError, match="skip_bad_records would leave out all"):
        records.complete(msgspec.structs.replace(spec, skip_bad_records=1), code)


def test_a_function_s_pieces_are_not_skipped_either(text: Path, tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(PIECES + "def made(): return MyReducer()\n")
    out = str(tmp_path / "out")
    given = {"reducer": "made", "skip_bad_records": 1}
    spec, code = describe("job", tmp_path / "job.py", (str(text),), out, **given)
    with pytest.raises(JobError, match="skip_bad_records would leave out all"):
        inline.run(spec, code)


class TakesKeys(TakesPieces):
    def reduce(self, key, values):
        pass


class TakesOne(Mapper):
    def map(self, value):
        yield value, 1


def pieces_with(**options: Any) -> Job:
    return Job("wrong", **{"mapper": Words, "reducer": TakesPieces, **options})


@pytest.mark.parametrize("runner", ["inline", "local"])
def test_bytes_that_are_not_utf8_are_named_with_file_and_position(
    runner: Runner, text: Path, tmp_path: Path
) -> None:
    text.write_bytes(b"to be\nor \xff not\n")
    said = rf"{text}', byte 9: not UTF-8 \(ff 20 6e 6f\).*errors=replace"
    with pytest.raises((JobError, JobFailed), match=said):
        Job("wrong", mapper=Words, max_attempts=1).run(text, runner=runner, processes=1)


@pytest.mark.parametrize("runner", [inline.run, local.run])
def test_another_version_of_python_is_named(runner: Any, text: Path, tmp_path: Path) -> None:
    job = Job("wrong", mapper=Words, reducer=Sum, max_attempts=1)
    code, data = shipping.pickle_program(shipping.Program((Words,), job.steps), same_machine=True)
    spec = job.spec(code, [text], str(tmp_path / "out"))
    older = msgspec.structs.replace(spec, python="3.4")
    with pytest.raises((JobError, JobFailed), match=r"pickled by Python 3\.4.*source file"):
        runner(older, data)
    assert not (tmp_path / "out").exists()


def test_a_class_that_a_source_file_lacks_is_named_with_those_it_has() -> None:
    source = b"from mapreduce import Mapper, Reducer\nclass MyMaper(Mapper): ...\n"
    with pytest.raises(JobError, match=r"wc.py has no class MyMapper; .* Mapper, Reducer, MyMaper"):
        sources.check_source(source, shipping.Code(filename="wc.py"), [shipping.StepSpec()])
