"""The commands `mapreduce json`: light to start, clear in their help and their errors."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.mapreduce import main
from tests.cli.conftest import failed
from tests.mapreduce.jsonwire.site import Scripted, free_port


@pytest.mark.parametrize("command", ["", "master", "worker", "submit", "shutdown"])
def test_help_has_an_example(command: str) -> None:
    result = CliRunner().invoke(main, ["json", *command.split(), "--help"])
    assert result.exit_code == 0
    assert f"mapreduce json {command or 'master'} 6000" in result.stdout


def test_what_they_import_is_light() -> None:
    program = (
        "import sys, cli.mapreduce, mapreduce.jsonwire.master_process,"
        " mapreduce.jsonwire.worker_process; print(*sys.modules)"
    )
    told = subprocess.check_output([sys.executable, "-c", program], text=True)
    heavy = ("gevent", "zerorpc", "zmq", "rich", "plyvel", "fsspec", "cloudpickle", "pysyncobj")
    assert {"asyncio", "mapreduce.engine.scheduler"} <= set(told.split())
    assert not set(heavy) & {module.partition(".")[0] for module in told.split()}


def test_submit_and_shutdown_send_the_messages_of_the_text() -> None:
    master = Scripted(free_port())
    try:
        port = str(master.port)
        options = ["--mapper", "./m", "--reducer", "./r", "--mappers", "4", "--reducers", "3"]
        for arguments in (["submit", port, "in/", "out/", *options], ["shutdown", port]):
            result = CliRunner().invoke(main, ["json", *arguments])
            assert result.exit_code == 0, result.output
        assert master.next() == {
            "message_type": "new_master_job",
            "input_directory": "in/",
            "output_directory": "out/",
            "mapper_executable": "./m",
            "reducer_executable": "./r",
            "num_mappers": 4,
            "num_reducers": 3,
        }
        assert master.next() == {"message_type": "shutdown"}
    finally:
        master.close()


def test_without_a_master_they_say_how_to_start_one() -> None:
    port = str(free_port())
    result = CliRunner().invoke(main, ["json", "shutdown", port])
    failed(result, 1, f"start one with `mapreduce json master {port}`")


@pytest.mark.parametrize(
    "arguments",
    [
        ["master", "1"],
        ["master", "65536"],
        ["worker", "6000"],
        ["worker", "6000", "0"],
        ["master", "6000", "--missed", "0"],
        ["submit", "6000", "in", "out", "--mapper", "m", "--reducer", "r", "--mappers", "0"],
        ["submit", "6000", "in", "out", "--mapper", "m", "--reducer", "r", "--reducers", "100001"],
        ["submit", "6000", "", "out", "--mapper", "m", "--reducer", "r"],
    ],
)
def test_what_can_t_be_meant_is_refused_before_anything_changes(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(main, ["json", *arguments]).exit_code == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("taken", ["TCP", "UDP"])
def test_a_second_master_at_the_same_port_changes_nothing(
    taken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "kept").touch()
    port = free_port()
    kind = socket.SOCK_STREAM if taken == "TCP" else socket.SOCK_DGRAM
    with socket.socket(type=kind) as first:
        first.bind(("127.0.0.1", port if taken == "TCP" else port - 1))
        result = CliRunner().invoke(main, ["json", "master", str(port)])
    failed(result, 2, f"{taken} port")
    assert (tmp_path / "var" / "kept").exists()


def test_a_worker_whose_port_is_taken_says_so() -> None:
    port = free_port()
    with socket.socket() as first:
        first.bind(("127.0.0.1", port))
        result = CliRunner().invoke(main, ["json", "worker", str(port + 1), str(port)])
    failed(result, 2, f"TCP port {port}")
