"""Files over a store: any bytes come back; readers see one file or the other, never a mixture."""

import io
import random
import tracemalloc
from collections.abc import Iterable, Mapping

import pytest

from dynamo import files
from dynamo.errors import CorruptData, FileMissing, RequestError, Unreachable
from dynamo.files import CHUNK_BYTES, EXTENT_BYTES, WINDOW_CHUNKS, WINDOWS, Manifest
from dynamo.store import MemoryStore, Reading, Written

PATH = "/books/emma.txt"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def stored(store: MemoryStore, data: bytes, path: str = PATH) -> Manifest:
    return files.write(store, path, io.BytesIO(data))


def contents(store: MemoryStore, path: str = PATH) -> bytes:
    return b"".join(files.read(store, path))


def chunk_keys(store: MemoryStore) -> list[str]:
    return list(store.list("file:"))


def lines(size_bytes: int, seed: int = 1) -> bytes:
    """Lines of 0 to 20,000 bytes, together of this size; the last may have no newline."""
    generator, parts, left = random.Random(seed), [], size_bytes
    while left > 0:
        line = generator.randbytes(generator.randrange(20_000)).replace(b"\n", b" ") + b"\n"
        parts.append(line[:left])
        left -= len(line)
    return b"".join(parts)


# Contents ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"one line\n",
        b"no newline",
        b"\n" * 10,
        bytes(CHUNK_BYTES),
        bytes(CHUNK_BYTES - 1) + b"\n",
        bytes(CHUNK_BYTES + 1),
        b"\n" + bytes(3 * CHUNK_BYTES),
        lines(EXTENT_BYTES + 5),
        lines(2 * EXTENT_BYTES + 12_345),
        bytes(EXTENT_BYTES) + b"tail",
    ],
    ids=lambda data: f"{len(data)} bytes",
)
def test_a_file_comes_back_as_it_was(store: MemoryStore, data: bytes) -> None:
    manifest = stored(store, data)
    assert contents(store) == data
    assert manifest.size_bytes == len(data)
    assert files.stat(store, PATH) == manifest
    assert sorted(manifest.chunk_keys) == chunk_keys(store)


def test_the_pieces_that_are_written_need_not_be_lines_or_chunks(store: MemoryStore) -> None:
    data = lines(3 * CHUNK_BYTES)
    with files.Writer(store) as writer:
        for start in range(0, len(data), 77_777):
            writer.write(data[start : start + 77_777])
    files.publish(store, PATH, writer.manifest)
    assert contents(store) == data
    assert writer.manifest.extents[0].chunks == stored(store, data).extents[0].chunks


def test_chunks_and_extents_are_cut_behind_newlines(store: MemoryStore) -> None:
    data = lines(2 * EXTENT_BYTES)
    manifest = stored(store, data)
    assert len(manifest.extents) == 3
    for extent in manifest.extents:
        assert extent.size_bytes == sum(chunk.size_bytes for chunk in extent.chunks)
        assert extent.size_bytes <= EXTENT_BYTES
        assert extent.ends_record
        assert extent.offset == 0 or data[extent.offset - 1 : extent.offset] == b"\n"
        assert all(chunk.size_bytes <= CHUNK_BYTES for chunk in extent.chunks)
    for key in manifest.chunk_keys[:-1]:
        value = store.get(key).value
        assert value is not None
        assert value.endswith(b"\n")
    offsets = [extent.offset for extent in manifest.extents]
    assert offsets == [0, manifest.extents[0].size_bytes, offsets[1] + offsets[2] - offsets[1]]


def test_an_extent_inside_a_long_record_says_so(store: MemoryStore) -> None:
    manifest = stored(store, bytes(EXTENT_BYTES + CHUNK_BYTES))
    assert [extent.ends_record for extent in manifest.extents] == [False, True]


def test_chunks_of_an_extent_share_their_routing_part_and_extents_do_not(
    store: MemoryStore,
) -> None:
    manifest = stored(store, lines(EXTENT_BYTES + CHUNK_BYTES))
    first, second = manifest.extents
    assert first.route != second.route
    assert first.chunk_key(0) == f"file:{{{first.route}}}:00000"
    assert all(f"{{{first.route}}}" in key for key in first.chunk_keys)


def test_any_range_can_be_read(store: MemoryStore) -> None:
    data = lines(EXTENT_BYTES + 3 * CHUNK_BYTES)
    manifest = stored(store, data)
    edge = manifest.extents[1].offset
    chunk = manifest.extents[0].chunks[0].size_bytes
    for start, stop in [
        (0, 1),
        (0, len(data)),
        (5, 5),
        (chunk - 1, chunk + 1),
        (chunk, 2 * chunk),
        (edge - 1, edge + 1),
        (edge, len(data) + 99),
        (len(data) - 1, len(data)),
        (len(data), len(data) + 1),
    ]:
        found = b"".join(files.read_range(store, manifest, start, stop))
        assert found == data[start:stop], (start, stop)


# Memory and progress -----------------------------------------------------------------------------


class ForgettingStore(MemoryStore):
    """Keeps no chunks; counts the most bytes that came in one call."""

    largest_call = 0

    def multi_put(self, items: Mapping[str, bytes], **options: object) -> dict[str, Written]:
        self.largest_call = max(self.largest_call, sum(map(len, items.values())))
        return {key: Written(("memory",)) for key in items}


class Zeros(io.RawIOBase):
    """A source of so many bytes, made as they are read."""

    def __init__(self, size_bytes: int) -> None:
        self.left = size_bytes

    def read(self, size: int = -1) -> bytes:
        taken = min(size, self.left)
        self.left -= taken
        return bytes(taken)


def test_a_file_is_stored_in_constant_memory() -> None:
    store = ForgettingStore()
    tracemalloc.start()
    try:
        manifest = files.write(store, PATH, Zeros(20 * WINDOW_CHUNKS * CHUNK_BYTES))  # type: ignore[arg-type]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert manifest.size_bytes == 20 * WINDOW_CHUNKS * CHUNK_BYTES
    assert store.largest_call <= WINDOW_CHUNKS * CHUNK_BYTES
    assert peak < (WINDOW_CHUNKS * (WINDOWS + 1) + 5) * CHUNK_BYTES


class CountingStore(MemoryStore):
    """Counts the most keys that were asked for in one call."""

    largest_call = 0

    def multi_get(self, keys: Iterable[str], **options: object) -> dict[str, Reading]:
        keys = list(keys)
        self.largest_call = max(self.largest_call, len(keys))
        return super().multi_get(keys)


def test_a_file_is_read_window_by_window() -> None:
    store = CountingStore()
    stored(store, lines(2 * EXTENT_BYTES))
    assert sum(map(len, files.read(store, PATH))) == 2 * EXTENT_BYTES
    assert store.largest_call == WINDOW_CHUNKS


def test_progress_tells_every_byte_once(store: MemoryStore) -> None:
    data = lines(2 * EXTENT_BYTES)
    up: list[int] = []
    down: list[int] = []
    files.write(store, PATH, io.BytesIO(data), progress=up.append)
    for _ in files.read(store, PATH, progress=down.append):
        pass
    assert sum(up) == sum(down) == len(data)
    assert len(up) > 2


# Replacing, removing, failing --------------------------------------------------------------------


def test_replacing_a_file_removes_the_chunks_of_the_old_one(store: MemoryStore) -> None:
    stored(store, lines(3 * CHUNK_BYTES, seed=1))
    manifest = stored(store, b"new")
    assert contents(store) == b"new"
    assert chunk_keys(store) == manifest.chunk_keys


def test_publishing_the_same_file_again_keeps_its_chunks(store: MemoryStore) -> None:
    manifest = stored(store, b"text")
    files.publish(store, PATH, manifest)
    assert contents(store) == b"text"


def test_many_files_are_published_at_once_each_in_place_of_the_one_before(
    store: MemoryStore,
) -> None:
    stored(store, b"old", "/b")
    writers = {path: files.Writer(store) for path in ("/a", "/b")}
    for path, writer in writers.items():
        writer.write(path.encode())
    manifests = {path: writer.close() for path, writer in writers.items()}
    for _ in range(2):  # the second time after a failure, say
        files.publish_many(store, manifests)
        assert [contents(store, path) for path in manifests] == [b"/a", b"/b"]
    assert len(chunk_keys(store)) == 2


def test_nothing_is_seen_before_the_manifest_is_published(store: MemoryStore) -> None:
    stored(store, b"old")
    with files.Writer(store) as writer:
        writer.write(lines(20 * CHUNK_BYTES))
        assert contents(store) == b"old"
    assert contents(store) == b"old"
    files.publish(store, PATH, writer.manifest)
    assert files.stat(store, PATH).size_bytes == 20 * CHUNK_BYTES


def test_a_reader_of_a_replaced_file_gets_an_error_not_a_mixture(store: MemoryStore) -> None:
    stored(store, lines(4 * EXTENT_BYTES, seed=1))
    blocks = files.read(store, PATH)
    next(blocks)
    stored(store, lines(4 * EXTENT_BYTES, seed=2))
    with pytest.raises(CorruptData, match=r"is missing on memory: .* read it again"):
        list(blocks)


def test_an_upload_that_fails_leaves_nothing(store: MemoryStore) -> None:
    stored(store, b"old")
    before = chunk_keys(store)
    with pytest.raises(ZeroDivisionError), files.Writer(store) as writer:
        writer.write(lines(20 * CHUNK_BYTES))
        raise ZeroDivisionError
    assert chunk_keys(store) == before
    assert contents(store) == b"old"


class FailingStore(MemoryStore):
    """Fails the call of `multi_put` with this number."""

    def __init__(self, failing_call: int) -> None:
        super().__init__()
        self.calls_left = failing_call

    def multi_put(self, items: Mapping[str, bytes], **options: object) -> dict[str, Written]:
        self.calls_left -= 1
        if self.calls_left == 0:
            raise Unreachable("no node answered")
        return super().multi_put(items)


@pytest.mark.parametrize("failing_call", [1, 2, 3])
def test_a_store_that_fails_during_an_upload_keeps_no_chunk_of_it(failing_call: int) -> None:
    store = FailingStore(failing_call)
    with pytest.raises(Unreachable):
        stored(store, lines(2 * WINDOW_CHUNKS * CHUNK_BYTES + 5))
    assert chunk_keys(store) == []
    assert list(store.list("/")) == []


class DeadStore(FailingStore):
    """Fails all calls that write after the first failure."""

    def multi_delete(self, keys: Iterable[str], **options: object) -> dict[str, Written]:
        raise Unreachable("still no node answered")


def test_the_error_that_is_shown_is_the_first(store: MemoryStore) -> None:
    with pytest.raises(Unreachable, match=r"^no node answered"):
        stored(DeadStore(1), b"text")


def test_removing_a_file_removes_its_chunks(store: MemoryStore) -> None:
    stored(store, lines(3 * CHUNK_BYTES))
    files.remove(store, PATH)
    assert list(store.list("")) == []
    with pytest.raises(FileMissing, match=r"no file '/books/emma.txt' in the store"):
        files.remove(store, PATH)


def test_of_two_files_published_at_once_the_newest_is_read_and_the_next_replaces_both(
    store: MemoryStore,
) -> None:
    stored(store, b"first")
    with files.Writer(store) as writer:
        writer.write(b"second")
    store.put(PATH, files.msgspec.msgpack.encode(writer.manifest), context={})
    assert len(store.get(PATH).values) == 2
    assert contents(store) == b"second"
    manifest = stored(store, b"third")
    assert contents(store) == b"third"
    assert chunk_keys(store) == manifest.chunk_keys


# Damage and bad input ----------------------------------------------------------------------------


def test_a_damaged_chunk_is_an_error_that_names_it(store: MemoryStore) -> None:
    manifest = stored(store, b"text\n")
    store.put(manifest.chunk_keys[0], b"tex!\n")
    with pytest.raises(CorruptData, match=r"chunk file:\{.*\}:00000 from memory fails"):
        contents(store)


def test_a_missing_chunk_is_an_error_that_names_it(store: MemoryStore) -> None:
    manifest = stored(store, b"text\n")
    store.delete(manifest.chunk_keys[0])
    with pytest.raises(CorruptData, match=r"chunk file:\{.*\}:00000 is missing on memory"):
        contents(store)


def test_a_plain_value_is_no_file_and_is_left_alone(store: MemoryStore) -> None:
    store.put(PATH, b"plain")
    for call in (
        lambda: contents(store),
        lambda: files.remove(store, PATH),
        lambda: files.publish(store, PATH, Manifest(0, 0.0, ())),
    ):
        with pytest.raises(CorruptData, match="holds a plain value, not a file"):
            call()
    assert store.get(PATH).value == b"plain"


@pytest.mark.parametrize("path", ["", "a", "/", "//a", "/a/", "/a//b", "/../a", "/a/.", "a/b"])
def test_what_can_t_name_a_file_is_refused_before_anything_is_stored(
    store: MemoryStore, path: str
) -> None:
    with pytest.raises(RequestError, match="can't name a file"):
        files.write(store, path, io.BytesIO(b"text"))
    assert list(store.list("")) == []


def test_a_file_that_is_not_there_is_one_clear_error(store: MemoryStore) -> None:
    for call in (
        lambda: contents(store),
        lambda: files.stat(store, PATH),
        lambda: files.stat_many(store, [PATH]),
    ):
        with pytest.raises(FileMissing) as missing:
            call()
        assert missing.value.path == PATH
        assert "`dynamo ls /`" in str(missing.value)


# Many files --------------------------------------------------------------------------------------


def test_files_below_a_folder_are_found_in_order(store: MemoryStore) -> None:
    for path in ("/books/b", "/books/a/2", "/books/a/1", "/bookshelf", "/x"):
        stored(store, b"", path)
    assert files.under(store, "/books") == ["/books/a/1", "/books/a/2", "/books/b"]
    assert files.under(store, "/books/") == files.under(store, "/books")
    assert files.under(store, "/bookshelf") == ["/bookshelf"]
    assert files.under(store, "/books/a/1") == ["/books/a/1"]
    assert len(files.under(store, "/")) == 5
    assert files.under(store, "/nothing") == []


def test_a_name_may_be_a_file_and_a_folder(store: MemoryStore) -> None:
    stored(store, b"", "/a")
    stored(store, b"", "/a/b")
    assert files.under(store, "/a") == ["/a", "/a/b"]


def test_many_manifests_are_read_at_once(store: MemoryStore) -> None:
    paths = [f"/{number}" for number in range(10)]
    for number, path in enumerate(paths):
        stored(store, bytes(number), path)
    found = files.stat_many(store, iter(paths))
    assert {path: manifest.size_bytes for path, manifest in found.items()} == {
        path: number for number, path in enumerate(paths)
    }
