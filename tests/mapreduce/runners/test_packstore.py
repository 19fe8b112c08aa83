"""Pieces in packs: few files, read by every process, and no end of the job when one is damaged."""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from mapreduce import Job, Mapper, Reducer
from mapreduce.data.shuffle import Collector, Piece, grouped
from mapreduce.engine.events import AttemptId, TaskId
from mapreduce.engine.pieces import PieceSink, piece_fetch
from mapreduce.errors import PieceLost
from mapreduce.runners.packstore import PackStore

MAPS, REDUCERS = 20, 30


def mapped(folder: Path, index: int) -> list[Piece]:
    """The pieces of a map with a pair for each reducer, by a store of its own."""
    sink = PieceSink(PackStore(folder), AttemptId(TaskId("job", "map", index), 1))
    collector = Collector(index, 1, REDUCERS, sink.put, partition=lambda key, count: key % count)
    collector.collect((key, index) for key in range(REDUCERS))
    pieces = collector.finish()
    sink.flush()
    return list(pieces)


def reduced(store: PackStore, pieces: list[Piece], reducer: int, scratch: Path) -> list[object]:
    wanted = [piece for piece in pieces if piece.partition == reducer]
    groups = grouped(wanted, piece_fetch(store, "job"), scratch=scratch)
    return [(key, list(values)) for key, values in groups]


def test_a_map_makes_one_file_however_many_reducers(tmp_path: Path) -> None:
    folder = tmp_path / "pieces"
    pieces = [piece for index in range(MAPS) for piece in mapped(folder, index)]
    assert len(pieces) == MAPS * REDUCERS
    assert len(list(folder.iterdir())) == MAPS
    store = PackStore(folder)
    for reducer in range(REDUCERS):
        assert reduced(store, pieces, reducer, tmp_path) == [(reducer, list(range(MAPS)))]


def test_a_store_finds_packs_that_come_later(tmp_path: Path) -> None:
    store = PackStore(tmp_path)
    assert store.get("a").value is None
    PackStore(tmp_path).multi_put({"a": b"1", "empty": b""})
    assert store.get("a").value == b"1"
    PackStore(tmp_path).multi_put({"b": b"2"})
    found = store.multi_get(["a", "b", "empty", "c"])
    assert [reading.values for reading in found.values()] == [(b"1",), (b"2",), (b"",), ()]


def test_another_process_reads_what_this_one_has_put(tmp_path: Path) -> None:
    PackStore(tmp_path).multi_put({"a": b"1", "b": b"22"})
    program = (
        "import sys; from mapreduce.runners.packstore import PackStore; "
        "found = PackStore(sys.argv[1]).multi_get(['b', 'a']); "
        "print([reading.value for reading in found.values()])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True
    )
    assert ended.stdout == "[b'22', b'1']\n"


def test_a_pack_is_gone_for_all_with_its_last_key(tmp_path: Path) -> None:
    store, other = PackStore(tmp_path), PackStore(tmp_path)
    store.multi_put({"a": b"1", "b": b"2"})
    assert other.get("b").value == b"2"
    store.multi_delete(["a"])
    assert [store.get(key).value for key in "ab"] == [None, b"2"]
    store.multi_delete(["a", "b"])
    assert list(tmp_path.iterdir()) == []
    assert other.get("b").value is None


def cut_to(size_bytes: int) -> Callable[[bytes], bytes]:
    return lambda data: data[:size_bytes]


def flipped(place: int) -> Callable[[bytes], bytes]:
    return lambda data: data[:place] + bytes([data[place] ^ 0x80]) + data[place + 1 :]


DAMAGES = {
    "empty": cut_to(0),
    "cut in its head": cut_to(5),
    "cut in its index": cut_to(100),
    "cut in its last value": cut_to(-1),
    "length damaged": flipped(0),
    "index damaged": flipped(60),
    "last value damaged": flipped(-2),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_pack_is_lost_with_its_map_task(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    folder = tmp_path / "pieces"
    pieces = mapped(folder, 7)
    [pack] = folder.iterdir()
    pack.write_bytes(damage(pack.read_bytes()))
    with pytest.raises(PieceLost) as caught:
        reduced(PackStore(folder), pieces, REDUCERS - 1, tmp_path)
    assert caught.value.map_index == 7


class Cutting(Mapper):
    """The map of the line "cut" damages what maps have stored before it."""

    def map(self, key, value):
        if value == "cut":
            packs = list(Path(self.context.params["folder"]).glob("mapreduce-*/pieces/pack-*"))
            assert packs
            for pack in packs:
                pack.write_bytes(pack.read_bytes()[:-1])
        yield value, 1


class Counts(Reducer):
    def reduce(self, key, values):
        yield key, len(list(values))


def test_the_map_of_a_damaged_pack_runs_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "in").write_bytes(b"one\ncut\n")
    params = {"folder": tmp_path}
    job = Job("cut", mapper=Cutting, reducer=Counts, split_bytes=4, params=params)
    result = job.run(tmp_path / "in", runner="local", processes=1)
    assert list(result) == [("cut", 1), ("one", 1)]
    assert result.summary["steps"][0]["map"]["lost_attempts"] == 1
