"""User code is called as promised, and its errors say where they come from."""

import operator
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from mapreduce.api import Context, Mapper, Pair, Reducer
from mapreduce.data.formats import Batch
from mapreduce.data.shuffle import Collector, Fold, HashPartitioner
from mapreduce.engine import calling
from mapreduce.errors import BadPair, JobError

LINES = ["to be", "or not", "to be"]


def batches(lines: Iterable[str] = LINES) -> Iterator[Batch]:
    """Each line a batch of its own but the last two; keys count from 0."""
    first, *rest = lines
    yield Batch([first], lambda: iter([0]))
    yield Batch(rest, lambda: iter(range(1, len(rest) + 1)))


def run(make: Callable[[], Any], **options: Any) -> list[Pair]:
    """What a mapper gives, collected as in a task."""
    context = Context("job", "map-00000.1", input="/in/a.txt")
    collector = Collector(0, 1, 1, lambda *_: None, **options)
    with calling.explained(context):
        pairs = list(calling.map_pairs(calling.made(make, context), batches()))
        collector.collect(pairs)
        collector.finish()
    return pairs


def collected(make: Callable[[], Any], **options: Any) -> None:
    """The same, with user code running while its pairs are gathered."""
    context = Context("job", "map-00000.1", input="/in/a.txt")
    collector = Collector(0, 1, 4, lambda *_: None, **options)
    with calling.explained(context):
        collector.collect(calling.map_pairs(calling.made(make, context), batches()))
        collector.finish()


EXPECTED = [(word, 1) for line in LINES for word in line.split()]


class Yields(Mapper):
    def map(self, key: Any, value: str) -> Iterator[Pair]:
        for word in value.split():
            yield word, 1


class Returns(Mapper):
    def map(self, key: Any, value: str) -> list[Pair]:
        return [(word, 1) for word in value.split()]


class Emits(Mapper):
    def map(self, key: Any, value: str) -> None:
        for word in value.split():
            self.context.emit(word, 1)


class ByBatch(Mapper):
    def map_batch(self, records: Iterable[Pair]) -> Iterator[Pair]:
        for _, line in records:
            for word in line.split():
                yield word, 1


class AllAtOnce(Mapper):
    def setup(self) -> None:
        self.calls = 0

    def map_all(self, records: Iterator[Pair]) -> Iterator[Pair]:
        self.calls += 1
        assert self.calls == 1
        for _, line in records:
            for word in line.split():
                yield word, 1


@pytest.mark.parametrize("make", [Yields, Returns, Emits, ByBatch, AllAtOnce])
def test_every_way_to_give_pairs_gives_the_same(make: Callable[[], Any]) -> None:
    assert run(make) == EXPECTED


def test_setup_and_cleanup_may_give_pairs_too() -> None:
    class Both(Yields):
        def setup(self) -> None:
            self.context.emit("first", 0)

        def cleanup(self) -> Iterator[Pair]:
            yield "last", 9

    assert run(Both) == [("first", 0), *EXPECTED, ("last", 9)]


def test_a_reducer_gives_pairs_in_every_way() -> None:
    class Sum(Reducer):
        def reduce(self, key: Any, values: Iterator[int]) -> None:
            self.context.emit(key, sum(values))

    context, counters = Context(), Counter[str]()
    groups = [("a", iter([1, 2])), ("b", iter([3]))]
    pairs = calling.reduce_pairs(calling.made(Sum, context), groups, counters)
    assert list(pairs) == [("a", 3), ("b", 3)]
    assert counters["reduce_input_groups"] == 2


class AllGroups(Reducer):
    def reduce_all(self, groups: Iterator[Any]) -> Iterator[Pair]:
        yield "first", next(groups)[0]
        for key, values in groups:
            yield key, sum(values)
            break


def test_reduce_all_is_called_once_and_may_leave_values_and_groups() -> None:
    context, counters = Context(), Counter[str]()
    groups = [(key, iter([1, 2])) for key in "abcd"]
    pairs = calling.reduce_pairs(calling.made(AllGroups, context), groups, counters)
    assert list(pairs) == [("first", "a"), ("b", 3)]
    assert counters["reduce_input_groups"] == 2


def test_an_error_in_map_all_says_at_which_record() -> None:
    class Fails(Mapper):
        def map_all(self, records: Iterator[Pair]) -> Iterator[Pair]:
            for _, line in records:
                if line == "or not":
                    raise ValueError("no")
                yield line, 1

    with pytest.raises(ValueError) as raised:
        run(Fails)
    assert "map_all" in raised.value.__notes__[0]
    assert "at the record (1, 'or not')" in raised.value.__notes__[0]


# Wrong use ---------------------------------------------------------------------------------------


def mapper(body: Callable[[str], Any]) -> type[Mapper]:
    """A mapper that yields what `body` makes of each line."""

    class Wrong(Mapper):
        def map(self, key: Any, value: str) -> Iterator[Any]:
            yield body(value)

    return Wrong


WRONG = {
    "a text": (lambda line: line, r"'to be' is no pair .*yield key, value"),
    "a pair too long": (lambda line: (line, 1, 2), r"\('to be', 1, 2\) is no pair"),
    "a number": (lambda line: 5, r"5 is no pair"),
    "a generator": (lambda line: iter([(line, 1)]), r"is no pair .*yield from"),
    "a list as key": (lambda line: ([line], 1), r"\['to be'\] can't be a key: unhashable"),
}


@pytest.mark.parametrize(("body", "message"), WRONG.values(), ids=WRONG.keys())
def test_what_is_no_pair_is_told_with_method_input_and_record(
    body: Callable[[str], Any], message: str
) -> None:
    with pytest.raises(BadPair, match=message) as caught:
        collected(mapper(body))
    told = str(caught.value)
    assert "Wrong.map (" in told
    assert "test_calling.py, line " in told
    assert "at the record (0, 'to be') of '/in/a.txt'" in told


def test_the_record_is_the_one_that_failed_and_not_the_first() -> None:
    with pytest.raises(BadPair, match=r"at the record \(1, 'or not'\)"):
        collected(mapper(lambda line: line if line == "or not" else (line, 1)))


def test_an_error_of_user_code_keeps_its_type_and_gets_a_note() -> None:
    def fails(line: str) -> Pair:
        return line, 1 // (line != "or not")

    with pytest.raises(ZeroDivisionError) as caught:
        collected(mapper(fails))
    [note] = caught.value.__notes__
    assert "at the record (1, 'or not') of '/in/a.txt'" in note


def partition_9(key: Any, partitions: int) -> int:
    return 9


def half(key: Any, partitions: int) -> float:
    return 0.5


def renames(key: Any, values: Iterator[int]) -> Iterator[Pair]:
    yield f"{key}!", 1


LATE: dict[str, tuple[Callable[[str], Any], dict[str, Any], str]] = {
    "partitioner out of range": (
        lambda line: (line, 1),
        {"partition": partition_9},
        r"partition_9 .*gave 9 for the key 'to be': it must give an int from 0 to 3",
    ),
    "partitioner not an int": (
        lambda line: (line, 1),
        {"partition": half},
        r"half .*gave 0\.5 for",
    ),
    "a hash that is no int": (
        lambda line: (line, 1),
        {"partition": HashPartitioner(lambda key: len(key) / 2, 4)},
        r"do_hash, .*gave 2\.5 for the key 'to be': it must give an int, any int",
    ),
    "combiner changes the key": (
        lambda line: ("k", line),
        {"combine": renames},
        r"renames .*line \d+\) made a pair with the key 'k!' from values of 'k'",
    ),
    "what has no pickle": (lambda line: (line, lambda: 1), {}, r"the pair \('.*picklable"),
    "what can't be compared": (
        lambda line: (complex(len(line), 1), 1),
        {"partition": lambda key, partitions: 0},
        r"the keys \(5\+1j\) and \(6\+1j\) can't be compared: .*sort_key",
    ),
}


@pytest.mark.parametrize(("body", "options", "message"), LATE.values(), ids=LATE.keys())
def test_what_is_seen_later_names_the_pair_and_the_method_but_no_record_that_is_not_sought(
    body: Callable[[str], Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadPair, match=message) as caught:
        collected(mapper(body), **options)
    assert "Wrong.map (" in str(caught.value)
    assert "at the record" not in str(caught.value)


def test_values_that_a_fold_refuses_are_named() -> None:
    with pytest.raises(BadPair, match=r"combiner add can't fold the values .* of the key 'k'"):
        collected(
            mapper(lambda line: ("k", line if line == "or not" else 1)), combine=Fold(operator.add)
        )


def test_a_generator_that_emits_and_a_setup_that_yields_are_told() -> None:
    class EmitsToo(Mapper):
        def map(self, key: Any, value: str) -> Iterator[Pair]:
            self.context.emit("a", 1)
            yield "b", 2

    class YieldsInSetup(Yields):
        def setup(self) -> Iterator[Pair]:  # type: ignore[override]
            yield "never", 1

    with pytest.raises(
        BadPair, match=r"(?s)emitted by a method that is a generator.*EmitsToo\.map"
    ):
        collected(EmitsToo)
    with pytest.raises(JobError, match=r"YieldsInSetup\.setup .* has a yield, so calling it runs"):
        collected(YieldsInSetup)


def test_what_is_no_list_of_pairs_is_told() -> None:
    class ReturnsNumber(Mapper):
        def map(self, key: Any, value: str) -> Any:
            return 5

    with pytest.raises(BadPair, match=r"5 is no list of pairs"):
        collected(ReturnsNumber)
