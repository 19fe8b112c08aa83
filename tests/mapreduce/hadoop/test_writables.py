"""Typed keys and values: what they hold, how they compare, and what they are on their way."""

import pickle
from dataclasses import dataclass
from typing import Any

import pytest

from mapreduce.data.portable_hash import partition_of
from mapreduce.errors import JobError
from mapreduce.hadoop import (
    BooleanWritable,
    BytesWritable,
    DoubleWritable,
    HashPartitioner,
    IntWritable,
    LongWritable,
    NullWritable,
    Text,
    Writable,
    WritableComparable,
)
from mapreduce.hadoop.writables import rank_of, reader_of

HELD = {
    "Text": (Text("wal ß"), "wal ß", "wal ß"),
    "IntWritable": (IntWritable(-(1 << 31)), -(1 << 31), "-2147483648"),
    "LongWritable": (LongWritable((1 << 63) - 1), (1 << 63) - 1, "9223372036854775807"),
    "DoubleWritable": (DoubleWritable(0.5), 0.5, "0.5"),
    "BooleanWritable": (BooleanWritable(True), True, "true"),
    "BytesWritable": (BytesWritable(b"\0\1"), b"\0\1", "b'\\x00\\x01'"),
    "NullWritable": (NullWritable.get(), None, "(null)"),
}


@pytest.mark.parametrize(("box", "held", "text"), HELD.values(), ids=HELD.keys())
def test_a_box_is_a_plain_value_on_its_way(box: Any, held: object, text: str) -> None:
    assert box.write() == held
    assert box.get() == (held if held is not None else box)
    assert type(box.write()) is type(held)
    for again in (reader_of(type(box))(held), type(box).read_fields(held)):
        assert again == box
    assert pickle.loads(pickle.dumps(box)) == box
    assert hash(type(box)(held)) == hash(box)
    assert str(box) == text


WRONG = {
    "a text in an int": IntWritable("1"),
    "a bool in an int": IntWritable(True),
    "more than 32 bits": IntWritable(1 << 31),
    "more than 64 bits": LongWritable(-(1 << 63) - 1),
    "an int in a double": DoubleWritable(1),
    "bytes in a text": Text(b"to"),
    "something in nothing": NullWritable(0),
}


@pytest.mark.parametrize("box", WRONG.values(), ids=WRONG.keys())
def test_what_a_box_can_not_hold_is_told(box: Writable) -> None:
    with pytest.raises(JobError, match=rf"{type(box).__name__} holds"):
        box.write()


@dataclass
class Line(WritableComparable):
    book: Text
    number: int


@dataclass
class Falling(WritableComparable):
    number: IntWritable

    def compare_to(self, other: "Falling") -> int:
        return int(other.number.get()) - int(self.number.get())


@dataclass(order=True)
class Ordered(WritableComparable):
    number: int


def test_a_dataclass_is_the_tuple_of_its_fields_in_every_respect() -> None:
    line = Line(Text("moby"), 7)
    assert line.write() == ("moby", 7)
    assert Line.read_fields(("moby", 7)) == line
    assert str(line) == "moby\t7"
    assert rank_of(Line) is None  # tuples have that order by themselves
    assert line < Line(Text("moby"), 8)
    assert line.compare_to(Line(Text("moby"), 7)) == 0


def test_a_class_that_compares_is_sorted_so() -> None:
    falling, ordered = rank_of(Falling), rank_of(Ordered)
    assert sorted([(1,), (3,), (2,)], key=falling) == [(3,), (2,), (1,)]
    assert sorted([(2,), (1,)], key=ordered) == [(1,), (2,)]


def test_the_partition_of_a_key_is_the_same_on_every_machine() -> None:
    partition = HashPartitioner().get_partition
    assert partition(Text("whale"), None, 1 << 32) == 3469149253
    assert partition(Line(Text("whale"), 1), None, 7) == partition_of(("whale", 1), 7)


def test_a_class_that_says_not_what_it_holds_is_told_what_to_do() -> None:
    class Bare(Writable):
        pass

    with pytest.raises(JobError, match=r"Bare holds: make it a dataclass, or give it write"):
        Bare().write()
