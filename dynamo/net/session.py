"""A session: what a node owes to one caller, a client or another node."""

import gevent.event

from dynamo.net import wire
from dynamo.net.queue import EnvelopeQueue
from dynamo.protocol.messages import Envelope, Failed, Failure


class Session:
    """Counts a caller's open requests and keeps the answers until the caller fetches them."""

    def __init__(self) -> None:
        self.open = 0
        """Requests that have not been answered yet."""
        self._ready = EnvelopeQueue()
        self._settled = gevent.event.Event()

    @property
    def idle(self) -> bool:
        return not self.open and not self._ready

    def expect(self, requests: int) -> None:
        """The caller has sent this many requests."""
        self.open += requests
        if self.open:
            self._settled.clear()

    def answer(self, reply: Envelope) -> None:
        """Keep one reply for the caller; where there is no room for it, the news of that."""
        self.open = max(self.open - 1, 0)
        if not self._ready.put([reply]):
            detail = "the answers that wait for this caller are over their limit; ask for less"
            refusal = Failed(reply.message.id, Failure.OVERLOADED, detail)
            self._ready.force([Envelope(reply.sender, reply.receiver, refusal)])
        if not self.open or self._ready.bytes >= wire.FRAME_LIMIT_BYTES:
            self._settled.set()

    def collect(self, hold_s: float) -> list[Envelope]:
        """Answers for one frame: when all are ready, or a frame is full, or `hold_s` is over."""
        if self.open:
            self._settled.wait(hold_s)
        return self._ready.take(wire.FRAME_LIMIT_BYTES)
