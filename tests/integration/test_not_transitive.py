"""Networks in which not everybody reaches everybody: jobs on them give what they give anywhere.

Every node has a host of its own (a network namespace), with a worker and a master beside it; two
hosts don't reach each other, and all others reach both.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.cluster_processes import ClusterProcesses, Server
from cli.local_cluster import write_config
from dynamo.config import ClusterConfig
from tests.integration.job_cluster import HeldJob, JobCluster
from tests.integration.namespaces import Network, why_not
from tests.integration.serve_on_host import moved

HOSTS = ["n1", "n2", "n3"]


class ProcessesOnHosts(ClusterProcesses):
    """Each server runs on the host that its number says."""

    def __init__(self, config: ClusterConfig, network: Network) -> None:
        super().__init__(config)
        self._network = network
        self._hosts = json.dumps({host: network.address(host) for host in HOSTS})
        self._file = str(config.path)

    def command(self, server: Server) -> list[str]:
        module, host = "tests.integration.serve_on_host", f"n{server.name[1:]}"
        command = [sys.executable, "-m", module, server.kind, server.name, self._hosts]
        return self._network.command(host, [*command, "--config", self._file])


class ClusterOnHosts(JobCluster):
    """A node, a worker and perhaps a master on each host; who asks is at the host "clients"."""

    def __init__(self, folder: Path, network: Network, masters: int, settings: str = "") -> None:
        super().__init__(folder)
        written = write_config(folder, masters=masters, slots=1, settings=settings)
        self.config = moved(written, {host: network.address(host) for host in HOSTS})
        self.processes = ProcessesOnHosts(self.config, network)


@pytest.fixture
def network() -> Iterator[Network]:
    if reason := why_not():
        pytest.skip(reason)
    with Network([*HOSTS, "clients"]) as network, network.entered("clients"):
        yield network


@pytest.mark.parametrize("replicas", [3, 1])
def test_a_job_whose_workers_do_not_all_reach_all_data(
    network: Network, tmp_path: Path, replicas: int
) -> None:
    """With a single replica what n3 needs of n2 comes through n1."""
    network.separate(["n2"], ["n3"])
    settings = f"replicas = {replicas}\nread_quorum = {min(2, replicas)}\nwrite_quorum = {min(2, replicas)}"
    with ClusterOnHosts(tmp_path, network, masters=1, settings=settings) as cluster:
        folder = tmp_path / "job"
        folder.mkdir()
        record = HeldJob(cluster, folder, "wc").check_end()
        print(record)
