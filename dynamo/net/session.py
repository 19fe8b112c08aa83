"""A session: what a node owes to one caller, a client or another node."""

import time
from collections.abc import Sequence

import gevent.event

from dynamo.net import wire
from dynamo.net.measures import Begun, Measures
from dynamo.net.queue import Budget, EnvelopeQueue
from dynamo.net.wire import NO_CONNECTION, Connection
from dynamo.protocol.messages import Envelope, Failed, Failure


class Session:
    """Knows a caller's unanswered requests and keeps the answers until the caller fetches them.

    `budget` bounds the answers that wait, over all sessions that share it. How long a client's
    requests take is measured; a node's are part of some client's.
    """

    def __init__(
        self, measures: Measures, *, of_client: bool, budget: Budget | None = None
    ) -> None:
        self.heard_at = time.monotonic()
        """When the caller last sent or fetched something."""
        self._unanswered: dict[int, Envelope] = {}
        self._measures = measures
        self._of_client = of_client
        self._begun: dict[int, Begun] = {}
        """A client's open requests, by id."""
        self._ready = EnvelopeQueue(budget)
        self._settled = gevent.event.Event()
        self._connection = NO_CONNECTION
        """The caller's latest."""

    @property
    def owed(self) -> int:
        """How many answers the caller has yet to fetch, those that there aren't yet among them."""
        return self.open + len(self._ready)

    @property
    def open(self) -> int:
        """How many requests have not been answered yet."""
        return len(self._unanswered)

    @property
    def unanswered(self) -> list[Envelope]:
        return list(self._unanswered.values())

    @property
    def idle(self) -> bool:
        return not self.owed

    def expect(self, requests: Sequence[Envelope]) -> None:
        """The caller has sent these requests, and will fetch their answers."""
        self.heard_at = time.monotonic()
        self._unanswered.update([(request.message.id, request) for request in requests])
        if self._of_client:
            self._begun.update(self._measures.begun(requests))
        if self.open:
            self._settled.clear()

    def answer(self, reply: Envelope) -> None:
        """Keep one reply for the caller; where there is no room for it, the news of that."""
        self._unanswered.pop(reply.message.id, None)
        if not self._ready.put([reply]):
            detail = "the answers that wait for this caller are over their limit; ask for less"
            refusal = Failed(reply.message.id, Failure.OVERLOADED, detail)
            reply = Envelope(reply.sender, reply.receiver, refusal)
            self._ready.force([reply])
        begun = self._begun.pop(reply.message.id, None)
        if type(reply.message) is Failed:
            self._measures.failed(reply.message, begun)
        elif begun is not None:
            self._measures.answered(begun)
        if not self.open or self._ready.bytes >= wire.FRAME_LIMIT_BYTES:
            self._settled.set()

    def collect(self, hold_s: float, connection: Connection = NO_CONNECTION) -> list[Envelope]:
        """Answers for one frame: when all are ready, or a frame is full, or `hold_s` is over.

        None for a connection that the caller has given up for a later one: a node that was silent
        for a while finds the old exchange beside the new one, and the old one leads nowhere.
        """
        latest = self._connection
        if connection.life == latest.life and connection.number < latest.number:
            return []
        self._connection = connection
        if self.open:
            self._settled.wait(hold_s)
        if connection != self._connection:
            return []
        return self._ready.take(wire.FRAME_LIMIT_BYTES)

    def drop(self) -> None:
        """Give up the answers that wait: the caller has gone."""
        self._ready.clear()
