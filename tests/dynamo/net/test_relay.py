"""The store over the sockets of a relay is the same store; and nothing else is reached by it."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.cluster_processes import ClusterProcesses
from dynamo.config import ClusterConfig
from dynamo.net.client import Client
from dynamo.net.relay import Relay
from tests.dynamo.net.conftest import addresses
from tests.dynamo.net.test_client import kill
from tests.dynamo.store_battery import StoreBattery
from tests.waiting import wait_until


@pytest.fixture
def folder() -> Iterator[Path]:
    """The name of a Unix socket has a hundred bytes: too few for a folder of pytest's."""
    made = Path(tempfile.mkdtemp(prefix="relay-"))
    yield made
    shutil.rmtree(made)


@pytest.mark.systems
class TestClientOverRelay(StoreBattery):
    @pytest.fixture
    def store(self, cluster: ClusterConfig, folder: Path) -> Iterator[Client]:
        with (
            Relay(addresses(cluster), folder),
            Client(addresses(cluster), relay=str(folder)) as client,
        ):
            yield client


def test_there_is_a_socket_for_each_member_whoever_was_told(
    cluster: ClusterConfig, folder: Path
) -> None:
    members = addresses(cluster)
    with Relay(members[:1], folder):
        wait_until(
            lambda: sorted(path.name for path in folder.iterdir()) == sorted(members),
            20,
            "a socket for each",
        )
        with Client(members[:1], relay=str(folder)) as client:
            assert len(client.put("everywhere", b"yes", w=3).nodes) == 3
    assert list(folder.iterdir()) == []


@pytest.mark.systems
def test_a_large_value_is_passed_on_whole(cluster: ClusterConfig, folder: Path) -> None:
    value = bytes(range(256)) * (6 << 12)
    with (
        Relay(addresses(cluster), folder),
        Client(addresses(cluster), relay=str(folder)) as client,
    ):
        client.put("large", value)
        assert client.get("large").value == value


@pytest.mark.systems
def test_a_node_that_dies_and_comes_back_is_known_of_through_the_relay(
    own_cluster: ClusterConfig, folder: Path
) -> None:
    with (
        Relay(addresses(own_cluster), folder),
        Client(addresses(own_cluster), prefer="n1", relay=str(folder), timeout_s=60) as client,
    ):
        client.put("before", b"", w=3)
        kill(own_cluster, "n1")
        assert all("n1" not in client.put(f"key {n}", b"v").nodes for n in range(20))
        ClusterProcesses(own_cluster).up(say=lambda line: None)
        wait_until(lambda: "n1" in client.put("again", b"").nodes, 30, "its return")
