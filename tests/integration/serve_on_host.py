"""A server on a host of a test's own network: a store node, a master or a worker, at addresses of
that network.

    python -m tests.integration.serve_on_host KIND NAME HOSTS --config FILE --ready-fd NUMBER

cluster.ini may name addresses of the loopback interface only, since servers have no keys yet. In a
test's namespaces nobody else is, so they get other addresses here, past that check: HOSTS are those
of the file's hosts as JSON, {"n1": "10.0.0.1", ...}. A node is on the host of its name, the n-th
master and the n-th worker on that of the n-th node. Ports stay those of the file.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import click

from cli.options import say_ready
from dynamo.config import ClusterConfig, load
from dynamo.net import server
from dynamo.net.client import Client


def moved(config: ClusterConfig, hosts: Mapping[str, str]) -> ClusterConfig:
    """The cluster with its servers at other addresses."""
    nodes = tuple(
        replace(node, address=_at(node.address, hosts[node.name])) for node in config.nodes
    )
    masters = tuple(
        replace(
            master,
            address=_at(master.address, hosts[node.name]),
            election=_at(master.election, hosts[node.name]),
        )
        for master, node in zip(config.masters, config.nodes)
    )
    return replace(config, nodes=nodes, masters=masters)


def _at(address: str, host: str) -> str:
    return address and f"{host}:{address.rpartition(':')[2]}"


@click.command()
@click.argument("kind")
@click.argument("name")
@click.argument("hosts")
@click.option("--config", "path", type=Path)
@click.option("--ready-fd", type=int)
def main(kind: str, name: str, hosts: str, path: Path, ready_fd: int) -> None:
    cluster = moved(load(path), json.loads(hosts))
    ready = say_ready(f"{kind} {name} answers", ready_fd)
    addresses = list(cluster.node_addresses.values())
    if kind == "node":
        server.serve(cluster, name, ready)
    elif kind == "master":
        from mapreduce.cluster import master

        with Client(addresses, timeout_s=cluster.timeout_s) as store:
            master.serve(cluster.master(name), cluster.masters, store, ready, trusted_network=True)
    else:
        from mapreduce.cluster import worker

        me = cluster.worker(name)
        open_store = partial(Client, addresses, prefer=me.node, timeout_s=cluster.timeout_s)
        masters = list(cluster.master_addresses.values())
        host = cluster.node_addresses[me.node].rpartition(":")[0]
        worker.serve(name, me.node, me.slots, masters, open_store, ready, host)


if __name__ == "__main__":
    main()
