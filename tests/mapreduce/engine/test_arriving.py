"""Reduces that begin before all maps are done get what a later one would have got."""

import threading
from pathlib import Path

import msgspec
import pytest

from dynamo.store import MemoryStore
from mapreduce.data.pieces import Piece
from mapreduce.data.shuffle.blocks import encoded_entries
from mapreduce.engine import arriving, paths
from mapreduce.engine.earlyreduces import EarlyReduces
from mapreduce.engine.events import AttemptId, TaskId
from mapreduce.engine.orders import MorePieces, TaskOrder, TaskResult
from mapreduce.engine.pieces import piece_fetch
from tests.mapreduce.engine.bench import Bench
from tests.waiting import wait_until

REDUCE = AttemptId(TaskId("job.1", "reduce", 0), 1)


KEY_BY_KEY = """
class MyReducer(Reducer):
    def reduce(self, key, values):
        yield key, list(values)
"""
PIECE_BY_PIECE = """
class MyReducer(PartitionReducer):
    def setup(self):
        self.found = []
    def reduce(self, piece):
        [pair] = piece
        self.found.append(pair)
    def output(self):
        return self.found
"""


def piece(map_index: int, attempt: int = 1, partition: int = 0) -> Piece:
    return Piece(
        map_index=map_index,
        attempt=attempt,
        partition=partition,
        run=0,
        blocks=1,
        records=1,
        size_bytes=10,
    )


def result(*pieces: Piece) -> TaskResult:
    return TaskResult(pieces=pieces)


class TestWhatIsTold:
    def test_an_attempt_is_told_of_each_map_once_and_of_the_end(self) -> None:
        early = EarlyReduces()
        early.map_won(result(piece(0)))
        early.started(REDUCE, "w1", early.won)
        assert early.news([], 2) == []
        early.map_won(result(piece(2), piece(2, partition=1)))
        [(worker, more)] = early.news([], 1)
        assert worker == "w1"
        assert more == MorePieces(attempt=REDUCE, pieces=(piece(2),), maps_left=1, since=1, told=2)
        assert early.news([], 1) == []
        early.map_won(result())
        [(_, last)] = early.news([], 0)
        assert (last.pieces, last.maps_left, last.since, last.told) == ((), 0, 2, 3)
        assert not early

    def test_who_has_missed_something_is_told_everything(self) -> None:
        early = EarlyReduces()
        early.map_won(result(piece(1)))
        early.started(REDUCE, "w1", None)
        [(_, more)] = early.news([result(piece(0)), result(piece(1))], 1)
        assert (more.pieces, more.since, more.told) == ((piece(0), piece(1)), 0, 1)


class TestTheExecutor:
    def test_an_attempt_that_missed_something_says_so(self, bench: Bench) -> None:
        phase, busy = bench.order("time.sleep(600)")
        bench.executor.start(phase, busy)
        bench.executor.start(phase, TaskOrder(attempt=REDUCE, maps_left=3, told=2))
        wait_until(lambda: bench.executor.early == (REDUCE,), 5, "the attempt")
        assert not bench.executor.more(MorePieces(attempt=REDUCE, maps_left=1, since=4, told=5))
        assert bench.executor.more(MorePieces(attempt=REDUCE, maps_left=2, since=2, told=3))
        assert bench.executor.more(MorePieces(attempt=REDUCE, maps_left=0, since=0, told=5))
        assert bench.executor.early == ()

    @pytest.mark.parametrize(
        ("reducer", "expected"),
        [(KEY_BY_KEY, "word\t[0, 1, 2]\n"), (PIECE_BY_PIECE, "word\t0\nword\t1\nword\t2\n")],
    )
    def test_a_reduce_waits_for_its_maps_and_has_them_in_order(
        self, bench: Bench, reducer: str, expected: str
    ) -> None:
        phase, _ = bench.order("pass")
        source = f"from mapreduce import *\nclass MyMapper(Mapper): ...\n{reducer}"
        bench.store.put(paths.code("early"), source.encode())
        step = msgspec.structs.replace(phase.step_spec, mapper="MyMapper", reducer="MyReducer")
        spec = msgspec.structs.replace(phase.spec, steps=(step,))
        output = str(bench.folder / "out")
        phase = msgspec.structs.replace(phase, spec=spec, run="early", output=output)
        pieces = [put_piece(bench.store, number) for number in range(3)]
        bench.executor.start(
            phase, TaskOrder(attempt=REDUCE, pieces=(pieces[2],), maps_left=2, told=1)
        )
        for number in (1, 0):
            more = MorePieces(
                attempt=REDUCE, pieces=(pieces[number],), maps_left=number, since=2 - number,
                told=3 - number,
            )  # fmt: skip
            assert bench.executor.more(more)
        outcome = bench.done.get(timeout=30)
        assert outcome.error == ""
        assert outcome.result is not None
        assert outcome.result.counters["reduce_input_records"] == 3
        [part] = (path for path in Path(output).rglob("*") if path.is_file())
        assert part.read_text() == expected

    def test_nobody_waits_for_a_reduce_that_does_not_listen(self, bench: Bench) -> None:
        """A socket takes some hundred messages; what is large is waited for by its own slot."""
        phase, _ = bench.order("pass")
        go_on, maps = bench.folder / "go-on", 1_000
        source = (
            "import os, time\nfrom mapreduce import *\nclass MyMapper(Mapper): ...\n"
            f"class MyReducer(Reducer): ...\nwhile not os.path.exists({str(go_on)!r}):\n"
            "    time.sleep(0.01)\n"
        )
        bench.store.put(paths.code("deaf"), source.encode())
        step = msgspec.structs.replace(phase.step_spec, mapper="MyMapper", reducer="MyReducer")
        spec = msgspec.structs.replace(phase.spec, steps=(step,))
        phase = msgspec.structs.replace(
            phase, spec=spec, run="deaf", output=str(bench.folder / "out")
        )
        bench.executor.start(phase, TaskOrder(attempt=REDUCE, maps_left=maps))

        def tell() -> None:
            pieces = (put_piece(bench.store, 0),)
            for left in reversed(range(maps)):
                more = MorePieces(
                    attempt=REDUCE, pieces=pieces * (3_000 * (left == 500)), maps_left=left
                )
                assert bench.executor.more(more)

        telling = threading.Thread(target=tell, daemon=True)
        telling.start()
        telling.join(10.0)
        assert not telling.is_alive()
        go_on.touch()
        outcome = bench.done.get(timeout=30)
        assert outcome.error == ""  # it has heard of all maps, or it would wait


def put_piece(store, map_index: int, attempt: int = 1) -> Piece:
    """The piece of a map that has given ("word", its number)."""
    [block] = encoded_entries([("word", [map_index])], 1 << 20)
    made = piece(map_index, attempt)
    store.put(paths.piece_key("job.1", made, 0), block.data)
    return made


class TestArriving:
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()

    def arrive(self, store, tmp_path: Path, first: tuple[Piece, ...], *rest: MorePieces):
        order = TaskOrder(attempt=REDUCE, pieces=first, maps_left=1)
        messages = iter(rest)
        return arriving.all_pieces(
            order, lambda: next(messages), piece_fetch(store, "job.1"), tmp_path
        )

    def more(self, *pieces: Piece, left: int = 0) -> MorePieces:
        return MorePieces(attempt=REDUCE, pieces=pieces, maps_left=left)

    def test_what_has_arrived_is_read_though_the_store_has_lost_it(self, store, tmp_path) -> None:
        early, late = put_piece(store, 1), put_piece(store, 0)

        with self.arrive(store, tmp_path, (early,), self.more(late)) as arrived:
            store.delete(paths.piece_key("job.1", early, 0))
            blocks = arrived.fetch([(late, 0), (early, 0)])
        assert set(arrived.pieces) == {early, late}
        assert None not in blocks
        assert list(tmp_path.iterdir()) == []

    def test_a_map_that_ran_again_counts_once(self, store, tmp_path) -> None:
        first, again = put_piece(store, 0), put_piece(store, 0, attempt=2)
        other = MorePieces(attempt=AttemptId(REDUCE.task, 9), maps_left=0)
        with self.arrive(store, tmp_path, (first,), other, self.more(again)) as arrived:
            assert arrived.pieces == (again,)

    def test_what_could_not_be_read_is_asked_for_again(self, store, tmp_path) -> None:
        missing = piece(0)
        with self.arrive(store, tmp_path, (missing,), self.more()) as arrived:
            assert arrived.fetch([(missing, 0)]) == [None]
            put_piece(store, 0)
            assert arrived.fetch([(missing, 0)]) != [None]
