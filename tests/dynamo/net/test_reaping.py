"""A real cluster drops the tombstones of what was deleted, when its cluster.ini says."""

from pathlib import Path

from cli.cluster_processes import ClusterProcesses
from cli.local_cluster import write_config
from dynamo.net.client import Client
from tests.dynamo.net.conftest import addresses
from tests.waiting import wait_until


def test_tombstones_are_dropped_as_soon_as_the_file_says(tmp_path: Path) -> None:
    settings = "timeout_s = 0.9\nreap_after_s = 1"
    config = write_config(tmp_path, nodes=3, masters=0, workers=0, settings=settings)
    processes = ClusterProcesses(config)
    processes.up(say=lambda line: None)
    try:
        with Client(addresses(config), timeout_s=10) as client:
            client.put("colour", b"green", w=3)
            client.delete("colour", w=3)

            def reaped() -> int:
                status = client.status().values()
                return sum(one["dead"]["reaped"] for one in status if isinstance(one, dict))

            wait_until(lambda: reaped() == 3, 60, "all three nodes to drop the tombstone")
    finally:
        processes.down(say=lambda line: None)
