"""Nodes are killed and suspended under a workload: nothing acknowledged is lost.

Every test records all that clients did and were told, and the simulation's checkers judge it.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.cluster_processes import ClusterProcesses
from cli.local_cluster import write_config
from tests.integration.machines import Trial


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[Trial]:
    """Four nodes, so that one is left over to stand in for another."""
    config = write_config(tmp_path, nodes=4, masters=0, workers=0)
    with Trial(config, ClusterProcesses(config), seed=1) as trial:
        yield trial


def test_nodes_are_killed_one_by_one_then_all_at_once_and_nothing_is_lost(trial: Trial) -> None:
    nodes = list(trial.config.node_addresses)
    for killed in (*([name] for name in nodes), nodes, nodes):
        trial.work.go_on(operations=60)
        trial.kill(*killed)
        if killed != nodes:
            trial.work.go_on(operations=60)
        trial.start()
    trial.work.go_on(operations=60)
    assert trial.judge() == []


def test_nodes_suspended_until_others_miss_them_come_back_and_nothing_is_lost(trial: Trial) -> None:
    for name, other in (("n2", "n3"), ("n4", "n1")):
        trial.work.go_on(operations=60)
        trial.suspend(name)
        trial.wait_until_down(name, seen_by=other)
        trial.work.go_on(operations=80)
        trial.resume(name)
    trial.work.go_on(operations=60)
    assert trial.judge() == []


def test_a_node_that_was_away_long_gets_all_it_missed_before_anybody_reads(trial: Trial) -> None:
    trial.work.go_on(operations=60)
    trial.kill("n2")
    trial.wait_until_kept("n2", copies=2)
    trial.work.go_on(operations=300)
    trial.start()
    trial.work.go_on(operations=50)
    assert trial.judge(known_to=trial.config.replicas) == []


def test_a_node_restored_from_an_old_copy_of_its_disk_uses_no_version_twice(
    trial: Trial, tmp_path: Path
) -> None:
    data = trial.config.node("n2").data
    trial.work.go_on(operations=100)
    trial.kill("n2")
    shutil.copytree(data, tmp_path / "old copy")
    trial.start()
    trial.work.go_on(operations=100)
    trial.kill("n2")
    shutil.rmtree(data)
    shutil.move(tmp_path / "old copy", data)
    trial.start()
    trial.work.go_on(operations=100)
    # What the node acknowledged and no longer has, an operator has thrown away.
    assert {found.rule for found in trial.judge()} <= {"lost write", "thin write"}


def test_writes_that_really_are_lost_are_seen_by_the_checkers(trial: Trial) -> None:
    trial.work.go_on(operations=60)
    trial.work.stop()
    trial.kill(*trial.config.node_addresses)
    for node in trial.config.nodes:
        shutil.rmtree(node.data)
    trial.start()
    assert {found.rule for found in trial.judge()} >= {"lost write", "thin write"}


def test_a_trial_that_fails_leaves_no_node_not_even_a_suspended_one(tmp_path: Path) -> None:
    config = write_config(tmp_path, nodes=3, masters=0, workers=0)
    processes = ClusterProcesses(config)
    with pytest.raises(RuntimeError, match="the test"), Trial(config, processes, seed=1) as trial:
        trial.suspend("n1")
        assert len(processes.running()) == 3
        raise RuntimeError("the test")
    assert processes.running() == {}
