"""Jobs of programs on the command line: on a cluster and here, and what is said to mistakes."""

from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.describing_executables import is_source
from cli.mapreduce import main
from dynamo.errors import RequestError
from tests.cli.conftest import TEXT, Call, done, failed

SUM = """#!/usr/bin/awk -f
BEGIN { FS = "\\t" }
$1 != key && NR > 1 { print key "\\t" total; total = 0 }
{ key = $1; total += $2 }
END { if (NR > 0) print key "\\t" total }
"""
WORDS = """#!/bin/sh
# The first attempt at each task fails.
case $mapreduce_task_attempt_id in *.1) echo no luck >&2; exit 4;; esac
echo "reporter:counter:runs,of $mapreduce_job_name,1" >&2
tr -s ' ' '\\n' | grep -v -x -f stop/words.txt | sed 's/$/\\t1/'
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, text in (("bin/words", WORDS), ("sum.awk", SUM)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "stop").mkdir()
    (tmp_path / "stop/words.txt").write_text("not\n")
    (tmp_path / "book.txt").write_text("to be or\nnot to be\n")
    return tmp_path


PROGRAMS = ("--mapper", "bin/words stop/words.txt", "--reducer", "./sum.awk")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["run", *arguments, "-o", "out", "--runner", "inline"])


def test_programs_go_to_a_cluster_with_all_that_they_name(mapreduce: Call, here: Path) -> None:
    paths = ("--input", "/texts", "--output", "/out/programs", "--reducers", "2")
    done(mapreduce("new_job", "programs", *PROGRAMS, "--combiner", "./sum.awk", *paths))
    for file in ("bin/words", "sum.awk", "stop/words.txt"):
        Path(file).unlink()  # they have gone to the store
    summary = done(mapreduce("run_job", "programs", "--wait")).stdout
    assert "runs.of programs" in summary
    counts = Counter(word for word in TEXT.split() if word != "not")
    lines = done(mapreduce("output", "programs")).stdout.splitlines()
    assert sorted(lines) == sorted(f"{word}\t{count}" for word, count in counts.items())
    assert "no luck" in done(mapreduce("logs", "programs", "map-00000.1")).stdout
    again = mapreduce("replay", "programs", "map-00000")  # which is a first attempt
    failed(again, 2, "the mapper 'bin/words stop/words.txt' exited with status 4")


def test_a_program_that_fails_on_a_cluster_says_how(mapreduce: Call, here: Path) -> None:
    paths = ("--input", "/texts", "--output", "/out/failing", "--max-attempts", "1")
    done(mapreduce("new_job", "failing", *PROGRAMS, *paths))
    result = mapreduce("run_job", "failing", "--wait")
    failed(result, 1, "job failing failed")
    assert "the mapper 'bin/words stop/words.txt' exited with status 4" in result.stdout
    assert "no luck" in result.stdout


def test_only_a_mapper_only_a_reducer_or_tasks_that_sort(here: Path) -> None:
    for arguments, output in (
        (("--mapper", "tr a-z A-Z"), "TO BE OR\nNOT TO BE\n"),
        (("--reducer", "cat -n"), "     1\tnot to be\n     2\tto be or\n"),
        (("--mapper", "cat", "--reducers", "1"), "not to be\nto be or\n"),
        (("--mapper", "cat", "--reducer", "sum.awk"), "not to be\t0\nto be or\t0\n"),
    ):
        done(run(*arguments, "book.txt"))
        assert Path("out/part-00000").read_text() == output
        Path("out").rename(f"out-{len(list(Path().iterdir()))}")


def test_options_say_how_lines_are_made(here: Path) -> None:
    Path("book.txt").write_text("b.2.x\na.1.y\nb.1.z\na.2.v\n")
    fields = ("--field-separator", ".", "--key-fields", "2", "--partition-fields", "1")
    done(run("--mapper", "cat", "--reducer", "cat", "--reducers", "2", *fields, "book.txt"))
    parts = [part.read_text() for part in sorted(Path("out").glob("part-*"))]
    assert sorted("".join(parts).splitlines()) == ["a.1.y", "a.2.v", "b.1.z", "b.2.x"]
    assert sorted(parts) in (
        ["", "a.1.y\na.2.v\nb.1.z\nb.2.x\n"],
        ["a.1.y\na.2.v\n", "b.1.z\nb.2.x\n"],
    )
    Path("out").rename("before")
    done(run("--mapper", "cat", "--output-separator", ".", "book.txt"))
    assert Path("out/part-00000").read_text() == "b\t2.x\na\t1.y\nb\t1.z\na\t2.v\n"


def test_whole_files_are_an_input_format(here: Path) -> None:
    done(run("--mapper", "wc -l", "--input-format", "whole", "book.txt", "sum.awk"))
    counts = [int(part.read_text()) for part in sorted(Path("out").glob("part-*"))]
    assert counts == [2, len(SUM.splitlines())]


def test_what_comes_first_is_source_or_an_input() -> None:
    assert is_source("wc.py", {"mapper": None, "reducer": None})
    assert is_source("wc", {})
    assert is_source("wc.py", {"mapper": "Words", "combiner": "add"})
    assert not is_source("book.txt", {"mapper": "cat"})
    assert not is_source("book.txt", {"reducer": "./sum.awk"})
    with pytest.raises(RequestError, match=r"'wc.py' is Python source, .*'wc.\[p\]y'"):
        is_source("wc.py", {"mapper": "Words", "reducer": "./sum.awk"})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--mapper", "./nowhere", "book.txt"), "there is no program './nowhere'"),
        (("--mapper", "./book.txt", "book.txt"), "'./book.txt' is not executable; `chmod +x"),
        (("--mapper", "no-such-program", "book.txt"), "no program 'no-such-program'"),
        (("--mapper", "cat", "--combiner", "cat", "book.txt"), "a combiner without a reducer"),
        (("--mapper", "cat", "--sort-key", "f", "book.txt"), "--sort-key is for classes"),
        (("--mapper", "cat", "--output-format", "tsv", "book.txt"), "writes lines"),
        (("--mapper", "cat '", "book.txt"), "can't be taken apart"),
        (("wc.py", "--key-fields", "2", "book.txt"), "--key-fields is for programs"),
        (("--mapper", "cat"), "programs need an input"),
        ((), "give SOURCE"),
    ],
    ids=str,
)
def test_mistakes_are_told_before_anything_is_done(
    here: Path, arguments: tuple[str, ...], message: str
) -> None:
    Path("wc.py").write_text("class MyMapper: ...\nclass MyReducer: ...\n")
    failed(run(*arguments), 2, message)
    assert not Path("out").exists()


def test_new_job_takes_inputs_by_their_option(mapreduce: Call, here: Path) -> None:
    result = mapreduce("new_job", "wrong", "book.txt", "--mapper", "cat", "--output", "/out/wrong")
    failed(result, 2, "--input names what programs read")
