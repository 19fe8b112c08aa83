"""Three masters and two workers, each a process: what happens when the leading master goes."""

import signal

import pytest
import zerorpc

from dynamo.errors import Unreachable
from mapreduce.cluster.connection import Connection
from tests.mapreduce.cluster.serving import Cluster
from tests.waiting import wait_until

NEW_LEADER_S = 3.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    folder = tmp_path_factory.mktemp("masters") / "store"
    folder.mkdir()
    with Cluster(folder, masters=3) as cluster:
        yield cluster


def test_another_leads_within_three_seconds_and_clients_and_workers_follow(cluster):
    old = cluster.wait_for_leader()
    cluster.end(old, signal.SIGKILL)
    new = cluster.wait_for_leader(NEW_LEADER_S)
    assert new != old
    cluster.wait_for_workers(2)
    cluster.start_master(old)
    wait_until(lambda: len(cluster.connection.standings()) == 3, 10.0, "the old one to be back")
    standings = cluster.connection.standings()
    leaders = [said for said in standings.values() if said["leads"]]
    assert [said["master"] for said in leaders] == [new]


def test_who_stands_by_says_who_leads_and_where(cluster):
    leader = cluster.wait_for_leader()
    other = next(name for name in cluster.places if name != leader)
    wait_until(
        lambda: cluster.connection.standings()[cluster.places[other][0]]["leader"] == leader,
        5.0,
        "the news of the leader",
    )
    client = zerorpc.Client(f"tcp://{cluster.places[other][0]}", timeout=5, heartbeat=None)
    with pytest.raises(zerorpc.RemoteError) as caught:
        client.jobs()
    client.close()
    assert caught.value.name == "NotLeader"
    address = cluster.places[leader][0]
    assert f"master {other} does not lead; master {leader} does: ask it at {address}" in str(
        caught.value.msg
    )


def test_without_a_majority_nobody_leads(cluster):
    leader = cluster.wait_for_leader()
    ended = [name for name in cluster.places if name != leader]
    for name in ended:
        cluster.end(name, signal.SIGKILL)
    wait_until(lambda: not cluster.leaders(), 5.0, "the end of the term")
    addresses = [address for address, _ in cluster.places.values()]
    with pytest.raises(Unreachable, match="a majority of them has to run"):
        Connection(addresses, timeout_s=0.2).jobs()
    for name in ended:
        cluster.start_master(name)
    cluster.wait_for_leader()
    cluster.wait_for_workers(2)
