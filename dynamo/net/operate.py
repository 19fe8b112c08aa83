"""What operators ask of a cluster: what its nodes know of it, and to change its members.

Any member takes a change; here the one is asked that knows of the latest. For commands and tests.
"""

import time
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from dynamo.errors import DynamoError, RequestError, Unreachable
from dynamo.net.inspect import PATIENCE_S, REQUEST_ID, ask_each, expected, in_hub
from dynamo.net.status import StatusByAddress, statuses_of
from dynamo.protocol.messages import (
    ClearPlan,
    ClusterDone,
    CommitPlan,
    Failed,
    Failure,
    GetCluster,
    GivenUp,
    GiveUp,
    Message,
    Request,
    StageChange,
)
from dynamo.values.cluster import Change, Cluster, Rank, merge

GIVE_UP_S = 5.0
"""How long `give_up` asks: a node tries that often, or a little less, to heal a damaged copy."""
AGAIN_S = 0.2
"""How often it asks."""


class Found(NamedTuple):
    """What the nodes that answer tell of their cluster."""

    cluster: Cluster
    """What all of them know together."""
    told: Mapping[str, Cluster]
    """What each of them knows, by its name."""
    silent: Mapping[str, str]
    """Why each of the others tells nothing."""
    addresses: Mapping[str, str]
    """Where each of them all was asked."""


def look(
    addresses: Mapping[str, str],
    timeout_s: float = PATIENCE_S,
    without: Collection[str] = (),
) -> Found:
    """Ask the nodes at `addresses` (name -> "host:port"), and the members they name.

    The word of nodes in `without` does not count for `cluster`, nor are those asked whom only they
    name: they may belong to another one. Raises `Unreachable` if nobody else answers.
    """
    asked: dict[str, str] = {}
    answers: dict[str, Cluster | DynamoError] = {}
    ask = dict(addresses)
    while ask:
        asked |= ask
        answers |= _clusters(ask, timeout_s)
        ask = {
            name: member.address
            for by, cluster in answers.items()
            if isinstance(cluster, Cluster) and by not in without
            for name, member in cluster.members.items()
            if name not in asked
        }
    told = {name: cluster for name, cluster in answers.items() if isinstance(cluster, Cluster)}
    silent = {name: str(error) for name, error in answers.items() if name not in told}
    heard = [cluster for name, cluster in told.items() if name not in without]
    if not heard:
        reasons = "; ".join(f"{name}: {why}" for name, why in silent.items())
        raise Unreachable(f"no node tells of the cluster ({reasons}); see `dynamo status`")
    cluster = heard[0]
    for other in heard[1:]:
        cluster = merge(cluster, other)
    return Found(cluster, told, silent, asked)


def stage(found: Found, change: Change, timeout_s: float = PATIENCE_S) -> Cluster:
    """Add a change to the plan; `RequestError` says why it can't be."""
    return _tell(found, StageChange(REQUEST_ID, change), [change.node], timeout_s)


def clear(found: Found, timeout_s: float = PATIENCE_S) -> Cluster:
    """Forget what is planned."""
    return _tell(found, ClearPlan(REQUEST_ID), [], timeout_s)


def commit(found: Found, rank: Rank, timeout_s: float = PATIENCE_S) -> Cluster:
    """Carry out what is planned, if the table still has this rank, else `RequestError`."""
    leaving = [change.node for change in found.cluster.table.staged]
    return _tell(found, CommitPlan(REQUEST_ID, rank), leaving, timeout_s)


def give_up(key: str, owners: Mapping[str, str], timeout_s: float = GIVE_UP_S) -> str:
    """Have one of `owners` (name -> "host:port") drop its damaged copy; returns who did.

    A node first tries to heal it from the others, so it is asked again for a while. `RequestError`
    says why none of them would.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        answers = ask_each(owners, GiveUp(REQUEST_ID, key))
        for node, answer in answers.items():
            if isinstance(answer, GivenUp):
                return node
        if time.monotonic() > deadline:
            why = "; ".join(_reason(node, answer) for node, answer in answers.items())
            raise RequestError(f"{key!r} was not given up: {why}")
        time.sleep(AGAIN_S)


def _reason(node: str, answer: Message | DynamoError) -> str:
    """What a node that has not done it says."""
    return answer.detail if isinstance(answer, Failed) else f"{node}: {answer}"


def statuses(
    addresses: Mapping[str, str], timeout_s: float = PATIENCE_S
) -> dict[str, dict[str, Any] | str]:
    """What each node says of itself, by name; a text where it doesn't."""
    found: StatusByAddress = in_hub(
        lambda context: statuses_of(list(addresses.values()), timeout_s, context)
    )
    return {name: found[address] for name, address in addresses.items()}


def _clusters(addresses: Mapping[str, str], timeout_s: float) -> dict[str, Cluster | DynamoError]:
    found = ask_each(addresses, GetCluster(REQUEST_ID), timeout_s)
    replies = {
        name: expected(ClusterDone, reply, "GetCluster", name) for name, reply in found.items()
    }
    return {
        name: reply if isinstance(reply, DynamoError) else reply.cluster
        for name, reply in replies.items()
    }


def _tell(found: Found, request: Request, last: Collection[str], timeout_s: float) -> Cluster:
    """Have one member that knows what all know together do it; those in `last` if need be."""
    table = found.cluster.table
    able = [
        name
        for name in sorted(found.told, key=lambda name: name in last)
        if name in table.live and found.told[name].table.rank == table.rank
    ]
    if not able:
        raise Unreachable("no member of the cluster answers; see `dynamo status`")
    node = able[0]
    reply = ask_each({node: found.addresses[node]}, request, timeout_s)[node]
    if isinstance(reply, Failed) and reply.reason is Failure.REQUEST:
        raise RequestError(reply.detail)
    done = expected(ClusterDone, reply, type(request).__name__, node)
    if isinstance(done, DynamoError):
        raise done
    return done.cluster
