"""The store over the sockets of a relay is the same store; and nothing else is reached by it."""

import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import zerorpc

from cli.cluster_processes import ClusterProcesses
from dynamo.config import ClusterConfig
from dynamo.errors import DynamoError, RequestError
from dynamo.net.asking import ask
from dynamo.net.client import Client
from dynamo.net.line import connect
from dynamo.net.relay import CALLERS, Relay
from dynamo.protocol.messages import Failed, GetCluster
from tests.dynamo.net.conftest import addresses
from tests.dynamo.net.test_client import kill
from tests.dynamo.store_battery import StoreBattery
from tests.waiting import wait_until


@pytest.fixture
def folder() -> Iterator[Path]:
    """The name of a Unix socket has a hundred bytes: too few for a folder of pytest's."""
    made = Path(tempfile.mkdtemp(prefix="relay-"))
    yield made / "gate"
    made.rmdir()  # nothing is left in it


@contextmanager
def through_gate(members: list[str], folder: Path, **options: Any) -> Iterator[Client]:
    """A client behind a gate by which all may be written."""
    with Relay(members) as relay:
        relay.gate(folder).allow([""])
        with Client(members, relay=str(folder), **options) as client:
            yield client


@pytest.mark.systems
class TestClientOverRelay(StoreBattery):
    @pytest.fixture
    def store(self, cluster: ClusterConfig, folder: Path) -> Iterator[Client]:
        with through_gate(addresses(cluster), folder) as client:
            yield client


def test_there_is_a_socket_for_each_member_whoever_was_told(
    cluster: ClusterConfig, folder: Path
) -> None:
    members = addresses(cluster)
    with through_gate(members[:1], folder) as client:
        wait_until(
            lambda: sorted(path.name for path in folder.iterdir()) == sorted(members),
            20,
            "a socket for each",
        )
        assert len(client.put("everywhere", b"yes", w=3).nodes) == 3


def test_a_folder_with_too_long_a_name_for_sockets_is_refused_and_nothing_left(
    tmp_path: Path,
) -> None:
    with Relay(["127.0.0.1:1"]) as relay, pytest.raises(OSError, match="File name too long"):
        relay.gate(tmp_path / ("x" * 100))
    assert list(tmp_path.iterdir()) == []


def test_behind_a_gate_one_reads_all_and_writes_what_is_one_s_own(
    cluster: ClusterConfig, folder: Path
) -> None:
    members = addresses(cluster)
    with Client(members) as outside:
        outside.put("other:1", b"as it was")
        with Relay(members) as relay:
            gate = relay.gate(folder)
            with Client(members, relay=gate.folder) as inside:
                with pytest.raises(RequestError, match="writes only what is its own"):
                    inside.put("own:1", b"too early")
                gate.allow(["own:"])
                inside.put("own:1", b"mine")
                assert inside.get("other:1").value == b"as it was"
                for change in (
                    lambda: inside.put("other:1", b"changed"),
                    lambda: inside.delete("other:1"),
                    lambda: inside.multi_put({"own:2": b"", "other:1": b"changed"}),
                    lambda: inside.multi_delete(["own:1", "other:1"]),
                ):
                    with pytest.raises(DynamoError, match="'other:1'"):
                        change()
            with zerorpc.Context() as context:
                with (
                    closing(connect(members[0], 5.0, context, gate.folder)) as plain,
                    pytest.raises(zerorpc.RemoteError, match="put"),
                ):
                    plain.put("other:1", b"changed")
                for _ in range(2 * CALLERS):
                    told = ask(members[0], GetCluster(1), 5.0, context, gate.folder)
                    assert isinstance(told, Failed) and "only reads and puts" in told.detail
            gate.close()
        assert outside.get("other:1").value == b"as it was"


@pytest.mark.systems
def test_a_large_value_is_passed_on_whole(cluster: ClusterConfig, folder: Path) -> None:
    value = bytes(range(256)) * (6 << 12)
    with through_gate(addresses(cluster), folder) as client:
        client.put("large", value)
        assert client.get("large").value == value


@pytest.mark.systems
def test_a_node_that_dies_and_comes_back_is_known_of_through_the_relay(
    own_cluster: ClusterConfig, folder: Path
) -> None:
    with through_gate(addresses(own_cluster), folder, prefer="n1", timeout_s=60) as client:
        client.put("before", b"", w=3)
        kill(own_cluster, "n1")
        assert all("n1" not in client.put(f"key {n}", b"v").nodes for n in range(20))
        ClusterProcesses(own_cluster).up(say=lambda line: None)
        wait_until(lambda: "n1" in client.put("again", b"").nodes, 30, "its return")
