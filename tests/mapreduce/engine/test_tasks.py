"""Map and reduce tasks over a store: pieces, parts, counters, and what is lost."""

import io
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dynamo import files
from dynamo.store import MemoryStore
from mapreduce.data import inputs
from mapreduce.data.inputs import InputSpec
from mapreduce.data.outputs.store import StoreOutput
from mapreduce.engine import paths, shipping, tasks, workbench
from mapreduce.engine.events import AttemptId, TaskId
from mapreduce.engine.orders import TaskOrder, TaskResult
from mapreduce.engine.sidefiles import SideFiles
from mapreduce.errors import PieceLost
from tests.mapreduce.engine.jobs import map_order

SOURCE = """
from mapreduce import Mapper, Reducer

class MyMapper(Mapper):
    def setup(self):
        self.seen = 0
    def map(self, key, value):
        self.seen += 1
        self.context.count("my lines")
        for word in value.split():
            yield word, 1
    def cleanup(self):
        yield "lines:", self.seen

class MyReducer(Reducer):
    def reduce(self, key, values):
        yield key, sum(values)
    def cleanup(self):
        yield "task:", self.context.task

class MyCombiner(Reducer):
    def reduce(self, key, values):
        yield key, sum(values)
"""


class Bench:
    """A job over one file in a memory store, run task by task."""

    def __init__(self, text: bytes, reducers: int = 1) -> None:
        self.store = MemoryStore()
        files.write(self.store, "/in", io.BytesIO(text))
        splits = inputs.plan("store", [InputSpec("/in")], self.store, split_bytes=1 << 20)
        self.phase, self.order = map_order(
            self.store, SOURCE, reducers=reducers, slices=splits[0].slices
        )
        self.program = shipping.load(self.phase.spec, SOURCE.encode(), "job")

    def run(self, order: TaskOrder) -> TaskResult:
        scratch = Path("nothing is spilled")
        side_files = SideFiles(self.phase.spec, self.phase.run, "store", self.store, scratch)
        bench = workbench.Bench(self.store, self.store, "store", scratch, side_files)
        return tasks.run(self.phase, order, self.program, bench)

    def reduce_order(self, result: TaskResult, number: int = 1) -> TaskOrder:
        attempt = AttemptId(TaskId("job.1", "reduce", 0), number)
        return msgspec.structs.replace(
            self.order, attempt=attempt, split=None, pieces=result.pieces
        )

    def text(self, result: TaskResult) -> str:
        [part] = result.parts
        StoreOutput(self.store, "/seen").commit([part], {})
        return b"".join(files.read(self.store, f"/seen/{part.name}")).decode()


def test_a_map_and_a_reduce_task_make_a_word_count() -> None:
    bench = Bench(b"to be or\nnot to be\n")
    mapped = bench.run(bench.order)
    assert mapped.parts == ()
    assert [piece.records for piece in mapped.pieces] == [5]
    reduced = bench.run(bench.reduce_order(mapped))
    expected = "be\t2\nlines:\t2\nnot\t1\nor\t1\nto\t2\ntask:\treduce-00000.1\n"
    assert bench.text(reduced) == expected


def test_counters_say_what_was_done() -> None:
    bench = Bench(b"to be or\nnot to be\n")
    mapped = bench.run(bench.order)
    counted: dict[str, Any] = dict(mapped.counters)
    assert counted.pop("shuffle_bytes") > 0
    size_bytes = sum(piece.size_bytes for piece in mapped.pieces)
    assert counted == {
        "map_input_bytes": 19,
        "map_input_records": 2,
        "map_output_records": 7,
        "map_output_bytes": size_bytes,
        "combine_input_records": 4,
        "combine_output_records": 2,
        "my lines": 2,
    }
    reduced = bench.run(bench.reduce_order(mapped))
    assert reduced.counters == {
        "reduce_input_records": 5,
        "reduce_input_bytes": size_bytes,
        "reduce_input_groups": 5,
        "reduce_output_records": 6,
        "output_bytes": 51,
    }


def test_a_job_without_reducers_writes_what_the_mapper_yields() -> None:
    bench = Bench(b"b a\n", reducers=0)
    mapped = bench.run(bench.order)
    assert mapped.pieces == ()
    assert bench.text(mapped) == "b\t1\na\t1\nlines:\t1\n"


def test_two_attempts_at_a_task_give_the_same_bytes_under_different_names() -> None:
    bench = Bench(b"to be or\nnot to be\n", reducers=3)
    again = msgspec.structs.replace(bench.order, attempt=AttemptId(bench.order.attempt.task, 2))
    blocks = []
    for order in (bench.order, again):
        pieces = bench.run(order).pieces
        keys = [key for piece in pieces for key in paths.piece_keys("job.1", piece)]
        blocks.append([bench.store.get(key).value for key in keys])
    assert blocks[0] == blocks[1]
    assert None not in blocks[0]
    assert len(set(bench.store.list(paths.pieces("job")))) == 2 * len(blocks[0])


def test_a_piece_that_is_gone_is_told_with_its_map_task() -> None:
    bench = Bench(b"to be\n")
    mapped = bench.run(bench.order)
    bench.store.delete(paths.piece_keys("job.1", mapped.pieces[0])[0])
    with pytest.raises(PieceLost, match="the output of map task 0 is lost") as caught:
        bench.run(bench.reduce_order(mapped))
    assert caught.value.map_index == 0


def test_orders_and_results_cross_processes_as_plain_data() -> None:
    bench = Bench(b"to be\n")
    mapped = bench.run(bench.order)
    order = bench.reduce_order(mapped)
    for value in (bench.order, order, mapped, bench.run(order)):
        for codec in (msgspec.msgpack, msgspec.json):
            assert codec.decode(codec.encode(value), type=type(value)) == value
