"""Splits: which part of the input each map task reads, and how it is read.

Inputs are files: in the store, where a split is an extent and knows the nodes that hold it, or in
the local file system, where a large file is cut every `split_bytes`. Small files are gathered into
one split, in the store those that live on the same node.
"""

import glob
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from dynamo import files
from dynamo.store import Store
from mapreduce.errors import InputMissing, JobError

Files = Literal["store", "local"]
"""Where a job's inputs and outputs are: both kinds of path may begin with /."""

SUCCESS = "_SUCCESS"
TEMPORARY = "_temporary"
_NOT_DATA = (SUCCESS, TEMPORARY)
"""Names inside an output folder that are no input of the next job."""

BLOCK_BYTES = 1 << 20


class Slice(msgspec.Struct, frozen=True, array_like=True):
    """The bytes from `start` up to `stop` of one input file, on the store nodes in `nodes`.

    A record belongs to the slice in which it begins. `starts_record` is False where the slice may
    begin inside a record, which then belongs to the slice before. `version` tells the file that
    was planned from one that has taken its place since.
    """

    path: str
    start: int
    stop: int
    starts_record: bool = True
    nodes: tuple[str, ...] = ()
    version: str = ""


class Split(msgspec.Struct, frozen=True, array_like=True):
    """What one map task reads: a part of one large file, or several small files."""

    slices: tuple[Slice, ...]

    @property
    def size_bytes(self) -> int:
        return sum(part.stop - part.start for part in self.slices)

    @property
    def nodes(self) -> tuple[str, ...]:
        """The store nodes that hold all of the split, in the order of its first slice."""
        if not self.slices:
            return ()
        common = set(self.slices[0].nodes).intersection(*(part.nodes for part in self.slices[1:]))
        return tuple(node for node in self.slices[0].nodes if node in common)


class Reader(Protocol):
    """Reads ranges of input files."""

    def prepare(self, slices: Sequence[Slice]) -> None:
        """Look all the files up that are about to be read, at once."""

    def read(self, part: Slice, start: int, stop: int) -> Iterator[bytes]:
        """The bytes from `start` up to `stop`, or up to the file's end, in blocks of about 1 MiB.
        The range may begin before the slice and end behind it."""


# Planning ----------------------------------------------------------------------------------------


def plan(
    kind: Files,
    inputs: Sequence[str],
    store: Store,
    *,
    split_bytes: int,
    splittable: bool = True,
) -> list[Split]:
    """The splits of all `inputs`, at least one; raises `InputMissing` before anything is read.

    Each input is a file, a folder with all the files below it, or, in the local file system, a
    glob. `splittable` is False for formats that can only be read from a file's beginning.
    """
    if split_bytes < 1:
        raise JobError(f"split_bytes is at least 1, not {split_bytes}")
    if not inputs:
        raise JobError("a job needs an input: name a file or a folder")
    if kind == "store":
        return _plan_store(store, inputs, split_bytes, splittable)
    return _plan_local(inputs, split_bytes, splittable)


def _plan_store(
    store: Store, inputs: Sequence[str], split_bytes: int, splittable: bool
) -> list[Split]:
    manifests = files.stat_many(store, _store_paths(store, inputs))
    slices = [
        part
        for path, manifest in manifests.items()
        for part in _extent_slices(store, path, manifest, splittable)
    ]
    by_node: dict[str, list[Slice]] = {}
    for part in slices:
        by_node.setdefault(part.nodes[0] if part.nodes else "", []).append(part)
    return [s for near in by_node.values() for s in _grouped(near, split_bytes)] or [Split(())]


def _store_paths(store: Store, inputs: Sequence[str]) -> list[str]:
    paths: dict[str, None] = {}
    for name in inputs:
        found = [path for path in files.under(store, name) if _is_data(path, name)]
        if not found:
            raise InputMissing(name, "`dynamo ls /` lists what the store holds")
        paths.update(dict.fromkeys(found))
    return list(paths)


def _extent_slices(
    store: Store, path: str, manifest: files.Manifest, splittable: bool
) -> Iterator[Slice]:
    """One slice for each extent, or one for the whole file if it can't be split."""
    if not manifest.extents:
        return
    version = manifest.extents[0].route
    if not splittable:
        nodes = store.locate(manifest.extents[0].chunk_key(0))
        yield Slice(path, 0, manifest.size_bytes, True, nodes, version)
        return
    starts_record = True
    for extent in manifest.extents:
        nodes = store.locate(extent.chunk_key(0))
        stop = extent.offset + extent.size_bytes
        yield Slice(path, extent.offset, stop, starts_record, nodes, version)
        starts_record = extent.ends_record


def _plan_local(inputs: Sequence[str], split_bytes: int, splittable: bool) -> list[Split]:
    slices: list[Slice] = []
    for path in dict.fromkeys(path for name in inputs for path in _local_paths(name)):
        size_bytes, version = _local_version(path)
        step = split_bytes if splittable else max(size_bytes, 1)
        slices += (
            Slice(str(path), start, min(start + step, size_bytes), start == 0, (), version)
            for start in range(0, size_bytes, step)
        )
    return list(_grouped(slices, split_bytes)) or [Split(())]


def _local_paths(name: str) -> list[Path]:
    path = Path(name)
    if path.is_dir():
        found = [p for p in sorted(path.rglob("*")) if p.is_file() and _is_data(str(p), name)]
    elif path.exists():
        found = [path]
    else:
        matches = [Path(match) for match in sorted(glob.glob(name, recursive=True))]  # noqa: PTH207
        found = [match for match in matches if match.is_file()]
    if not found:
        raise InputMissing(name, "give a file, a folder that holds files, or a glob that matches")
    return found


def _is_data(path: str, given: str) -> bool:
    """False for a job's own marks, unless the user named one."""
    inside = path[len(given) :].split("/")
    return not any(name in _NOT_DATA for name in inside)


def _grouped(slices: Iterable[Slice], split_bytes: int) -> Iterator[Split]:
    """Splits of neighbouring slices, none larger than `split_bytes` unless a slice is."""
    group: list[Slice] = []
    size_bytes = 0
    for part in slices:
        part_bytes = part.stop - part.start
        if group and size_bytes + part_bytes > split_bytes:
            yield Split(tuple(group))
            group, size_bytes = [], 0
        group.append(part)
        size_bytes += part_bytes
    if group:
        yield Split(tuple(group))


# Reading -----------------------------------------------------------------------------------------


def open_reader(kind: Files, store: Store) -> Reader:
    """The reader for inputs in the store, or in the local file system."""
    return StoreReader(store) if kind == "store" else LocalReader()


class StoreReader:
    """Reads slices of files in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._manifests: dict[str, files.Manifest] = {}

    def prepare(self, slices: Sequence[Slice]) -> None:
        self._manifests = files.stat_many(self._store, {part.path for part in slices})
        for part in slices:
            extents = self._manifests[part.path].extents
            _check_version(part, extents[0].route if extents else "")

    def read(self, part: Slice, start: int, stop: int) -> Iterator[bytes]:
        return files.read_range(self._store, self._manifests[part.path], start, stop)


class LocalReader:
    """Reads slices of local files."""

    def prepare(self, slices: Sequence[Slice]) -> None:
        for part in slices:
            _check_version(part, _local_version(Path(part.path))[1])

    def read(self, part: Slice, start: int, stop: int) -> Iterator[bytes]:
        with Path(part.path).open("rb", buffering=0) as file:
            file.seek(start)
            while start < stop and (block := file.read(min(BLOCK_BYTES, stop - start))):
                start += len(block)
                yield block


def _local_version(path: Path) -> tuple[int, str]:
    """The size of a local file, and what changes when the file does."""
    status = path.stat()
    return status.st_size, f"{status.st_size}:{status.st_mtime_ns}"


def _check_version(part: Slice, version: str) -> None:
    if part.version and part.version != version:
        raise JobError(f"the input {part.path!r} was changed while the job ran; run it again")
