"""Asking single nodes, past all quorums: what is on this node, and what does it think?

A get merges what the replicas hold and repairs what differs, so it can't show the difference. Here
each node is asked by itself, and nothing is changed. For commands and tests; programs use
`dynamo.net.client`.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import TypeVar

import gevent
import zerorpc

from dynamo.errors import CorruptData, DynamoError
from dynamo.net.asking import ask
from dynamo.net.failures import failure
from dynamo.net.hub import HubThread
from dynamo.protocol.messages import (
    CopyFetched,
    Failed,
    FetchCopy,
    FetchHints,
    GetRing,
    HintsFetched,
    Message,
    Request,
    RingDone,
)
from dynamo.values.versions import Siblings

PATIENCE_S = 2.0
"""How long a node that listens may take to answer."""
REQUEST_ID = 1
"""Each node gets one request of each asker, so the ids need not differ."""

Result = TypeVar("Result")


def rings(
    addresses: Sequence[str], timeout_s: float = PATIENCE_S
) -> dict[str, RingDone | DynamoError]:
    """The ring as the node at each of `addresses` ("host:port") knows it, or why it tells none."""
    found = ask_each({address: address for address in addresses}, GetRing(REQUEST_ID), timeout_s)
    return {address: expected(RingDone, reply, "ring", address) for address, reply in found.items()}


def copies(
    key: str, addresses: Mapping[str, str], timeout_s: float = PATIENCE_S
) -> dict[str, Siblings | DynamoError]:
    """What each node holds of `key`, by the nodes' names; `addresses` has name -> "host:port".

    A node that holds nothing gives `dynamo.values.versions.EMPTY`; one whose copy fails its
    checksum gives `CorruptData`, and one that does not answer `Unreachable`.
    """
    found = ask_each(addresses, FetchCopy(REQUEST_ID, key), timeout_s)
    fetched = {node: expected(CopyFetched, reply, "fetch", key) for node, reply in found.items()}
    return {
        node: reply if isinstance(reply, DynamoError) else reply.siblings
        for node, reply in fetched.items()
    }


def hints(
    key: str, addresses: Mapping[str, str], timeout_s: float = PATIENCE_S
) -> dict[str, dict[str, Siblings] | DynamoError]:
    """The copies of `key` that each node keeps for owners that are down, by the owner's name."""
    found = ask_each(addresses, FetchHints(REQUEST_ID, key), timeout_s)
    fetched = {node: expected(HintsFetched, reply, "fetch", key) for node, reply in found.items()}
    return {
        node: reply if isinstance(reply, DynamoError) else reply.hints
        for node, reply in fetched.items()
    }


def ask_each(
    addresses: Mapping[str, str], request: Request, timeout_s: float = PATIENCE_S
) -> dict[str, Message | DynamoError]:
    """The reply of each node to `request`, whose id is `REQUEST_ID`; all are asked at once."""

    def ask_all(context: zerorpc.Context) -> dict[str, Message | DynamoError]:
        asked = {
            node: gevent.spawn(ask, address, request, timeout_s, context)
            for node, address in addresses.items()
        }
        return {node: greenlet.get() for node, greenlet in asked.items()}

    return in_hub(ask_all)


def in_hub(work: Callable[[zerorpc.Context], Result]) -> Result:
    """What `work` gives, in a hub and with a context made for it alone."""
    context = zerorpc.Context()
    hub = HubThread("dynamo-inspect")
    answer: Future[Result] = Future()
    hub.post(lambda: gevent.spawn(_into, answer, lambda: work(context)))
    try:
        return answer.result()
    finally:
        hub.close()
        context.destroy(linger=0)


def _into(future: "Future[Result]", work: Callable[[], Result]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:
        future.set_exception(error)  # the thread that waits must not wait for ever


def expected(
    kind: type[Result], reply: Message | DynamoError, operation: str, key: str
) -> Result | DynamoError:
    """The reply to `operation` if it is of this kind, else the error that it is or stands for."""
    if isinstance(reply, kind | DynamoError):
        return reply
    if isinstance(reply, Failed):
        return failure(reply, operation, key)
    return CorruptData(f"{operation} of {key!r} was answered with {type(reply).__name__}")
