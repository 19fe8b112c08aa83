"""What only URLs have: libraries, servers that don't answer, requests that cost time."""

import sys
import threading
from pathlib import Path

import pytest
from fsspec.registry import _registry

from dynamo.store import MemoryStore
from mapreduce.data import inputs
from mapreduce.data.inputs import InputSpec
from mapreduce.data.locations import is_url
from mapreduce.errors import InputMissing, JobError
from tests.mapreduce.data.inputs.places import WithoutRanges, WithRanges, served


def plan(url: str, split_bytes: int = 1 << 20) -> list[inputs.Split]:
    return inputs.plan("local", [InputSpec(url)], MemoryStore(), split_bytes=split_bytes)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("gs://bucket/key", "install gcsfs .*; use pip"),
        ("nothing://a", "Protocol not known: nothing"),
        ("http://127.0.0.1:1/a.txt", "Cannot connect to host 127.0.0.1"),
    ],
)
def test_what_can_not_be_opened_says_why(url: str, message: str) -> None:
    with pytest.raises(JobError, match=message):
        plan(url)


def test_a_library_that_is_missing_is_told_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(_registry, "s3", raising=False)
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(JobError, match=r"Install s3fs.*pip install 'dynamo-mapreduce\[s3\]'"):
        plan("s3://bucket/key")


def test_a_server_that_refuses_is_told(tmp_path: Path) -> None:
    with served(WithoutRanges, tmp_path) as address, pytest.raises(InputMissing, match="404"):
        plan(f"{address}/a.txt")


def test_a_server_that_has_gone_is_not_taken_for_a_change(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"line\n")
    with served(WithRanges, tmp_path) as address:
        [split] = plan(f"{address}/a.txt")
    with pytest.raises(JobError, match="can't be read: Cannot connect"):
        inputs.open_reader(MemoryStore()).prepare(split.slices)


def test_a_file_that_ends_too_early_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"line\n" * 20)
    [split] = plan(f"file://{path}")
    reader = inputs.open_reader(MemoryStore())
    reader.prepare(split.slices)
    path.write_bytes(b"line\n")
    with pytest.raises(JobError, match="cut off: the last 95 bytes did not come"):
        list(reader.read(split.slices[0], 0, 100))


def test_a_slice_asks_for_its_own_bytes_only(tmp_path: Path) -> None:
    asked: list[str] = []
    lock = threading.Lock()

    class Noting(WithRanges):
        def do_GET(self) -> None:  # noqa: N802
            with lock:
                asked.append(self.headers.get("Range", "all"))
            super().do_GET()

    (tmp_path / "a.txt").write_bytes(b"line\n" * 200)
    with served(Noting, tmp_path) as address:
        splits = plan(f"{address}/a.txt", split_bytes=400)
        assert asked == ["bytes=1-1"]  # whether it has ranges
        asked.clear()
        reader = inputs.open_reader(MemoryStore())
        [part] = splits[1].slices
        reader.prepare([part])
        assert len(b"".join(reader.read(part, part.start, part.stop))) == 400
    assert asked == ["bytes=400-799"]


def test_a_query_does_not_hide_the_codec_nor_is_it_a_glob(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(b"\x1f\x8b" + b"x" * 1000)
    with served(WithRanges, tmp_path) as address:
        splits = plan(f"{address}/a.gz?version=2", split_bytes=10)
    assert [part.stop for split in splits for part in split.slices] == [1002]


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("s3://a/b", True),
        ("simplecache::s3://a/b", True),
        ("zip://a::b.zip", True),
        ("/a://b", False),
        ("a:b", False),
        ("keys:a", False),
        ("books/a.txt", False),
    ],
)
def test_urls_are_told_from_paths(path: str, url: bool) -> None:
    assert is_url(path) is url
