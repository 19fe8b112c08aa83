"""Tasks: iterators of records in, iterators of records out.

`run` does one attempt: it reads a split or pieces, runs the user's classes, and stores pieces or a
part of the output. How user code is called stands in `mapreduce.engine.calling`.
"""

import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from dynamo.store import Store
from mapreduce.api import Context, Pair
from mapreduce.data import formats, inputs, outputs, shuffle
from mapreduce.data.formats import Batch
from mapreduce.data.inputs import Files, Split
from mapreduce.data.shuffle import Collector, Piece
from mapreduce.engine import calling, paths
from mapreduce.engine.orders import TaskOrder, TaskResult
from mapreduce.engine.shipping import Classes

PIECE_TTL_S = 7 * 24 * 3600.0
"""How long pieces live whose job nobody has cleaned up. In a job that takes longer they are lost
like any others: their maps run again."""
_SINK_BYTES = 4 << 20


def run(order: TaskOrder, classes: Classes, store: Store, *, files: Files = "store") -> TaskResult:
    """Do one attempt at a map or reduce task.

    The user's own errors pass through. Raises `PieceLost` for pieces that can't be read,
    `BadRecord` for input that does not have its format.
    """
    started = time.perf_counter()
    context = Context(order.spec.name, str(order.attempt))
    counters: Counter[str] = Counter()
    do = map_task if order.attempt.task.kind == "map" else reduce_task
    result = do(order, classes, store, files, context, counters)
    return TaskResult(
        pieces=result.pieces,
        part=result.part,
        counters=dict(counters + context.counters),
        seconds=time.perf_counter() - started,
    )


def map_task(
    order: TaskOrder,
    classes: Classes,
    store: Store,
    files: Files,
    context: Context,
    counters: Counter[str],
) -> TaskResult:
    """Read a split, map it, and store pieces, or output where the job has no reducers."""
    assert order.split is not None
    batches = read_split(order.split, order.spec.input_format, store, files, counters)
    pairs = calling.map_pairs(calling.made(classes.mapper, context), batches)
    if order.spec.reducers == 0:
        return _write_output(order, pairs, store, files, counters, "map_output_records")
    sink = PieceSink(store, order)
    combiner = calling.made(classes.combiner, context) if classes.combiner else None
    collector = Collector(
        order.attempt.task.index,
        order.attempt.number,
        order.spec.reducers,
        sink.put,
        combine=combiner and calling.reduce_method(combiner),
    )
    collector.collect(pairs)
    pieces = collector.finish()
    sink.flush()
    counters["map_output_records"] += collector.output_records
    counters["combine_input_records"] += collector.combine_input_records
    counters["combine_output_records"] += collector.combine_output_records
    counters["shuffle_bytes"] += sink.stored_bytes
    return TaskResult(pieces=pieces)


def reduce_task(
    order: TaskOrder,
    classes: Classes,
    store: Store,
    files: Files,
    context: Context,
    counters: Counter[str],
) -> TaskResult:
    """Read all pieces of a partition, reduce them key by key, and store a part of the output."""
    assert classes.reducer is not None
    fetch = piece_fetch(store, order.attempt.task.job)
    groups = shuffle.grouped(order.pieces, fetch, scratch=Path(tempfile.gettempdir()))
    counters["reduce_input_records"] += sum(piece.records for piece in order.pieces)
    pairs = calling.reduce_pairs(calling.made(classes.reducer, context), groups, counters)
    return _write_output(order, pairs, store, files, counters, "reduce_output_records")


def read_split(
    split: Split, input_format: str, store: Store, files: Files, counters: Counter[str]
) -> Iterator[Batch]:
    """The records of all slices of a split, counted."""
    reader = inputs.open_reader(store)
    reader.prepare(split.slices)
    read = formats.reading(input_format).read
    counters["map_input_bytes"] += split.size_bytes
    for part in split.slices:
        for batch in read(part, reader):
            counters["map_input_records"] += batch.size
            yield batch


# Stored ------------------------------------------------------------------------------------------


class PieceSink:
    """Stores blocks of pieces, several in one round trip."""

    def __init__(self, store: Store, order: TaskOrder) -> None:
        self.stored_bytes = 0
        self._store = store
        self._attempt = order.attempt
        self._waiting: dict[str, bytes] = {}
        self._waiting_bytes = 0

    def put(self, partition: int, run: int, block: int, data: bytes) -> None:
        task = self._attempt.task
        key = paths.block(task.job, partition, task.index, self._attempt.number, run, block)
        self._waiting[key] = data
        self._waiting_bytes += len(data)
        if self._waiting_bytes >= _SINK_BYTES:
            self.flush()

    def flush(self) -> None:
        """Store what waits. Pieces can be made again, so nobody waits for their fsync."""
        if self._waiting:
            self._store.multi_put(self._waiting, ttl_s=PIECE_TTL_S, ephemeral=True)
        self.stored_bytes += self._waiting_bytes
        self._waiting, self._waiting_bytes = {}, 0


def piece_fetch(store: Store, job: str) -> shuffle.Fetch:
    """Reads blocks of pieces: from one replica, and from a quorum what that one lacks."""

    def fetch(wanted: Sequence[tuple[Piece, int]]) -> list[bytes | None]:
        keys = [paths.piece_keys(job, piece)[index] for piece, index in wanted]
        readings = store.multi_get(keys, r=1)
        if missing := [key for key, reading in readings.items() if not reading.values]:
            readings.update(store.multi_get(missing))
        return [readings[key].value for key in keys]

    return fetch


def _write_output(
    order: TaskOrder,
    pairs: Iterable[Pair],
    store: Store,
    files: Files,
    counters: Counter[str],
    counter: str,
) -> TaskResult:
    """Store a task's pairs as a part of the job's output."""
    output = outputs.open_output(files, order.spec.output, store)
    blocks = formats.encode(order.spec.output_format, pairs)
    part = output.write(part_name(order), str(order.attempt), blocks)
    counters[counter] += part.records
    counters["output_bytes"] += part.size_bytes
    return TaskResult(part=part)


def part_name(order: TaskOrder) -> str:
    """The name of a task's part in the output folder."""
    return f"part-{order.attempt.task.index:05d}"
