"""Tasks: one attempt at a map or a reduce task, from what it reads to what it stores.

A map task reads a split, maps it, and stores pieces for the reducers, or output where its step has
none. A reduce task reads the pieces of its partition, reduces them, and stores output. The tasks of
a sampling phase are the same with another end: keys only, and the borders made of them.
"""

import contextlib
import functools
import pickle
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from mapreduce.api import Context, Mapper, Pair, check_takes_pieces, takes_pieces
from mapreduce.data import inputs, outputs, sampling, shuffle
from mapreduce.data.formats import Batch
from mapreduce.data.inputs import InputSpec
from mapreduce.data.shuffle import Piece
from mapreduce.engine import between, calling, paths, seeking
from mapreduce.engine.orders import BETWEEN, PhaseOrder, TaskOrder, TaskResult
from mapreduce.engine.programs import Worker
from mapreduce.engine.selecting import Selection
from mapreduce.engine.shipping import Program
from mapreduce.engine.watching import Watch, Watched
from mapreduce.engine.workbench import Bench, Task
from mapreduce.engine.writing import AttemptOutput
from mapreduce.errors import BadPair, JobError


def run(
    phase: PhaseOrder,
    order: TaskOrder,
    program: Program,
    bench: Bench,
    watch: Watch | None = None,
) -> TaskResult:
    """Do one attempt at a map or reduce task. `watch` tells how far it is.

    The user's own errors pass through. Raises `PieceLost` for pieces that can't be read,
    `BadRecord` for input that does not have its format.
    """
    started = time.perf_counter()
    with _output(phase, order, bench) as output:
        task = opened(phase, order, program, bench, output)
        watching = watch.over(order.attempt, task.context) if watch else contextlib.nullcontext()
        with watching, explained(task):
            pieces = _do(task)
            parts = output.close()
    if order.probe is not None:
        return TaskResult(records=task.selection.records)
    counters = +task.counters
    counters.update(task.context.counters)  # the user's may be 0 or less, too
    if task.selection.skipped:
        counters["skipped_records"] = len(task.selection.skipped)
    _count_output(order, counters, parts)
    return TaskResult(
        pieces=pieces,
        parts=parts,
        counters=dict(counters),
        seconds=time.perf_counter() - started,
        records=task.selection.records,
        skipped=tuple(task.selection.skipped),
    )


def opened(
    phase: PhaseOrder, order: TaskOrder, program: Program, bench: Bench, output: AttemptOutput
) -> Task:
    """An attempt that is ready to be done."""
    context = Context(
        phase.spec.name,
        str(order.attempt),
        run=phase.run,
        step=phase.step + 1,
        reducers=phase.step_spec.reducers,
        params=phase.spec.params,
        file_names=[side.name for side in phase.spec.files],
        scratch=bench.scratch,
        find_file=bench.side_files.find,
        write_named=output.emit,
    )
    return Task(phase, order, program, bench, context, Counter(), output, Selection(order))


@contextlib.contextmanager
def explained(task: Task) -> Iterator[None]:
    """Let errors of a task say where they come from; with it ends what its user code holds."""
    with task.context.ending, calling.explained(task.context, functools.partial(_sought, task)):
        yield


def _sought(task: Task, error: BadPair) -> str:
    """Where the pair of an error that is seen late comes from, if it is a map task's."""
    if task.order.attempt.task.kind != "map":
        return ""
    again = opened(task.phase, task.order, task.program, task.bench, task.output)
    with again.context.ending:
        return seeking.where(error, again.context, lambda: mapped(again))


@contextlib.contextmanager
def _output(phase: PhaseOrder, order: TaskOrder, bench: Bench) -> Iterator[AttemptOutput]:
    """Where the attempt writes: a probe into a folder that is gone afterwards."""
    with contextlib.ExitStack() as held:
        sinks = _sinks(phase, bench)
        if order.probe is not None:
            folder = tempfile.TemporaryDirectory(prefix="probe-", dir=bench.scratch)
            nowhere = outputs.open_output("local", held.enter_context(folder), bench.store)
            sinks = nowhere, nowhere
        yield held.enter_context(AttemptOutput(phase, order.attempt, *sinks))


def _sinks(phase: PhaseOrder, bench: Bench) -> tuple[outputs.Output, outputs.Output]:
    folder = outputs.open_output(bench.files, phase.output, bench.store, phase.run)
    if phase.output == phase.spec.output:
        return folder, folder
    return folder, outputs.open_output(bench.files, phase.spec.output, bench.store, phase.run)


def _do(task: Task) -> tuple[Piece, ...]:
    match task.order.attempt.task.kind, task.phase.sampling:
        case "map", False:
            return map_task(task)
        case "map", True:
            return _sample_keys(task)
        case _, False:
            reduce_task(task)
        case _:
            _store_borders(task)
    return ()


def _count_output(order: TaskOrder, counters: Counter[str], parts: Sequence[outputs.Part]) -> None:
    phase = "reduce" if order.attempt.task.kind == "reduce" else "map"
    for part in parts:
        if outputs.is_main(part.name):
            counters[f"{phase}_output_records"] += part.records
        else:
            counters["named_output_records"] += part.records
        counters["output_bytes"] += part.size_bytes


# Map and reduce ----------------------------------------------------------------------------------


def map_task(task: Task) -> tuple[Piece, ...]:
    """Read a split, map it, and store pieces, or output where the step has no reducers."""
    return stored(task, mapped(task))


def stored(task: Task, pairs: Iterable[Pair]) -> tuple[Piece, ...]:
    """Store what a map task gives."""
    if task.step.reducer is None:
        task.output.write(pairs)
        return ()
    partitioner = between.partitioner_of(task.step)
    if task.step.total_order and task.step.reducers > 1:
        partitioner = _range_partitioner(task)
    return between.collected(task, pairs, task.step.reducers, partitioner, task.step.combiner)


def reduce_task(task: Task) -> None:
    """Read all pieces of a partition, reduce them key by key, and store a part of the output."""
    task.output.write(reduced(task))


def mapped(task: Task) -> Iterator[Pair]:
    """All that the mapper gives for the split, or for some records of one that is sampled."""
    mapper = _mapper(task)
    if isinstance(mapper, Worker):
        return mapper.mapped(_records(task))
    return calling.map_pairs(mapper, _records(task))


def reduced(task: Task) -> Iterator[Pair]:
    """All that the reducer gives for the partition."""
    assert task.step.reducer is not None
    reducer = calling.made(task.step.reducer, task.context)
    gather = shuffle.grouped
    if takes_pieces(reducer):
        check_takes_pieces(task.step, task.phase.spec.skip_bad_records)
        gather = shuffle.by_map
    if isinstance(reducer, Worker):
        return reducer.reduced(between.gathered(task, gather), task.counters)
    return calling.reduce_pairs(reducer, between.groups(task, gather), task.counters)


def _mapper(task: Task) -> Any:
    """The mapper of the split's input; one that gives the records as they are if there is none."""
    make = task.step.mapper
    if task.phase.step == 0:
        make = task.program.mappers[_input(task).mapper]
    return calling.made(make or Mapper, task.context)


def _input(task: Task) -> InputSpec:
    """What the split is a part of; the first input for one that holds nothing."""
    split = task.order.split
    return task.phase.spec.inputs[split.slices[0].input if split and split.slices else 0]


def _records(task: Task) -> Iterator[Batch]:
    """The records of all slices of the split, counted."""
    split = task.order.split
    assert split is not None
    input_format = BETWEEN if task.phase.step else _input(task).format
    reader = Watched(inputs.open_reader(task.bench.store), split.size_bytes)
    task.context.measured = reader.progress
    reader.prepare(split.slices)
    task.counters["map_input_bytes"] += split.size_bytes
    left = sampling.RECORDS if task.phase.sampling else task.order.limit
    for part in split.slices:
        task.context.input = part.path
        read_format = inputs.reading(part, input_format)
        for batch in read_format.read(part, reader) if left != 0 else ():
            if left is not None:
                batch = batch.first(left)
                left -= batch.size
            for some in task.selection.of_batch(batch, part.path):
                task.counters["map_input_records"] += some.size
                reader.begin(some)
                yield some
            if left == 0 or task.selection.is_done:
                break


# Total order -------------------------------------------------------------------------------------


def _sample_keys(task: Task) -> tuple[Piece, ...]:
    """The keys of some records of a thin split, all for one reducer."""
    keys = ((calling.checked(pair)[0], None) for pair in mapped(task))
    return between.collected(task, keys, 1, None, None)


def _store_borders(task: Task) -> None:
    """Take the borders of all partitions from the sampled keys."""
    keys = [key for key, values in between.groups(task) for _ in values]
    borders = sampling.borders(keys, task.step.reducers)
    key = paths.borders(task.phase.run, task.phase.step)
    task.bench.pieces.put(key, pickle.dumps(borders, protocol=5))


def _range_partitioner(task: Task) -> sampling.RangePartitioner:
    key = paths.borders(task.phase.run, task.phase.step)
    stored = task.bench.pieces.get(key).value
    if stored is None:
        raise JobError(f"the borders of the total order are gone from the store (key {key!r})")
    return sampling.RangePartitioner(pickle.loads(stored), task.ordering)
