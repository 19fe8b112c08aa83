"""Inputs are checked, cut where it is allowed, and grouped by the nodes that hold them."""

import gzip
import io
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo import files
from dynamo.store import MemoryStore
from mapreduce.data import inputs
from mapreduce.data.inputs import Files, InputSpec, Split
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
    with pytest.raises(JobError, match="from 0 to split_bytes"):
        plan("store", ["/a"], MemoryStore(), split_bytes=5, least_split_bytes=6)
    with pytest.raises(JobError, match="needs an input"):
        plan("store", [], MemoryStore(), split_bytes=1)


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


def test_an_extent_larger_than_a_split_is_cut_and_stays_where_it_is() -> None:
    store = SpreadStore()
    put(store, "/big", b"y" * 99 + b"\n" + b"z" * 2400)
    splits = plan("store", ["/big"], store, split_bytes=1000)
    assert covered(splits, "/big") == [(0, 1000), (1000, 2000), (2000, 2500)]
    assert [split.slices[0].starts_record for split in splits] == [True, False, False]
    assert len({split.nodes for split in splits}) == 1


def test_a_rest_below_the_least_size_joins_what_is_before_it(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"x" * 2400)
    sizes = {"split_bytes": 1000, "least_split_bytes": 401}
    assert covered(plan("local", [str(path)], MemoryStore(), **sizes), str(path)) == [
        (0, 1000),
        (1000, 2400),
    ]
    for name in "bcdefgh":
        (tmp_path / name).write_bytes(b"x" * 400)
    splits = plan("local", [str(tmp_path / "[b-h]")], MemoryStore(), **sizes)
    assert [split.size_bytes for split in splits] == [800, 800, 1200]


class RoundStore(MemoryStore):
    """A memory store whose keys are on one node each, in turns."""

    def locate(self, key: str, *, n: int | None = None) -> tuple[str, ...]:
        self.turn = getattr(self, "turn", 0) + 1
        return (f"n{self.turn % 3}",)


@pytest.mark.parametrize(
    ("least_split_bytes", "sizes"),
    [(0, [100, 100, 100, 100]), (101, [200, 200]), (201, [400]), (999, [400])],
)
def test_what_is_too_little_on_its_node_is_gathered_from_several(
    least_split_bytes: int, sizes: list[int]
) -> None:
    store = RoundStore()
    for name in "abcd":
        put(store, f"/{name}", b"x\n" * 50)
    splits = plan("store", ["/"], store, split_bytes=1000, least_split_bytes=least_split_bytes)
    assert [split.size_bytes for split in splits] == sizes


def test_too_little_of_the_last_node_joins_what_is_enough() -> None:
    store = RoundStore()
    for name, count in (("a", 100), ("b", 100), ("c", 10)):
        put(store, f"/{name}", b"x\n" * count)
    splits = plan("store", ["/"], store, split_bytes=1000, least_split_bytes=100)
    assert [split.size_bytes for split in splits] == [200, 220]


def test_a_split_belongs_to_one_input_and_inputs_keep_their_order(tmp_path: Path) -> None:
    for name in ("users", "orders"):
        (tmp_path / name).write_bytes(b"x\n")
    named = [InputSpec(str(tmp_path / "users")), InputSpec(str(tmp_path / "orders"), mapper=1)]
    splits = inputs.plan("local", named, MemoryStore(), split_bytes=1000)
    assert [[part.input for part in split.slices] for split in splits] == [[0], [1]]


def test_two_mappers_each_read_the_file_that_both_inputs_name(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x\n")
    path = str(tmp_path / "a")
    named = [InputSpec(path), InputSpec(path, mapper=1), InputSpec(path), InputSpec(path, "pickle")]
    splits = inputs.plan("local", named, MemoryStore(), split_bytes=1000)
    assert [part.input for split in splits for part in split.slices] == [0, 1, 3]


@pytest.mark.parametrize("store_class", [SpreadStore, RoundStore])
@pytest.mark.parametrize("split_bytes", [100, 500, 5000])
def test_no_file_overtakes_another(split_bytes: int, store_class: type[MemoryStore]) -> None:
    store = store_class()
    for number in range(30):
        put(store, f"/books/{number:02d}", b"x\n" * 50)
    splits = plan("store", ["/books"], store, split_bytes=split_bytes)
    read = [part.path for split in splits for part in split.slices]
    assert read == sorted(files.under(store, "/books"))


def test_far_files_are_read_together_while_they_are_little() -> None:
    store = RoundStore()
    for number in range(30):
        put(store, f"/books/{number:02d}", b"x\n" * 50)
    splits = plan("store", ["/books"], store, split_bytes=8000)
    assert {split.size_bytes for split in splits} == {500}


@pytest.mark.parametrize(
    ("glob", "found"),
    [
        ("/logs/*.txt", ["/logs/a.txt"]),
        ("/logs/?.txt", ["/logs/a.txt"]),
        ("/logs/*/*.txt", ["/logs/may/b.txt"]),
        ("/logs/**/*.txt", ["/logs/a.txt", "/logs/may/b.txt"]),
        ("/logs/**", ["/logs/a.txt", "/logs/c[1].gz", "/logs/may/b.txt"]),
        ("/logs/[a-b].txt", ["/logs/a.txt"]),
        ("/logs/c[1].gz", ["/logs/c[1].gz"]),
        ("/**/b.txt", ["/logs/may/b.txt"]),
    ],
)
def test_globs_over_the_store_are_those_of_the_file_system(
    tmp_path: Path, glob: str, found: list[str]
) -> None:
    store = MemoryStore()
    for name in ("/logs/a.txt", "/logs/may/b.txt", "/logs/c[1].gz", "/logs/_SUCCESS"):
        put(store, name, b"x\n")
        (tmp_path / name[1:]).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name[1:]).write_bytes(b"x\n")
    for kind, named, root in (("store", glob, ""), ("local", f"{tmp_path}{glob}", str(tmp_path))):
        splits = plan(kind, [named], store, split_bytes=1000)  # type: ignore[arg-type]
        names = {part.path.removeprefix(root) for split in splits for part in split.slices}
        assert sorted(names) == found


def test_inputs_are_checked_without_a_plan() -> None:
    store = MemoryStore()
    put(store, "/a", b"a")
    inputs.check("store", [InputSpec("/a")], store)
    with pytest.raises(InputMissing):
        inputs.check("store", [InputSpec("/a"), InputSpec("/b")], store)
    with pytest.raises(JobError, match="needs an input"):
        inputs.check("store", [], store)


def test_a_pipe_is_refused_and_not_taken_for_an_empty_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputMissing, match="give a file"):
        inputs.check("local", [InputSpec(str(tmp_path / "pipe"))], MemoryStore())


class SizedStore(MemoryStore):
    """A store whose keys are on a node that their last letter tells."""

    def locate(self, key: str, *, n: int | None = None) -> tuple[str, ...]:
        return (key[-1],)


@given(
    st.lists(st.tuples(st.integers(1, 120), st.sampled_from("abc")), min_size=1, max_size=12),
    st.integers(10, 60),
    st.integers(0, 10),
)
def test_splits_cover_every_byte_once_and_keep_to_their_sizes(
    sizes: list[tuple[int, str]], split_bytes: int, least_split_bytes: int
) -> None:
    store = SizedStore()
    for number, (size_bytes, node) in enumerate(sizes):
        store.put(f"k{number:02d}{node}", b"x" * size_bytes)
    splits = plan(
        "store", ["keys:k"], store, split_bytes=split_bytes, least_split_bytes=least_split_bytes
    )
    for number, (size_bytes, node) in enumerate(sizes):
        borders = covered(splits, f"k{number:02d}{node}")
        assert [start for start, _ in borders] == [0, *(stop for _, stop in borders[:-1])]
        assert borders[-1][1] == size_bytes
    # A rest may join a slice, the last ones of a node a split, and those of the last node one more.
    assert max(split.size_bytes for split in splits) <= split_bytes + 3 * least_split_bytes
    assert len(splits) == 1 or min(split.size_bytes for split in splits) >= least_split_bytes


@pytest.mark.parametrize("kind", ["local", "store"])
def test_a_range_is_cut_as_it_says_whatever_the_sizes_and_the_format(kind: Files) -> None:
    for format in ("text", "whole"):
        splits = plan(kind, ["range:10:each=4"], MemoryStore(), split_bytes=1000, format=format)
        assert covered(splits, "range:10:each=4") == [(0, 4), (4, 8), (8, 10)]
        assert [(len(split.slices), split.size_bytes) for split in splits] == [(1, 0)] * 3
    assert len(plan(kind, ["range:7"], MemoryStore(), split_bytes=1000)) == 7


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("range:ten", "is no range of numbers"),
        ("range:10:each=0", "is no range of numbers"),
        ("range:1000000", "range:1000000:each=1000"),
    ],
)
def test_a_wrong_range_is_told_with_a_right_one(path: str, said: str) -> None:
    with pytest.raises(JobError, match=said):
        inputs.check("store", [InputSpec(path)], MemoryStore())
