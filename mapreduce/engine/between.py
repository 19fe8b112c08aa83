"""Between map and reduce: a map task's pairs become pieces, and a partition's pieces groups."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

from mapreduce.api import Context, Pair, Step
from mapreduce.data import shuffle
from mapreduce.data.ordering import PLAIN
from mapreduce.data.shuffle import Collector, LineCollector, Piece, can_be_sorted
from mapreduce.engine import arriving, calling
from mapreduce.engine.orders import MorePieces
from mapreduce.engine.pieces import PieceSink, piece_fetch
from mapreduce.engine.programs import Worker
from mapreduce.engine.streaming import Executable
from mapreduce.engine.workbench import Task
from mapreduce.errors import JobError

Gather = Callable[..., Iterator[shuffle.Group]]
"""Makes groups of pieces: `shuffle.grouped`, or `shuffle.by_map`."""


def collected(
    task: Task,
    pairs: Iterable[Pair],
    partitions: int,
    partitioner: Callable[[Any, int], int] | None,
    combiner: Callable[..., Any] | None,
) -> tuple[Piece, ...]:
    """Store a map task's pairs as pieces."""
    store = task.bench.pieces if task.order.probe is None else None
    sink = PieceSink(store, task.order.attempt)
    collector = _collector(task, pairs, partitions, sink.put, partitioner, combiner)
    collector.collect(pairs)
    pieces = collector.finish()
    sink.flush()
    task.counters.update(
        map_output_records=collector.output_records,
        map_output_bytes=sum(piece.size_bytes for piece in pieces),
        combine_input_records=collector.combine_input_records,
        combine_output_records=collector.combine_output_records,
        spills=collector.spills,
        spilled_records=collector.spilled_records,
        shuffle_bytes=sink.stored_bytes,
    )
    return pieces


def _collector(
    task: Task,
    pairs: Iterable[Pair],
    partitions: int,
    put: shuffle.Put,
    partitioner: Callable[[Any, int], int] | None,
    combiner: Callable[..., Any] | None,
) -> Collector | LineCollector:
    index, number = task.order.attempt.task.index, task.order.attempt.number
    bound = task.phase.spec.memory_bytes
    combine = _combine(combiner, task.context)
    if can_be_sorted(pairs) and task.ordering == PLAIN and _keeps(combiner, pairs.form):
        assert combine is None or isinstance(combine, shuffle.CombineAll)
        sorting = LineCollector(
            index,
            number,
            partitions,
            put,
            form=pairs.form,
            scratch=task.bench.scratch,
            combine=combine,
            partition=partitioner,
            memory_bytes=bound,
        )
        task.context.ending.callback(sorting.close)
        return sorting
    return Collector(
        index,
        number,
        partitions,
        put,
        combine=combine,
        partition=partitioner,
        ordering=task.ordering,
        memory_bytes=bound,
    )


def _keeps(combiner: Any, form: shuffle.LineForm) -> bool:
    """True if lines are still lines of this form when they have been combined."""
    return combiner is None or (isinstance(combiner, Executable) and combiner.form == form)


def groups(task: Task, gather: Gather = shuffle.grouped) -> Iterator[shuffle.Group]:
    """The groups of the partition; its pieces are waited for when the first is asked for."""
    yield from gathered(task, gather)


def gathered(task: Task, gather: Gather) -> Iterator[shuffle.Group]:
    """The same, when all pieces have come."""
    fetch = piece_fetch(task.bench.pieces, task.order.attempt.task.job)
    more = task.bench.more or _nothing_more
    pieces = arriving.all_pieces(task.order, more, fetch, task.bench.scratch)
    arrived = task.context.ending.enter_context(pieces)
    task.counters.update(
        reduce_input_records=sum(piece.records for piece in arrived.pieces),
        reduce_input_bytes=sum(piece.size_bytes for piece in arrived.pieces),
    )
    groups = gather(
        arrived.pieces,
        arrived.fetch,
        ordering=task.ordering,
        memory_bytes=task.phase.spec.memory_bytes,
        scratch=task.bench.scratch,
        counters=task.counters,
    )
    return task.selection.of_groups(groups)


def _nothing_more() -> MorePieces:
    raise JobError("a task that begins before all maps are done has to be told of the others")


def partitioner_of(step: Step) -> Callable[[Any, int], int] | None:
    """The user's partitioner as a function: they may have written a class, or a hash."""
    if step.do_hash is not None:
        return shuffle.HashPartitioner(step.do_hash, step.reducers)
    given: Any = step.partitioner
    if given is not None and (isinstance(given, type) or hasattr(given, "partition")):
        made = given() if isinstance(given, type) else given
        partition: Callable[[Any, int], int] = made.partition
        return partition
    return cast(Callable[[Any, int], int] | None, given)


def _combine(given: Any, context: Context) -> shuffle.Combiner | None:
    """The user's combiner: a method of a class, an executable, or a function of two values."""
    if given is None:
        return None
    kind = getattr(given, "func", given)  # or a partial of one
    if not isinstance(kind, type | Executable):
        return shuffle.Fold(given)
    made = calling.made(given, context)
    if isinstance(made, Worker):
        made.context = dataclasses.replace(context, where=None)  # the mapper has its own
        return shuffle.CombineAll(made.combined)
    if not hasattr(made, "reduce_all"):
        return calling.reduce_method(made)
    made.context = dataclasses.replace(context, emitted=[], where=None)
    return shuffle.CombineAll(lambda groups: calling.reduce_pairs(made, groups, Counter()))
