"""What a worker's section of cluster.ini means for its tasks: what they may take, and, in a
sandbox, how they reach the store."""

import dataclasses
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from dynamo.config import WorkerConfig
from dynamo.store import Store
from mapreduce.engine import sandbox
from mapreduce.engine.allowance import Allowance
from mapreduce.engine.process import OpenGate
from mapreduce.errors import SandboxFailed

if TYPE_CHECKING:  # slow to import, and not needed without a sandbox
    from dynamo.net.relay import Gate, Relay


class Inside(NamedTuple):
    """How tasks of a worker live."""

    allowance: Allowance
    open_store: Callable[[], Store]
    """Opens the store for them."""
    open_gate: OpenGate | None


@contextmanager
def tasks_of(worker: WorkerConfig, open_store: "partial[Any]") -> Iterator[Inside]:
    """What the tasks of `worker` are allowed, and their way to the store. Raises `SandboxFailed` if
    this machine can't keep that."""
    allowance = _allowance(worker)
    sandbox.check(allowance)
    if not allowance.boxed:
        yield Inside(allowance, open_store, None)
        return
    from dynamo.net.relay import Relay

    (addresses,) = open_store.args
    with sandbox.home() as home, Relay(addresses) as relay:
        allowance = msgspec.structs.replace(allowance, home=home)
        open_gate = partial(_open_gate, relay, home)
        try:
            open_gate().close()
        except OSError as error:
            reason = f"{error.strerror}; set TMPDIR to a folder with a short name"
            raise SandboxFailed(sandbox.refused(allowance, reason)) from error
        yield Inside(allowance, partial(open_store, relay=sandbox.STORE), open_gate)


def _open_gate(relay: "Relay", home: str) -> "Gate":
    """For one process of tasks."""
    return relay.gate(Path(home, f"store-{secrets.token_hex(4)}"))


def _allowance(worker: WorkerConfig) -> Allowance:
    limits = dataclasses.asdict(worker.limits)
    return msgspec.convert({"worker": worker.name, "slots": worker.slots, **limits}, Allowance)
