"""What a worker's section of cluster.ini means for its tasks: what they may take, and, in a
sandbox, how they reach the store."""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from dynamo.config import WorkerConfig
from dynamo.store import Store
from mapreduce.engine import sandbox
from mapreduce.engine.allowance import Allowance, Door


@contextmanager
def tasks_of(
    worker: WorkerConfig, open_store: "partial[Any]"
) -> Iterator[tuple[Allowance, Callable[[], Store]]]:
    """What the tasks of `worker` are allowed, and what opens the store for them. Raises
    `SandboxFailed` if this machine can't keep that."""
    allowance = _allowance(worker)
    sandbox.check(allowance)
    if not allowance.boxed:
        yield allowance, open_store
        return
    from dynamo.net.relay import Relay

    (addresses,) = open_store.args
    with sandbox.home() as home:
        sockets = Path(home, "store")
        sockets.mkdir()
        with Relay(addresses, sockets):
            doors = (Door(str(sockets), sandbox.STORE),)
            allowance = msgspec.structs.replace(allowance, home=home, doors=doors)
            yield allowance, partial(open_store, relay=sandbox.STORE)


def _allowance(worker: WorkerConfig) -> Allowance:
    limits = dataclasses.asdict(worker.limits)
    return msgspec.convert({"worker": worker.name, "slots": worker.slots, **limits}, Allowance)
