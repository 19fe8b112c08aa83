"""Single nodes asked past all quorums, and the commands that show it, on real nodes."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from cli.cluster_processes import ClusterProcesses
from cli.dynamo import main
from cli.local_cluster import free_ports
from dynamo.config import ClusterConfig
from dynamo.disk.contract import Write, copy_key
from dynamo.disk.leveldb import LevelDisk
from dynamo.errors import CorruptData, NodeFailed, Unreachable
from dynamo.net import inspect
from dynamo.net.client import Client
from dynamo.protocol.messages import RingDone, StoreCopy
from dynamo.values.ring import Ring, claim
from dynamo.values.versions import EMPTY, NOTHING_SEEN, Siblings, update
from tests.dynamo.net.conftest import addresses
from tests.dynamo.net.test_client import kill
from tests.waiting import wait_until

Call = Callable[..., Result]


@pytest.fixture
def dynamo(cluster: ClusterConfig) -> Call:
    return lambda *arguments: call(cluster, *arguments)


def call(config: ClusterConfig, *arguments: str) -> Result:
    """What the command `dynamo` does on this cluster."""
    return CliRunner().invoke(main, [*arguments, "--config", str(config.path)])


def explained(config: ClusterConfig, key: str) -> dict[str, Any]:
    result = call(config, "explain", key, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def states(found: dict[str, Any]) -> list[str]:
    return [replica["state"] for replica in found["replicas"]]


def store_on(config: ClusterConfig, node: str, key: str, copy: Siblings) -> None:
    """Give one node a copy of its own."""
    request = StoreCopy(inspect.REQUEST_ID, key, copy)
    inspect.ask_each({node: config.node_addresses[node]}, request)


# The nodes asked ---------------------------------------------------------------------------------


def test_every_node_tells_the_ring(cluster: ClusterConfig) -> None:
    found = inspect.rings(addresses(cluster))
    assert sorted(found) == sorted(addresses(cluster))
    for told in found.values():
        assert isinstance(told, RingDone)
        assert told.owners == claim(["n1", "n2", "n3"], partitions=64, n=3)
        assert told.addresses == cluster.node_addresses


def test_each_node_tells_its_own_copy(client: Client, cluster: ClusterConfig) -> None:
    owner, *others = client.locate("told")
    client.put("told", b"here only", n=1)
    found = inspect.copies("told", cluster.node_addresses)
    held = found[owner]
    assert isinstance(held, Siblings)
    assert held.values == (b"here only",)
    assert [found[node] for node in others] == [EMPTY, EMPTY]


def test_asking_repairs_nothing(client: Client, cluster: ClusterConfig) -> None:
    client.put("left alone", b"1", n=1)
    first = inspect.copies("left alone", cluster.node_addresses)
    assert inspect.copies("left alone", cluster.node_addresses) == first


def test_a_large_copy_is_told_whole(client: Client, cluster: ClusterConfig) -> None:
    value = bytes(8 << 20)
    client.put("large copy", value, w=3)
    for copy in inspect.copies("large copy", cluster.node_addresses).values():
        assert isinstance(copy, Siblings)
        assert copy.values == (value,)
    client.delete("large copy")


def test_an_address_where_nobody_listens_is_said_at_once() -> None:
    (port,) = free_ports(1)
    began = time.monotonic()
    found = inspect.copies("any", {"n1": f"127.0.0.1:{port}"}, timeout_s=30)
    assert time.monotonic() - began < 10
    assert isinstance(found["n1"], Unreachable)
    assert str(found["n1"]) == f"nothing listens at 127.0.0.1:{port}"


def test_a_stopped_node_holds_nobody_up_past_the_deadline(own_cluster: ClusterConfig) -> None:
    kill(own_cluster, "n2", with_signal=signal.SIGSTOP)
    try:
        began = time.monotonic()
        found = inspect.copies("any", own_cluster.node_addresses, timeout_s=0.5)
        assert time.monotonic() - began < 5
    finally:
        kill(own_cluster, "n2", with_signal=signal.SIGCONT)
    assert (found["n1"], found["n3"]) == (EMPTY, EMPTY)
    assert isinstance(found["n2"], Unreachable)
    assert "listens, and had no answer within 0.5 s" in str(found["n2"])


# dynamo explain ----------------------------------------------------------------------------------


def test_replicas_that_agree(client: Client, cluster: ClusterConfig) -> None:
    client.put("agreed", b"green", w=3)
    found = explained(cluster, "agreed")
    assert found["agree"]
    assert found["preference_list"] == list(client.locate("agreed"))
    assert found["partition"] == Ring(claim(["n1", "n2", "n3"], 64, 3)).partition_of("agreed")
    dots = {replica["versions"][0]["dot"] for replica in found["replicas"]}
    assert len(dots) == 1
    assert [r["versions"][0]["size_bytes"] for r in found["replicas"]] == [5, 5, 5]


def test_a_replica_that_missed_a_write_is_behind_until_a_get(
    client: Client, cluster: ClusterConfig
) -> None:
    client.put("stale", b"old", w=3)
    client.put("stale", b"newer", n=1)
    found = explained(cluster, "stale")
    assert states(found) == ["current", "behind", "behind"]
    owner, second, _ = found["replicas"]
    new, old = owner["versions"][0]["dot"], second["versions"][0]["dot"]
    assert (second["lacks"], second["replaced"]) == ([new], [old])
    text = call(cluster, "explain", "stale").stdout
    assert f"(behind): lacks {new}; still holds {old}, which was replaced" in text
    client.get("stale")
    wait_until(lambda: explained(cluster, "stale")["agree"], 10, "read repair")


def test_a_key_that_only_one_replica_has_seen(client: Client, cluster: ClusterConfig) -> None:
    client.put("seen once", b"1", n=1)
    assert states(explained(cluster, "seen once")) == ["current", "empty", "empty"]


def test_a_delete_that_one_replica_alone_knows(client: Client, cluster: ClusterConfig) -> None:
    client.put("half gone", b"1", w=3)
    client.delete("half gone", n=1)
    found = explained(cluster, "half gone")
    assert states(found) == ["current", "behind", "behind"]
    assert found["replicas"][0]["versions"][0]["tombstone"]
    assert "the key is deleted" in call(cluster, "explain", "half gone").stdout


def test_concurrent_copies(client: Client, cluster: ClusterConfig) -> None:
    first, second, _ = client.locate("two carts")
    store_on(cluster, first, "two carts", update(EMPTY, NOTHING_SEEN, "a", b"milk", written_at=1.0))
    store_on(
        cluster, second, "two carts", update(EMPTY, NOTHING_SEEN, "b", b"eggs", written_at=2.0)
    )
    found = explained(cluster, "two carts")
    assert states(found) == ["concurrent", "concurrent", "empty"]
    assert found["replicas"][0]["context"] == {"a": 1}
    text = call(cluster, "explain", "two carts").stdout
    assert f"{first} (concurrent): lacks b:1, written beside what it holds" in text
    assert "2 siblings of 4 B and 4 B" in text


def test_a_key_that_was_never_written(dynamo: Call) -> None:
    result = dynamo("explain", "never")
    assert result.exit_code == 0
    assert "all 3 replicas agree: the key was never written" in result.stdout


def test_a_damaged_copy_and_a_silent_replica_are_told_apart(own_cluster: ClusterConfig) -> None:
    with Client(addresses(own_cluster)) as client:
        client.put("hurt", b"value", w=3)
        _, damaged, silent = client.locate("hurt")
    end(own_cluster, damaged)
    damage(own_cluster, damaged, "hurt")
    ClusterProcesses(own_cluster).up(say=lambda line: None)
    end(own_cluster, silent)
    assert isinstance(inspect.copies("hurt", own_cluster.node_addresses)[damaged], CorruptData)
    found = explained(own_cluster, "hurt")
    assert states(found) == ["current", "damaged", "no answer"]
    assert not found["agree"]
    text = call(own_cluster, "explain", "hurt").stdout
    assert f"{damaged} (damaged): its copy fails its checksum" in text
    assert f"{silent} (no answer): nothing listens at" in text
    ring = call(own_cluster, "ring")
    assert ring.exit_code == 0
    assert f"warning: {silent} does not answer" in ring.stderr


def end(config: ClusterConfig, name: str) -> None:
    """Kill a node, and wait until the system has taken its port and its disk's lock from it: that
    can be a moment after the process has ended, while its threads are cleaned up."""
    kill(config, name)
    node = config.node(name)
    wait_until(lambda: _refuses(node.address), 10, f"{node.address} to be free")
    wait_until(lambda: _opens(node.data), 10, f"the lock of {node.data}")


def _refuses(address: str) -> bool:
    answer = inspect.rings([address], timeout_s=0.2)[address]
    return "nothing listens" in str(answer)


def _opens(folder: Path) -> bool:
    try:
        LevelDisk(folder).close()
    except NodeFailed:
        return False
    return True


def damage(config: ClusterConfig, name: str, key: str) -> None:
    """Flip a bit of the copy that a stopped node keeps of `key`."""
    node = config.node(name)
    disk = LevelDisk(node.data)
    where = copy_key(
        Ring(claim(sorted(config.node_addresses), 64, config.replicas)).partition_of(key), key
    )
    stored = disk.get(where)
    assert stored is not None
    disk.commit([Write(where, stored[:-1] + bytes([stored[-1] ^ 1]))], sync=True)
    disk.close()


# dynamo ring -------------------------------------------------------------------------------------


def test_the_ring_as_text(dynamo: Call, cluster: ClusterConfig) -> None:
    result = dynamo("ring")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("64 partitions, epoch 1, N=3 R=2 W=2\n")
    assert "balanced: each member owns 21 to 22 partitions, 21.33 would be even" in result.stdout
    for name, address in cluster.node_addresses.items():
        assert any(
            line.split()[0] == name and line.rstrip().endswith(address)
            for line in result.stdout.splitlines()
            if line
        )
    assert result.stderr == ""


def test_the_ring_as_json(dynamo: Call) -> None:
    found = json.loads(dynamo("ring", "--json").stdout)
    assert found["owners"] == list(claim(["n1", "n2", "n3"], partitions=64, n=3))
    assert sum(member["owned"] for member in found["members"]) == 64
    assert {view["epoch"] for view in found["views"]} == {1}


def test_the_ring_as_a_picture(dynamo: Call, tmp_path: Path) -> None:
    path = tmp_path / "ring.svg"
    result = dynamo("ring", "--svg", str(path))
    assert (result.exit_code, result.stdout) == (0, "")
    assert ElementTree.parse(path).getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_a_picture_that_cannot_be_written_is_one_line(dynamo: Call, tmp_path: Path) -> None:
    result = dynamo("ring", "--svg", str(tmp_path / "none" / "ring.svg"))
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert "No such file or directory" in result.stderr
