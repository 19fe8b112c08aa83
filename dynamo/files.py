"""Files of any size over any `Store`.

A file is a manifest under its path, and extents of 16 MiB, each of chunks of 1 MiB:

    /books/emma.txt                  the manifest: sizes, and where each extent's chunks are
    file:{4f2a9c…:00000}:00000       chunk 0 of extent 0 of the upload 4f2a9c…
    file:{4f2a9c…:00000}:00001       chunk 1, on the same nodes: they share the routing part

An upload for an owner is called OWNER/4f2a9c…, so that what it left unfinished can be found.

Chunks end behind a newline where they hold one, so that text can be read extent by extent without
cutting a line. Chunks are written once and never changed; a file is replaced by one put of its
manifest, so a reader sees the old file or the new one, never a mixture.
"""

import itertools
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, suppress
from functools import partial
from types import TracebackType
from typing import BinaryIO, TypeVar
from uuid import uuid4

import msgspec

from dynamo.errors import CorruptData, DynamoError, FileMissing, RequestError
from dynamo.store import Reading, Store

CHUNK_BYTES = 1 << 20
EXTENT_BYTES = 16 << 20
WINDOW_CHUNKS = 4
"""Chunks that go in one call, up and down."""
WINDOWS = 2
"""Calls under way at once: one is being carried out while the next one is gathered and sent. So a
transfer holds WINDOW_CHUNKS * (WINDOWS + 1) chunks in memory."""

Result = TypeVar("Result")
Progress = Callable[[int], None]
"""Called with the bytes just moved, for progress bars."""


class Chunk(msgspec.Struct, frozen=True, array_like=True):
    """One chunk's size and CRC-32."""

    size_bytes: int
    crc32: int


Window = list[tuple[str, int, Chunk]]
"""Key, offset in the file, and description of each chunk in one call."""


class Extent(msgspec.Struct, frozen=True, array_like=True):
    """A run of chunks that live on the same nodes."""

    route: str
    offset: int
    size_bytes: int
    ends_record: bool
    """True if the extent's last byte is a newline, or the file ends here."""
    chunks: tuple[Chunk, ...]

    def chunk_key(self, index: int) -> str:
        return f"file:{{{self.route}}}:{index:05d}"

    @property
    def chunk_keys(self) -> list[str]:
        return [self.chunk_key(index) for index in range(len(self.chunks))]


class Manifest(msgspec.Struct, frozen=True, array_like=True):
    """What is stored under a file's path."""

    size_bytes: int
    modified_at: float
    extents: tuple[Extent, ...]

    @property
    def chunk_keys(self) -> list[str]:
        return [key for extent in self.extents for key in extent.chunk_keys]


class Writer(AbstractContextManager["Writer"]):
    """Uploads chunks as bytes are written; nothing is visible until its manifest is published.

    >>> from dynamo.store import MemoryStore
    >>> store = MemoryStore()
    >>> with Writer(store) as writer:
    ...     writer.write(b"one line\\n")
    >>> publish(store, "/notes.txt", writer.manifest)
    >>> b"".join(read(store, "/notes.txt"))
    b'one line\\n'

    Leaving the block by an error deletes the chunks again.
    """

    manifest: Manifest
    """Set when the block has been left without an error."""

    def __init__(
        self,
        store: Store,
        *,
        durable: bool = True,
        progress: Progress | None = None,
        owner: str = "",
        name: str = "",
    ) -> None:
        """`chunks_of(store, owner)` finds the chunks of all files that are written for `owner`. Of
        one that has a `name` besides the chunks are known beforehand: several may write it, if they
        write the same, and none of them deletes it after an error."""
        self._store = store
        self._durable = durable
        self._progress = progress
        self._is_shared = bool(owner and name)
        self._upload = f"{owner}/{name or uuid4().hex}" if owner else uuid4().hex
        self._buffer = bytearray()
        self._window: dict[str, bytes] = {}
        self._under_way: deque[Future[int]] = deque()
        self._threads = ThreadPoolExecutor(WINDOWS, thread_name_prefix="upload")
        self._extents: list[Extent] = []
        self._open = self._next_extent()

    def write(self, data: bytes) -> None:
        """Add bytes; blocks while as many windows of chunks are being stored as may be."""
        self._buffer += data
        while len(self._buffer) >= CHUNK_BYTES:
            newline = self._buffer.rfind(b"\n", 0, CHUNK_BYTES)
            self._cut(newline + 1 if newline >= 0 else CHUNK_BYTES)

    def flush(self) -> None:
        """Begin to store all that was written so far; a chunk ends there."""
        if self._buffer:
            self._cut(len(self._buffer))
        self._send()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._clean_up()

    def close(self) -> Manifest:
        """Store what is left, and return the manifest for `publish`. If that fails, the chunks are
        deleted again."""
        try:
            self._complete()
        except BaseException:
            self._clean_up()
            raise
        self._threads.shutdown()
        return self.manifest

    def _complete(self) -> None:
        self.flush()
        while self._under_way:
            self._await_oldest()
        if self._open.chunks:
            self._extents.append(msgspec.structs.replace(self._open, ends_record=True))
        elif self._extents:
            self._extents[-1] = msgspec.structs.replace(self._extents[-1], ends_record=True)
        size = sum(extent.size_bytes for extent in self._extents)
        self.manifest = Manifest(size, time.time(), tuple(self._extents))

    def _clean_up(self) -> None:
        with suppress(DynamoError):  # it would hide the error that has brought us here
            self.abort()

    def abort(self) -> None:
        """Delete what has been uploaded so far; nothing can be written after it."""
        self._window.clear()
        wait(self._under_way)  # what is deleted must not be written afterwards
        self._under_way.clear()
        self._threads.shutdown()
        if self._is_shared:
            return
        extents = [*self._extents, self._open]
        self._store.multi_delete(key for extent in extents for key in extent.chunk_keys)

    def _cut(self, size_bytes: int) -> None:
        """Move the first `size_bytes` of the buffer into a chunk of the open extent."""
        data = bytes(memoryview(self._buffer)[:size_bytes])
        del self._buffer[:size_bytes]
        if self._open.chunks and self._open.size_bytes + size_bytes > EXTENT_BYTES:
            self._extents.append(self._open)
            self._open = self._next_extent()
        key = self._open.chunk_key(len(self._open.chunks))
        self._open = msgspec.structs.replace(
            self._open,
            size_bytes=self._open.size_bytes + size_bytes,
            ends_record=data.endswith(b"\n"),
            chunks=(*self._open.chunks, Chunk(size_bytes, zlib.crc32(data))),
        )
        self._window[key] = data
        if len(self._window) >= WINDOW_CHUNKS:
            self._send()

    def _send(self) -> None:
        if self._window:
            window, self._window = self._window, {}
            if len(self._under_way) == WINDOWS:
                self._await_oldest()
            self._under_way.append(self._threads.submit(self._store_window, window))

    def _store_window(self, window: dict[str, bytes]) -> int:
        self._store.multi_put(window, durable=self._durable)
        return sum(map(len, window.values()))

    def _await_oldest(self) -> None:
        stored_bytes = self._under_way.popleft().result()
        if self._progress:
            self._progress(stored_bytes)

    def _next_extent(self) -> Extent:
        offset = self._extents[-1].offset + self._extents[-1].size_bytes if self._extents else 0
        return Extent(f"{self._upload}:{len(self._extents):05d}", offset, 0, False, ())


def chunks_of(store: Store, owner: str) -> list[str]:
    """The keys of all chunks that were written for `owner`, whether a path names them or not."""
    return list(store.list(chunks_prefix(owner)))


def chunks_prefix(owner: str) -> str:
    """What the keys of these chunks begin with."""
    return f"file:{{{owner}/"


def check_path(path: str) -> None:
    """Raise if `path` can't name a file: it begins with / and has no empty or dotted part."""
    parts = path.split("/")
    if parts[0] or len(parts) < 2 or any(part in ("", ".", "..") for part in parts[1:]):
        raise RequestError(
            f"{path!r} can't name a file in the store: a path begins with / and has "
            "no empty part and no '.' or '..', as in /books/emma.txt"
        )


def write(
    store: Store, path: str, source: BinaryIO, *, progress: Progress | None = None
) -> Manifest:
    """Store all that `source` gives under `path`, in constant memory; replaces an older file."""
    check_path(path)
    with Writer(store, progress=progress) as writer:
        while block := source.read(CHUNK_BYTES):
            writer.write(block)
    publish(store, path, writer.manifest)
    return writer.manifest


def publish(store: Store, path: str, manifest: Manifest) -> None:
    """Make `manifest` the file at `path`; the chunks of the file it replaces are deleted."""
    check_path(path)
    before = store.get(path)
    replaced_files = _manifests(path, before)
    store.put(path, msgspec.msgpack.encode(manifest), context=before.context)
    for replaced in replaced_files:
        if replaced.extents != manifest.extents:
            discard(store, replaced)


def publish_many(store: Store, manifests: Mapping[str, Manifest]) -> None:
    """Make each manifest the file at its path, as `publish` does, in few round trips.

    Not all at once: others may see some of the files before the rest are there.
    """
    for path in manifests:
        check_path(path)
    before = store.multi_get(manifests)
    new = {path: manifest for path, manifest in manifests.items() if not before[path].values}
    store.multi_put({path: msgspec.msgpack.encode(manifest) for path, manifest in new.items()})
    for path in manifests.keys() - new.keys():
        publish(store, path, manifests[path])


def chained(manifests: Iterable[Manifest]) -> Manifest:
    """One file of several, one behind the other, of the same chunks: nothing is copied.

    Publish this one or those, not both: the chunks are deleted with the file that has them.
    """
    extents: list[Extent] = []
    size_bytes = 0
    for manifest in manifests:
        # A file's last extent says that a record ends there, because the file does.
        extents[-1:] = [msgspec.structs.replace(last, ends_record=False) for last in extents[-1:]]
        extents += (
            msgspec.structs.replace(extent, offset=size_bytes + extent.offset)
            for extent in manifest.extents
        )
        size_bytes += manifest.size_bytes
    extents[-1:] = [msgspec.structs.replace(last, ends_record=True) for last in extents[-1:]]
    return Manifest(size_bytes, time.time(), tuple(extents))


def discard(store: Store, manifest: Manifest) -> None:
    """Delete the chunks of a manifest that no path names."""
    store.multi_delete(manifest.chunk_keys)


def remove(store: Store, path: str) -> None:
    """Delete the file at `path` and its chunks."""
    before = store.get(path)
    if not before.values:
        raise FileMissing(path)
    manifests = _manifests(path, before)
    store.delete(path, context=before.context)
    for manifest in manifests:
        discard(store, manifest)


def stat(store: Store, path: str) -> Manifest:
    """The manifest of the file at `path`; of several written at once, the newest."""
    reading = store.get(path)
    if reading.value is None:
        raise FileMissing(path)
    return _manifests(path, reading)[0]


def stat_many(store: Store, paths: Iterable[str]) -> dict[str, Manifest]:
    """The manifests of many files in few round trips."""
    paths = list(paths)
    found: dict[str, Manifest] = {}
    for path, reading in store.multi_get(paths).items():
        if reading.value is None:
            raise FileMissing(path)
        found[path] = _manifests(path, reading)[0]
    return found


def under(store: Store, path: str) -> list[str]:
    """The paths of the file at `path`, or of all files in the folder `path`, in order.

    An empty list if there is neither.
    """
    folder = path.rstrip("/")
    exact = [folder] if folder and store.get(folder).values else []
    return exact + list(store.list(folder + "/"))


def read(store: Store, path: str, *, progress: Progress | None = None) -> Iterator[bytes]:
    """The contents of the file at `path`, chunk by chunk, in constant memory."""
    manifest = stat(store, path)
    for block in read_range(store, manifest, 0, manifest.size_bytes):
        if progress:
            progress(len(block))
        yield block


def read_range(store: Store, manifest: Manifest, start: int, stop: int) -> Iterator[bytes]:
    """The bytes from `start` up to `stop` of a file, in blocks of at most a chunk."""
    wanted = _chunks_between(manifest, start, stop)
    windows = iter(lambda: list(itertools.islice(wanted, WINDOW_CHUNKS)), [])
    for window, readings in _ahead(partial(_read_window, store, window) for window in windows):
        for key, offset, chunk in window:
            data = _checked(key, chunk, readings[key])
            yield data[max(start - offset, 0) : stop - offset]


def _ahead(calls: Iterable[Callable[[], Result]]) -> Iterator[Result]:
    """What `calls` return, in order, while the next ones are already under way in threads."""
    under_way: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(WINDOWS, thread_name_prefix="download") as threads:
        for call in calls:
            under_way.append(threads.submit(call))
            if len(under_way) == WINDOWS:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()


def _read_window(store: Store, window: Window) -> tuple[Window, dict[str, Reading]]:
    return window, _read_chunks(store, [key for key, _, _ in window])


def _read_chunks(store: Store, keys: list[str]) -> dict[str, Reading]:
    """Chunks never change, so any one replica will do; where it has none, a quorum is asked."""
    readings = store.multi_get(keys, r=1)
    if missing := [key for key, reading in readings.items() if not reading.values]:
        readings.update(store.multi_get(missing))
    return readings


def _chunks_between(manifest: Manifest, start: int, stop: int) -> Iterator[tuple[str, int, Chunk]]:
    """Key, offset in the file, and description of each chunk that overlaps the range."""
    for extent in manifest.extents:
        offset = extent.offset
        if offset >= stop or offset + extent.size_bytes <= start:
            continue
        for key, chunk in zip(extent.chunk_keys, extent.chunks):
            if offset < stop and offset + chunk.size_bytes > start:
                yield key, offset, chunk
            offset += chunk.size_bytes


def _checked(key: str, chunk: Chunk, reading: Reading) -> bytes:
    """The one value of a chunk, or the error that says why it can't be had."""
    data = reading.value
    if data is None:
        raise CorruptData(
            f"chunk {key} is missing on {', '.join(reading.nodes)}: the file was replaced or "
            "deleted while it was read, or its replicas are lost; read it again"
        )
    if zlib.crc32(data) != chunk.crc32:
        raise CorruptData(f"chunk {key} from {', '.join(reading.nodes)} fails its checksum")
    return data


def _manifests(path: str, reading: Reading) -> list[Manifest]:
    try:
        return [msgspec.msgpack.decode(value, type=Manifest) for value in reading.values]
    except msgspec.MsgspecError as error:
        raise CorruptData(
            f"{path!r} holds a plain value, not a file ({error}); read it with `dynamo get --raw`"
        ) from error
