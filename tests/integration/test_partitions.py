"""Networks that part the nodes under a workload: nothing acknowledged is lost, all agree again.

Every node has a host of its own (a network namespace), and so have the clients.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.cluster_processes import ClusterProcesses, Server
from cli.local_cluster import write_config
from dynamo.config import ClusterConfig
from dynamo.errors import QuorumFailed
from dynamo.net.client import Client
from tests.integration.machines import Trial
from tests.integration.namespaces import Network, why_not
from tests.integration.serve_on_host import moved

NODES = ["n1", "n2", "n3", "n4", "n5"]
PORT = 7401


class ProcessesOnHosts(ClusterProcesses):
    """Each node runs on the host of its name."""

    def __init__(self, config: ClusterConfig, network: Network) -> None:
        super().__init__(config)
        self._addresses = list(config.node_addresses.values())
        self._file = str(config.path)
        self._network = network

    def command(self, server: Server) -> list[str]:
        module = "tests.integration.serve_on_host"
        command = [sys.executable, "-m", module, server.name, *self._addresses]
        return self._network.command(server.name, [*command, "--config", self._file])


@pytest.fixture(scope="module")
def hosts() -> Iterator[Network]:
    if reason := why_not():
        pytest.skip(reason)
    with Network([*NODES, "clients"]) as network, network.entered("clients"):
        yield network


@pytest.fixture
def network(hosts: Network) -> Iterator[Network]:
    """Hosts that reach each other, and do so again behind the test."""
    yield hosts
    hosts.heal()


@pytest.fixture
def trial(network: Network, tmp_path: Path) -> Iterator[Trial]:
    written = write_config(tmp_path, nodes=len(NODES), masters=0, workers=0)
    config = moved(written, [f"{network.address(node)}:{PORT}" for node in NODES])
    with Trial(config, ProcessesOnHosts(config, network), seed=2) as trial:
        trial.work.go_on(operations=60)
        yield trial


def test_both_sides_of_a_partition_take_writes_and_agree_again(
    network: Network, trial: Trial
) -> None:
    network.separate(["n1", "n2"], ["n3", "n4", "n5"])
    trial.wait_until_acknowledged_by(["n1", "n2"])
    trial.wait_until_acknowledged_by(["n3", "n4", "n5"])
    trial.work.go_on(operations=50)
    network.heal()
    trial.work.go_on(operations=60)
    assert trial.judge() == []


def test_nodes_that_hear_nobody_are_not_heard_or_miss_each_other_catch_up(
    network: Network, trial: Trial
) -> None:
    network.unplug("n2")  # cut off from all
    trial.wait_until_down("n2", seen_by="n3")
    trial.work.go_on(operations=80)
    network.heal()
    trial.work.go_on(operations=60)

    for other in ("n1", "n2", "n3", "n5"):  # n4 hears the others and is not heard
        network.drop("n4", other)
    trial.wait_until_down("n4", seen_by="n3")
    trial.work.go_on(operations=60)
    network.heal()
    trial.work.go_on(operations=60)

    network.separate(["n1"], ["n5"])  # they reach all but each other
    trial.wait_until_down("n1", seen_by="n5")
    trial.wait_until_down("n5", seen_by="n1")
    trial.work.go_on(operations=100)
    network.heal()
    trial.work.go_on(operations=60)
    assert trial.judge() == []


@pytest.mark.faults
def test_kills_and_pauses_in_the_middle_of_a_partition(network: Network, trial: Trial) -> None:
    network.separate(["n1", "n2"], ["n3", "n4", "n5"])
    trial.wait_until_acknowledged_by(["n1", "n2"])
    trial.kill("n1", "n3")
    trial.suspend("n4")
    trial.start()
    trial.wait_until_acknowledged_by(["n3", "n5"])
    network.heal()
    network.separate(["n5"], ["n1", "n3"])
    trial.kill("n2")
    trial.work.go_on(operations=50)
    trial.resume("n4")
    network.heal()
    trial.start()
    trial.work.go_on(operations=60)
    assert trial.judge() == []


def test_a_client_that_reaches_a_node_that_reaches_nobody_is_served_by_others(
    network: Network, tmp_path: Path
) -> None:
    """Three nodes: nobody is left to stand in. A request has longer than any test may take."""
    written = write_config(tmp_path, nodes=3, masters=0, workers=0)
    hosts = NODES[:3]
    config = moved(written, [f"{network.address(node)}:{PORT}" for node in hosts])
    processes = ProcessesOnHosts(config, network)
    processes.up(lambda line: None)
    addresses = list(config.node_addresses.values())
    try:
        with Client(addresses, prefer="n1", timeout_s=3600) as client:
            client.put("key", b"before", w=3)
            network.separate(["n1"], ["n2", "n3"])
            assert set(client.put("key", b"after").nodes) == {"n2", "n3"}
            assert set(client.get("key").nodes) == {"n2", "n3"}
            assert list(client.list("key")) == ["key"]
            with pytest.raises(QuorumFailed) as caught:
                client.put("key", b"too much", w=3, timeout_s=5.0)
            assert caught.value.needed == 3
            assert {"n2", "n3"} <= set(caught.value.answered)
            network.heal()
            assert len(client.get("key", r=3).nodes) == 3
    finally:
        processes.down(lambda line: None)
