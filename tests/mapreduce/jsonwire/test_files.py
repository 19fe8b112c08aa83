"""The master's work on files: `var` is made anew, input is listed, output copied."""

import os
from pathlib import Path

import pytest

from mapreduce.errors import JobError
from mapreduce.jsonwire import files
from mapreduce.jsonwire.actions import (
    CopyOutput,
    FilesDone,
    FilesFailed,
    Group,
    InputListed,
    ListInput,
)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def work_on(action: ListInput | Group | CopyOutput) -> list[object]:
    heard: list[object] = []
    files.work_on(action, heard.append)
    return heard


def write(path: str, text: str = "x\n") -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)


@pytest.mark.parametrize("before", ["nothing", "folder", "file", "link"])
def test_var_is_made_anew(before: str) -> None:
    if before == "folder":
        write("var/job-0/mapper-output/old")
    elif before == "file":
        write("var")
    elif before == "link":
        write("elsewhere/kept")
        Path("var").symlink_to("elsewhere")
    files.make_var()
    assert list(Path("var").iterdir()) == []
    assert not Path("var").is_symlink()
    assert before != "link" or Path("elsewhere/kept").exists()


def test_the_system_s_own_folder_is_never_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "VAR", Path("/var"))
    with pytest.raises(JobError, match="start it elsewhere"):
        files.make_var()


@pytest.mark.parametrize("folder", ["in", "in/", "./in"])
def test_the_input_is_the_files_that_the_shell_s_star_finds(folder: str) -> None:
    for path in ("in/b", "in/a", "in/.hidden", "in/folder/c"):
        write(path)
    Path("in/link").symlink_to("a")
    [listed] = work_on(ListInput(0, folder))
    assert isinstance(listed, InputListed)
    assert [Path(path) for path in listed.files] == [Path("in/a"), Path("in/b"), Path("in/link")]
    assert all(path.startswith(folder) for path in listed.files)


def test_an_empty_folder_has_no_files_and_a_missing_one_fails() -> None:
    Path("in").mkdir()
    assert work_on(ListInput(0, "in")) == [InputListed(0, [])]
    [failed] = work_on(ListInput(1, "nowhere"))
    assert isinstance(failed, FilesFailed)
    assert failed.job == 1
    assert failed.error == "nowhere: No such file or directory"


def test_executables_that_are_not_here_are_told() -> None:
    for path in ("in/a", "bin/map", "plain"):
        write(path)
    Path("bin/map").chmod(0o755)
    executables = ("bin/map", "./bin/map", "cat", "plain", "map", "in", "nowhere")
    lacking = ("plain", "map", "in", "nowhere")
    assert work_on(ListInput(0, "in", executables)) == [InputListed(0, ["in/a"], lacking)]


def test_a_name_that_json_can_t_say_fails() -> None:
    Path("in").mkdir()
    Path(os.fsdecode(b"in/\xff")).write_text("x")
    [failed] = work_on(ListInput(0, "in"))
    assert isinstance(failed, FilesFailed)
    assert "rename the file" in failed.error


def test_output_is_copied_into_a_folder_that_is_made_and_what_else_is_there_stays() -> None:
    write("red/input_0", "new")
    write("red/input_1", "")
    write("out/deep/input_0", "old")
    write("out/deep/other", "kept")
    assert work_on(CopyOutput(0, ["red/input_0", "red/input_1"], "out/deep")) == [FilesDone(0)]
    assert Path("red/input_0").read_text() == "new"
    there = {path.name: path.read_text() for path in Path("out/deep").iterdir()}
    assert there == {"input_0": "new", "input_1": "", "other": "kept"}


def test_what_an_earlier_job_with_more_reducers_has_left_beside_the_output_is_told() -> None:
    for path in ("red/input_0", "out/input_0", "out/input_1", "out/other"):
        write(path)
    copied = CopyOutput(0, ["red/input_0"], "out")
    assert work_on(copied) == [FilesDone(0, older=("input_1",))]


def test_a_file_that_no_worker_has_written_is_told_and_taken_as_empty() -> None:
    write("sorted_0", "a\t1\n")
    group = Group(0, ["sorted_0", "sorted_1"], ["input_0"], ".")
    assert work_on(group) == [FilesDone(0, missing=("sorted_1",))]
    assert Path("input_0").read_text() == "a\t1\n"


def test_output_that_can_t_be_copied_fails() -> None:
    write("red/input_0")
    write("out")
    [failed] = work_on(CopyOutput(0, ["red/input_0"], "out"))
    assert isinstance(failed, FilesFailed)
