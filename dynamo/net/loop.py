"""A node at work: the loop of step, commit and send.

    take all envelopes that wait → node.step → one commit with one fsync → send

While a commit runs in a thread, the hub goes on taking calls, and what they bring is the next
step's batch: durability and group commit at once.

A commit that fails ends the node, not the process: what the node has in memory is ahead of its
disk, and nothing of that has been sent. Another one is made of what the disk holds, which takes no
writes, and is asked everything that has not been answered yet. So it goes once more, when the disk
takes writes again.
"""

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, TypeVar

import gevent.event
import msgspec
import zerorpc
from gevent.hub import get_hub

from dynamo.disk.contract import Disk
from dynamo.errors import DynamoError, NodeFailed, Overloaded, ReadOnly
from dynamo.net import wire
from dynamo.net.link import HOLD_S, Ended, Forgotten
from dynamo.net.links import Links
from dynamo.net.measures import Measures
from dynamo.net.queue import Budget, EnvelopeQueue
from dynamo.net.resources import Resources
from dynamo.net.session import Session
from dynamo.net.watch import Watch
from dynamo.protocol.messages import (
    Envelope,
    Failed,
    Failure,
    KeyRequest,
    Lost,
    Message,
    Request,
)
from dynamo.protocol.node import Node, Step

log = logging.getLogger("dynamo.loop")

STEP_BYTES = 8 << 20
"""What one step takes from the inbox and reads of the disk, about: it bounds how long the hub is
busy with a step, and what its answers weigh."""
SIP_BYTES = 64 << 10
"""What a step takes from the inbox before it looks at how much it has read."""
WAITED_S = 0.05
"""What a request may have waited in the inbox without its being counted."""
ANSWERS_BYTES = 256 << 20
"""What the answers may weigh that wait for all callers to fetch them."""
ABANDONED_S = 30.0
"""A caller that has not fetched its answers for so long has gone."""
SESSIONS_KEPT = 1000
"""Sessions of callers that owe and are owed nothing are dropped beyond this number."""
LOOK_S = 2.0
"""How often a disk that takes no writes is asked whether it takes them again."""

Result = TypeVar("Result")


class NodeLoop:
    """Runs one `Node` over its disk and links to the other members, all in one hub.

    `make_node` makes the node of what the disk holds, each time with a fresh incarnation; its
    argument is `read_only` of `Node`.
    """

    def __init__(self, make_node: Callable[[str], Node], disk: Disk) -> None:
        self._make_node = make_node
        node = self.node = make_node("")
        self.handled: Counter[str] = Counter()
        """Messages that the node has taken in, by type."""
        self.measures = Measures(time.monotonic())
        self._watch = Watch(node.name, time.monotonic())
        self._resources = Resources(disk)
        self._disk = disk
        self._inbox = EnvelopeQueue()
        self._sessions: dict[str, Session] = {}
        self._answers = Budget(ANSWERS_BYTES)
        self._look_at = math.inf
        """When to ask the disk whether it takes writes again."""
        self._plain = count(1)
        self._settled: gevent.event.AsyncResult = gevent.event.AsyncResult()
        self._stopping = False
        context = zerorpc.Context.get_instance()
        self._links = Links(
            node.name, lambda: self.node.view.addresses, self._on_replies, self._on_lost, context
        )

    def exchange(self, frame: bytes) -> bytearray:
        """Take in what a caller sends; give back what is ready for it (see `dynamo.net.link`)."""
        address, _, envelopes, connection = wire.decode(frame)
        if address in self.node.view.members:
            self._watch.heard(address, time.monotonic())
            self._links.heard(address)
        session = self._submit(address, envelopes)
        ready = session.collect(HOLD_S, connection)
        return wire.encode(wire.Frame(self.node.name, session.owed, ready))

    def ask(self, make: Callable[[int], Message], timeout_s: float) -> Message | None:
        """Put one request to the node and wait for its reply; None when none comes in time."""
        address = f"plain-{next(self._plain)}"
        request = Envelope(address, self.node.name, make(1))
        session = self._submit(address, [request])
        replies = session.collect(timeout_s)
        self._sessions.pop(address, None)
        session.drop()
        return replies[0].message if replies else None

    def run(self) -> None:
        """Serve until `stop` is called.

        Raises `NodeFailed` when the disk can't even be read, or the cluster is another one than
        that of the configuration.
        """
        while not self._stopping:
            self._inbox.wait(self._until_wake())
            if time.monotonic() >= self._look_at:
                self._look_again()
            step = self.node.step(self._next_envelopes(), time.monotonic(), time.time())
            if self._committed(step):
                self._send(step.envelopes)
            if self.node.gossip.misfit:
                raise NodeFailed(self.node.gossip.misfit)
            if not self._settled.ready() and self.node.gossip.settled:
                self._settled.set(None)
            self._watch.look(self.node, self.measures.refused, time.monotonic())

    def _next_envelopes(self) -> Iterator[Envelope]:
        """What the inbox holds, up to what one step may take in and read."""
        left_bytes, read_limit = STEP_BYTES, self.node.read_bytes + STEP_BYTES
        while left_bytes > 0 and self.node.read_bytes < read_limit:
            held_bytes, waited_s = self._inbox.bytes, self._inbox.waiting_s
            some = self._inbox.take(SIP_BYTES)
            if not some:
                return
            left_bytes -= held_bytes - self._inbox.bytes
            self.handled.update(type(envelope.message).__name__ for envelope in some)
            yield from self._in_time(some, waited_s)

    def _in_time(self, envelopes: list[Envelope], waited_s: float) -> Iterator[Envelope]:
        """Those whose senders still wait, with what is left of their time.

        The others are refused, and nothing is done for them.
        """
        for envelope in envelopes:
            message = envelope.message
            if waited_s < WAITED_S or not isinstance(message, KeyRequest) or not message.timeout_s:
                yield envelope
            elif waited_s < message.timeout_s:
                left_s = message.timeout_s - waited_s
                hurried = msgspec.structs.replace(message, timeout_s=left_s)
                yield msgspec.structs.replace(envelope, message=hurried)
            elif session := self._sessions.get(envelope.sender):
                detail = f"it waited {waited_s:.1f} s at {self.node.name}, all of its time"
                failed = Failed(message.id, Failure.OVERLOADED, f"{detail}; send less")
                session.answer(envelope.reply(failed))

    def _committed(self, step: Step) -> bool:
        """Commit in a thread. False if the disk refused: then another node has taken over."""
        try:
            if step.writes:
                began = time.monotonic()
                _in_thread(lambda: self._disk.commit(step.writes, sync=step.sync))
                self.measures.committed(len(step.writes), began)
        except ReadOnly as error:
            log.warning("node %s takes no writes, reads go on: %s", self.node.name, error)
            self._look_at = time.monotonic() + LOOK_S
            self._begin_again(f"{self.node.name} takes no writes: {error}")
            return False
        return True

    def _look_again(self) -> None:
        """Ask the disk whether it takes writes again."""
        try:
            _in_thread(self._disk.recover)
        except ReadOnly as error:
            log.debug("node %s still takes no writes: %s", self.node.name, error)
            self._look_at = time.monotonic() + LOOK_S
        else:
            log.warning("node %s takes writes again", self.node.name)
            self._look_at = math.inf
            self._begin_again("")

    def _begin_again(self, read_only: str) -> None:
        """Make another node of what the disk holds, and ask it all that has not been answered."""
        self.node = self._make_node(read_only)
        self._watch.begin_again()
        self._inbox.clear()
        for session in self._sessions.values():
            self._inbox.force(session.unanswered)

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
            "to_members": self._links.backlogs(),
        }

    def wait_until_settled(self, timeout_s: float | None = None) -> bool:
        """True once the node answers requests: it knows that its disk is not out of date."""
        self._settled.wait(timeout_s)
        return bool(self._settled.ready())

    def stop(self) -> None:
        """Let `run` return once the step it is in has been committed and sent."""
        self._stopping = True
        self._inbox.wake()

    def close(self) -> None:
        """Give up the links to the other members."""
        self._links.close()

    def _until_wake(self) -> float | None:
        wakes = self.node.next_wake(), self._watch.next_look(), self._look_at
        wake_at = min(at for at in wakes if at is not None)
        return None if wake_at == math.inf else max(wake_at - time.monotonic(), 0.0)

    def _submit(self, address: str, envelopes: list[Envelope]) -> Session:
        session = self._sessions.get(address)
        if session is None:
            self._drop_idle_sessions()
            session = self._sessions[address] = Session(
                self.measures,
                of_client=address not in self.node.view.members,
                budget=self._answers,
            )
        me = self.node.name
        requests = [
            # A caller that asks an address may not know who is there (`dynamo.net.asking`).
            envelope if envelope.receiver == me else msgspec.structs.replace(envelope, receiver=me)
            for envelope in envelopes
            if isinstance(envelope.message, Request)
        ]
        session.expect(requests)
        if requests and not self._inbox.put(requests):
            detail = f"{self._inbox.bytes:,} bytes of requests wait at {self.node.name}"
            for request in requests:
                failed = Failed(request.message.id, Failure.OVERLOADED, f"{detail}; send less")
                session.answer(request.reply(failed))
        return session

    def _drop_idle_sessions(self) -> None:
        """Drop the sessions of those that have gone, and of those that left nothing open."""
        gone_at = time.monotonic() - ABANDONED_S
        for address, session in list(self._sessions.items()):
            idle = session.idle and len(self._sessions) > SESSIONS_KEPT
            if idle or (session.heard_at < gone_at and not session.open):
                self._sessions.pop(address).drop()

    def _send(self, envelopes: list[Envelope]) -> None:
        """Replies go into their caller's session, requests to the member they are for."""
        by_peer: dict[str, list[Envelope]] = {}
        for envelope in envelopes:
            if isinstance(envelope.message, Request):
                by_peer.setdefault(envelope.receiver, []).append(envelope)
            elif session := self._sessions.get(envelope.receiver):
                session.answer(envelope)
        for peer, requests in by_peer.items():
            self._links.send(peer, requests)

    def _on_replies(self, replies: list[Envelope]) -> None:
        if replies:
            self._watch.heard(replies[0].sender, time.monotonic())
        self._inbox.force(replies)  # to this node's own requests: their number is bounded by it

    def _on_lost(self, requests: list[Envelope], error: DynamoError) -> None:
        """The node learns of it in its next step; a member whose queue is full is not down."""
        log.debug("%d requests lost: %s", len(requests), error)
        full = isinstance(error, Overloaded)
        if isinstance(error, Ended):
            self._watch.gone(requests[0].receiver)  # all were on one link
        news = []
        for request in requests:
            id = request.message.id
            lost = Lost(id, silent=not isinstance(error, Forgotten))
            said = Failed(id, Failure.OVERLOADED, str(error)) if full else lost
            news.append(Envelope(request.receiver, self.node.name, said))
        self._inbox.force(news)


def _in_thread(work: Callable[[], Result]) -> Result:
    """What `work` gives; meanwhile the hub goes on."""
    result: Result = get_hub().threadpool.apply(work)
    return result
