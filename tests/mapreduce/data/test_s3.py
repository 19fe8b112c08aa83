"""What only object stores have: buckets, folders that are but parts of names, marks of folders."""

import pytest

from dynamo.store import MemoryStore
from mapreduce.data import inputs
from mapreduce.data.inputs import InputSpec
from mapreduce.data.outputs import open_output
from mapreduce.errors import InputMissing, JobError, OutputExists
from tests.mapreduce import s3


def found(path: str) -> list[str]:
    splits = inputs.plan("local", [InputSpec(path)], MemoryStore(), split_bytes=1 << 20)
    return [part.path for split in splits for part in split.slices]


def put(url: str, content: bytes = b"line\n") -> str:
    s3.client().pipe_file(url, content)
    return url


def test_a_folder_is_not_one_whose_name_goes_on() -> None:
    folder = s3.new_folder()
    put(f"{folder}/log-old/a.txt")
    mine = [put(f"{folder}/log/{name}.txt") for name in ("a", "b/c", "b/d")]
    assert found(f"{folder}/log") == found(f"{folder}/log/") == mine
    assert found(f"{folder}/l*/b/*") == mine[1:]
    with pytest.raises(InputMissing, match="no input"):
        found(f"{folder}/lo")


def test_the_mark_of_an_empty_folder_is_no_input_and_no_output() -> None:
    folder = s3.new_folder()
    put(f"{folder}/log/", b"")
    put(f"{folder}/out/", b"")
    assert found(f"{folder}/log") == []
    mine = put(f"{folder}/log/a.txt")
    assert found(f"{folder}/log") == found(f"{folder}/log/*") == [mine]
    open_output("local", f"{folder}/out", MemoryStore()).check_absent()


def test_an_output_that_another_process_has_made_is_seen() -> None:
    output = open_output("local", f"{(folder := s3.new_folder())}/out", MemoryStore())
    output.check_absent()
    put(f"{folder}/out-old/part-00000")
    output.check_absent()
    put(f"{folder}/out/part-00000")
    with pytest.raises(OutputExists):
        output.check_absent()
    with pytest.raises(OutputExists):
        open_output("local", f"{folder}/out/part-00000", MemoryStore()).check_absent()


def test_a_bucket_that_is_missing_is_told_and_not_made() -> None:
    folder = s3.new_folder()
    missing = folder.replace("://", "://missing-")
    with pytest.raises(InputMissing, match="no input"):
        found(missing)
    with pytest.raises(JobError, match=r"can't be written to: .*bucket does not exist"):
        open_output("local", f"{missing}/out", MemoryStore()).check_absent()
    assert not s3.client().exists(missing.rpartition("/")[0])


def test_an_output_with_a_wildcard_is_refused() -> None:
    with pytest.raises(JobError, match="has a wildcard"):
        open_output("local", f"{s3.new_folder()}/run[1]", MemoryStore()).check_absent()
