"""Input from plain keys of the store: each is a small file, named by its key."""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from dynamo.store import Reading, Store
from mapreduce.data.inputs.sources import Extent, Found, changed, check_version
from mapreduce.data.locations import KEYS
from mapreduce.data.slices import Slice
from mapreduce.errors import InputMissing, JobError

INTERNAL = ("/", "file:{", "job:", "piece:{")
"""What begins the keys of files, of their chunks, of jobs and of their intermediate data: see
`dynamo.files` and `mapreduce.engine.paths`. They are no input."""

WINDOW_BYTES = 8 << 20
WINDOW_KEYS = 1000
"""About what is read in one call, and at most so many keys."""


class KeySource:
    """Plain keys of the store. An input is all keys that begin with a prefix."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._windows: dict[str, list[Slice]] = {}
        """Key -> the slices that are read in one call with it."""
        self._values: dict[str, bytes] = {}
        """Those of the window that was read last."""

    def find(self, path: str, split_bytes: int) -> Iterable[Found]:
        prefix = path.removeprefix(KEYS)
        if prefix.startswith(INTERNAL):
            raise JobError(
                f"{path!r} names keys in which the system keeps its files and jobs; for files give "
                "their path alone"
            )
        keys = (key for key in self._store.list(prefix) if not key.startswith(INTERNAL))
        first = next(keys, None)
        if first is None:
            raise InputMissing(path, f"`dynamo ls {prefix}` lists keys that begin so")
        return self._found([first], keys)

    def prepare(self, slices: Sequence[Slice]) -> None:
        self._values = {}
        self._windows = {part.path: window for window in _windows(slices) for part in window}

    def read(self, part: Slice, start: int, stop: int) -> Iterator[bytes]:
        if part.path not in self._values:
            self._values = dict(self._fetched(self._windows[part.path]))
        block = self._values[part.path][start:stop]
        return iter([block] if block else [])

    def _found(self, first: Sequence[str], rest: Iterator[str]) -> Iterator[Found]:
        """Each key with its size, for which its value is read."""
        window = list(first)
        while window:
            largest = 1
            for key, reading in self._store.multi_get(window).items():
                value = _only_value(key, reading)
                if value is not None:  # else it has been deleted since it was listed
                    largest = max(largest, len(value))
                    yield self._as_file(key, value)
            window = list(islice(rest, max(1, min(WINDOW_KEYS, WINDOW_BYTES // largest))))

    def _as_file(self, key: str, value: bytes) -> Found:
        extent = Extent(0, len(value), True, self._store.locate(key))
        return Found(key, _version(value), (extent,) if value else ())

    def _fetched(self, window: Sequence[Slice]) -> Iterator[tuple[str, bytes]]:
        readings = self._store.multi_get(part.path for part in window)
        for part in window:
            value = _only_value(part.path, readings[part.path])
            if value is None:
                raise changed(part)
            check_version(part, _version(value))
            yield part.path, value


def _windows(slices: Sequence[Slice]) -> Iterator[list[Slice]]:
    """Neighbours of about `WINDOW_BYTES` together."""
    window: list[Slice] = []
    size_bytes = 0
    for part in slices:
        if window and (size_bytes + part.size_bytes > WINDOW_BYTES or len(window) == WINDOW_KEYS):
            yield window
            window, size_bytes = [], 0
        window.append(part)
        size_bytes += part.size_bytes
    if window:
        yield window


def _only_value(key: str, reading: Reading) -> bytes | None:
    """The value of a key; of several nobody but the user can say which one is meant."""
    if len(reading.values) > 1:
        raise JobError(
            f"the key {key!r} has {len(reading.values)} values, written at the same time: "
            f"`dynamo get --all {key}` shows them; put the one that is meant, and run the job again"
        )
    return reading.value


def _version(value: bytes) -> str:
    return f"{len(value)}:{zlib.crc32(value):08x}"
