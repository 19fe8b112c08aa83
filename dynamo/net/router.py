"""Leads each operation of a client to a node, and to the next one where that one is silent.

Everything here runs in the client's hub; see `dynamo.net.client` for the side of the threads.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import Any

import gevent
import gevent.event
import msgspec
import zerorpc

from dynamo.errors import DynamoError, Overloaded, Unreachable
from dynamo.net.calls import Call, Operation
from dynamo.net.following import Following
from dynamo.net.gathering import Gathered, gather
from dynamo.protocol.messages import (
    ClientRequest,
    Envelope,
    Failed,
    Failure,
    GetMany,
    GetRing,
    KeyRequest,
    Message,
    Put,
    PutMany,
)
from dynamo.values.ring import Ring

AGAIN_S = 0.5
"""How long an operation that no owner can do now is left alone before all are asked once more."""
TICK_S = 0.05
"""How often deadlines are looked at, and nodes tried again when none of them answered."""
ENOUGH_GATHERED = 200
"""Requests that wait for one node before the next one of a key's owners is asked instead."""
OPEN_LIMIT_BYTES = 512 << 20
"""What all operations of one client that have not ended may weigh; a call beyond it is refused."""
FIRST_LOT_ID = 1 << 62
"""Ids of the lots that the router makes; those of its client are below."""
GRACE_S = 1.0
"""How much sooner than the caller a node gives up, at most, so that its reason is heard in time."""
CLOSED = "the client was closed while the call waited"


class Router:
    """The operations of one client that are on their way."""

    def __init__(
        self,
        me: str,
        seeds: Sequence[str],
        prefer: str | None,
        context: zerorpc.Context,
        relay: str = "",
    ) -> None:
        self._me = me
        self._following = Following(
            me,
            seeds,
            prefer,
            self._on_replies,
            self._on_lost,
            self._send_homeless,
            self._prepare,
            context,
            relay,
        )
        self._open: dict[int, Operation] = {}
        """All operations that have not ended, by request id."""
        self._open_bytes = 0
        self._homeless: list[Operation] = []
        """Those of them that no node can be asked for now: the ring is unknown, or none answers."""
        self._arrived: list[Operation] = []
        """Those that came since the router last ran: they are sent together."""
        self._next_lot = count(FIRST_LOT_ID).__next__
        self._work = gevent.event.Event()
        self._is_closed = False
        self._greenlets = [gevent.spawn(run) for run in (self._keep, self._run)]

    @property
    def known(self) -> tuple[Ring, int] | None:
        """The ring and the cluster's n, for any thread; None until a node has told them."""
        return self._following.known

    def dispatch(self, call: Call[Any]) -> None:
        """Send every operation of `call` to the node that is best for it, soon."""
        if self._is_closed:
            for operation in call.operations:
                operation.call.settle(operation, Unreachable(CLOSED))
            return
        weight = sum([operation.weight for operation in call.operations])
        if self._open and self._open_bytes + weight > OPEN_LIMIT_BYTES:
            what = f"{len(self._open):,} operations of {self._open_bytes:,} bytes"
            error = Overloaded(f"{what} of this client are under way; use fewer callers")
            for operation in call.operations:
                operation.call.settle(operation, error)
            return
        self._open_bytes += weight
        self._open.update((operation.request.id, operation) for operation in call.operations)
        self._arrived += call.operations
        self._work.set()

    def close(self) -> None:
        """End every call that still waits, and hang up."""
        self._is_closed = True
        for greenlet in self._greenlets:
            greenlet.kill()
        for id in list(self._open):
            self._settle(id, Unreachable(CLOSED))
        self._following.close()

    def _run(self) -> None:
        while True:
            self._work.wait()
            self._work.clear()
            arrived, self._arrived = self._arrived, []
            self._send(self._gathered(arrived))

    def _gathered(self, arrived: Iterable[Operation]) -> Iterable[Operation]:
        """What has arrived, in lots where that is possible."""
        known = self._following.known
        if known is None:
            return arrived
        gathered = list(gather(arrived, known[0], self._next_lot))
        lots = (operation for operation in gathered if isinstance(operation, Gathered))
        self._open.update((lot.request.id, lot) for lot in lots)
        return gathered

    def _send(self, operations: Iterable[Operation]) -> None:
        by_node: dict[str, list[Envelope]] = {}
        for operation in operations:
            node = self._choose(operation, by_node)
            if node is None:
                operation.again_at = time.monotonic() + (AGAIN_S if operation.failed else 0.0)
                self._homeless.append(operation)
            else:
                envelope = Envelope(self._me, node, operation.request)
                by_node.setdefault(node, []).append(envelope)
        for node, envelopes in by_node.items():
            self._following.links[node].send(envelopes)

    def _keep(self) -> None:
        """End what has reached its deadline; try all nodes anew for what has found none."""
        while True:
            gevent.sleep(TICK_S)
            now = time.monotonic()
            late = [op for op in self._open.values() if op.deadline <= now]
            for operation in late:
                self._settle(operation.request.id, self._too_late(operation))
            self._send_homeless()

    def _send_homeless(self) -> None:
        now = time.monotonic()
        homeless = [op for op in self._homeless if op.request.id in self._open]
        self._homeless = [op for op in homeless if op.again_at > now]
        due = [op for op in homeless if op.again_at <= now]
        for operation in due:
            operation.tried.clear()
        self._send(due)

    def _settle(self, id: int, outcome: Message | DynamoError) -> None:
        operation = self._open.pop(id, None)
        if isinstance(operation, Gathered):
            self._share(operation, outcome)
        elif operation is not None:  # else it has ended already: a late answer
            self._open_bytes -= operation.weight
            operation.call.settle(operation, outcome)

    def _share(self, lot: Gathered, outcome: Message | DynamoError) -> None:
        """Settle the members of a lot; send those anew that it gave no answer for."""
        again = []
        for member, share in lot.shares(outcome):
            if share is not None:
                self._settle(member.request.id, share)
            elif member.request.id in self._open:
                again.append(member)
        self._send(again)

    def _too_late(self, operation: Operation) -> Message | DynamoError:
        """How an operation ends at its deadline."""
        if operation.failed:
            return operation.failed
        what = f"{operation.name} of {operation.key!r}"
        for link in self._following.links.values():
            if link.holds_back(operation.sent_as):
                return Overloaded(
                    f"{what} was not sent within {operation.timeout_s:g} s, so much waits for the "
                    f"node at {link.address}; use fewer callers"
                )
        asked = ", ".join(self._following.addresses)
        return Unreachable(
            f"{what} had no answer after {operation.timeout_s:g} s from any node of {asked}; "
            "see `dynamo status`, start nodes with `mapreduce up`"
        )

    def _choose(self, operation: Operation, chosen: Mapping[str, Sequence[Envelope]]) -> str | None:
        """The node to ask: one that holds the key and that this client already sends to.

        All that goes to one node travels together, so a client sticks to its favourites among the
        owners until enough has gathered there to keep another one busy as well. A node that holds
        no copy is asked only when no owner can be: it passes the request on. `chosen` are requests
        about to be sent.
        """
        known, links = self._following.known, self._following.links
        if known is None:
            return None
        ring, n = known
        favourites = self._following.favourites
        usable = [node for node in favourites if node not in operation.tried and links[node].up]
        if not isinstance(operation.request, KeyRequest):
            return usable[0] if usable else None
        owners = ring.preference_list(operation.key, operation.request.n or n)
        holders = [node for node in usable if node in owners]
        if isinstance(operation.request, Put) and operation.request.condition:
            # Where all clients send them one sees the other, if nothing is down.
            holders = [node for node in owners if node in holders][:1]
        backlogs = {
            node: links[node].backlog + len(chosen.get(node, ())) for node in holders or usable
        }
        # What a batch call has cut into lots is a batch by itself.
        if isinstance(operation, Gathered) or not isinstance(operation.request, PutMany | GetMany):
            for node, backlog in backlogs.items():
                if backlog < ENOUGH_GATHERED:
                    return node
        return min(backlogs, key=backlogs.__getitem__, default=None)

    def _prepare(self, envelope: Envelope) -> Envelope | None:
        """The request as it is sent now, if its caller still waits."""
        operation = self._open.get(envelope.message.id)
        if operation is None:
            return None
        return Envelope(envelope.sender, envelope.receiver, self._with_patience(operation))

    def _with_patience(self, operation: Operation) -> ClientRequest:
        """The request with a timeout that ends a little before the caller's."""
        if isinstance(operation.request, GetRing):
            return operation.request
        left_s = operation.deadline - time.monotonic()
        timeout_s = max(left_s - GRACE_S, left_s * 0.8, 0.001)
        return msgspec.structs.replace(operation.request, timeout_s=timeout_s)

    def _on_replies(self, replies: list[Envelope]) -> None:
        again = []
        for reply in replies:
            message = reply.message
            operation = self._open.get(message.id)
            if operation and isinstance(message, Failed) and message.reason is Failure.QUORUM:
                now = time.monotonic()
                operation.failed = _together(operation, message, now)
                if operation.deadline - now > AGAIN_S:
                    operation.tried.add(reply.sender)
                    again.append(operation)
                    continue
                message = operation.failed
            self._settle(message.id, message)
        self._send(again)

    def _on_lost(self, requests: list[Envelope], error: DynamoError) -> None:
        if isinstance(error, Overloaded):
            for request in requests:
                self._settle(request.message.id, error)
            return
        lost = [op for op in map(self._open.get, (r.message.id for r in requests)) if op]
        for operation in lost:
            operation.tried.add(requests[0].receiver)  # all were on one link
        self._send(lost)


def _together(operation: Operation, failed: Failed, now: float) -> Failed:
    """How an operation has failed that one node after another could not do, `failed` the last."""
    after_s = operation.timeout_s - (operation.deadline - now)
    before = operation.failed
    if before is None or not before.answered:
        return msgspec.structs.replace(failed, after_s=after_s)
    answered = tuple(dict.fromkeys((*before.answered, *failed.answered)))
    silent = tuple(node for node in failed.silent if node not in answered)
    return msgspec.structs.replace(before, answered=answered, silent=silent, after_s=after_s)
