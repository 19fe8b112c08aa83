"""The job commands of `mapreduce` on a real cluster, and what they say to mistakes."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.cluster_processes import ClusterProcesses
from cli.dynamo import main as dynamo_main
from cli.job_control import open_master
from cli.jobs import _job_name
from cli.local_cluster import write_config
from cli.mapreduce import main
from dynamo.config import ClusterConfig
from dynamo.errors import DynamoError
from mapreduce import Cluster, Job, Mapper
from mapreduce.runners.logs import is_of
from tests.cli.conftest import TEXT, Call, done, failed
from tests.waiting import wait_until

WORDCOUNT = Path(__file__).parents[2] / "examples" / "wordcount.py"


SLOW = """\
import time
from mapreduce import Mapper, Reducer

class MyMapper(Mapper):
    def map(self, key, value):
        while True:
            time.sleep(0.01)

class MyReducer(Reducer): ...
"""
FAILING = """\
from mapreduce import Mapper, Reducer

class MyMapper(Mapper):
    def map(self, key, value):
        print("looking at", key)
        raise LookupError("no such luck")

class MyReducer(Reducer): ...
"""


def new_job(mapreduce: Call, name: str, source: Path = WORDCOUNT, *more: str) -> Result:
    """`new_job` with an output folder named for the job."""
    paths = ("--input", "/texts", "--output", f"/out/{name}")
    return mapreduce("new_job", name, source, *paths, *more)


# A job's life ------------------------------------------------------------------------------------


def test_a_job_from_new_job_to_output(mapreduce: Call, tmp_path: Path) -> None:
    assert "job wc is ready" in done(new_job(mapreduce, "wc", WORDCOUNT, "--reducers", "2")).stdout
    result = done(mapreduce("run_job", "wc", "--wait"))
    assert result.stdout.startswith("job wc: succeeded in ")
    assert "map_input_records" in result.stdout
    lines = done(mapreduce("output", "wc")).stdout.splitlines()
    counts = Counter(TEXT.split())
    in_order = [f"{word}\t{count}" for word, count in sorted(counts.items())]
    assert sorted(lines) == in_order != lines
    assert done(mapreduce("output", "wc", "--merged")).stdout.splitlines() == in_order
    assert done(mapreduce("output", "wc", "--merged", "-o", tmp_path / "wc")).stdout == ""
    assert (tmp_path / "wc").read_text().splitlines() == in_order
    assert [file.name for file in tmp_path.iterdir()] == ["wc"]
    failed(mapreduce("output", "wc", "-o", tmp_path), 2, "is a folder")
    failed(mapreduce("output", "wc", "-o", tmp_path / "no" / "wc"), 2, "can't be written")
    assert done(mapreduce("status", "wc")).stdout.startswith("job wc: succeeded")
    record = json.loads(done(mapreduce("status", "wc", "--json")).stdout)
    assert (record["state"], record["reduce"]["done"]) == ("succeeded", 2)
    listed = json.loads(done(mapreduce("jobs", "--json")).stdout)
    assert "wc" in [record["name"] for record in listed]
    assert "succeeded" in done(mapreduce("jobs")).stdout
    failed(mapreduce("run_job", "wc"), 2, "'wc' has succeeded")
    failed(new_job(mapreduce, "wc"), 2, "there is a job 'wc' already")
    failed(
        mapreduce("new_job", "again", WORDCOUNT, "--input", "/texts", "--output", "/out/wc"),
        2,
        "'/out/wc' exists already",
    )


LOG = """\
10.0.0.1 - - [10/Oct/2000:13:55:36 -0700] "GET /a HTTP/1.0" 200 10
no request
10.0.0.1 - - [10/Oct/2000:13:55:36 -0700] "GET /a HTTP/1.0" 500 -
"""


def test_examples_run_on_a_cluster_without_a_change(
    mapreduce: Call, config: ClusterConfig, tmp_path: Path
) -> None:
    """A whole job of steps with a side file, and named outputs, which `output` does not print."""
    for name, text in (("log", LOG), ("points", "0\n1\n9\n"), ("start", "0\n9\n")):
        (tmp_path / name).write_text(text)
        done(CliRunner().invoke(dynamo_main, ["put", str(tmp_path / name), f"/examples/{name}"]))
    for example, read, *more in (
        ("log_analysis", "log", "--set", "reducers=2"),
        ("kmeans", "points", "--set", f"start={tmp_path / 'start'}", "--set", "rounds=2"),
    ):
        source = WORDCOUNT.with_name(f"{example}.py")
        paths = ("--input", f"/examples/{read}", "--output", f"/out/{example}")
        done(mapreduce("new_job", example, source, *paths, *more))
        if example == "kmeans":
            (tmp_path / "start").unlink()  # it has gone to the store
        done(mapreduce("run_job", example, "--wait"))
    [row] = map(json.loads, done(mapreduce("output", "log_analysis")).stdout.splitlines())
    assert (row["requests"], row["errors"], row["bytes"]) == (2, 1, 10)
    bad = done(mapreduce("output", "log_analysis", "--named", "bad")).stdout
    assert bad.endswith("\tno request\n")
    failed(mapreduce("output", "log_analysis", "--named", "good"), 2, "named outputs: bad")
    assert done(mapreduce("output", "kmeans")).stdout == (
        '[0,{"points":2,"centre":[0.5]}]\n[1,{"points":1,"centre":[9.0]}]\n'
    )


def test_a_job_that_fails_shows_the_users_traceback(mapreduce: Call, tmp_path: Path) -> None:
    source = tmp_path / "failing.py"
    source.write_text(FAILING)
    done(new_job(mapreduce, "bad", source, "--max-attempts", "2"))
    result = mapreduce("run_job", "bad", "--wait")
    failed(result, 1, "job bad failed")
    assert "failing.py" in result.stdout
    assert "LookupError: no such luck" in result.stdout
    assert "looking at 0" in done(mapreduce("logs", "bad")).stdout
    assert "== map-00000.1" in done(mapreduce("logs", "bad", "map-00000")).stdout
    assert "no task of job bad like reduce" in done(mapreduce("logs", "bad", "reduce")).stderr
    failed(mapreduce("output", "bad"), 2, "has no output")
    again = mapreduce("replay", "bad", "map-00000")
    assert again.exit_code == 1
    assert again.stderr.startswith('Traceback (most recent call last):\n  File "' + str(source))
    assert "LookupError: no such luck" in again.stderr
    assert "task map-00000 of job bad raises this after 0 pairs" in again.stderr
    failed(mapreduce("replay", "bad", "map"), 2, "names no task")


def test_a_job_can_be_killed(mapreduce: Call, tmp_path: Path) -> None:
    source = tmp_path / "slow.py"
    source.write_text(SLOW)
    done(new_job(mapreduce, "slow", source))
    assert "mapreduce status slow" in done(mapreduce("run_job", "slow")).stdout
    failed(mapreduce("run_job", "slow"), 2, "is running already")
    assert "job slow is killed" in done(mapreduce("kill_job", "slow")).stdout
    wait_until(
        lambda: "job slow: killed" in mapreduce("status", "slow").stdout, 10, "the job's end"
    )
    failed(mapreduce("kill_job", "slow"), 2, "is not running")


def test_ctrl_c_ends_the_waiting_and_not_the_job(
    mapreduce: Call, config: ClusterConfig, tmp_path: Path
) -> None:
    source = tmp_path / "slow.py"
    source.write_text(SLOW)
    done(new_job(mapreduce, "long", source))
    command = [sys.executable, "-m", "cli.mapreduce", "run_job", "long", "--wait"]
    environment = {**os.environ, "DYNAMO_CONFIG": str(config.path)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as waiting:
        wait_until(lambda: _running_maps(mapreduce, "long") == 1, 20, "a running task")
        waiting.send_signal(signal.SIGINT)
        _, errors = waiting.communicate(timeout=10)
    try:
        assert waiting.returncode == 0, errors
        assert "job long goes on; `mapreduce status long --wait` comes back to it" in errors
        assert _running_maps(mapreduce, "long") == 1
    finally:
        done(mapreduce("kill_job", "long"))


def _running_maps(mapreduce: Call, job: str) -> int:
    return json.loads(done(mapreduce("status", job, "--json")).stdout)["map"]["running"]


# The cluster -------------------------------------------------------------------------------------


def test_status_names_every_server(mapreduce: Call, config: ClusterConfig) -> None:
    listed = json.loads(done(mapreduce("status", "--json")).stdout)
    names = [f"{server['kind']} {server['name']}" for server in listed]
    assert names == ["node n1", "node n2", "node n3", "master m1", "worker w1", "worker w2"]
    assert {server["state"] for server in listed} == {"up"}
    assert config.node("n2").address in done(mapreduce("status")).stdout


def test_the_scoreboard_shows_every_worker_and_node(mapreduce: Call, config: ClusterConfig) -> None:
    told = json.loads(done(mapreduce("scoreboard", "--json")).stdout)
    workers = [(worker["name"], worker["strikes"]) for worker in told["workers"]["workers"]]
    assert workers == [("w1", 0), ("w2", 0)]
    contacts = {name: seen["state"] for name, seen in told["node_contacts"].items()}
    assert contacts == dict.fromkeys(["n1", "n2", "n3"], "up")
    shown = done(mapreduce("scoreboard")).stdout
    assert [line.split()[0] for line in shown.split("\n") if " idle " in line] == ["w1", "w2"]
    assert config.node("n2").address in shown and "a strike for each 2.5 s of silence" in shown
    assert [line.split()[2:4] for line in shown.split("\n") if " now " in line] == [
        ["up", "now"]
    ] * 3


def test_dynamo_status_names_every_node(config: ClusterConfig) -> None:
    result = done(CliRunner().invoke(dynamo_main, ["status", "--config", str(config.path)]))
    assert [line.split()[0] for line in result.stdout.split("\n") if " up " in line] == [
        "n1",
        "n2",
        "n3",
    ]


def test_a_cluster_that_is_down_is_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    down = write_config(tmp_path, nodes=1, workers=1)
    monkeypatch.setenv("DYNAMO_CONFIG", str(down.path))
    call = CliRunner().invoke
    failed(call(main, ["jobs"]), 1, "no master answers at")
    failed(call(main, ["status"]), 1, "no answer from node n1, master m1, worker w1")
    failed(call(dynamo_main, ["status"]), 1, "no answer from n1")


def test_without_a_worker_a_job_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = write_config(tmp_path, nodes=1, workers=0)
    monkeypatch.setenv("DYNAMO_CONFIG", str(small.path))
    cluster = ClusterProcesses(small)
    call = CliRunner().invoke
    try:
        cluster.up(lambda line: None)
        done(call(dynamo_main, ["put", str(WORDCOUNT), "/texts/"]))
        done(call(main, ["new_job", "x", str(WORDCOUNT), "--input", "/texts", "--output", "/x"]))
        failed(call(main, ["run_job", "x"]), 1, "no worker is alive")
        with Cluster(small.path) as on, pytest.raises(DynamoError, match="no worker is alive"):
            on.submit(Job("y", mapper=Mapper), "/texts", name="y")
        assert [record["name"] for record in open_master(small).jobs()] == ["x"]
        assert json.loads(done(call(main, ["status", "x", "--json"])).stdout)["state"] == "new"
    finally:
        cluster.down(lambda line: None)


# Mistakes ----------------------------------------------------------------------------------------


def test_a_job_that_cannot_run_is_refused_before_anything_changes(
    mapreduce: Call, tmp_path: Path
) -> None:
    before = done(mapreduce("jobs", "--json")).stdout
    (tmp_path / "broken.py").write_text("class MyMapper:\n  def map(self)\n")
    (tmp_path / "empty.py").write_text("")
    for arguments, text in (
        (("x", tmp_path / "broken.py"), "line 2"),
        (("x", tmp_path / "empty.py"), "has no class MyMapper"),
        (("x", tmp_path / "nowhere.py"), "nowhere.py: No such file"),
        (("x", WORDCOUNT, "--mapper", "Other"), "has no class Other"),
        (("x", WORDCOUNT, "--input-format", "xml"), "no input format 'xml'"),
        (("x", WORDCOUNT, "--output-format", "xml"), "no output format 'xml'"),
        (("x", WORDCOUNT, "--input", "/nowhere"), "no input '/nowhere'"),
        (("a/b", WORDCOUNT), "can't name a job"),
    ):
        failed(new_job(mapreduce, *arguments), 2, text)
    failed(mapreduce("run_job", "unknown"), 2, "no job 'unknown'")
    failed(mapreduce("status", "unknown"), 2, "no job 'unknown'")
    failed(mapreduce("logs", "unknown"), 2, "no job 'unknown'")
    assert done(mapreduce("jobs", "--json")).stdout == before


def test_without_a_master_there_are_no_jobs(tmp_path: Path) -> None:
    config = write_config(tmp_path, nodes=1, masters=0, workers=0)
    result = CliRunner().invoke(main, ["jobs", "--config", str(config.path)])
    failed(result, 2, "no [master NAME], and so no jobs")


@pytest.mark.parametrize("name", list(main.commands))
def test_every_command_teaches_by_example(name: str) -> None:
    text = done(CliRunner().invoke(main, [name, "--help"])).stdout
    assert f"mapreduce {name}" in text.split("Example")[1]


# Without a cluster -------------------------------------------------------------------------------


def test_a_job_runs_without_a_cluster(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text(TEXT)
    arguments = ["run", str(WORDCOUNT), str(tmp_path / "book.txt"), "--processes", "1"]
    result = done(CliRunner().invoke(main, [*arguments, "-o", str(tmp_path / "out")]))
    assert "job wordcount: succeeded" in result.stderr
    lines = (tmp_path / "out" / "part-00000").read_text().splitlines()
    assert lines == [f"{word}\t{count}" for word, count in sorted(Counter(TEXT.split()).items())]
    failed(CliRunner().invoke(main, [*arguments, "-o", str(tmp_path / "out")]), 2, "exists already")


def test_a_local_job_that_cannot_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "failing.py").write_text(FAILING)
    (tmp_path / "book.txt").write_text(TEXT)
    book, output = str(tmp_path / "book.txt"), str(tmp_path / "out")
    call = CliRunner().invoke
    failed(call(main, ["run", "nowhere.py", book, "-o", output]), 2, "nowhere.py: No such file")
    failed(call(main, ["run", str(WORDCOUNT), "nowhere", "-o", output]), 2, "nowhere")
    result = call(main, ["run", str(tmp_path / "failing.py"), book, "-o", output])
    assert result.exit_code == 1
    assert "LookupError: no such luck" in result.stderr
    assert not Path(output).exists()


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("job = 1 / 0\n", "line 1, in <module>"),
        ("def job():\n    raise LookupError('none')\n", "line 2, in job"),
        ("def job():\n    return 7\n", "job is int; it has to be a mapreduce.Job"),
    ],
)
def test_a_source_that_makes_no_job_is_shown_from_its_own_line(
    tmp_path: Path, source: str, text: str
) -> None:
    (tmp_path / "mine.py").write_text(source)
    result = CliRunner().invoke(
        main, ["run", str(tmp_path / "mine.py"), str(WORDCOUNT), "-o", str(tmp_path / "out")]
    )
    assert result.exit_code == 2
    assert text in result.stderr
    assert result.stderr.count("mine.py") <= 2
    assert "engine" not in result.stderr
    assert "describing" not in result.stderr


def test_a_source_that_makes_a_job_imports_what_comes_with_it(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("from mapreduce import Mapper\nclass Own(Mapper): ...\n")
    source, book = tmp_path / "mine.py", tmp_path / "book.txt"
    source.write_text(
        "from helper import Own\nfrom mapreduce import Job\njob = Job('j', mapper=Own)"
    )
    book.write_text("to be\n")
    command = ["run", str(source), str(book), "-o", str(tmp_path / "out"), "--runner", "inline"]
    result = CliRunner().invoke(main, command)
    failed(result, 2, "No module named 'helper'; if that is a module of yours, let it come")
    done(CliRunner().invoke(main, [*command, "--module", str(tmp_path / "helper.py")]))
    assert (tmp_path / "out" / "part-00000").read_text() == "0\tto be\n"
    assert "helper" not in sys.modules


def test_names_of_jobs_and_tasks() -> None:
    assert _job_name(Path("/x/word count.py"), {}) == "word-count"
    assert _job_name(Path("/x/---.py"), {}) == "job"
    for task in (None, "map", "map-00003", "map-00003.1"):
        assert is_of("map-00003.1", task)
    for task in ("reduce", "map-00004", "map-00003.2", "map-0000"):
        assert not is_of("map-00003.1", task)


def test_the_status_of_the_cluster_names_every_process(
    mapreduce: Call, config: ClusterConfig
) -> None:
    rows = json.loads(done(mapreduce("status", "--json")).stdout)
    running = ClusterProcesses(config).running()
    expected = {(s.kind, s.name): str(process.pid) for s, process in running.items()}
    assert {(row["kind"], row["name"]): row["pid"] for row in rows} == expected
    assert {row["state"] for row in rows} == {"up"}
