"""What real nodes say of themselves, to commands and to their logs."""

import json
import os
import signal
import subprocess
import sys

from click.testing import CliRunner

from cli.cluster_processes import ClusterProcesses, servers
from cli.dynamo import main
from dynamo.config import ClusterConfig
from dynamo.net.client import Client
from tests.dynamo.net.conftest import addresses
from tests.dynamo.net.test_client import kill
from tests.waiting import wait_until


def test_the_figures_are_of_what_was_done(own_cluster: ClusterConfig) -> None:
    with Client(addresses(own_cluster)) as client:
        client.multi_put({f"k{number}": bytes(1000) for number in range(300)}, w=3)
        client.multi_get([f"k{number}" for number in range(200)])
        client.delete("k1")
        told = [status for status in client.status().values() if isinstance(status, dict)]
    counted = {
        kind: sum(count for s in told for _, count in s["requests"][kind]["histogram_s"])
        for kind in ("put", "get", "delete")
    }
    assert counted == {"put": 300, "get": 200, "delete": 1}
    for status in told:
        assert status["disk"]["used_bytes"] >= 300 * 1000
        assert status["disk"]["free_bytes"] > 0
        assert len(status["disk"]["partition_bytes"]) == own_cluster.partitions
        assert 0 < status["commits"]["p50_ms"] <= status["commits"]["p99_9_ms"] < 60_000
        assert 0 < status["process"]["memory_bytes"] <= status["process"]["peak_memory_bytes"] * 1.1
        assert status["queues"]["inbox_requests"] == 0


def test_status_and_stats_of_real_nodes(cluster: ClusterConfig, client: Client) -> None:
    client.put("looked at", b"value")
    for command in ("status", "stats"):
        shown = CliRunner().invoke(main, [command, "--config", str(cluster.path)])
        assert shown.exit_code == 0, shown.output
        assert "n3" in shown.stdout
        told = CliRunner().invoke(main, [command, "--json", "--config", str(cluster.path)])
        assert set(json.loads(told.stdout)["nodes"]) == {"n1", "n2", "n3"}


def test_stats_are_watched_until_ctrl_c(cluster: ClusterConfig) -> None:
    for arguments in (["--json"], []):
        command = [sys.executable, "-m", "cli.dynamo", "stats", "--watch", *arguments]
        with subprocess.Popen(
            [*command, "--config", str(cluster.path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "TTY_INTERACTIVE": "1", "FORCE_COLOR": "1"},
        ) as watching:
            assert watching.stdout is not None
            lines = [watching.stdout.readline() for _ in range(2)]
            watching.send_signal(signal.SIGINT)
            _, errors = watching.communicate(timeout=20)
        assert watching.returncode == 0, errors
        assert errors == b""
        if arguments:
            assert [set(json.loads(line)["nodes"]) for line in lines] == [{"n1", "n2", "n3"}] * 2


def log_of(config: ClusterConfig, name: str) -> list[str]:
    """The lines that a node has logged of itself, apart from those of the ring."""
    (server,) = [server for server in servers(config) if server.name == name]
    lines = ClusterProcesses(config).log(server).read_text().splitlines()
    return [line for line in lines if f" {name}: " in line and "ring epoch" not in line]


def test_a_death_and_a_return_are_a_line_each_in_the_logs_of_the_others(
    own_cluster: ClusterConfig,
) -> None:
    with Client(addresses(own_cluster), prefer="n1") as client:
        kill(own_cluster, "n2")
        for _ in range(20):
            client.multi_put({f"k{number}": b"" for number in range(50)}, timeout_s=20)
        wait_until(lambda: log_of(own_cluster, "n1"), 20, "n1 to say that n2 is down")
        ClusterProcesses(own_cluster).up(say=lambda line: None)
        wait_until(lambda: len(log_of(own_cluster, "n1")) > 1, 20, "n1 to say that n2 is back")
    down, back = log_of(own_cluster, "n1")
    assert "WARNING n1: takes n2 to be down" in down
    assert "INFO n1: n2 is back, after" in back
