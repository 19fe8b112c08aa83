"""Splits: which part of the input each map task reads.

An extent larger than `split_bytes` is cut, small neighbours are gathered into one split, in the
store those that a node holds together. A split belongs to one input. Splits come in the order of
the input, and so do the slices of all of them: it is the order in which reducers see values.
"""

import itertools
import operator
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from dynamo.store import Store
from mapreduce.data import formats
from mapreduce.data.codecs import codec_of
from mapreduce.data.inputs.opening import Sources
from mapreduce.data.inputs.sources import Extent, Found
from mapreduce.data.locations import Files, file_name, source_of
from mapreduce.data.slices import InputSpec, Slice, Source, Split
from mapreduce.errors import JobError

SPLITS_LIMIT = 100_000
"""A job with more map tasks would be busy with nothing but its tasks."""
FAR_PART = 16
"""One in as many of `split_bytes`: to read less than this from another node costs less than a task
of its own."""


class Sizes(NamedTuple):
    """How large splits are to be. What would be smaller than `least_bytes` joins a neighbour."""

    split_bytes: int
    least_bytes: int


def plan(
    kind: Files,
    inputs: Sequence[InputSpec],
    store: Store,
    *,
    split_bytes: int,
    least_split_bytes: int = 0,
) -> list[Split]:
    """The splits of all `inputs`, at least one; raises `InputMissing` before anything is read.

    `kind` says where plain paths are. A file that several inputs name in the same format for the
    same mapper is read once. A split has at most `split_bytes`, and what is left over that is less
    than `least_split_bytes`.
    """
    sizes = _checked(split_bytes, least_split_bytes)
    if not inputs:
        raise JobError("a job needs an input: name a file or a folder")
    places = Sources(store)
    slices = _slices(kind, inputs, places, sizes)
    by_input = itertools.groupby(slices, operator.attrgetter("input"))
    splits = [split for _, some in by_input for split in _splits(some, sizes)]
    if len(splits) > SPLITS_LIMIT:
        raise _too_many(len(splits), sizes)
    return splits or [Split(())]


def check(kind: Files, inputs: Sequence[InputSpec], store: Store) -> None:
    """Raise what `plan` would raise about inputs that are missing or named wrongly."""
    if not inputs:
        raise JobError("a job needs an input: name a file or a folder")
    places = Sources(store)
    for given in inputs:
        formats.reading(given.format)
        next(iter(places[source_of(kind, given.path)].find(given.path, 1)), None)


def _checked(split_bytes: int, least_split_bytes: int) -> Sizes:
    if split_bytes < 1:
        raise JobError(f"split_bytes is at least 1, not {split_bytes}")
    if not 0 <= least_split_bytes <= split_bytes:
        raise JobError(
            f"least_split_bytes is from 0 to split_bytes, {split_bytes:,}, not {least_split_bytes}"
        )
    return Sizes(split_bytes, least_split_bytes)


def _too_many(count: int, sizes: Sizes) -> JobError:
    return JobError(
        f"splits of {sizes.split_bytes:,} bytes would give this input {count:,} map tasks, and "
        f"{SPLITS_LIMIT:,} is the most; choose a larger split_bytes"
    )


# Cutting -----------------------------------------------------------------------------------------


def _slices(
    kind: Files,
    inputs: Sequence[InputSpec],
    places: Sources,
    sizes: Sizes,
) -> Iterator[Slice]:
    """The slices of every file that is named, each file once for a format and a mapper."""
    seen: set[tuple[str, Source, str, int]] = set()
    for index, given in enumerate(inputs):
        source = source_of(kind, given.path)
        in_parts = formats.reading(given.format).splittable
        for found in places[source].find(given.path, sizes.split_bytes):
            named = (found.path, source, given.format, given.mapper)
            if named in seen:
                continue
            seen.add(named)
            splittable = source == "range" or (
                in_parts and found.in_ranges and not codec_of(file_name(found.path))
            )
            for extent in _cut(found, sizes) if splittable else _whole(found):
                yield Slice(found.path, *extent, found.version, source, index, splittable)


def _whole(found: Found) -> Iterator[Extent]:
    """One extent, also of an empty file: it may be a record."""
    yield Extent(0, found.size_bytes, True, found.extents[0].nodes if found.extents else ())


def _cut(found: Found, sizes: Sizes) -> Iterator[Extent]:
    """The parts of a file that may be read apart from each other."""
    if found.size_bytes // sizes.split_bytes > SPLITS_LIMIT:
        raise _too_many(found.size_bytes // sizes.split_bytes, sizes)
    for extent in found.extents:
        starts_record = extent.starts_record
        for start, stop in _pieces(extent.start, extent.stop, sizes):
            yield Extent(start, stop, starts_record, extent.nodes)
            starts_record = False


def _pieces(start: int, stop: int, sizes: Sizes) -> Iterator[tuple[int, int]]:
    while stop - start > sizes.split_bytes:
        piece_stop = start + sizes.split_bytes
        if stop - piece_stop < sizes.least_bytes:
            break
        yield start, piece_stop
        start = piece_stop
    yield start, stop


# Gathering ---------------------------------------------------------------------------------------


def _splits(slices: Iterable[Slice], sizes: Sizes) -> Iterable[Split]:
    """The splits of one input; what the user has cut stays as it is."""
    slices = list(slices)
    if slices[0].source == "range":
        return [Split((part,)) for part in slices]
    return _gathered(slices, sizes)


def _gathered(slices: Iterable[Slice], sizes: Sizes) -> Iterator[Split]:
    """Splits of neighbouring slices of one input, in their order.

    None is larger than `split_bytes`, unless a slice is or would be too little by itself. What no
    node holds together is gathered only as far as it is little.
    """
    groups: list[list[Slice]] = []
    size_bytes = 0
    common: set[str] = set()
    for part in slices:
        fits = size_bytes + part.size_bytes <= sizes.split_bytes
        is_near = not part.nodes or not common.isdisjoint(part.nodes)
        is_little = size_bytes * FAR_PART < sizes.split_bytes
        if groups and (size_bytes < sizes.least_bytes or (fits and (is_near or is_little))):
            groups[-1].append(part)
            common.intersection_update(part.nodes)
            size_bytes += part.size_bytes
        else:
            groups.append([part])
            common = set(part.nodes)
            size_bytes = part.size_bytes
    if len(groups) > 1 and size_bytes < sizes.least_bytes:
        rest = groups.pop()
        groups[-1] += rest
    return (Split(tuple(group)) for group in groups)
