"""What a run leaves in the store goes from every node, also from those that had missed it."""

from contextlib import contextmanager
from pathlib import Path

from cli.cluster_processes import ClusterProcesses
from dynamo.net.client import Client
from mapreduce.cluster import records
from mapreduce.engine import paths
from tests.dynamo.net.conftest import addresses, running
from tests.dynamo.net.test_client import kill
from tests.waiting import wait_until


def test_pieces_go_that_the_node_has_missed_which_is_asked_to_delete_them(tmp_path: Path) -> None:
    """Ephemeral copies are compared by nobody, so it never gets them."""
    keys = [paths.block(paths.phase("run", 0), 0, index, 1, 0, 0) for index in range(40)]
    with contextmanager(running)(tmp_path) as config:
        with Client(addresses(config), prefer="n1") as client:
            kill(config, "n3")
            client.multi_put(dict.fromkeys(keys, b"x"), ttl_s=600, ephemeral=True, timeout_s=20)
            ClusterProcesses(config).up(say=lambda line: None)
        with Client(addresses(config), prefer="n3") as client:
            wait_until(lambda: len(client.status()) == 3, 20, "all three")
            records.clean_up(client, "run")
            records.clean_up_everywhere(client, "run")
            assert list(client.list(paths.pieces("run"))) == []
