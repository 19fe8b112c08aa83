"""A node at work: the loop of step, commit and send.

    take all envelopes that wait → node.step → one commit with one fsync → send

While a commit runs in a thread, the hub goes on taking calls, and what they bring is the next
step's batch: durability and group commit at once.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

import zerorpc
from gevent.hub import get_hub

from dynamo.disk.contract import Disk
from dynamo.errors import DynamoError
from dynamo.net import wire
from dynamo.net.link import HOLD_S, Link
from dynamo.net.measures import Measures
from dynamo.net.queue import EnvelopeQueue
from dynamo.net.resources import Resources
from dynamo.net.session import Session
from dynamo.net.watch import Watch
from dynamo.protocol.messages import Envelope, Failed, Failure, Lost, Message, Request
from dynamo.protocol.node import Node

log = logging.getLogger("dynamo.loop")

STEP_BYTES = 8 << 20
"""What one step takes from the inbox, at most: it bounds how long the hub is busy with a step."""
SESSIONS_KEPT = 1000
"""Sessions of callers that owe and are owed nothing are dropped beyond this number."""


class NodeLoop:
    """Runs one `Node` over its disk and links to the other members, all in one hub."""

    def __init__(self, node: Node, disk: Disk, addresses: Mapping[str, str]) -> None:
        self.node = node
        self.handled: Counter[str] = Counter()
        """Messages that the node has taken in, by type."""
        self.measures = Measures(time.monotonic())
        self._watch = Watch(node.name, time.monotonic())
        self._resources = Resources(disk)
        self._disk = disk
        self._inbox = EnvelopeQueue()
        self._sessions: dict[str, Session] = {}
        self._plain = count(1)
        self._stopping = False
        context = zerorpc.Context.get_instance()
        self._links = {
            peer: Link(node.name, address, self._on_replies, self._on_lost, context)
            for peer, address in addresses.items()
            if peer != node.name
        }

    def exchange(self, frame: bytes) -> bytes:
        """Take in what a caller sends; give back what is ready for it (see `dynamo.net.link`)."""
        address, _, envelopes, connection = wire.decode(frame)
        if address in self._links:
            self._watch.heard(address, time.monotonic())
        session = self._submit(address, envelopes)
        ready = session.collect(HOLD_S, connection)
        return wire.encode(wire.Frame(self.node.name, session.owed, ready))

    def ask(self, make: Callable[[int], Message], timeout_s: float) -> Message | None:
        """Put one request to the node and wait for its reply; None when none comes in time."""
        address = f"plain-{next(self._plain)}"
        request = Envelope(address, self.node.name, make(1))
        replies = self._submit(address, [request]).collect(timeout_s)
        self._sessions.pop(address, None)
        return replies[0].message if replies else None

    def run(self) -> None:
        """Serve until `stop` is called; raises `NodeFailed` when the disk refuses a commit.

        A node whose disk fails stops at once: what it has in memory may be ahead of its disk, and
        nothing of that has been sent.
        """
        while not self._stopping:
            self._inbox.wait(self._until_wake())
            envelopes = self._inbox.take(STEP_BYTES)
            self.handled.update(type(envelope.message).__name__ for envelope in envelopes)
            step = self.node.step(envelopes, time.monotonic(), time.time())
            if step.writes:
                commit = get_hub().threadpool.apply
                began = time.monotonic()
                commit(self._disk.commit, (step.writes,), {"sync": step.sync})
                self.measures.committed(len(step.writes), began)
            self._send(step.envelopes)
            self._watch.look(self.node, self.measures.refused, time.monotonic())

    def status(self) -> dict[str, Any]:
        """What this node says of itself; text, numbers, lists and dicts keyed by text only."""
        now = time.monotonic()
        own = self.node.status(now, time.time())
        return {
            **own,
            **self._watch.status(now),
            **self.measures.status(now),
            **self._resources.status(own["ring"]["partitions"]),
            "queues": self._queues(),
            "handled": dict(self.handled),
        }

    def _queues(self) -> dict[str, Any]:
        """What waits: to be taken in, to be fetched by callers, to be sent to other members."""
        sessions = self._sessions.values()
        return {
            "inbox_requests": len(self._inbox),
            "inbox_bytes": self._inbox.bytes,
            "callers": len(sessions),
            "unanswered": sum(session.open for session in sessions),
            "to_members": {peer: link.backlog for peer, link in self._links.items()},
        }

    def stop(self) -> None:
        """Let `run` return once the step it is in has been committed and sent."""
        self._stopping = True
        self._inbox.wake()

    def close(self) -> None:
        """Give up the links to the other members."""
        for link in self._links.values():
            link.close()

    def _until_wake(self) -> float | None:
        wakes = self.node.next_wake(), self._watch.next_look()
        wake_at = min((at for at in wakes if at is not None), default=None)
        return None if wake_at is None else max(wake_at - time.monotonic(), 0.0)

    def _submit(self, address: str, envelopes: list[Envelope]) -> Session:
        session = self._sessions.get(address)
        if session is None:
            self._drop_idle_sessions()
            session = self._sessions[address] = Session(
                self.measures, of_client=address not in self._links
            )
        requests = [e for e in envelopes if isinstance(e.message, Request)]
        session.expect(requests)
        if requests and not self._inbox.put(requests):
            detail = f"{self._inbox.bytes:,} bytes of requests wait at {self.node.name}"
            for request in requests:
                failed = Failed(request.message.id, Failure.OVERLOADED, f"{detail}; send less")
                session.answer(request.reply(failed))
        return session

    def _drop_idle_sessions(self) -> None:
        if len(self._sessions) > SESSIONS_KEPT:
            self._sessions = {a: s for a, s in self._sessions.items() if not s.idle}

    def _send(self, envelopes: list[Envelope]) -> None:
        """Replies go into their caller's session, requests to the member they are for."""
        by_peer: dict[str, list[Envelope]] = {}
        for envelope in envelopes:
            if isinstance(envelope.message, Request):
                by_peer.setdefault(envelope.receiver, []).append(envelope)
            elif session := self._sessions.get(envelope.receiver):
                session.answer(envelope)
        for peer, requests in by_peer.items():
            self._links[peer].send(requests)

    def _on_replies(self, replies: list[Envelope]) -> None:
        if replies:
            self._watch.heard(replies[0].sender, time.monotonic())
        self._inbox.force(replies)  # to this node's own requests: their number is bounded by it

    def _on_lost(self, requests: list[Envelope], error: DynamoError) -> None:
        """The node learns of it in its next step."""
        log.debug("%d requests lost: %s", len(requests), error)
        me = self.node.name
        self._inbox.force([Envelope(r.receiver, me, Lost(r.message.id)) for r in requests])
