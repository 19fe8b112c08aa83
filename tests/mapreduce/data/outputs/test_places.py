"""Places that can't be written to are told before a job starts."""

from pathlib import Path

import pytest

from dynamo.store import MemoryStore
from mapreduce.data.outputs import open_output
from mapreduce.errors import JobError, OutputExists
from tests.mapreduce.data.inputs.places import WithoutRanges, served


def check(path: str) -> None:
    open_output("local", path, MemoryStore()).check_absent()


def test_a_web_server_takes_no_output(tmp_path: Path) -> None:
    refused = pytest.raises(JobError, match=r"/out' can't be written to: NotImplementedError")
    with served(WithoutRanges, tmp_path) as address, refused:
        check(f"{address}/out")
    with pytest.raises(JobError, match="can't be looked up: Cannot connect"):
        check(f"{address}/out")


def test_a_folder_below_a_file_takes_no_output(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    for path in (f"{tmp_path}/file/out", f"file://{tmp_path}/file/out"):
        with pytest.raises(JobError, match="can't be written"):
            check(path)


def test_a_file_in_its_place_is_an_output_that_exists(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    for path in (f"{tmp_path}/file", f"file://{tmp_path}/file"):
        with pytest.raises(OutputExists):
            check(path)


def test_looking_leaves_nothing_behind(tmp_path: Path) -> None:
    check(f"{tmp_path}/a/out")
    assert list(tmp_path.iterdir()) == []
    check(f"file://{tmp_path}/out")
    assert list(tmp_path.iterdir()) == []
