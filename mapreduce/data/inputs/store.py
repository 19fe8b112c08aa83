"""Input from files in the store: a split is an extent, and knows the nodes that hold it."""

from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase

from dynamo import files
from dynamo.errors import FileMissing
from dynamo.store import Store
from mapreduce.data.inputs.sources import Extent, Found, changed, check_version
from mapreduce.data.locations import folder_of_glob, is_data, is_glob
from mapreduce.data.slices import Slice
from mapreduce.errors import InputMissing


class StoreSource:
    """Files in the store. An input is a file, a folder with all below it, or a glob."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._manifests: dict[str, files.Manifest] = {}

    def find(self, path: str, split_bytes: int) -> Iterable[Found]:
        if path != "/":
            files.check_path(path.rstrip("/"))
        names = paths_of(self._store, path)
        if not names:
            raise InputMissing(path, "`dynamo ls /` lists what the store holds")
        manifests = files.stat_many(self._store, names)
        return (self._found(name, manifest) for name, manifest in manifests.items())

    def prepare(self, slices: Sequence[Slice]) -> None:
        try:
            self._manifests = files.stat_many(self._store, {part.path for part in slices})
        except FileMissing as error:
            gone = next(part for part in slices if part.path == error.path)
            raise changed(gone) from error
        for part in slices:
            check_version(part, _version(self._manifests[part.path]))

    def read(self, part: Slice, start: int, stop: int) -> Iterator[bytes]:
        return files.read_range(self._store, self._manifests[part.path], start, stop)

    def _found(self, path: str, manifest: files.Manifest) -> Found:
        return Found(path, _version(manifest), tuple(self._extents(manifest)))

    def _extents(self, manifest: files.Manifest) -> Iterator[Extent]:
        starts_record = True
        for extent in manifest.extents:
            nodes = self._store.locate(extent.chunk_key(0))
            stop = extent.offset + extent.size_bytes
            yield Extent(extent.offset, stop, starts_record, nodes)
            starts_record = extent.ends_record


def _version(manifest: files.Manifest) -> str:
    """A file that is replaced has an upload of its own, and with it new routes."""
    return manifest.extents[0].route if manifest.extents else ""


def paths_of(store: Store, path: str) -> list[str]:
    """The files in the store that an input names; none if it is missing.

    >>> import io
    >>> from dynamo.store import MemoryStore
    >>> store = MemoryStore()
    >>> for name in "/logs/may/1.txt", "/logs/may/2.gz", "/logs/june/1.txt":
    ...     _ = files.write(store, name, io.BytesIO(b"line\\n"))
    >>> paths_of(store, "/logs/*/1.txt")
    ['/logs/june/1.txt', '/logs/may/1.txt']
    """
    found = [name for name in files.under(store, path) if is_data(name, path)]
    if found or not is_glob(path):
        return found
    folder, pattern = folder_of_glob(path), path.split("/")
    return [
        name
        for name in store.list(folder)
        if is_data(name, folder) and _matches(name.split("/"), pattern)
    ]


def _matches(names: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether the parts of a path fit those of a glob; ** stands for any number of folders."""
    if not pattern:
        return not names
    if pattern[0] == "**":
        return any(_matches(names[skip:], pattern[1:]) for skip in range(len(names))) or (
            len(pattern) == 1 and bool(names)
        )
    return bool(names) and fnmatchcase(names[0], pattern[0]) and _matches(names[1:], pattern[1:])
