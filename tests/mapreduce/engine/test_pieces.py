"""Pieces go through the store in few calls, and a damaged copy is not the end of them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from dynamo.store import MemoryStore, Reading, Written
from mapreduce.data.shuffle import Collector, Piece, grouped
from mapreduce.engine.events import AttemptId, TaskId
from mapreduce.engine.pieces import PieceSink, piece_fetch
from mapreduce.errors import PieceLost


class Counting(MemoryStore):
    """Counts round trips."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def multi_get(self, keys: Iterable[str], **options: Any) -> dict[str, Reading]:
        self.calls += 1
        return super().multi_get(keys, **options)

    def multi_put(self, items: Any, **options: Any) -> dict[str, Written]:
        self.calls += 1
        return super().multi_put(items, **options)


def mapped(store: MemoryStore, index: int, pairs: Any, partitions: int) -> tuple[Piece, ...]:
    sink = PieceSink(store, AttemptId(TaskId("job", "map", index), 1))
    collector = Collector(index, 1, partitions, sink.put)
    collector.collect(pairs)
    pieces = collector.finish()
    sink.flush()
    return pieces


def reduced(store: MemoryStore, pieces: Iterable[Piece], tmp_path: Path) -> dict[Any, list[Any]]:
    groups = grouped(pieces, piece_fetch(store, "job"), scratch=tmp_path)
    return {key: list(values) for key, values in groups}


def test_small_pieces_take_about_one_call_for_each_map_task(tmp_path: Path) -> None:
    store = Counting()
    maps, partitions = 300, 20
    words = [(f"word{number}", 1) for number in range(40)]
    pieces = [piece for index in range(maps) for piece in mapped(store, index, words, partitions)]
    assert store.calls == maps
    for partition in range(partitions):
        found = reduced(store, [p for p in pieces if p.partition == partition], tmp_path)
        assert all(values == [1] * maps for values in found.values())
    assert store.calls <= maps + 2 * partitions


def test_a_partition_that_nothing_goes_to_takes_no_key() -> None:
    store = MemoryStore()
    pieces = mapped(store, 0, [("a", 1)], 50)
    assert len(pieces) == len(list(store.list("piece:"))) == 1


class Damaging(MemoryStore):
    """Hands out damaged bytes unless as many replicas are asked as `whole_from`."""

    def __init__(self, whole_from: int) -> None:
        super().__init__()
        self.whole_from = whole_from

    def _damaged(self, reading: Reading, replicas: int) -> Reading:
        if replicas >= self.whole_from:
            return reading
        return Reading(tuple(value[:-1] + b"?" for value in reading.values), reading.context)

    def get(self, key: str, **options: Any) -> Reading:
        return self._damaged(super().get(key), options.get("r") or 2)

    def multi_get(self, keys: Iterable[str], **options: Any) -> dict[str, Reading]:
        replicas = options.get("r") or 2
        return {key: self._damaged(MemoryStore.get(self, key), replicas) for key in keys}

    def locate(self, key: str, **options: Any) -> tuple[str, ...]:
        return "one", "two", "three"


@pytest.mark.parametrize("whole_from", [1, 2, 3])
def test_a_damaged_block_is_read_from_other_replicas(whole_from: int, tmp_path: Path) -> None:
    store = Damaging(whole_from)
    pieces = mapped(store, 0, [("a", 1), ("a", 2)], 1)
    assert reduced(store, pieces, tmp_path) == {"a": [1, 2]}


def test_what_no_replica_has_whole_is_lost_with_its_map_task(tmp_path: Path) -> None:
    store = Damaging(4)
    pieces = mapped(store, 7, [("a", 1)], 1)
    with pytest.raises(PieceLost, match="fails its checksum") as caught:
        reduced(store, pieces, tmp_path)
    assert caught.value.map_index == 7
