"""Executables do what a shell's pipe does, say how they failed, and leave nothing behind."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mapreduce import Executable, Job, Mapper, Reducer
from mapreduce.engine.fields import FirstFields
from mapreduce.engine.piping import PIPE_BYTES
from mapreduce.errors import JobError, JobFailed, ProgramFailed
from tests.mapreduce.engine.bench import Bench, alive
from tests.mapreduce.engine.jobs import map_order
from tests.waiting import wait_until

WORDS = r"""awk '{for (i = 1; i <= NF; i++) print $i "\t1"}'"""
SUM = """awk -F'\\t' '$1 != k && NR > 1 {print k "\\t" n; n = 0} {k = $1; n += $2} """
SUM += """END {if (NR) print k "\\t" n}'"""
LIST = """awk -F'\\t' '$1 != k {if (NR > 1) print ""; printf "%s", $1; k = $1} """
LIST += """{printf " %s", $2} END {print ""}'"""
TEXT = b"to be or\n\nnot to be\nw\xc3\xa4l b\xe9te\nto  end" + b"\nsome more words to be" * 50


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.txt").write_bytes(TEXT)
    return tmp_path


def script(path: Path, text: str, mode: int = 0o755) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def run(mapper: str | Executable, reducer: str | Executable | None = None, **options: Any) -> bytes:
    """The output of a job over book.txt, all parts one behind the other."""
    made = [Executable(given) if isinstance(given, str) else given for given in (mapper, reducer)]
    inputs = options.pop("inputs", ["book.txt"])
    runner = options.pop("runner", "inline")
    job = Job("job", mapper=made[0], reducer=made[1], **options)
    job.run(*inputs, output="out", runner=runner, **({"processes": 1} if runner == "local" else {}))
    return b"".join(part.read_bytes() for part in sorted(Path("out").glob("part-*")))


def piped(mapper: str, reducer: str) -> bytes:
    """The same by a shell."""
    line = f"cat book.txt | {mapper} | LC_ALL=C sort -s -t '\t' -k1,1 | {reducer}"
    return subprocess.run(["bash", "-c", line], check=True, capture_output=True).stdout


# What they give ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mapper", "reducer"),
    [(WORDS, SUM), ("tr ' ' '\\n'", "uniq -c"), (WORDS.replace("\\t1", '\\t" NR "\\t'), LIST)],
    ids=["word count", "lines without a tab", "values in order"],
)
@pytest.mark.parametrize("options", [{}, {"split_bytes": 100}, {"memory_bytes": 1 << 20}], ids=str)
def test_a_job_gives_what_a_shell_gives(
    here: Path, mapper: str, reducer: str, options: dict[str, int]
) -> None:
    if "split_bytes" in options and "NR" in mapper:
        mapper = mapper.replace("NR", "NF")  # a task knows of its own lines only
    assert run(mapper, reducer, **options) == piped(mapper, reducer)


def test_a_combiner_changes_the_counters_and_not_the_output(here: Path) -> None:
    combiner = Executable(SUM)
    job = Job("job", mapper=Executable(WORDS), reducer=combiner, combiner=combiner, reducers=3)
    job.run("book.txt", output="out", runner="inline")
    lines = b"".join(part.read_bytes() for part in sorted(Path("out").iterdir())[1:])
    assert sorted(lines.splitlines()) == piped(WORDS, SUM).splitlines()
    counters = job.run("book.txt", runner="inline").counters
    words = len(TEXT.split())
    assert counters["combine_input_records"] == counters["map_output_records"] == words
    assert counters["combine_output_records"] == counters["reduce_input_records"] < words / 10


@pytest.mark.parametrize("sign", ["", " | tac"], ids=["in order", "in any order"])
def test_lines_of_several_values_are_combined(here: Path, sign: str) -> None:
    Path("book.txt").write_text("".join(f"{n * 7 % 20}\t{n}\n" for n in range(300)))
    combiner = Executable(["bash", "-c", SUM + sign])
    job = Job("job", mapper=Executable("cat"), combiner=combiner, reducer=Executable(SUM))
    counters = job.run("book.txt", output="out", runner="inline").counters
    assert Path("out/part-00000").read_bytes() == piped("cat", SUM)
    assert counters["combine_input_records"] == counters["map_output_records"] == 300
    assert counters["combine_output_records"] == counters["reduce_input_records"] == 20


def test_lines_of_one_value_and_of_several_come_together(here: Path) -> None:
    Path("book.txt").write_text("a\t1\nb\t1\n")
    Path("other.txt").write_text("b\t2\na\t1\n")
    assert run("cat", "cat", inputs=["book.txt", "other.txt"]) == b"a\t1\na\t1\nb\t1\nb\t2\n"


@pytest.mark.parametrize("separator", [",", "\t"])
def test_each_key_is_in_one_part(here: Path, separator: str) -> None:
    Path("book.txt").write_text("".join(f"{n * 7 % 60},{n}\n" for n in range(300)))
    reducer = Executable("cat", input_separator=separator, output_separator=separator)
    job = Job(
        "job", mapper=Executable("cat", output_separator=","), reducer=reducer, reducers=4,
        split_bytes=500,
    )  # fmt: skip
    counters = job.run("book.txt", output="out", runner="inline").counters
    assert counters["reduce_input_groups"] == 60
    parts = [part.read_text().splitlines() for part in sorted(Path("out").glob("part-*"))]
    cut = [[line.split("\t")[0] for line in part] for part in parts]
    assert [keys for keys in cut if keys != sorted(keys)] == []
    assert sum(len(set(keys)) for keys in cut) == 60
    assert sum(map(len, cut)) == counters["reduce_output_records"] == 300


def test_fields_make_the_key_and_some_of_them_the_partition(here: Path) -> None:
    Path("book.txt").write_text("".join(f"{n % 9}.{n % 4}.{n}\n" for n in range(200)))
    made = Executable("cat", output_separator=".", key_fields=2)
    run(made, Executable("cat", input_separator="."), reducers=4, do_hash=FirstFields(1, "."))
    parts = [part.read_text().splitlines() for part in sorted(Path("out").glob("part-*"))]
    assert sum(map(len, parts)) == 200
    firsts = [{line.split(".")[0] for line in part} for part in parts]
    assert sum(map(len, firsts)) == 9  # none is in two
    for part in parts:
        keys = [line.rpartition(".")[0] for line in part]
        assert keys == sorted(keys)
        last: dict[str, int] = {}
        for key, number in zip(keys, (int(line.rpartition(".")[2]) for line in part)):
            assert last.get(key, -1) < number  # values in the order of the input
            last[key] = number


def test_each_file_has_a_run_of_its_own_with_its_name(here: Path) -> None:
    Path("in").mkdir()
    for name in "abc":
        Path("in", name).write_text(f"{name}1\n{name}2\n")
    command = r"""sh -c 'echo "$mapreduce_map_input_file $(tr "\n" ,)"'"""
    output = run(command, inputs=["in"], reducers=0, least_split_bytes=100).decode()
    assert [part.name for part in Path("out").glob("part-*")] == ["part-00000"]  # one task
    assert [line.rpartition("/")[2] for line in output.splitlines()] == [
        "a a1,a2,", "b b1,b2,", "c c1,c2,"
    ]  # fmt: skip


def test_whole_files_come_as_they_are(here: Path) -> None:
    Path("in").mkdir()
    for name, content in (("a", b"\x00\r\n\xff"), ("b", b"two\nlines\n")):
        Path("in", name).write_bytes(content)
    made = Executable("sh -c 'cat > got-$(basename $mapreduce_map_input_file); md5sum got-*'",
                      whole_files=True)  # fmt: skip
    output = run(made, inputs=["in"], reducers=0, least_split_bytes=100)
    sums = subprocess.run(["md5sum", "in/a", "in/b"], check=True, capture_output=True).stdout
    assert {line.split()[0] for line in output.splitlines()} == {
        line.split()[0] for line in sums.splitlines()
    }


def test_an_empty_input_is_still_a_run(here: Path) -> None:
    Path("book.txt").write_bytes(b"")
    assert run("wc -l", "cat") == b"0\n"


def test_programs_and_classes_make_a_job_together(here: Path) -> None:
    class Lengths(Mapper):
        def map(self, key, value):
            for word in value.split():
                yield len(word), word

    class Sum(Reducer):
        def reduce(self, key, values):
            yield key.decode(), sum(map(int, values))

    Path("book.txt").write_text("to be or not to be")
    mixed = Job("job", mapper=Lengths, reducer=Executable("cat"))
    assert list(mixed.run("book.txt", runner="inline")) == [
        *((b"2", word) for word in (b"to", b"be", b"or", b"to", b"be")), (b"3", b"not")
    ]  # fmt: skip
    job = Job("job", mapper=Executable(WORDS), reducer=Sum)
    assert list(job.run("book.txt", runner="inline")) == [
        ("be", 2), ("not", 1), ("or", 1), ("to", 2)
    ]  # fmt: skip


# What they are told, and say ---------------------------------------------------------------------


def test_a_program_knows_its_job_and_task(here: Path) -> None:
    output = run("sh -c 'cat > /dev/null; env'", reducers=0, params={"stop.words": "a b"}).decode()
    told = dict(line.partition("=")[::2] for line in output.splitlines())
    assert told["mapreduce_job_name"] == "job"
    assert told["mapreduce_task_attempt_id"] == "map-00000.1"
    assert told["mapreduce_task_partition"] == "0"
    assert told["mapreduce_map_input_file"].endswith("book.txt")
    assert told["stop_words"] == "a b"
    assert told["PATH"] == os.environ["PATH"]


SAYS = """#!/bin/sh
cat > /dev/null
echo reporter:counter:Words,long,2 >&2
echo reporter:counter:Words,long,3 >&2
echo reporter:counter:no number >&2
echo reporter:status:half way >&2
printf 'a line of the log\\nand its end' >&2
"""


def test_reports_are_counted_and_the_rest_is_the_log(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    script(here / "says", SAYS)
    counters = Job("job", mapper=Executable("./says")).run("book.txt", runner="inline").counters
    assert counters["Words.long"] == 5
    log = capfd.readouterr().err
    assert log == "reporter:counter:no number\na line of the log\nand its end"


def test_files_that_a_command_names_are_in_its_folder(here: Path) -> None:
    script(here / "bin" / "map", "#!/bin/sh\ncat > /dev/null; cat lib/stop.txt extra; ls -1; pwd\n")
    script(here / "lib" / "stop.txt", "stop\n", 0o644)
    script(here / "extra", "more\n", 0o644)
    output = run("bin/map lib/stop.txt", reducers=0, files=["extra"], runner="local").decode()
    *lines, folder = output.splitlines()
    assert lines == ["stop", "more", "bin", "extra", "lib", "map", "stop.txt"]
    assert not Path(folder).exists()


# How they fail -----------------------------------------------------------------------------------

MUCH = f"{2 * PIPE_BYTES}"
FAILS = {
    "a status": ("sh -c 'cat > /dev/null; echo oh no >&2; exit 3'", "status 3; .*ends with\noh no"),
    "a signal": ("sh -c 'kill -SEGV $$'", r"signal 11 \(SIGSEGV\); it wrote nothing to stderr"),
    "no reading": ("true", "without reading all of its input, though with status 0"),
    "no reading, but a failure": ("false", "status 1"),
    "closing early": ("sh -c 'exec <&-; echo a'", "without reading all of its input"),
    "a part": ("head -c 10", "without reading all of its input"),
    "no such program": ("sh -c 'exec no-such-program'", "status 127; .*no-such-program"),
    "no interpreter": ("./odd", "'./odd' names an interpreter .* '#!/no/such/sh'"),
    "no program": ("./text", "is no program of this machine, and begins with no #! line"),
}


@pytest.mark.parametrize("size", [20, 200_000], ids=["little", "much"])
@pytest.mark.parametrize(("command", "message"), FAILS.values(), ids=FAILS)
def test_a_failure_says_how(here: Path, command: str, message: str, size: int) -> None:
    script(here / "odd", "#!/no/such/sh\n")
    script(here / "text", "just text\n")
    Path("book.txt").write_bytes(b"0123456789\n" * size)
    with pytest.raises(ProgramFailed, match=f"(?s)the mapper .*{message}"):
        run(command, reducers=0)
    assert not Path("out").exists()


@pytest.mark.parametrize("role", ["reducer", "combiner"])
def test_reducers_and_combiners_fail_as_mappers_do(here: Path, role: str) -> None:
    roles = {"mapper": "cat", "combiner": "cat", "reducer": "cat", role: "sh -c 'exit 7'"}
    job = Job("job", **{name: Executable(command) for name, command in roles.items()})
    with pytest.raises(ProgramFailed, match=rf"the {role} .* status 7") as raised:
        job.run("book.txt", runner="inline")
    assert raised.value.status == 7


def test_before_anything_is_sent_it_is_said_what_can_be_known(here: Path) -> None:
    script(here / "plain", "#!/bin/sh\n", 0o644)
    wrong: list[tuple[Callable[[], object], str]] = [
        (lambda: run("./plain"), r"'./plain' is not executable; `chmod \+x ./plain`"),
        (lambda: run("./nowhere"), "there is no program './nowhere'"),
        (lambda: run("nowhere -x"), "there is no program 'nowhere' on this machine"),
        (lambda: run("../x/cat a"), "there is no program '../x/cat'"),
        (lambda: run(f"cat ../{here.name}/plain"), "outside of this folder"),
        (lambda: Executable(""), "needs a command"),
        (lambda: Executable("cat 'a"), "can't be taken apart"),
        (lambda: Executable("cat", output_separator=""), "can't separate"),
        (lambda: Executable("cat", key_fields=0), "1 field or more"),
        (lambda: run("cat", output_format="csv"), "writes lines, which the format 'csv'"),
        (lambda: run(Executable("cat", whole_files=True), input_format="csv"), "is whole"),
    ]
    for act, message in wrong:
        with pytest.raises(JobError, match=message):
            act()
    assert sorted(path.name for path in here.iterdir()) == ["book.txt", "plain"]


def test_much_may_be_written_before_anything_is_read(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("book.txt").write_bytes(b"a line\n" * 300_000)
    much = f"yes {'y' * 1000} | head -c {MUCH}"
    command = f"sh -c '{much}; {much} >&2; cat > /dev/null; {much}'"
    output, lines = run(command, reducers=0), 4 * PIPE_BYTES // 1001
    assert lines - 1 <= output.count(b"y" * 1000 + b"\n") <= lines
    assert len(capfd.readouterr().err) == 2 * PIPE_BYTES


def test_what_was_started_ends_with_an_error_elsewhere(here: Path) -> None:
    pid = here / "pid"
    command = f"sh -c 'echo $$ > {pid}; trap \"\" TERM PIPE; seq 1000000000; sleep 600'"
    job = Job(
        "job",
        mapper=Executable(command),
        reducer=Executable("cat"),
        partitioner=lambda key, count: 7,
        memory_bytes=1 << 20,
    )
    with pytest.raises(JobError, match="gave 7 for the key"):
        job.run("book.txt", runner="inline")
    assert not alive(int(pid.read_text()))


# In processes ------------------------------------------------------------------------------------


def test_an_attempt_that_fails_is_tried_again_and_its_log_is_kept(here: Path) -> None:
    fails_once = "case $mapreduce_task_attempt_id in *.1) echo first >&2; exit 1;; esac; cat"
    assert run(Executable(("sh", "-c", fails_once)), "cat", runner="local") == b"".join(
        line + b"\n" for line in sorted(TEXT.split(b"\n"))
    )
    Path("out").rename("before")
    with pytest.raises(JobFailed, match=r"(?s)mapper .* status 1; its stderr ends with.first"):
        run(Executable(("sh", "-c", fails_once)), runner="local", reducers=0, max_attempts=1)


def test_bad_records_of_a_program_are_found_and_left_out(here: Path) -> None:
    Path("book.txt").write_text("".join(f"{n}\n" for n in range(30)))
    mapper = "awk '$1 == 17 || $1 == 23 {exit 1} {print}'"
    job = Job("job", mapper=Executable(mapper), skip_bad_records=2, max_attempts=2)
    result = job.run("book.txt", processes=1)
    assert [int(line) for line, _ in result] == [n for n in range(30) if n not in (17, 23)]
    assert result.counters["skipped_records"] == 2


def test_a_program_is_killed_with_its_attempt(bench: Bench) -> None:
    pid = bench.folder / "pid"
    text = f"trap '' TERM INT HUP PIPE; setsid sleep 600 & echo $! > {pid}; sleep 600"
    source = (
        "from mapreduce import Executable\n"
        f"MyMapper = Executable(('sh', '-c', {text!r}))\n"
        "class MyReducer: ...\n"
    )
    phase, order = map_order(bench.store, source)
    bench.executor.start(phase, order)
    sleeping = int(bench.told("pid"))
    bench.executor.kill(order.attempt)
    wait_until(lambda: not alive(sleeping), 2, "the end of what the program has started")
    wait_until(lambda: not bench.others(), 2, "the end of all others")
