"""A real cluster of three nodes: processes, sockets, LevelDB."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.cluster_processes import ClusterProcesses
from cli.local_cluster import write_config
from dynamo.config import ClusterConfig
from dynamo.net.client import Client


@pytest.fixture(scope="package")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterConfig]:
    """A cluster that every test of this package uses and none harms."""
    yield from running(tmp_path_factory.mktemp("cluster"))


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[ClusterConfig]:
    """A cluster for one test, which may kill what it likes."""
    yield from running(tmp_path)


@pytest.fixture
def four_nodes(tmp_path: Path) -> Iterator[ClusterConfig]:
    """A cluster in which a node is left over to stand in for another."""
    yield from running(tmp_path, nodes=4)


@pytest.fixture
def client(cluster: ClusterConfig) -> Iterator[Client]:
    with Client(addresses(cluster)) as client:
        yield client


def running(folder: Path, nodes: int = 3) -> Iterator[ClusterConfig]:
    config = write_config(folder, nodes=nodes, masters=0, workers=0)
    processes = ClusterProcesses(config)
    processes.up(say=lambda line: None)
    try:
        yield config
    finally:
        processes.down(say=lambda line: None)


def addresses(config: ClusterConfig) -> list[str]:
    return [node.address for node in config.nodes]
