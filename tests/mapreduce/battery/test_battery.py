"""Every runner writes the bytes of a plain sequential evaluation, and leaves nothing else."""

import gzip
import io
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from cli.cluster_processes import ClusterProcesses
from cli.local_cluster import free_ports
from dynamo import config
from dynamo import files as store_files
from dynamo.net.client import Client
from mapreduce import Input, Job
from mapreduce.api import Pair
from mapreduce.data import formats
from mapreduce.data.outputs import open_output
from mapreduce.job import Runner
from mapreduce.runners.result import RunResult
from tests.mapreduce.battery import sequential
from tests.mapreduce.battery.jobs import BATTERY, ON_CLUSTER, ON_LOCAL
from tests.mapreduce.battery.jobs.common import SPILLING, Case, Sum, Words
from tests.mapreduce.battery.jobs.orders import TEXT, Swap, Unswap
from tests.mapreduce.battery.sequential import Expected
from tests.waiting import wait_until


@cache
def expected_of(name: str) -> Expected:
    case = next(case for case in BATTERY if case.name == name)
    return sequential.evaluate(case.job, sequential.read(case.job, case.inputs, case.files))


def content(case: Case, path: str) -> bytes:
    """What a file of the case is on a disk."""
    given = case.files[path]
    if isinstance(given, bytes):
        return given
    return b"".join(block for block, _ in formats.encode("pickle", given))


def below(folder: str, case: Case) -> list[Input]:
    """The inputs of a case whose files are in `folder`."""
    return [Input(f"{folder}/{g.path}", g.format, g.mapper) for g in case.inputs]


# What was written --------------------------------------------------------------------------------


def check(case: Case, result: RunResult, written: Mapping[str, bytes]) -> None:
    """Compare a run with the sequential evaluation: names and content of files, and counters.

    `written` are the files of the output folder, but for `_SUCCESS`.
    """
    expected, job = expected_of(case.name), case.job
    left = dict(written)
    for (name, kind), by_task in expected.named.items():
        written_format = formats.writing(job.outputs[name.partition("-")[0]])
        names = [found for found in sorted(left) if found.startswith(f"{name}-{kind}-")]
        parts = [left.pop(found) for found in names]
        if kind == "r":
            assert names == [
                f"{name}-r-{task:05d}{written_format.extension}" for task in sorted(by_task)
            ]
            whole = [by_task[task] for task in sorted(by_task)]
        else:
            # How many map tasks there are, each runner decides.
            parts, whole = [b"".join(parts)], [by_task[0]]
        for part, pairs in zip(parts, whole, strict=True):
            same(job.outputs[name.partition("-")[0]], part, pairs)
    check_main(job, expected, left)
    assert result.summary["state"] == "succeeded"
    assert {name: result.counters.get(name) for name in expected.counters} == expected.counters
    assert job.memory_bytes > SPILLING or result.counters["spills"] > 1


def check_main(job: Job, expected: Expected, written: Mapping[str, bytes]) -> None:
    names = sorted(written)
    extension = formats.writing(job.output_format).extension
    if job.merged:
        assert names == [f"merged{extension}"]
    else:
        assert names == [f"part-{task:05d}{extension}" for task in range(len(names))]
    if expected.parts_are_known and not job.merged:
        assert len(names) == len(expected.main)
        for name, pairs in zip(names, expected.main):
            same(job.output_format, written[name], pairs)
    else:
        pairs = [pair for part in expected.main for pair in part]
        same(job.output_format, b"".join(written[name] for name in names), pairs)
        if job.steps[-1].reducer is not None and not job.merged:
            assert len(names) == job.steps[-1].reducers


def same(output_format: str, data: bytes, pairs: Sequence[Pair]) -> None:
    """Files for programs, whose bytes may differ though they hold the same, are compared by it."""
    if output_format in ("pickle", "parquet"):
        found = list(formats.decode_output(output_format, [data], "part"))
        assert found == list(pairs)
        assert list(map(spelled, found)) == list(map(spelled, pairs))
    else:
        unpacked = gzip.decompress(data) if "compress=gzip" in output_format else data
        assert unpacked == sequential.written_file(output_format, pairs)


def spelled(value: Any) -> str:
    """Tells 1, 1.0 and True apart. The order of a set's members is not of its value: it may be
    another one in a copy."""
    kind = type(value).__name__
    if isinstance(value, frozenset):
        return f"{kind}{sorted(map(spelled, value))}"
    if isinstance(value, tuple | list):
        return f"{kind}{list(map(spelled, value))}"
    return repr(value)


# On this machine ---------------------------------------------------------------------------------


@pytest.mark.parametrize("case", BATTERY, ids=lambda case: case.name)
def test_inline_writes_the_same_bytes(case: Case, tmp_path: Path) -> None:
    check_here(case, tmp_path, "inline")


@pytest.mark.parametrize("case", ON_LOCAL, ids=lambda case: case.name)
def test_local_writes_the_same_bytes(case: Case, tmp_path: Path) -> None:
    check_here(case, tmp_path, "local")


def check_here(case: Case, folder: Path, runner: Runner) -> None:
    for path in case.files:
        (folder / "given" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "given" / path).write_bytes(content(case, path))
    out = folder / "out"
    result = case.job.run(*below(f"{folder}/given", case), output=out, runner=runner, processes=2)
    written = {path.name: path.read_bytes() for path in out.iterdir()}
    assert written.pop("_SUCCESS")
    check(case, result, written)
    assert sorted(path.name for path in folder.iterdir()) == ["given", "out"]


# On a cluster ------------------------------------------------------------------------------------

INI = """
[cluster]
name = battery
fsync = no
data = data
timeout_s = 5

[node n1]
address = 127.0.0.1:{}

[node n2]
address = 127.0.0.1:{}

[master m1]
address = 127.0.0.1:{}

[worker w1]
node = n1
slots = 2

[worker w2]
node = n2
slots = 1
"""


@pytest.fixture(scope="module")
def ini(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("cluster") / "cluster.ini"
    path.write_text(INI.format(*free_ports(3)))
    processes = ClusterProcesses(config.load(path))
    processes.up(lambda line: None)
    try:
        yield path
    finally:
        processes.down(lambda line: None)


@pytest.fixture(scope="module")
def store(ini: Path) -> Iterator[Client]:
    with Client(list(config.load(ini).node_addresses.values())) as client:
        yield client


@pytest.mark.parametrize("case", ON_CLUSTER, ids=lambda case: case.name)
def test_a_cluster_writes_the_same_bytes(case: Case, ini: Path, store: Client) -> None:
    folder = "/" + case.name.replace(" ", "-").replace(",", "")
    for path in case.files:
        store_files.write(store, f"{folder}/given/{path}", io.BytesIO(content(case, path)))
    before = set(store.list(""))
    out = f"{folder}/out"
    result = case.job.run(
        *below(f"{folder}/given", case), output=out, runner="cluster", cluster=ini
    )
    output = open_output("store", out, store)
    written = {name: b"".join(output.read(name)) for name in output.files() if name != "_SUCCESS"}
    check(case, result, written)
    for path in store_files.under(store, out):
        store_files.remove(store, path)

    def left() -> list[str]:
        found = set(store.list("")) - before
        return [key for key in found if not key.startswith("job:")]

    # The master cleans up after it has told that the job has succeeded.
    wait_until(lambda: not left(), 30, "the run's keys to go")


# Chains ------------------------------------------------------------------------------------------

COUNT = Job("count", mapper=Words, reducer=Sum, reducers=2, split_bytes=100)
MOST = Job("most", mapper=Swap, reducer=Unswap, descending=True)


@pytest.mark.parametrize("runner", ["inline", "local"])
def test_what_a_job_gave_is_read_by_the_next(runner: Runner, tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.write_bytes(TEXT)
    check_chain(given, runner=runner)


def test_what_a_job_gave_is_read_by_the_next_on_a_cluster(ini: Path, store: Client) -> None:
    store_files.write(store, "/chained", io.BytesIO(TEXT))
    check_chain("/chained", runner="cluster", cluster=ini)


def check_chain(given: str | Path, **options: Any) -> None:
    counted = COUNT.run(given, **options)
    most = MOST.run(counted, **options)
    [text] = sequential.read(COUNT, [Input("in")], {"in": TEXT})
    counts = [pair for part in sequential.evaluate(COUNT, [text]).main for pair in part]
    assert list(most) == sequential.evaluate(MOST, [sequential.Given({"": counts})]).main[0]
