"""A job on a cluster of real processes whose worker runs tasks in a sandbox with limits."""

import doctest
import json
import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli import processes
from cli.cluster_processes import ClusterProcesses, servers
from cli.dynamo import main as dynamo
from cli.local_cluster import write_config
from cli.mapreduce import main as mapreduce
from dynamo.config import ClusterConfig
from dynamo.net.client import Client
from mapreduce.engine import sandbox
from tests.mapreduce.engine.boxes import needs_bwrap
from tests.waiting import wait_until

pytestmark = needs_bwrap

WORDS = "to be or not to be that is the question\n" * 200
JOB = """
import os
import socket
import subprocess
import tempfile

import helper
from mapreduce import Mapper, Reducer


class MyMapper(Mapper):
    def setup(self):
        self.stop = self.context.file("stop").read_text().split()
        self.upper = subprocess.Popen(
            ["tr", "a-z", "A-Z"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            socket.create_connection(("127.0.0.1", int(self.context.params["port"])), 1)
        except OSError:
            self.context.count("no network")
        self.context.count("secrets", sum("SECRET" in name for name in os.environ))

    def map(self, key, value):
        for word in helper.words(value):
            if word not in self.stop:
                yield word, 1

    def cleanup(self):
        told, _ = self.upper.communicate("from a program\\n")
        yield told.strip(), 1


class MyReducer(Reducer):
    def reduce(self, key, values):
        with tempfile.TemporaryFile() as file:
            file.write(bytes(1 << 20))
        yield key, sum(values)
"""
HANGS = """
import subprocess
from mapreduce import Mapper, Reducer
class MyMapper(Mapper):
    def map(self, key, value):
        subprocess.Popen(["sleep", "600"], start_new_session=True)
        while True: pass
class MyReducer(Reducer):
    def reduce(self, key, values): ...
"""
HOSTILE = """
import zerorpc
from dynamo.errors import DynamoError
from dynamo.net.asking import ask
from dynamo.net.client import Client
from dynamo.protocol.messages import GetCluster, GiveUp
from mapreduce import Mapper, Reducer

OTHERS = ("/user", "piece:{other-1a2b.1:00000}:00000.1.0:00000", "job:other:spec")


class MyMapper(Mapper):
    def map(self, key, value):
        node = self.context.params["node"]
        with Client([node], relay="/run/store", timeout_s=5) as store:
            for number, other in enumerate(OTHERS):
                yield f"read {number}", store.get(other).value.decode()
                yield f"put {number}", told(lambda: store.put(other, b"changed"))
                yield f"delete {number}", told(lambda: store.delete(other))
                yield f"many {number}", told(lambda: store.multi_put({other: b"", "/new": b""}))
        with zerorpc.Context() as context:
            for request in (GetCluster(1), GiveUp(1, OTHERS[0])):
                found = ask(node, request, 5.0, context, "/run/store")
                yield type(request).__name__, found.detail


def told(change):
    try:
        return f"done {change()}"
    except DynamoError as error:
        return str(error)


class MyReducer(Reducer):
    def reduce(self, key, values):
        yield key, next(iter(values))
"""
LIMITS = "sandbox = bwrap\ncpu_share = 90%\nmemory_mb = 500\ndisk_mb = 64\nopen_files = 128\n"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterConfig]:
    folder = tmp_path_factory.mktemp("sandboxed")
    config = write_config(folder, nodes=1, workers=1, slots=1, worker_settings=LIMITS)
    cluster = ClusterProcesses(config)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MY_SECRET", "1")
        patch.setenv("DYNAMO_CONFIG", str(config.path))
        try:
            cluster.up(lambda line: None)
            yield config
        finally:
            cluster.down(lambda line: None)


@pytest.fixture
def call(
    config: ClusterConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DYNAMO_CONFIG", str(config.path))

    def call(command: object, *arguments: str) -> Result:
        result = CliRunner().invoke(command, arguments)  # type: ignore[arg-type]
        assert result.exit_code == 0, result.output
        return result

    return call


def test_a_job_gives_the_right_output_from_inside(
    config: ClusterConfig, call: Callable[..., Result]
) -> None:
    Path("words").write_text(WORDS)
    Path("job.py").write_text(JOB)
    Path("helper.py").write_text("def words(line):\n    return line.split()\n")
    Path("stop").write_text("to or")
    call(dynamo, "put", "words", "/words")
    port = config.nodes[0].address.rpartition(":")[2]
    options = ["--file", "stop", "--module", "helper.py", "--set", f"port={port}"]
    call(mapreduce, "new_job", "wc", "job.py", "--input", "/words", "--output", "/out", *options)
    call(mapreduce, "run_job", "wc", "--wait")
    [record] = json.loads(call(mapreduce, "jobs", "--name", "wc", "--json").stdout)
    assert record["state"] == "succeeded"
    assert record["counters"]["no network"] == 1
    assert record["counters"].get("secrets", 0) == 0
    counts = Counter(word for word in WORDS.split() if word not in ("to", "or"))
    counts["FROM A PROGRAM"] = 1
    lines = call(mapreduce, "output", "wc").stdout.splitlines()
    assert lines == [f"{word}\t{count}" for word, count in sorted(counts.items())]


def test_what_is_others_in_the_store_is_read_and_never_changed_from_inside(
    config: ClusterConfig, call: Callable[..., Result]
) -> None:
    others = ("/user", "piece:{other-1a2b.1:00000}:00000.1.0:00000", "job:other:spec")
    address = config.nodes[0].address
    Path("job.py").write_text(HOSTILE)
    Path("one").write_text("line\n")
    call(dynamo, "put", "one", "/one")
    with Client([address]) as store:
        store.multi_put(dict.fromkeys(others, b"as it was"))
        job = ["new_job", "hostile", "job.py", "--input", "/one", "--output", "/out/hostile"]
        call(mapreduce, *job, "--set", f"node={address}", "--total-order", "--reducers", "2")
        call(mapreduce, "run_job", "hostile", "--wait")
        lines = call(mapreduce, "output", "hostile").stdout.splitlines()
        assert {store.get(other).value for other in others} == {b"as it was"}
        assert store.get("/new").value is None
        store.multi_delete(others)
    found = dict(line.split("\t") for line in lines)
    assert list(found) == sorted(found)
    for number, other in enumerate(others):
        assert found[f"read {number}"] == "as it was"
        for change in ("put", "delete", "many"):
            assert f"writes only what is its own, and not {other!r}" in found[f"{change} {number}"]
    assert found["GetCluster"] == found["GiveUp"] == "who is in a sandbox only reads and puts"


def test_programs_work_inside(config: ClusterConfig, call: Callable[..., Result]) -> None:
    Path("fruit").write_text("pear\nplum\npear\n")
    Path("upper.sh").write_text("#!/bin/sh\ntr a-z A-Z\n")
    Path("upper.sh").chmod(0o755)
    call(dynamo, "put", "fruit", "/fruit")
    programs = ["--mapper", "./upper.sh", "--reducer", "uniq -c"]
    call(mapreduce, "new_job", "count", *programs, "--input", "/fruit", "--output", "/out/count")
    call(mapreduce, "run_job", "count", "--wait")
    words = call(mapreduce, "output", "count").stdout.split()
    assert words == ["2", "PEAR", "1", "PLUM"]


def test_the_page_is_true(config: ClusterConfig, call: Callable[..., Result]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text()
    source, shown = re.findall(r"```(?:python|console)\n(.*?)```", page, re.DOTALL)[:2]
    Path("curious.py").write_text(source)
    Path("line.txt").write_text("a line\n")
    commands = re.findall(r"\$ (.*)\n((?:[^$].*\n)*)", shown)
    assert len(commands) == 4
    for command, expected in commands:
        program, *arguments = shlex.split(command)
        printed = call({"dynamo": dynamo, "mapreduce": mapreduce}[program], *arguments).stdout
        flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        assert doctest.OutputChecker().check_output(expected, printed, flags), printed


def test_kill_job_ends_all_that_runs_inside(
    config: ClusterConfig, call: Callable[..., Result]
) -> None:
    Path("job.py").write_text(HANGS)
    Path("one").write_text("line\n")
    call(dynamo, "put", "one", "/one")
    call(mapreduce, "new_job", "hangs", "job.py", "--input", "/one", "--output", "/out/hangs")
    call(mapreduce, "run_job", "hangs")
    [worker] = [s for s in servers(config) if s.kind == "worker"]
    process = ClusterProcesses(config).process(worker)
    assert process is not None
    idle = sandbox.OWN_PROCESSES + 1
    wait_until(
        lambda: len(processes.descendants([process])) > idle,
        30,
        "the program that the task has started",
    )
    call(mapreduce, "kill_job", "hangs")
    wait_until(
        lambda: len(processes.descendants([process])) <= idle,
        2,
        "the end of all that it has started",
    )
    call(mapreduce, "rm", "hangs")


def test_a_worker_that_can_have_no_sandbox_does_not_start(
    config: ClusterConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    result = CliRunner().invoke(mapreduce, ["worker", "w1", "--config", str(config.path)])
    assert result.exit_code == 1
    assert result.output == (
        "Error: worker w1 does not start: sandbox = bwrap in its section of cluster.ini, and "
        "bubblewrap is not installed: apt install bubblewrap; or write sandbox = none, if all who "
        "send jobs are trusted\n"
    )
