"""Inline and local runs give the bytes of a plain sequential evaluation; errors are the user's."""

import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from mapreduce import Job, Mapper, Reducer, Step
from mapreduce.api import Pair
from mapreduce.data import formats
from mapreduce.data.portable_hash import partition_of, sorted_keys
from mapreduce.engine.events import JobState
from mapreduce.engine.status import JobStatus
from mapreduce.errors import InputMissing, JobError, JobFailed, OutputExists
from mapreduce.job import Runner


class Words(Mapper):
    def map(self, key: Any, value: Any) -> Any:
        for word in value.split():
            yield word, 1
        self.context.count("lines")


class Sum(Reducer):
    def reduce(self, key: Any, values: Any) -> Any:
        yield key, sum(values)


class Positions(Mapper):
    """Values whose order matters."""

    def map(self, key: Any, value: Any) -> Any:
        return [(word, (key, value)) for word in value.split()]


class Listed(Reducer):
    def reduce(self, key: Any, values: Any) -> Any:
        yield key, list(values)


class Upper(Mapper):
    def map(self, key: Any, value: Any) -> Any:
        if value:
            return [(key, value.upper())]
        return None


TEXTS = {
    "words": "to be or not to be\nthat is the question\n" * 40,
    "no newline at its end": "a b\nb c",
    "empty": "",
    "empty lines": "\n\n\nx\n\n",
    "not only ASCII": "é ß\r\n😀 é\r\nend",
}


def sequential(mapper: Mapper, reducer: Reducer | None, text: str, reducers: int) -> list[Pair]:
    """What a job must give, the plain way; with the one split that such a small file is."""
    pairs: list[Pair] = []
    position = 0
    for raw in text.encode().split(b"\n"):
        if position < len(text.encode()):
            pairs += mapper.map(position, raw.removesuffix(b"\r").decode()) or ()
        position += len(raw) + 1
    if reducer is None:
        return pairs
    groups: defaultdict[Any, list[Any]] = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    return [
        pair
        for partition in range(reducers)
        for key in sorted_keys([k for k in groups if partition_of(k, reducers) == partition])
        for pair in reducer.reduce(key, iter(groups[key])) or ()
    ]


JOBS = {
    "count": (Words, Sum, None),
    "count with combiner": (Words, Sum, Sum),
    "order of values": (Positions, Listed, None),
    "map only": (Upper, None, None),
}


@pytest.mark.parametrize("output_format", ["text", "pickle"])
@pytest.mark.parametrize("reducers", [1, 3])
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
@pytest.mark.parametrize("job", JOBS.values(), ids=JOBS.keys())
def test_an_inline_run_gives_what_a_sequential_evaluation_gives(
    job: tuple[Any, Any, Any], text: str, reducers: int, output_format: str, tmp_path: Path
) -> None:
    mapper, reducer, combiner = job
    (tmp_path / "in.txt").write_bytes(text.encode())
    expected = sequential(mapper(), reducer and reducer(), text, reducers)
    made = Job(
        "job",
        mapper=mapper,
        reducer=reducer,
        combiner=combiner,
        reducers=reducers,
        output_format=output_format,
        split_bytes=100 if combiner else 1 << 20,
    )
    out = tmp_path / "out"
    result = made.run(tmp_path / "in.txt", output=out, runner="inline")
    parts = {path.name: path.read_bytes() for path in out.glob("part-*")}
    assert sorted(parts) == list(result.parts)
    assert {path.name for path in out.iterdir()} == {*parts, "_SUCCESS"}
    pairs = list(result)
    if output_format == "text":
        assert b"".join(parts[name] for name in result.parts) == b"".join(
            block for block, _ in formats.encode("text", expected)
        )
        assert pairs == [(str(key), str(value)) for key, value in expected]
    else:
        assert pairs == expected


@pytest.mark.parametrize("runner", ["inline", "local"])
def test_small_splits_cut_no_line(runner: Runner, tmp_path: Path) -> None:
    text = "".join(f"word{n % 11} é{n}\n" for n in range(300))
    (tmp_path / "in.txt").write_text(text)
    job = Job("job", mapper=Positions, reducer=Listed, reducers=2, split_bytes=137)
    found = dict(job.run(tmp_path / "in.txt", runner=runner, processes=2))
    assert found == dict(sequential(Positions(), Listed(), text, 2))


def test_objects_come_back_and_leave_no_folder(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temp"))
    (tmp_path / "temp").mkdir()
    (tmp_path / "in.txt").write_text("b a b\n")
    result = Job("wc", mapper=Words, reducer=Sum).run(tmp_path / "*.txt", processes=1)
    assert list(result) == [("a", 1), ("b", 2)] == list(result)
    assert result.counters["lines"] == 1
    assert result.counters["map_output_records"] == 3
    assert result.summary["steps"][0]["map"]["tasks"] == 1
    del result
    assert list((tmp_path / "temp").iterdir()) == []


def test_a_job_s_output_is_the_next_job_s_input(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("b a b\n")
    first = Job("wc", mapper=Words, reducer=Sum, reducers=2, output_format="pickle")
    first.run(tmp_path / "in.txt", output=tmp_path / "counts", runner="inline")
    second = Job("same", mapper=Mapper, reducer=Reducer, input_format="pickle")
    pairs = second.run(tmp_path / "counts", runner="inline")
    assert list(pairs) == [("a", 1), ("b", 2)]


class Remarks(Mapper):
    def map(self, key: Any, value: Any) -> Any:
        self.context.emit("a remark", value, to="remarks")
        yield value, 1


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("reducers", [1, 2])
@pytest.mark.parametrize("folder", ["out", "out [*]"])
def test_named_outputs_are_no_part_of_the_next_job_s_input(
    tmp_path: Path, merged: bool, reducers: int, folder: str
) -> None:
    (tmp_path / "in.txt").write_text("b\na\nb\n")
    first = Job(
        "first",
        mapper=Remarks,
        reducer=Sum,
        reducers=reducers,
        merged=merged,
        output_format="jsonlines",
        outputs={"remarks": "text"},
    )
    result = first.run(tmp_path / "in.txt", output=tmp_path / folder, runner="inline")
    assert (tmp_path / folder / "remarks-m-00000").exists()
    pairs = Job("second").run(result, runner="inline")
    assert sorted(pairs) == [("a", 1), ("b", 2)]


class Balance(Mapper):
    def map(self, key: Any, value: Any) -> Any:
        yield value, 1

    def cleanup(self) -> None:
        self.context.count("nothing", 0)
        self.context.count(f"less in step {self.context.step}", -self.context.reducers)


def test_counters_may_be_zero_or_less(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("a\n")
    steps = [Step(mapper=Balance, reducer=Sum, reducers=reducers) for reducers in (2, 3)]
    counters = Job("job", steps=steps).run(tmp_path / "in.txt", runner="inline").counters
    assert counters["nothing"] == 0
    assert counters["less in step 1"] == -2
    assert counters["less in step 2"] == -3


class Breaks(Mapper):
    def map(self, key: Any, value: Any) -> Any:
        yield value, 1 / int(value)


def test_inline_raises_in_the_user_s_own_frame(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("1\n0\n")
    with pytest.raises(ZeroDivisionError) as caught:
        Job("breaks", mapper=Breaks).run(tmp_path / "in.txt", runner="inline")
    assert caught.traceback[-1].frame.f_locals["value"] == "0"


def test_local_fails_with_the_user_s_traceback_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("1\n0\n")
    job = Job("breaks", mapper=Breaks, reducers=0, max_attempts=2)
    with pytest.raises(JobFailed) as caught:
        job.run(tmp_path / "in.txt", output=tmp_path / "out")
    assert caught.value.state == "failed"
    assert "ZeroDivisionError: division by zero" in caught.value.error
    assert "in map" in caught.value.error
    assert "mapreduce/engine" not in caught.value.error
    assert not (tmp_path / "out").exists()


class DiesOnce(Mapper):
    """Ends its process, the first time."""

    def setup(self) -> None:
        mark = Path(os.environ["DIES_ONCE"])
        if not mark.exists():
            mark.touch()
            os._exit(9)

    map = Words.map


def test_local_tries_again_when_a_process_dies(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("DIES_ONCE", str(tmp_path / "mark"))
    (tmp_path / "in.txt").write_text("a b a\n")
    result = Job("dies", mapper=DiesOnce, reducer=Sum).run(tmp_path / "in.txt")
    assert list(result) == [("a", 2), ("b", 1)]
    assert result.summary["steps"][0]["map"]["failed_attempts"] == 1
    assert result.counters["map_input_records"] == 1


def test_progress_is_told(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("a b a\n")
    told: list[JobStatus] = []
    Job("wc", mapper=Words, reducer=Sum).run(tmp_path / "in.txt", progress=told.append)
    assert told[-1].state is JobState.SUCCEEDED
    assert (told[-1].map.done, told[-1].reduce.done) == (1, 1)


@pytest.mark.parametrize("runner", ["inline", "local"])
def test_bad_jobs_fail_before_anything_has_changed(runner: Runner, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("a\n")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "old").touch()
    before = sorted(tmp_path.rglob("*"))
    out = tmp_path / "out"
    job = Job("wc", mapper=Words, reducer=Sum)
    with pytest.raises(InputMissing):
        job.run(tmp_path / "none", output=out, runner=runner)
    with pytest.raises(OutputExists):
        job.run(tmp_path / "in.txt", output=tmp_path / "full", runner=runner)
    with pytest.raises(JobError, match="no output format"):
        Job("wc", mapper=Words, output_format="x").run(
            tmp_path / "in.txt", output=out, runner=runner
        )
    with pytest.raises(JobError, match="no input format"):
        Job("wc", mapper=Words, input_format="x").run(tmp_path / "in.txt", runner=runner)
    assert sorted(tmp_path.rglob("*")) == before


def test_wrong_jobs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="can't name a job"):
        Job("no name", mapper=Words)
    with pytest.raises(JobError, match="0 reduce tasks or more, not -1"):
        Job("wc", mapper=Words, reducer=Sum, reducers=-1)
    with pytest.raises(JobError, match="combiner without a reducer"):
        Job("wc", mapper=Words, combiner=Sum)
    with pytest.raises(JobError, match="no runner 'moon'"):
        Job("wc", mapper=Words).run(tmp_path, runner="moon")  # type: ignore[arg-type]


SCRIPT = """
import sys
from typing import NamedTuple
from mapreduce import Job, Mapper, Reducer, Step

class Seen(NamedTuple):
    line: str

class Lines(Mapper):
    def map(self, key, value):
        yield value[0], Seen(value)

class Longest(Reducer):
    def reduce(self, key, values):
        yield key, max(values, key=lambda seen: len(seen.line))

# No `if __name__ == "__main__"`: a notebook has none either.
for key, seen in Job("longest", mapper=Lines, reducer=Longest).run(sys.argv[1], processes=2):
    print(key, seen)
"""


def test_classes_and_values_of_a_script_without_a_guard_work(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "in.txt").write_text("a\nab\nb\n")
    told = subprocess.run(
        [sys.executable, tmp_path / "script.py", tmp_path / "in.txt"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.stderr == ""
    assert told.stdout.splitlines() == ["a Seen(line='ab')", "b Seen(line='b')"]
