"""Asking every node how it is."""

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

import gevent
import zerorpc

from dynamo.net.asking import listens
from dynamo.net.line import connect

StatusByAddress = dict[str, dict[str, Any] | str]


def gather_status(
    addresses: Sequence[str],
    timeout_s: float,
    context: zerorpc.Context,
    into: "Future[StatusByAddress]",
) -> None:
    """Put into a future what `statuses_of` gives."""
    into.set_result(statuses_of(addresses, timeout_s, context))


def statuses_of(
    addresses: Sequence[str], timeout_s: float, context: zerorpc.Context
) -> StatusByAddress:
    """Ask all nodes at once, in the hub of this greenlet; a node that is silent gets a text."""
    asked = {
        address: gevent.spawn(_status_of, address, timeout_s, context) for address in addresses
    }
    return {address: greenlet.get() for address, greenlet in asked.items()}


def _status_of(address: str, timeout_s: float, context: zerorpc.Context) -> dict[str, Any] | str:
    if not listens(address, timeout_s):
        return f"no answer: nothing listens at {address}"
    rpc = connect(address, timeout_s, context)
    try:
        status: dict[str, Any] = rpc.status()
        return status
    except (zerorpc.TimeoutExpired, zerorpc.LostRemote, zerorpc.RemoteError) as error:
        return f"no answer: {error}"
    finally:
        rpc.close()
