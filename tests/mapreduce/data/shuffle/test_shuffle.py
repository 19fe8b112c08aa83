"""What goes into a shuffle comes out grouped and sorted, whatever the sizes and the order."""

import operator
import random
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar
from weakref import WeakSet

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapreduce.api import Pair
from mapreduce.data import shuffle
from mapreduce.data.portable_hash import partition_of, sorted_keys
from mapreduce.data.shuffle import Collector, Fold, Piece, reading
from mapreduce.data.shuffle import blocks as blocks_module
from mapreduce.errors import BadRecord, PieceLost


class Blocks:
    """A place for blocks in memory."""

    def __init__(self) -> None:
        self.stored: dict[tuple[int, int, int, int, int], bytes] = {}
        self.fetches = 0

    def collect(
        self, map_index: int, partitions: int, pairs: Sequence[Pair], **options: Any
    ) -> tuple[Piece, ...]:
        def put(partition: int, run: int, block: int, data: bytes) -> None:
            self.stored[map_index, 1, partition, run, block] = data

        collector = Collector(map_index, 1, partitions, put, **options)
        collector.collect(pairs)
        return collector.finish()

    def fetch(self, wanted: Sequence[tuple[Piece, int]]) -> list[bytes | None]:
        self.fetches += 1
        return [
            self.stored.get((p.map_index, p.attempt, p.partition, p.run, block))
            for p, block in wanted
        ]


def shuffled(
    maps: Sequence[Sequence[Pair]],
    partitions: int,
    reduce_memory: int,
    group: Callable[..., Iterator[shuffle.Group]] = shuffle.grouped,
    **options: Any,
) -> list[list[tuple[Any, list[Any]]]]:
    blocks = Blocks()
    pieces = [
        piece
        for index, pairs in enumerate(maps)
        for piece in blocks.collect(index, partitions, pairs, **options)
    ]
    random.Random(1).shuffle(pieces)
    return [
        [
            (key, list(values))
            for key, values in grouped(
                [piece for piece in pieces if piece.partition == partition],
                blocks.fetch,
                reduce_memory,
                group,
            )
        ]
        for partition in range(partitions)
    ]


def grouped(
    pieces: Sequence[Piece],
    fetch: shuffle.Fetch,
    memory_bytes: int = 1 << 20,
    group: Callable[..., Iterator[shuffle.Group]] = shuffle.grouped,
    **options: Any,
) -> Iterator[shuffle.Group]:
    scratch = Path(tempfile.gettempdir())
    return group(pieces, fetch, scratch=scratch, memory_bytes=memory_bytes, **options)


def expected(maps: Sequence[Sequence[Pair]], partitions: int) -> list[list[tuple[Any, list[Any]]]]:
    groups: defaultdict[Any, list[Any]] = defaultdict(list)
    for pairs in maps:
        for key, value in pairs:
            groups[key].append(value)
    parts: list[list[Any]] = [[] for _ in range(partitions)]
    for key in groups:
        parts[partition_of(key, partitions)].append(key)
    return [[(key, groups[key]) for key in sorted_keys(keys)] for keys in parts]


keys = st.sampled_from(["a", "b", "é", 1, 1.0, True, 2, None, b"a", ("a", 1), ("a", 2)])
maps = st.lists(st.lists(st.tuples(keys, st.integers()), max_size=30), max_size=4)


@settings(max_examples=100)
@given(maps, st.integers(1, 3), st.sampled_from([0, 1 << 20]), st.sampled_from([1, 300, 1 << 20]))
def test_values_come_grouped_sorted_and_in_order_of_map_and_emission(
    given_maps: list[list[Pair]], partitions: int, reduce_memory: int, map_memory: int
) -> None:
    found = shuffled(given_maps, partitions, reduce_memory, memory_bytes=map_memory)
    assert found == expected(given_maps, partitions)


@settings(max_examples=50)
@given(maps, st.integers(1, 3), st.sampled_from([0, 1 << 20]), st.sampled_from([1, 300, 1 << 20]))
def test_by_map_each_task_comes_with_its_own_pairs_in_the_same_order(
    given_maps: list[list[Pair]], partitions: int, reduce_memory: int, map_memory: int
) -> None:
    found = shuffled(
        given_maps, partitions, reduce_memory, group=shuffle.by_map, memory_bytes=map_memory
    )
    for partition, pieces in enumerate(found):
        assert pieces == [
            (f"map-{index:05d}", [(key, value) for key, values in groups for value in values])
            for index, pairs in enumerate(given_maps)
            if (groups := expected([pairs], partitions)[partition])
        ]


def test_by_map_only_the_task_that_is_read_is_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "WINDOW_BLOCKS", 2)
    blocks = Blocks()
    pieces = [
        piece for index in range(6) for piece in blocks.collect(index, 1, [("key", Living())] * 3)
    ]
    alive = []
    for _, pairs in grouped(pieces, blocks.fetch, group=shuffle.by_map):
        held = list(pairs)
        alive.append((len(Living.all), blocks.fetches))
        del held
    # Blocks of two tasks are fetched at once, and one is fetched before the task before it ends.
    assert alive == [(1, 1), (1, 2), (1, 2), (1, 3), (1, 3), (1, 3)]


class Living:
    """Tells how many of its kind there are."""

    all: ClassVar[WeakSet["Living"]] = WeakSet()

    def __init__(self) -> None:
        Living.all.add(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return Living, ()


def total(key: Any, values: Iterator[int]) -> Iterator[Pair]:
    yield key, sum(values)


@given(maps, st.sampled_from([0, 1 << 20]), st.sampled_from([1, 300, 1 << 20]))
def test_a_combiner_changes_no_total(
    given_maps: list[list[Pair]], reduce_memory: int, map_memory: int
) -> None:
    [found] = shuffled(given_maps, 1, reduce_memory, memory_bytes=map_memory, combine=total)
    totals = [(key, sum(values)) for key, values in found]
    assert totals == [(key, sum(values)) for key, values in expected(given_maps, 1)[0]]


def test_what_does_not_fit_into_memory_is_written_in_runs() -> None:
    pairs = [(f"key{number % 50}", f"{number:100}") for number in range(2000)]
    pieces = Blocks().collect(0, 2, pairs, memory_bytes=20_000)
    assert len({piece.run for piece in pieces}) > 3
    assert sum(piece.records for piece in pieces) == 2000


def test_a_combiner_that_helps_keeps_everything_in_one_run() -> None:
    pairs = [(f"key{number % 5}", 1) for number in range(20_000)]
    pieces = Blocks().collect(0, 1, pairs, memory_bytes=50_000, combine=total)
    assert [(piece.run, piece.records) for piece in pieces] == [(0, 5)]


def test_counters_count_each_pair_once() -> None:
    collector = Collector(0, 1, 1, lambda *_: None, combine=total, memory_bytes=5_000)
    collector.collect([(number % 3, 1) for number in range(5000)])
    collector.finish()
    assert collector.output_records == 5000
    assert collector.combine_input_records - collector.combine_output_records == 5000 - 3


@pytest.mark.parametrize("fold", [operator.add, max])
@pytest.mark.parametrize("pairs", [0, 1, 2, 3, 4, 4096, 8191, 8192, 8193, 20_000])
def test_folded_pairs_are_counted_to_the_last(fold: Callable[[int, int], int], pairs: int) -> None:
    collector = Collector(0, 1, 1, lambda *_: None, combine=Fold(fold))
    collector.collect([(number % 3, number) for number in range(pairs)])
    collector.collect([("more", number) for number in range(7)])
    collector.finish()
    assert collector.output_records == collector.combine_input_records == pairs + 7
    assert collector.combine_output_records == min(pairs, 3) + 1


@pytest.mark.parametrize("reduce_memory", [0, 1 << 30])
def test_large_runs_are_cut_into_blocks_of_bounded_size(reduce_memory: int) -> None:
    noise = random.Random(2)
    pairs = [(number % 7, noise.randbytes(1000)) for number in range(12_000)]
    blocks = Blocks()
    pieces = blocks.collect(0, 1, pairs)
    assert sum(piece.blocks for piece in pieces) > 5
    assert max(map(len, blocks.stored.values())) <= blocks_module.MAX_BLOCK_BYTES + 4
    found = [(k, list(v)) for k, v in grouped(pieces, blocks.fetch, reduce_memory)]
    assert found == expected([pairs], 1)[0]


def test_a_single_pair_over_the_limit_of_the_store_is_refused() -> None:
    noise = random.Random(3).randbytes(9 << 20)
    with pytest.raises(BadRecord, match=r"a single pair of 9,4.*its key is 'big'"):
        Blocks().collect(0, 1, [("big", noise)])


def test_many_small_pieces_are_read_in_few_round_trips() -> None:
    blocks = Blocks()
    pieces = [p for index in range(200) for p in blocks.collect(index, 1, [("a", index)])]
    [(_, values)] = grouped(pieces, blocks.fetch)
    assert list(values) == list(range(200))
    assert blocks.fetches <= 4


@pytest.mark.parametrize("reduce_memory", [0, 1 << 20])
@pytest.mark.parametrize("damage", [None, b"", b"abc", b"abcdefghijkl"])
def test_a_missing_or_damaged_piece_names_its_map_task(
    damage: bytes | None, reduce_memory: int
) -> None:
    blocks = Blocks()
    pieces = [piece for index in (4, 5) for piece in blocks.collect(index, 1, [("a", 1)])]
    if damage is None:
        del blocks.stored[5, 1, 0, 0, 0]
    else:
        blocks.stored[5, 1, 0, 0, 0] = damage
    with pytest.raises(PieceLost) as caught:
        for _, values in grouped(pieces, blocks.fetch, reduce_memory):
            list(values)
    assert caught.value.map_index == 5


def test_a_lost_piece_is_told_even_if_user_code_swallows_the_error() -> None:
    blocks = Blocks()
    pieces = blocks.collect(0, 1, [("a", n) for n in range(90)], memory_bytes=1)
    pieces = tuple(p for p in pieces if p.run < 3)
    del blocks.stored[0, 1, 0, 2, 0]
    with pytest.raises(PieceLost):
        for _, values in grouped(pieces, blocks.fetch, 0):
            try:
                list(values)
            except PieceLost:
                continue


def test_a_reducer_need_not_read_its_values() -> None:
    maps = [[("a", 1), ("b", 2)], [("a", 3), ("c", 4)]]
    for memory in (0, 1 << 20):
        blocks = Blocks()
        pieces = [p for i, pairs in enumerate(maps) for p in blocks.collect(i, 1, pairs)]
        assert [key for key, _ in grouped(pieces, blocks.fetch, memory)] == ["a", "b", "c"]


@pytest.mark.parametrize("bad", [5, ("a",), ("a", 1, 2), None, (["list"], 1)])
def test_what_is_no_pair_is_refused(bad: Any) -> None:
    for pairs in ([bad], [("a", 1), bad]):
        with pytest.raises(BadRecord, match=r"is no pair|can't be a key"):
            Blocks().collect(0, 1, pairs)


def test_an_error_of_the_mapper_itself_passes_through() -> None:
    def pairs() -> Iterator[Pair]:
        yield "a", 1
        raise TypeError("mine")

    with pytest.raises(TypeError, match=r"^mine$"):
        Blocks().collect(0, 1, pairs())  # type: ignore[arg-type]


def test_a_combiner_must_keep_its_key() -> None:
    def renames(key: Any, values: Iterator[Any]) -> Iterator[Pair]:
        yield key + "!", 1

    with pytest.raises(BadRecord, match=r"the key 'a!' from values of 'a'"):
        Blocks().collect(0, 1, [("a", 1), ("a", 1)], combine=renames)


def test_what_can_not_be_pickled_is_refused() -> None:
    with pytest.raises(BadRecord, match="have to be picklable"):
        Blocks().collect(0, 1, [("a", lambda: 1)])


@pytest.mark.parametrize("key", [object(), float("nan"), ("a", object())])
def test_what_can_be_no_key_is_refused(key: Any) -> None:
    with pytest.raises(BadRecord, match="can't be a key"):
        Blocks().collect(0, 1, [(key, 1)])
