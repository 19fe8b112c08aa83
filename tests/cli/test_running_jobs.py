"""docs/running-jobs.md is true, on a real cluster; and what it says of mistakes and of Ctrl-C."""

import contextlib
import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.dynamo import main as dynamo_main
from cli.mapreduce import main as mapreduce_main
from dynamo.config import ClusterConfig
from tests.cli.conftest import Call, done, failed
from tests.cli.pages import blocks, commands, prints
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "running-jobs.md").read_text("utf-8")
COMMANDS = {"mapreduce": mapreduce_main, "dynamo": dynamo_main}

PATIENT = re.search(r"# patient\.py\n.*?(?=```)", PAGE, re.DOTALL)[0]


@pytest.fixture
def folder(config: ClusterConfig, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of cluster.ini, with what the examples read, as the present one."""
    here = config.path.parent
    for name in ("docs", "examples"):
        if not (here / name).exists():
            (here / name).symlink_to(ROOT / name)
    monkeypatch.chdir(here)
    return here


# The page ----------------------------------------------------------------------------------------


def test_the_page_is_true(folder: Path, config: ClusterConfig, mapreduce: Call) -> None:
    done(mapreduce("rm", "*", "--yes", "--output"))
    for language, text in blocks(PAGE):
        if source := re.match(r"# (\w+\.py)\n", text):
            (folder / source[1]).write_text(text)
        elif language == "python":
            with contextlib.redirect_stdout(io.StringIO()):
                exec(text, {"master_address": config.masters[0].address})
        else:
            for (program, *arguments), expected in commands(text):
                result = CliRunner().invoke(COMMANDS[program], arguments)
                may_fail = "first" in arguments and arguments[0] in ("run_job", "replay")
                assert result.exit_code == 0 or may_fail, result.output
                if expected:
                    prints(result, expected)
    assert [record["name"] for record in listed(mapreduce)] == ["plain"]


def listed(mapreduce: Call, *arguments: str) -> list[dict]:
    return json.loads(done(mapreduce("jobs", "--json", *arguments)).stdout)


# What the page does not show ---------------------------------------------------------------------


@pytest.fixture
def patient(folder: Path, mapreduce: Call) -> Iterator[str]:
    """A job that runs until it is killed."""
    (folder / "patient.py").write_text(PATIENT)
    done(CliRunner().invoke(dynamo_main, ["put", "docs/jobs.md", "/patient/"]))
    done(mapreduce("new_job", "hangs", "patient.py", "--input", "/patient", "--output", "/out/h"))
    yield "hangs"
    if listed(mapreduce, "--name", "hangs", "--state", "running"):
        done(mapreduce("kill_job", "hangs"))
    done(mapreduce("rm", "hangs"))


def test_jobs_are_listed_by_state_name_and_number(patient: str, mapreduce: Call) -> None:
    arguments = ("examples/wordcount.py", "--input", "/patient", "--output")
    for name in ("one", "two"):
        done(mapreduce("new_job", name, *arguments, f"/out/{name}"))
    names = [record["name"] for record in listed(mapreduce, "--state", "new")]
    assert names == ["two", "one", "hangs"]
    assert [r["name"] for r in listed(mapreduce, "--state", "new", "--limit", "1")] == ["two"]
    assert [record["name"] for record in listed(mapreduce, "--name", "o*")] == ["one"]
    assert listed(mapreduce, "--name", "one", "--state", "failed", "--state", "killed") == []
    done(mapreduce("rm", "one", "two", "--yes"))


def test_removing_several_jobs_is_asked_about(patient: str, mapreduce: Call) -> None:
    done(mapreduce("run_job", patient))
    for answer, exit_code in (("n\n", 1), ("y\n", 2)):
        result = CliRunner().invoke(mapreduce_main, ["rm", "hang*"], input=answer)
        assert result.exit_code == exit_code
        assert "remove 1 job?" in result.stderr
    assert "job 'hangs' is running; `mapreduce kill_job hangs` ends it" in result.stderr
    failed(mapreduce("rm", "nobody"), 2, "no job 'nobody'")
    assert "no job is named like that" in done(mapreduce("rm", "x*")).stderr


def test_two_jobs_by_name_are_asked_about_too_and_one_is_not(patient: str, mapreduce: Call) -> None:
    arguments = ("examples/wordcount.py", "--input", "/patient", "--output")
    for name in ("one", "two"):
        done(mapreduce("new_job", name, *arguments, f"/out/{name}"))
    result = CliRunner().invoke(mapreduce_main, ["rm", "one", "two"], input="n\n")
    assert result.exit_code == 1
    assert "remove 2 jobs?" in result.stderr
    for name in ("one", "two"):
        assert done(mapreduce("rm", name)).stdout == f"job {name} is removed\n"


def test_history_and_logs_of_a_job_that_never_ran(patient: str, mapreduce: Call) -> None:
    assert "no run of job hangs has ended yet" in done(mapreduce("history", patient)).stderr
    failed(mapreduce("history", patient, "--run", "x"), 2, "job hangs has no past run 'x'")
    failed(mapreduce("history", "nobody"), 2, "no job 'nobody'")
    assert "no task of job hangs printed" in done(mapreduce("logs", patient)).stderr
    told = done(mapreduce("logs", patient, "map-00000", "--servers")).stderr
    assert "no server has said anything of map-00000 of the latest run of job hangs" in told
    failed(mapreduce("logs", patient, "--servers", "--follow"), 2, "leave out --follow")
    failed(mapreduce("drain", "w1", "--undo", "--wait"), 2, "leave out --undo")


def test_a_second_ctrl_c_kills_the_job_after_asking(
    patient: str, mapreduce: Call, config: ClusterConfig
) -> None:
    command = [sys.executable, "-m", "cli.mapreduce", "run_job", patient, "--wait"]
    terminal, its_end = pty.openpty()
    environment = {**os.environ, "DYNAMO_CONFIG": str(config.path), "PYTHONPATH": str(ROOT)}
    try:
        with subprocess.Popen(
            command, stdin=its_end, stdout=its_end, stderr=its_end, env=environment
        ) as waiting:
            os.close(its_end)
            wait_until(lambda: listed(mapreduce, "--state", "running"), 20, "the job's start")
            waiting.send_signal(signal.SIGINT)
            seen = read_until(terminal, "Ctrl-C again")
            assert "job hangs goes on; `mapreduce status hangs --wait` comes back to it" in seen
            waiting.send_signal(signal.SIGINT)
            read_until(terminal, "kill job hangs? [y/N]")
            os.write(terminal, b"y\n")
            read_until(terminal, "job hangs is killed")
            assert waiting.wait(10) == 0
    finally:
        os.close(terminal)
    assert [r["state"] for r in listed(mapreduce, "--name", "hangs")] == ["killed"]


def read_until(terminal: int, text: str) -> str:
    """What a program has written to its terminal, as soon as `text` is in it."""
    seen = ""

    def found() -> bool:
        nonlocal seen
        with contextlib.suppress(OSError):  # the program has ended
            seen += os.read(terminal, 10_000).decode(errors="replace")
        return text in seen

    wait_until(found, 20, repr(text))
    return seen
