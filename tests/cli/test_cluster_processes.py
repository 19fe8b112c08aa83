"""`mapreduce up` and `down` on real store nodes: all or nothing, and nobody else's processes."""

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from cli import processes
from cli.cluster_processes import ClusterProcesses, servers
from cli.errors import Failure
from cli.local_cluster import write_config
from cli.mapreduce import main
from cli.options import open_store
from cli.processes import Process
from dynamo.config import ClusterConfig
from tests.waiting import wait_until


@pytest.fixture
def config(tmp_path: Path) -> ClusterConfig:
    """Three store nodes, and nothing else."""
    return write_config(tmp_path, masters=0, workers=0)


@pytest.fixture
def cluster(config: ClusterConfig) -> Iterator[ClusterProcesses]:
    cluster = ClusterProcesses(config)
    yield cluster
    cluster.down(lambda line: None)


def mapreduce(config: ClusterConfig, *arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--config", str(config.path)])


def test_up_starts_nodes_that_answer_and_down_leaves_nothing_but_values(
    config: ClusterConfig, cluster: ClusterProcesses
) -> None:
    result = mapreduce(config, "up")
    assert result.exit_code == 0, result.output
    assert sorted(result.stdout.splitlines()) == [
        f"node {node.name} answers on {node.address}" for node in config.nodes
    ]
    running = list(cluster.running().values())
    assert len(running) == 3
    with open_store(config) as store:
        store.put("colour", b"green")
        assert store.get("colour").value == b"green"
    result = mapreduce(config, "down")
    assert result.stdout.splitlines() == [f"node {n} stopped" for n in ("n1", "n2", "n3")]
    assert not any(process.alive for process in running)
    assert list((config.data / "run").glob("*.json")) == []
    cluster.up(lambda line: None)
    with open_store(config) as store:
        assert store.get("colour").value == b"green"


def test_a_second_up_starts_what_is_missing_and_down_stops_what_the_file_no_longer_names(
    config: ClusterConfig, cluster: ClusterProcesses
) -> None:
    cluster.up(lambda line: None)
    before = cluster.running()
    victim = servers(config)[1]
    before[victim].signal(signal.SIGKILL)
    wait_until(lambda: not before[victim].alive, 10, "the end of n2")
    lines: list[str] = []
    cluster.up(lines.append)
    after = cluster.running()
    assert lines == [
        f"node n1 runs already (process {before[servers(config)[0]].pid})",
        f"node n3 runs already (process {before[servers(config)[2]].pid})",
        f"node n2 answers on {victim.address}",
    ]
    assert {s for s in after if after[s] != before[s]} == {victim}

    (running,) = [p for s, p in after.items() if s.name == "n3"]
    lines = config.path.read_text().splitlines()
    config.path.write_text("\n".join(lines[: lines.index("[node n3]")]))
    assert "node n3 stopped" in mapreduce(config, "down").stdout
    assert not running.alive


def test_a_port_in_use_stops_what_was_started_and_shows_the_log(
    config: ClusterConfig, cluster: ClusterProcesses
) -> None:
    host, _, port = config.node("n2").address.partition(":")
    with socket.create_server((host, int(port))):
        result = mapreduce(config, "up")
    assert result.exit_code == 1
    assert "node n2 has ended; its log" in result.stderr
    assert config.node("n2").address in result.stderr.partition("ends with:")[2]
    assert "Traceback" not in result.stderr
    assert cluster.running() == {}


def test_down_leaves_a_stranger_with_a_recorded_id_alone(
    config: ClusterConfig, cluster: ClusterProcesses, tmp_path: Path
) -> None:
    stranger = processes.start(["sleep", "60"], tmp_path / "log")
    try:
        (config.data / "run").mkdir(parents=True)
        record = config.data / "run" / "node-n1.json"
        record.write_bytes(msgspec.json.encode(Process(stranger.pid, "another time")))
        result = mapreduce(config, "down")
        assert (result.exit_code, result.stdout) == (0, "")
        assert stranger.alive
        assert not record.exists()
    finally:
        processes.stop([stranger], grace_s=10)


def test_down_without_up_does_nothing(config: ClusterConfig) -> None:
    result = mapreduce(config, "down")
    assert (result.exit_code, result.output) == (0, "")
    assert not config.data.exists()


def test_two_at_once_are_refused(config: ClusterConfig, cluster: ClusterProcesses) -> None:
    with cluster._locked(), pytest.raises(Failure, match="another `mapreduce up` or `down`"):
        ClusterProcesses(config).up(lambda line: None)
