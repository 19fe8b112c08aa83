"""Inputs are checked, cut where it is allowed, and grouped by the nodes that hold them."""

import gzip
import io
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from dynamo import files
from dynamo.store import MemoryStore
from mapreduce.data import inputs
from mapreduce.data.inputs import Files, InputSpec, Slice, Split
from mapreduce.errors import InputMissing, JobError


class SpreadStore(MemoryStore):
    """A memory store that says its keys are on three nodes."""

    def locate(self, key: str, *, n: int | None = None) -> tuple[str, ...]:
        first = sum(key.encode()) % 3
        return tuple(f"n{(first + step) % 3}" for step in range(2))


def put(store: MemoryStore, path: str, content: bytes) -> None:
    files.write(store, path, io.BytesIO(content))


def plan(
    kind: Files,
    paths: Sequence[str],
    store: MemoryStore,
    *,
    split_bytes: int,
    least_split_bytes: int = 0,
    format: str = "text",
) -> list[Split]:
    named = [InputSpec(path, format) for path in paths]
    return inputs.plan(
        kind, named, store, split_bytes=split_bytes, least_split_bytes=least_split_bytes
    )


def covered(splits: list[Split], path: str) -> list[tuple[int, int]]:
    return sorted((p.start, p.stop) for s in splits for p in s.slices if p.path == path)


def test_a_local_file_is_cut_at_split_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"x" * 25)
    splits = plan("local", [str(path)], MemoryStore(), split_bytes=10)
    assert covered(splits, str(path)) == [(0, 10), (10, 20), (20, 25)]
    assert [split.slices[0].starts_record for split in splits] == [True, False, False]


def test_small_files_are_read_together(tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / f"{number}.txt").write_bytes(b"x" * 3)
    splits = plan("local", [str(tmp_path)], MemoryStore(), split_bytes=10)
    assert [len(split.slices) for split in splits] == [3, 3, 3, 1]


def test_folders_and_globs_name_each_file_once_without_the_marks_of_jobs(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for name in ("a.txt", "deep/b.txt", "_SUCCESS", "__init__.py"):
        (tmp_path / name).write_text(name)
    named = [str(tmp_path), str(tmp_path / "*.txt"), str(tmp_path / "**/*.txt")]
    [split] = plan("local", named, MemoryStore(), split_bytes=1000)
    found = [os.path.relpath(part.path, tmp_path) for part in split.slices]
    assert found == ["__init__.py", "a.txt", "deep/b.txt"]


@pytest.mark.parametrize("missing", ["nothing", "no*.txt", "empty"])
def test_a_missing_local_input_is_an_error(tmp_path: Path, missing: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.txt").write_text("a")
    named = [str(tmp_path / "a.txt"), str(tmp_path / missing)]
    with pytest.raises(InputMissing, match="no input"):
        plan("local", named, MemoryStore(), split_bytes=10)


def test_empty_files_still_give_a_job_one_map(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    assert plan("local", [str(tmp_path)], MemoryStore(), split_bytes=9) == [Split(())]


def test_a_file_in_the_store_is_cut_at_its_extents_with_their_nodes() -> None:
    store = SpreadStore()
    line = b"y" * 99 + b"\n"
    put(store, "/big", line * 400_000)
    splits = plan("store", ["/big"], store, split_bytes=16 << 20)
    manifest = files.stat(store, "/big")
    assert covered(splits, "/big") == [
        (e.offset, e.offset + e.size_bytes) for e in manifest.extents
    ]
    for split in splits:
        [part] = split.slices
        extent = next(e for e in manifest.extents if e.offset == part.start)
        assert split.nodes == store.locate(extent.chunk_key(0))
        assert part.starts_record


def test_an_extent_without_a_newline_says_that_the_next_may_begin_inside_a_record() -> None:
    store = SpreadStore()
    put(store, "/long", b"z" * (33 << 20))
    splits = plan("store", ["/long"], store, split_bytes=16 << 20)
    starts = {part.start: part.starts_record for split in splits for part in split.slices}
    assert [starts[start] for start in sorted(starts)] == [True, False, False]


def test_small_files_of_one_node_are_read_together() -> None:
    store = SpreadStore()
    for number in range(30):
        put(store, f"/books/{number:02d}", b"x\n" * 50)
    splits = plan("store", ["/books"], store, split_bytes=500)
    assert sum(len(split.slices) for split in splits) == 30
    assert all(split.nodes and split.size_bytes <= 500 for split in splits)


def test_a_missing_input_in_the_store_is_an_error() -> None:
    store = MemoryStore()
    put(store, "/books/a", b"a")
    with pytest.raises(InputMissing, match="no input '/book'"):
        plan("store", ["/books", "/book"], store, split_bytes=10)


def test_wrong_calls_are_refused() -> None:
    with pytest.raises(JobError, match="at least 1"):
        plan("store", ["/a"], MemoryStore(), split_bytes=0)
    with pytest.raises(JobError, match="needs an input"):
        plan("store", [], MemoryStore(), split_bytes=1)


def test_ranges_are_read_from_the_store_and_from_files(tmp_path: Path) -> None:
    content = bytes(range(256)) * 9000
    store = MemoryStore()
    put(store, "/f", content)
    path = tmp_path / "f"
    path.write_bytes(content)
    for kind, name in (("store", "/f"), ("local", str(path))):
        part = Slice(name, 100, 200, source=kind)  # type: ignore[arg-type]
        reader = inputs.open_reader(store)
        reader.prepare([part])
        for start, stop in ((0, 10), (100, 2_000_000), (2_303_999, 9_999_999), (9_999_999, 10**8)):
            assert b"".join(reader.read(part, start, stop)) == content[start:stop]


def test_a_file_that_changes_between_plan_and_read_is_noticed(tmp_path: Path) -> None:
    store = MemoryStore()
    put(store, "/f", b"one\n")
    path = tmp_path / "f"
    path.write_bytes(b"one\n")
    store_split, local_split = (
        plan("store", ["/f"], store, split_bytes=10)[0],
        plan("local", [str(path)], store, split_bytes=10)[0],
    )
    put(store, "/f", b"two\n")
    path.write_bytes(b"three\n")
    with pytest.raises(JobError, match="'/f' was changed"):
        inputs.open_reader(store).prepare(store_split.slices)
    with pytest.raises(JobError, match="was changed"):
        inputs.open_reader(store).prepare(local_split.slices)


def test_splits_too_small_to_be_meant_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"x" * 100_002)
    with pytest.raises(JobError, match=r"100,002 map tasks.*larger split_bytes"):
        plan("local", [str(path)], MemoryStore(), split_bytes=1)


@pytest.mark.parametrize("kind", ["store", "local"])
def test_a_compressed_file_is_one_slice_and_is_read_decompressed(
    tmp_path: Path, kind: Files
) -> None:
    content = os.urandom(3000)
    store, path = MemoryStore(), tmp_path / "a.gz"
    path.write_bytes(gzip.compress(content))
    put(store, "/a.gz", path.read_bytes())
    name = "/a.gz" if kind == "store" else str(path)
    [split] = plan(kind, [name], store, split_bytes=1000)
    [part] = split.slices
    reader = inputs.open_reader(store)
    reader.prepare([part])
    assert (part.start, part.stop) == (0, path.stat().st_size)
    assert b"".join(reader.read(part, 0, part.stop)) == content
    assert list(reader.read(part, part.stop, part.stop + 9)) == []
