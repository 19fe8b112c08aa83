"""A master whose commits can be held in their middle: `mapreduce master`, for tests of what happens
just then.

    python -m tests.integration.serve_holding_master NAME --config FILE --ready-fd NUMBER

While there is a file `hold` in the folder of cluster.ini, the second part of an output waits to
become visible, and so does what comes after it. Such a master also takes a silent worker for lost
sooner than others do.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from cli.options import say_ready
from dynamo.config import load
from dynamo.net.client import Client
from dynamo.store import Written
from mapreduce.cluster import master
from mapreduce.engine.scheduler import Policy
from tests.waiting import wait_until

HELD_FROM = "/part-00001"
POLICY = Policy(worker_timeout_s=2.0)


class HoldingClient(Client):
    """A client that waits with the second part of an output while the file `hold` exists."""

    hold: Path

    def multi_put(self, items: Mapping[str, bytes], **options: Any) -> dict[str, Written]:
        held = {key: items[key] for key in items if key.endswith(HELD_FROM)}
        others = {key: items[key] for key in items.keys() - held.keys()}
        written = super().multi_put(others, **options)
        if held:
            wait_until(lambda: not self.hold.exists(), 60.0, "the end of the hold")
            written |= super().multi_put(held, **options)
        return written


@click.command()
@click.argument("name")
@click.option("--config", "path", type=Path)
@click.option("--ready-fd", type=int)
def main(name: str, path: Path, ready_fd: int) -> None:
    config = load(path)
    ready = say_ready(f"master {name} answers", ready_fd)
    addresses = list(config.node_addresses.values())
    with HoldingClient(addresses, timeout_s=config.timeout_s) as store:
        store.hold = path.parent / "hold"
        master.serve(config.master(name), config.masters, store, ready, POLICY)


if __name__ == "__main__":
    main()
