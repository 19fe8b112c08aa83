"""Networks in which not everybody reaches everybody: jobs on them give what they give anywhere.

Every node has a host of its own (a network namespace), with a worker and a master beside it; two
hosts don't reach each other, and all others reach both.
"""

import contextlib
import gc
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.cluster_processes import ClusterProcesses, Server
from dynamo.config import ClusterConfig, load
from mapreduce.cluster.election import Election
from tests.integration.job_cluster import HeldJob, JobCluster
from tests.integration.namespaces import Network, why_not
from tests.waiting import wait_until

HOSTS = ["n1", "n2", "n3"]


class ProcessesOnHosts(ClusterProcesses):
    """Each server runs on the host that its number says."""

    def __init__(self, config: ClusterConfig, network: Network) -> None:
        super().__init__(config)
        self._network = network

    def command(self, server: Server) -> list[str]:
        return self._network.command(f"n{server.name[1:]}", super().command(server))


class ClusterOnHosts(JobCluster):
    """A node, a worker and perhaps a master on each host; who asks is at the host "clients"."""

    def __init__(self, folder: Path, network: Network, masters: int, settings: str = "") -> None:
        super().__init__(folder)
        lines = ["[cluster]", "trusted_network = yes", settings]
        for number, host in enumerate(HOSTS, start=1):
            address = network.address(host)
            lines += [f"[node {host}]", f"address = {address}:7401"]
            lines += [f"[worker w{number}]", f"node = {host}", "slots = 1"]
            if number <= masters:
                lines += [f"[master m{number}]", f"address = {address}:7402"]
                lines += [f"election = {address}:7403"] if masters > 1 else []
        self.config.path.write_text("\n".join(lines))
        self.config = load(self.config.path)
        self.processes = ProcessesOnHosts(self.config, network)


@pytest.fixture
def network() -> Iterator[Network]:
    if reason := why_not():
        pytest.skip(reason)
    with Network([*HOSTS, "clients"]) as network, network.entered("clients"):
        yield network


def job_of(cluster: JobCluster, folder: Path, held: str = "") -> HeldJob:
    (folder / "job").mkdir()
    return HeldJob(cluster, folder / "job", "wc", held=held)


def test_a_job_goes_on_when_its_leader_and_a_worker_lose_sight_of_each_other(
    network: Network, tmp_path: Path
) -> None:
    """In the middle of the shuffle. The nodes of the two hosts don't reach each other either."""
    with ClusterOnHosts(tmp_path, network, masters=3) as cluster:
        job = job_of(cluster, tmp_path, held="setup")
        job.wait_until_held()
        leader = cluster.leader
        host = f"n{leader[1:]}"
        network.separate([host], [next(other for other in HOSTS if other != host)])
        job.let_go()
        record = job.check_end()
        assert (cluster.leader, record["takeovers"]) == (leader, 0)
        board = cluster.master.scoreboard()
        assert [worker["name"] for worker in board["workers"]] == ["w1", "w2", "w3"]
        assert board["gone"] == []


@pytest.mark.systems
@pytest.mark.parametrize("moment", ["map", "setup", "reduce"])
def test_what_two_hosts_hold_for_each_other_comes_through_the_third(
    network: Network, tmp_path: Path, moment: str
) -> None:
    """There is one copy of everything."""
    settings = "replicas = 1\nread_quorum = 1\nwrite_quorum = 1"
    with ClusterOnHosts(tmp_path, network, masters=1, settings=settings) as cluster:
        job = job_of(cluster, tmp_path, held=moment)
        job.wait_until_held()
        network.separate(["n2"], ["n3"])
        job.let_go()
        record = job.check_end()
        assert record["map"]["lost_attempts"] == 0


@pytest.mark.systems
def test_a_host_that_another_one_does_not_hear(network: Network, tmp_path: Path) -> None:
    """What it sends there is lost, and so no connection comes about either way."""
    network.drop("n3", "n2")
    with ClusterOnHosts(tmp_path, network, masters=1) as cluster:
        job_of(cluster, tmp_path).check_end()


# The election ------------------------------------------------------------------------------------


@pytest.fixture
def collected() -> Iterator[None]:
    """pysyncobj leaves a socket whose address has no way to it to the collector of garbage."""
    yield
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        gc.collect()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.usefixtures("collected")
def test_a_master_that_does_not_reach_the_leader_does_not_take_the_lead(
    network: Network, tmp_path: Path
) -> None:
    members = {host: f"{network.address(host)}:7500" for host in HOSTS}
    with contextlib.ExitStack() as open_elections:
        elections = {}
        for host in HOSTS:
            with network.entered(host):
                elections[host] = one = Election(host, members, tmp_path / host)
            open_elections.callback(one.close)

        def agree() -> bool:
            return len({one.standing.leader for one in elections.values()} - {""}) == 1 and all(
                one.standing.leader for one in elections.values()
            )

        wait_until(agree, 10.0, "a leader")
        first = elections["n1"].standing.leader
        term = elections[first].standing.term
        cut_off = next(host for host in HOSTS if host != first)
        network.separate([first], [cut_off])
        wait_until(lambda: tried(elections[cut_off]) >= tried(elections[first]) + 2, 15.0, "tries")
        assert elections[first].standing == (term, first)
        assert elections[first].decide("end:job", "killed", term) == "killed"
        network.heal()
        wait_until(agree, 15.0, "one leader again")
        wait_until(
            lambda: elections[cut_off].decided == {"end:job": "killed"}, 5.0, "what it missed"
        )


def tried(election: Election) -> int:
    """Which term of Raft's it is in: each try to lead begins another one."""
    return int(election._raft.getStatus()["raft_term"])
