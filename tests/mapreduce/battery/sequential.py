"""What a job has to give, the plain way: its records one after the other, in one process.

Nothing of the engine is used: no splits, tasks, attempts, spills or merges. From the rest comes
only what is the public meaning of a job: the classes that users write, and of
`mapreduce.data.portable_hash` the partition and the order of keys where a job does not say its own.
A combiner is never called: it must not change the result.
"""

import bz2
import contextlib
import csv
import gzip
import io
import json
import lzma
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from mapreduce import Input, Job, PartitionReducer, Step
from mapreduce.api import Context, Mapper, Pair, takes_pieces
from mapreduce.data.portable_hash import order, partition_of, written


class Given(NamedTuple):
    """An input whose files have been read: their records, by path."""

    records: Mapping[str, Sequence[Pair]]
    mapper: Any = None


class Expected:
    """The pairs of each file that a job has to write, and the user's counters."""

    def __init__(self, job: Job) -> None:
        self.main: list[list[Pair]] = []
        """One list for each partition. Where `parts_are_known` is false, only all of them one
        behind the other are defined: in a map-only job and in a total order."""
        last = job.steps[-1]
        self.parts_are_known = last.reducer is not None and not last.total_order
        self.named: dict[tuple[str, str], defaultdict[int, list[Pair]]] = {}
        """By the name of the output, with its step, and "m" or "r": the pairs of each task."""
        self.counters: Counter[str] = Counter()

    def emit(self, output: str, step: int, kind: str, task: int, pair: Pair) -> None:
        name = output if step == 1 else f"{output}-{step}"
        self.named.setdefault((name, kind), defaultdict(list))[task].append(pair)


def evaluate(job: Job, given: Sequence[Given]) -> Expected:
    """Run the job's steps over records in memory."""
    expected = Expected(job)
    with _importable(job.modules):
        for number, step in enumerate(job.steps, start=1):
            mapped = [
                _mapped(job, number, read, expected)
                for an_input in given
                for read in _tasks(step, an_input)
            ]
            expected.main = [[pair for pairs in mapped for pair in pairs]]
            if step.reducer is not None:
                expected.main = _reduced(job, number, mapped, expected)
            given = [Given({"": [pair for part in expected.main for pair in part]})]
    return expected


# Map ---------------------------------------------------------------------------------------------


def _tasks(step: Step, given: Given) -> list[Given]:
    """What each map task reads, where that matters: a job where it does has a file for each."""
    if takes_pieces(step.reducer):
        return [Given({path: records}, given.mapper) for path, records in given.records.items()]
    return [given]


def _mapped(job: Job, number: int, given: Given, expected: Expected) -> list[Pair]:
    make = given.mapper or job.steps[number - 1].mapper or Mapper
    mapper = make()
    mapper.context = context = _context(job, number, "m", 0, expected)
    mapper.setup()
    pairs = _given(context, ())
    if hasattr(mapper, "map_all"):
        pairs += _given(context, mapper.map_all(_each_record(context, given)))
        return pairs + _given(context, mapper.cleanup())
    for path, records in given.records.items():
        context.input = path
        if hasattr(mapper, "map_batch"):
            pairs += _given(context, mapper.map_batch(records))
        else:
            for key, value in records:
                pairs += _given(context, mapper.map(key, value))
    return pairs + _given(context, mapper.cleanup())


def _each_record(context: Context, given: Given) -> Iterator[Pair]:
    for path, records in given.records.items():
        context.input = path
        yield from records


def _given(context: Context, pairs: Iterable[Pair] | None) -> list[Pair]:
    """What a method has emitted and returned."""
    returned = [] if pairs is None else [(key, value) for key, value in pairs]
    emitted = list(context.emitted)
    context.emitted.clear()
    return emitted + returned


def _context(job: Job, number: int, kind: str, task: int, expected: Expected) -> Context:
    def emit(name: str, key: Any, value: Any) -> None:
        assert name in job.outputs
        expected.emit(name, number, kind, task, (key, value))

    files = {Path(file).name: Path(file) for file in job.files}
    return Context(
        job=job.name,
        step=number,
        params=job.params,
        counters=expected.counters,
        find_file=files.__getitem__,
        write_named=emit,
    )


# Reduce ------------------------------------------------------------------------------------------


def _reduced(
    job: Job, number: int, mapped: list[list[Pair]], expected: Expected
) -> list[list[Pair]]:
    """The output of each reduce task; one for all if the step is in total order. `mapped` is what
    each map task has given."""
    step = job.steps[number - 1]
    parted = [_parted(step, pairs) for pairs in mapped]
    return [
        _reduce(job, number, task, [partitions[task] for partitions in parted], expected)
        for task in range(1 if step.total_order else step.reducers)
    ]


def _parted(step: Step, pairs: list[Pair]) -> list[list[Pair]]:
    partitions: list[list[Pair]] = [[] for _ in range(1 if step.total_order else step.reducers)]
    for key, value in pairs:
        partitions[0 if step.total_order else _partition(step, key)].append((key, value))
    return partitions


def _reduce(
    job: Job, number: int, task: int, pieces: list[list[Pair]], expected: Expected
) -> list[Pair]:
    step = job.steps[number - 1]
    reducer = step.reducer()
    reducer.context = context = _context(job, number, "r", task, expected)
    reducer.setup()
    output = _given(context, ())
    if isinstance(reducer, PartitionReducer):
        for piece in filter(None, pieces):
            groups = _groups(step, piece)
            reducer.reduce([(key, value) for key, values in groups for value in values])
        return output + _given(context, reducer.output()) + _given(context, reducer.cleanup())
    partition = [pair for piece in pieces for pair in piece]
    groups = [(key, iter(values)) for key, values in _groups(step, partition)]
    if hasattr(reducer, "reduce_all"):
        output += _given(context, reducer.reduce_all(iter(groups)))
    else:
        for key, values in groups:
            output += _given(context, reducer.reduce(key, values))
    return output + _given(context, reducer.cleanup())


def _partition(step: Step, key: Any) -> int:
    if step.do_hash is not None:
        return step.do_hash(key) % step.reducers
    if step.partitioner is None:
        return partition_of(step.group_key(key) if step.group_key else key, step.reducers)
    if isinstance(step.partitioner, type):
        return step.partitioner().partition(key, step.reducers)
    return step.partitioner(key, step.reducers)


def _groups(step: Step, pairs: list[Pair]) -> list[tuple[Any, list[Any]]]:
    """Keys, or groups of keys, with their values, in order."""
    values: dict[Any, list[Any]] = {}
    for key, value in pairs:
        values.setdefault(key, []).append(value)
    if step.sort_values is True:
        values = {key: sorted(some, key=order) for key, some in values.items()}
    elif step.sort_values:
        values = {key: sorted(some, key=step.sort_values) for key, some in values.items()}
    keys = sorted(values, key=lambda key: _rank(step, key), reverse=step.descending)
    if step.group_key is None:
        return [(key, values[key]) for key in keys]
    groups: dict[Any, list[Any]] = {}
    for key in keys:
        groups.setdefault(step.group_key(key), []).extend(values[key])
    return list(groups.items())


def _rank(step: Step, key: Any) -> Any:
    """What keys are sorted by: their groups, and in these the keys themselves."""
    rank = order(key)
    if step.sort_key is not None:
        # Among keys of which it says the same, their canonical form decides.
        rank = step.sort_key(key), isinstance(key, str), written(key)
    return (order(step.group_key(key)), rank) if step.group_key else rank


# Files -------------------------------------------------------------------------------------------

Content = bytes | list[Pair]
"""What a file holds; of the format "pickle" simply its pairs."""


def read(job: Job, inputs: Sequence[Input], files: Mapping[str, Content]) -> list[Given]:
    """The inputs of a job, each with the files that it names: by path, by folder or by a glob. What
    two of them name alike is read once."""
    seen = set()
    found = []
    for given in inputs:
        read_as = given.format or job.input_format
        named: dict[str, list[Pair]] = {}
        for path in sorted(files):
            if _names(str(given.path), path) and (path, read_as, given.mapper) not in seen:
                seen.add((path, read_as, given.mapper))
                named[path] = records(read_as, path, files[path])
        found.append(Given(named, given.mapper))
    return found


def _names(given: str, path: str) -> bool:
    return path == given or path.startswith(f"{given}/") or PurePosixPath(path).match(given)


def records(input_format: str, path: str, content: Content) -> list[Pair]:
    """What a file holds, in an input format."""
    if not isinstance(content, bytes):
        return content
    unpack = {"gz": gzip.decompress, "bz2": bz2.decompress, "xz": lzma.decompress}
    content = unpack.get(path.rpartition(".")[2], bytes)(content)
    name, options = _parsed(input_format)
    if name == "whole":
        return [(path.rpartition("/")[2], content.decode())]
    if name == "fixed":
        size = int(options["size"])
        return [(at, content[at : at + size]) for at in range(0, len(content), size)]
    found = _lines(content, options.get("errors", "strict"))
    if name == "pairs":
        return [(line.split("\t")[0], line.partition("\t")[2]) for _, line in found]
    if name == "jsonlines":
        return [(position, json.loads(line)) for position, line in found]
    if name == "tsv":
        return [(position, line.split("\t")) for position, line in found]
    if name == "csv":
        (_, head), *rows = [(position, next(csv.reader([line]))) for position, line in found]
        return [(position, dict(zip(head, row))) for position, row in rows]
    assert name == "text"
    return found


def _parsed(of_format: str) -> tuple[str, dict[str, str]]:
    name, *options = of_format.split(":")
    return name, dict(option.split("=") for option in options)


def _lines(content: bytes, errors: str) -> list[Pair]:
    """A text, line by line, each with its position in bytes."""
    found = []
    position = 0
    while position < len(content):
        end = content.find(b"\n", position)
        stop = len(content) if end < 0 else end
        line = content[position:stop]
        if end >= 0 and line.endswith(b"\r"):
            line = line[:-1]
        found.append((position, line.decode("utf-8", errors)))
        position = stop + 1
    return found


def written_file(output_format: str, pairs: Sequence[Pair]) -> bytes:
    """A file of an output format; compressed ones without the compression."""
    name, options = _parsed(output_format)
    if name == "raw":
        return b"".join(value for _, value in pairs)
    if name == "csv":
        file = io.StringIO()
        rows = csv.writer(file, lineterminator="\n")
        if "header" in options:
            rows.writerow(options["header"].split(","))
        rows.writerows([key, *value] for key, value in pairs)
        return file.getvalue().encode()
    if name == "jsonlines":
        return b"".join(
            json.dumps(pair, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
            for pair in pairs
        )
    assert name in ("text", "tsv")
    return b"".join(_text_line(key, value) for key, value in pairs)


def _text_line(key: Any, value: Any) -> bytes:
    """Where the key is bytes, both are as they are."""
    if not isinstance(key, bytes):
        return f"{key}\t{value}\n".encode()
    fields = [key] if value is None else [key, value]
    as_bytes = [one if isinstance(one, bytes) else str(one).encode() for one in fields]
    return b"\t".join(as_bytes) + b"\n"


@contextlib.contextmanager
def _importable(modules: Sequence[str | Path]) -> Iterator[None]:
    """Let the job's modules be imported, and forget them afterwards."""
    paths = [str(p if p.suffix == ".zip" else p.parent) for p in map(Path, modules)]
    before = set(sys.modules)
    sys.path[:0] = paths
    try:
        yield
    finally:
        del sys.path[: len(paths)]
        for name in {Path(module).stem for module in modules} - before:
            sys.modules.pop(name, None)
