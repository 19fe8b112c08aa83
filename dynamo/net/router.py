"""Leads each operation of a client to a node, and to the next one where that one is silent.

Everything here runs in the client's hub; see `dynamo.net.client` for the side of the threads.
"""

import time
from collections.abc import Sequence

import gevent
import msgspec
import zerorpc

from dynamo.errors import CorruptData, DynamoError, Overloaded
from dynamo.net import wire
from dynamo.net.calls import Call, Operation
from dynamo.net.link import SILENCE_S, Link
from dynamo.protocol.messages import ClientRequest, Envelope, GetRing, Put, RingDone
from dynamo.values.ring import Ring

AGAIN_S = 0.2
"""How long to wait before all nodes are tried once more when none of them answers."""
GRACE_S = 0.25
"""How much sooner than the caller a node gives up, so that its reason reaches the caller."""


class Router:
    """The operations of one client that are on their way."""

    def __init__(self, me: str, seeds: Sequence[str], prefer: str | None) -> None:
        self._me = me
        self._seeds = seeds
        self._prefer = prefer
        self._ring: Ring | None = None
        self._n = 0
        self._links: dict[str, Link] = {}
        self._under_way: dict[int, Operation] = {}
        self._waiting: list[Operation] = []
        """Operations that came before the ring was known."""
        self._finder: gevent.Greenlet | None = None

    def dispatch(self, call: Call) -> None:
        """Send every operation of `call` to the node that is best for it."""
        if self._ring is None:
            self._waiting += call.operations
            if self._finder is None:
                self._finder = gevent.spawn(self._find_ring)
        else:
            self._send(call.operations)

    def cancel(self, call: Call) -> None:
        """Forget a call whose deadline has passed."""
        for operation in call.operations:
            self._under_way.pop(operation.request.id, None)
        self._waiting = [op for op in self._waiting if op.call is not call]

    def close(self) -> None:
        if self._finder is not None:
            self._finder.kill()
        for link in self._links.values():
            link.close()

    def _send(self, operations: Sequence[Operation]) -> None:
        by_node: dict[str, list[Envelope]] = {}
        homeless = []
        for operation in operations:
            node = self._choose(operation)
            if node is None:
                homeless.append(operation)
            else:
                self._under_way[operation.request.id] = operation
                request = self._with_patience(operation)
                by_node.setdefault(node, []).append(Envelope(self._me, node, request))
        for node, envelopes in by_node.items():
            self._links[node].send(envelopes)
        if homeless:
            gevent.spawn_later(AGAIN_S, self._send_again, homeless)

    def _send_again(self, operations: list[Operation]) -> None:
        """Try all nodes anew for what is still waited for."""
        now = time.monotonic()
        alive = [op for op in operations if op.deadline > now]
        for operation in alive:
            operation.tried.clear()
        self._send(alive)

    def _choose(self, operation: Operation) -> str | None:
        """The first node for this operation that has not failed it and is not left alone."""
        ring = self._ring
        assert ring is not None
        owners: tuple[str, ...] = ()
        if not isinstance(operation.request, GetRing):
            n = operation.request.n if isinstance(operation.request, Put) else 0
            owners = ring.preference_list(operation.key, n or self._n)
        if self._prefer in owners and self._usable(self._prefer, operation):
            return self._prefer
        for node in (*owners, *ring.members):
            if self._usable(node, operation):
                return node
        return None

    def _usable(self, node: str | None, operation: Operation) -> bool:
        return node in self._links and node not in operation.tried and self._links[node].up

    def _with_patience(self, operation: Operation) -> ClientRequest:
        """The request with a timeout that ends a little before the caller's."""
        if isinstance(operation.request, GetRing):
            return operation.request
        left_s = operation.deadline - time.monotonic()
        timeout_s = max(left_s - GRACE_S, left_s * 0.8, 0.001)
        return msgspec.structs.replace(operation.request, timeout_s=timeout_s)

    def _on_replies(self, replies: list[Envelope]) -> None:
        for reply in replies:
            operation = self._under_way.pop(reply.message.id, None)
            if operation is not None:
                operation.call.settle(operation, reply.message)

    def _on_lost(self, requests: list[Envelope], error: DynamoError) -> None:
        lost = []
        for request in requests:
            operation = self._under_way.pop(request.message.id, None)
            if operation is None:
                continue
            if isinstance(error, Overloaded):
                operation.call.settle(operation, error)
            else:
                operation.tried.add(request.receiver)
                lost.append(operation)
        if lost:
            self._send(lost)

    def _find_ring(self) -> None:
        """Ask one seed after another for the ring until one answers."""
        while self._ring is None:
            for address in self._seeds:
                found = _ask_for_ring(self._me, address)
                if found is not None:
                    self._take(found)
                    break
            else:
                gevent.sleep(AGAIN_S)
        waiting, self._waiting = self._waiting, []
        self._send(waiting)

    def _take(self, found: RingDone) -> None:
        self._links = {
            node: Link(self._me, address, self._on_replies, self._on_lost)
            for node, address in found.addresses.items()
        }
        self._n = found.n
        self._ring = Ring(found.owners, found.epoch)


def _ask_for_ring(me: str, address: str) -> RingDone | None:
    rpc = zerorpc.Client(f"tcp://{address}", timeout=SILENCE_S, heartbeat=None)
    try:
        request = Envelope(me, address, GetRing(0))
        answer = wire.decode(rpc.exchange(wire.encode(wire.Frame(me, 1, [request]))))
    except (zerorpc.TimeoutExpired, zerorpc.LostRemote, zerorpc.RemoteError, CorruptData):
        return None
    finally:
        rpc.close()
    replies = [envelope.message for envelope in answer.envelopes]
    return next((reply for reply in replies if isinstance(reply, RingDone)), None)
