"""Splits: which part of the input each map task reads.

An extent larger than `split_bytes` is cut, small neighbours are gathered into one split, in the
store those that live on the same node. A split belongs to one input, and splits come in the order
of the input.
"""

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
    slices = list(_slices(kind, inputs, places, sizes))
    splits = [split for near in _by_input(slices) for split in _gathered(near, sizes)]
    order = {part: index for index, part in enumerate(slices)}
    if len(splits) > SPLITS_LIMIT:
        raise _too_many(len(splits), sizes)
    return sorted(splits, key=lambda split: order[split.slices[0]]) or [Split(())]


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
            splittable = in_parts and found.in_ranges and not codec_of(file_name(found.path))
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


def _by_input(slices: Iterable[Slice]) -> Iterable[list[Slice]]:
    gathered: dict[int, list[Slice]] = {}
    for part in slices:
        gathered.setdefault(part.input, []).append(part)
    return gathered.values()


def _gathered(slices: Iterable[Slice], sizes: Sizes) -> list[Split]:
    """Splits of the slices of one input: of those on one node, and of what is too little there."""
    by_node: dict[str, list[Slice]] = {}
    for part in slices:
        by_node.setdefault(part.nodes[0] if part.nodes else "", []).append(part)
    splits = [split for near in by_node.values() for split in _grouped(near, sizes)]
    enough = [split for split in splits if split.size_bytes >= sizes.least_bytes]
    too_little = [split for split in splits if split.size_bytes < sizes.least_bytes]
    together = list(_grouped((part for split in too_little for part in split.slices), sizes))
    if enough and together and together[-1].size_bytes < sizes.least_bytes:
        enough[-1] = Split(enough[-1].slices + together.pop().slices)
    return enough + together


def _grouped(slices: Iterable[Slice], sizes: Sizes) -> Iterator[Split]:
    """Splits of neighbouring slices, none larger than `split_bytes` unless a slice is, or the last
    ones would be too little for a split."""
    groups: list[list[Slice]] = []
    size_bytes = 0
    for part in slices:
        if not groups or size_bytes + part.size_bytes > sizes.split_bytes:
            groups.append([])
            size_bytes = 0
        groups[-1].append(part)
        size_bytes += part.size_bytes
    if len(groups) > 1 and size_bytes < sizes.least_bytes:
        rest = groups.pop()
        groups[-1] += rest
    return (Split(tuple(group)) for group in groups)
