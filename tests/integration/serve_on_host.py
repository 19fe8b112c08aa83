"""A store node on a host of a test's own network: `dynamo serve`, with the address of that host.

    python -m tests.integration.serve_on_host NAME ADDRESS... --config FILE --ready-fd NUMBER

cluster.ini may name addresses of the loopback interface only, since nodes have no keys yet. In a
test's namespaces nobody else is, so the nodes get other addresses here, past that check: one
HOST:PORT for each node of the file, in its order.
"""

from dataclasses import replace
from pathlib import Path

import click

from cli.options import say_ready
from dynamo.config import ClusterConfig, load
from dynamo.net import server


def moved(config: ClusterConfig, addresses: list[str]) -> ClusterConfig:
    """The cluster with other addresses of its nodes."""
    nodes = (replace(node, address=to) for node, to in zip(config.nodes, addresses, strict=True))
    return replace(config, nodes=tuple(nodes))


@click.command()
@click.argument("name")
@click.argument("addresses", nargs=-1)
@click.option("--config", type=Path)
@click.option("--ready-fd", type=int)
def main(name: str, addresses: tuple[str, ...], config: Path, ready_fd: int) -> None:
    cluster = moved(load(config), list(addresses))
    server.serve(cluster, name, say_ready(f"node {name} answers", ready_fd))


if __name__ == "__main__":
    main()
