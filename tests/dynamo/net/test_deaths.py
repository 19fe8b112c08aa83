"""A node that has gone is known at once, one that is stopped only after some patience.

No test looks at a clock: a patience that would never end shows what was decided without it.
"""

import signal
from concurrent.futures import Future

import pytest

from cli.cluster_processes import ClusterProcesses, servers
from dynamo.config import ClusterConfig
from dynamo.net import link
from dynamo.net.client import Client
from dynamo.store import Written
from tests.dynamo.net.conftest import addresses
from tests.dynamo.net.test_client import kill
from tests.waiting import wait_until


def log_of(config: ClusterConfig, name: str) -> str:
    (server,) = (server for server in servers(config) if server.name == name)
    return ClusterProcesses(config).log(server).read_text()


def test_what_a_killed_node_had_to_do_for_a_client_is_done_by_others_at_once(
    own_cluster: ClusterConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "SILENCE_S", 3600.0)  # of the client's links
    with Client(addresses(own_cluster), prefer="n1", timeout_s=60) as client:
        client.put("warm", b"up")
        kill(own_cluster, "n1", with_signal=signal.SIGSTOP)
        # The node has them, and answers none.
        puts = [client.put_async(f"key {number}", b"v") for number in range(150)]
        gets = [client.get_async("warm") for _ in range(50)]
        assert not any(future.done() for future in (*puts, *gets))
        kill(own_cluster, "n1")
        assert all("n1" not in put.result().nodes for put in puts)
        assert {get.result().value for get in gets} == {b"up"}


def test_the_other_nodes_know_at_once_that_one_has_been_killed(
    own_cluster: ClusterConfig,
) -> None:
    with Client(addresses(own_cluster), prefer="n1") as client:
        client.put("before", b"", w=3)
        kill(own_cluster, "n3")
        writes: list[Future[Written]] = [client.put_async(str(n), b"") for n in range(50)]
        assert all("n3" not in write.result().nodes for write in writes)
        wait_until(lambda: "takes n3 to be down" in log_of(own_cluster, "n1"), 20, "the news")
    assert "takes n3 to be down: its process has gone" in log_of(own_cluster, "n1")


def test_a_stopped_node_is_suspected_and_not_taken_for_gone(own_cluster: ClusterConfig) -> None:
    with Client(addresses(own_cluster), prefer="n1") as client:
        client.put("before", b"", w=3)
        kill(own_cluster, "n3", with_signal=signal.SIGSTOP)
        client.put("meanwhile", b"", w=2)
        wait_until(lambda: "takes n3 to be down" in log_of(own_cluster, "n1"), 20, "the suspicion")
        kill(own_cluster, "n3", with_signal=signal.SIGCONT)
        wait_until(lambda: "n3 is back" in log_of(own_cluster, "n1"), 20, "its return")
        assert "n3" in client.put("after", b"", w=3).nodes
    assert "takes n3 to be down: it does not answer" in log_of(own_cluster, "n1")
    assert "gone" not in log_of(own_cluster, "n1")
