"""A copy that has rotted on a real node's disk is healed from the other nodes."""

from pathlib import Path

import pytest

from cli.cluster_processes import ClusterProcesses
from cli.local_cluster import write_config
from dynamo.config import ClusterConfig
from dynamo.errors import CorruptData
from dynamo.net import inspect
from dynamo.net.client import Client
from dynamo.values.versions import Siblings
from tests.dynamo.net.conftest import addresses
from tests.dynamo.net.test_inspect import call, damage, end
from tests.waiting import wait_until


def test_a_damaged_copy_is_refused_healed_and_told_of(own_cluster: ClusterConfig) -> None:
    with Client(addresses(own_cluster)) as client:
        client.put("hurt", b"value", w=3)
        victim = client.locate("hurt")[0]
        end(own_cluster, victim)
        damage(own_cluster, victim, "hurt")
        ClusterProcesses(own_cluster).up(say=lambda line: None)

        def copy() -> Siblings | Exception:
            return inspect.copies("hurt", own_cluster.node_addresses)[victim]

        first = copy()
        assert isinstance(first, CorruptData)
        wait_until(lambda: isinstance(copy(), Siblings), 20, f"{victim} to heal its copy")
        found = copy()
        assert isinstance(found, Siblings)
        assert found.values == (b"value",)
        client.put("hurt", b"newer", w=3)
        assert client.get("hurt", r=3).value == b"newer"
    told = call(own_cluster, "status").output
    assert f"{victim} has found 1 damaged record since its start, and healed 1 of them" in told
    assert "heals them from the other replicas" in log_of(own_cluster, victim)


def test_a_value_of_which_no_copy_is_whole_can_be_given_up(tmp_path: Path) -> None:
    config = write_config(tmp_path, nodes=1, masters=0, workers=0)
    ClusterProcesses(config).up(say=lambda line: None)
    try:
        with Client(addresses(config)) as client:
            client.put("hurt", b"value")
            refused = call(config, "give-up", "hurt")
            assert "no replica that answers has a damaged copy" in refused.stderr
            end(config, "n1")
            damage(config, "n1", "hurt")
            ClusterProcesses(config).up(say=lambda line: None)
            for request in (lambda: client.get("hurt"), lambda: client.put("hurt", b"newer")):
                with pytest.raises(CorruptData, match="where no copy is whole `dynamo give-up`"):
                    request()
            assert "no other is whole: `dynamo give-up hurt` drops" in call(config, "status").output
            explained = call(config, "explain", "hurt").output
            assert "or give the value up: `dynamo give-up hurt`" in explained
            told = call(config, "give-up", "hurt")
            assert told.exit_code == 0, told.output
            assert "n1 has dropped its damaged copy of 'hurt'" in told.output
            assert client.get("hurt").values == ()
            client.put("hurt", b"newer")
            assert client.get("hurt").value == b"newer"
    finally:
        ClusterProcesses(config).down(say=lambda line: None)
    assert "has dropped 1 damaged copies, as it was told" in log_of(config, "n1")


def log_of(config: ClusterConfig, name: str) -> str:
    return "\n".join(path.read_text() for path in Path(config.path).parent.rglob(f"*{name}*.log"))
