"""The demo's job gives the identical output although servers are killed in the middle of it."""

import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from cli import processes, transfer
from cli.cluster_processes import ClusterProcesses
from cli.job_control import open_master
from cli.local_cluster import write_config
from cli.options import open_store
from cli.processes import Process
from dynamo.config import ClusterConfig
from examples import demo
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
LARGEST = 100
"""Of the demo's files: most of its bytes in a sixth of its files."""


@pytest.mark.parametrize(
    ("worker", "node"),
    [("w2", "n3"), pytest.param("w1", "n1", marks=pytest.mark.faults)],
    ids=["apart", "side by side"],
)
def test_a_worker_and_a_node_killed_in_the_middle_change_nothing(
    tmp_path: Path, worker: str, node: str
) -> None:
    config = write_config(tmp_path, slots=1)
    uploads = sorted(demo.library_uploads(), key=lambda one: one.size_bytes)[-LARGEST:]
    expected = demo.sequential_count(one.source for one in uploads)
    with demo.running(config) as cluster, open_store(config) as store:
        transfer.upload(store, uploads)
        orphans: list[Process] = []
        killing = partial(kill_in_the_middle, config, cluster, worker, node, orphans)
        record = demo.run_job(config, during=killing)
        assert record["state"] == "succeeded", record["error"]
        lines = sorted(demo.output_lines(store))
        assert lines == sorted(f"{word}\t{count}" for word, count in expected.items())
        counters = record["counters"]
        assert counters["map_input_bytes"] == sum(one.size_bytes for one in uploads)
        assert counters["map_output_records"] == sum(expected.values())
        wait_until(
            lambda: not any(process.alive for process in orphans),
            timeout_s=10,
            what="the end of the killed worker's task processes",
        )


def kill_in_the_middle(
    config: ClusterConfig,
    cluster: ClusterProcesses,
    worker: str,
    node: str,
    orphans: list[Process],
) -> None:
    """SIGKILL a worker and a node once some map tasks are done and others are not; `orphans` gets
    the processes that the worker had started."""
    master = open_master(config)

    def in_the_middle() -> bool:
        record = master.job_status(demo.JOB)
        assert record["state"] == "running", f"the job ended too early: {record}"
        return record["map"]["done"] >= 2

    wait_until(in_the_middle, timeout_s=60, what="two map tasks done")
    running = {str(server): process for server, process in cluster.running().items()}
    victims = [running[f"worker {worker}"], running[f"node {node}"]]
    orphans += processes.descendants(victims)
    for victim in victims:
        victim.signal(signal.SIGKILL)
    wait_until(
        lambda: not any(victim.alive for victim in victims),
        timeout_s=10,
        what="the end of the killed processes",
    )
    record = master.job_status(demo.JOB)
    assert record["map"]["done"] < record["map"]["total"]


def test_the_demo_itself_says_that_its_output_is_right(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert demo.main() == 0
    finally:
        signal.signal(signal.SIGTERM, before)
    printed = capsys.readouterr().out
    assert "RIGHT: all" in printed
    assert "11 of 11 tasks" in printed or "tasks in" in printed


def test_ctrl_c_stops_the_demo_and_leaves_no_process() -> None:
    command = [sys.executable, "-u", "-m", "examples.demo"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout and running.stderr
        while "worker w1 answers" not in running.stdout.readline():
            pass
        family = processes.descendants(
            [Process(running.pid, processes.start_time(running.pid) or "")]
        )
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=30)
    assert running.returncode == 1
    assert errors == "demo: stopped by Ctrl-C\n"
    assert len(family) >= 7  # three nodes, a master, three workers
    wait_until(lambda: not any(one.alive for one in family), 10, "the end of all servers")


def test_the_demo_sees_a_wrong_output(capsys: pytest.CaptureFixture[str]) -> None:
    counts = demo.Counter({"to": 2, "be": 2})
    assert demo.compare(["be\t2", "to\t2"], counts)
    assert not demo.compare(["be\t2", "to\t3"], counts)
    assert not demo.compare(["be\t2"], counts)
    assert not demo.compare(["be\t2", "to\t2", "to\t2"], counts)
    assert "'to\\t3'" in capsys.readouterr().out
