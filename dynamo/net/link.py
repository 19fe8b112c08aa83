"""A link: how envelopes get from one process to one node, and the answers back.

Requests that are sent while an exchange is under way wait and travel together in the next one.
This gathering is what makes the store fast: a zerorpc call costs a quarter of a millisecond, and
carries one request or five hundred. A request alone waits for nothing.

An exchange returns when the node has answered all that this link has sent it, or after a short
hold, so one slow request doesn't keep the others; what is still open is fetched by the next one.

A node whose process has gone is known at once (`dynamo.net.line`), one that is merely silent after
some patience. Either is left alone then, and an empty exchange now and then finds out whether it is
back: nobody's request has to wait for that.
"""

import secrets
from collections.abc import Callable

import gevent
import gevent.event
import zerorpc

from dynamo.errors import CorruptData, DynamoError, Overloaded, Unreachable
from dynamo.net import wire
from dynamo.net.line import Gone, Line
from dynamo.net.queue import EnvelopeQueue
from dynamo.protocol.messages import Envelope

HOLD_S = 0.05
"""How long a node keeps an exchange open for answers that are not ready yet."""
OPEN_LIMIT_BYTES = 128 << 20
"""What the unanswered requests may weigh before no more are sent."""
SILENCE_S = 2.0
"""How long after the hold a node may say nothing before it is taken for dead."""
RETRY_S = (0.1, 1.0)
"""How long a dead node is left alone, at first and at most; it doubles from try to try."""


Prepare = Callable[[Envelope], Envelope | None]


class Forgotten(Unreachable):
    """The node answers, but has started again since it was asked."""


class Ended(Unreachable):
    """The node's process has ended, or nothing listens at its address."""


class Link:
    """Sends requests from `me` to the node at `address` ("host:port"), in one greenlet.

    `on_replies` gets what the node answers. `on_lost` gets requests that will not be answered,
    with the reason; they may have been carried out all the same. `prepare` gets each request when
    its turn to be sent has come, which may be long after `send`, and gives it as it is to be sent,
    or None where nobody waits for it any more. All are called in the hub and must not block. With
    `relay` the node is reached by a socket in that folder (`dynamo.net.relay`).
    """

    def __init__(
        self,
        me: str,
        address: str,
        on_replies: Callable[[list[Envelope]], None],
        on_lost: Callable[[list[Envelope], DynamoError], None],
        context: zerorpc.Context,
        prepare: Prepare | None = None,
        relay: str = "",
    ) -> None:
        self.address = address
        self._relay = relay
        self._me = me
        self._on_replies = on_replies
        self._on_lost = on_lost
        self._context = context
        self._prepare = prepare
        self._queue = EnvelopeQueue()
        self._waiting: set[int] = set()
        """Ids of the requests in the queue."""
        self._open: dict[int, Envelope] = {}
        """Requests that have been sent and not answered, by id."""
        self._open_bytes = 0
        """What they weigh."""
        self._line: Line | None = None
        self._connection = wire.Connection(life=secrets.randbits(53), number=0)
        self.up = True
        """False while the node is left alone because it did not answer."""
        self._heard = gevent.event.Event()
        """Set when the node that is left alone need not be any longer."""
        self._greenlet = gevent.spawn(self._run)

    @property
    def backlog(self) -> int:
        """Requests that wait for the exchange under way to end."""
        return len(self._queue)

    @property
    def idle(self) -> bool:
        """True while nothing that was sent waits for its answer."""
        return not self._waiting and not self._open

    def send(self, requests: list[Envelope]) -> None:
        """Send requests as soon as the exchange under way is over; never blocks.

        A request that is sent again while its answer may still come is not sent twice.
        """
        requests = [
            request
            for request in requests
            if request.message.id not in self._waiting and request.message.id not in self._open
        ]
        if not self.up:
            self._on_lost(requests, Unreachable(f"the node at {self.address} does not answer"))
        elif not self._queue.put(requests):
            detail = f"the queue to {self.address} is full; use fewer callers or smaller batches"
            self._on_lost(requests, Overloaded(detail))
        else:
            self._waiting.update(request.message.id for request in requests)

    def heard(self) -> None:
        """The node has called here itself: it need not be left alone any longer."""
        self.up = True
        self._heard.set()

    def holds_back(self, id: int) -> bool:
        """True if this request has not been sent yet."""
        return id in self._waiting

    def close(self) -> None:
        self._greenlet.kill()
        self._hang_up()

    def _run(self) -> None:
        while True:
            if not self.up:
                self._await_return()
            if not self._open:
                self._queue.wait()
            full = self._open_bytes >= OPEN_LIMIT_BYTES
            batch = [] if full else self._take(wire.FRAME_LIMIT_BYTES)
            if not batch and not self._open:
                continue  # nobody waits for what was queued
            if answer := self._try(batch):
                self._take_in(answer)

    def _await_return(self) -> None:
        """Ask the node, which answers nothing, for nothing until it answers, or has called here."""
        wait_s, longest_s = RETRY_S
        while not self.up and not self._heard.wait(wait_s):
            if self._try([]):
                self.up = True
            wait_s = min(wait_s * 2, longest_s)

    def _try(self, batch: list[Envelope]) -> wire.Frame | None:
        """The node's answer to a frame; where there is none, all that was sent is lost."""
        try:
            return self._exchange(batch)
        except Gone:
            what = "its connection has ended, or nothing listens there"
            self._fail(Ended(f"the node at {self.address} has gone: {what}"))
        except (zerorpc.TimeoutExpired, zerorpc.LostRemote, zerorpc.RemoteError) as error:
            self._fail(self._silence(f"{type(error).__name__}: {error}"))
        except CorruptData as error:
            self._fail(self._silence(str(error)))
        return None

    def _silence(self, reason: str) -> Unreachable:
        return Unreachable(f"the node at {self.address} does not answer ({reason})")

    def _take(self, limit_bytes: int) -> list[Envelope]:
        """Requests from the queue, which are open from now on."""
        batch = self._queue.take(limit_bytes)
        self._waiting.difference_update([request.message.id for request in batch])
        if self._prepare is not None:
            batch = [wanted for wanted in map(self._prepare, batch) if wanted is not None]
        for request in batch:
            self._open[request.message.id] = request
            self._open_bytes += wire.weight(request)
        return batch

    def _exchange(self, batch: list[Envelope]) -> wire.Frame:
        if self._line is not None and self._line.gone:
            self._hang_up()  # since the last exchange; by now the node may have started again
        if self._line is None:
            self._line = Line(self.address, HOLD_S + SILENCE_S, self._context, self._relay)
            life, number = self._connection
            self._connection = wire.Connection(life, number + 1)
        frame = wire.Frame(self._me, len(self._open), batch, self._connection)
        return wire.decode(self._line.exchange(wire.encode(frame)))

    def _take_in(self, answer: wire.Frame) -> None:
        for reply in answer.envelopes:
            if request := self._open.pop(reply.message.id, None):
                self._open_bytes -= wire.weight(request)
        self._on_replies(answer.envelopes)
        if self._open and not answer.open:  # the node was restarted and knows of none
            self._lose(Forgotten(f"the node at {self.address} was restarted and knows of none"))

    def _fail(self, reason: Unreachable) -> None:
        """Leave the node alone for a while; a client that timed out once may stay wedged."""
        self._hang_up()
        self.up = False
        self._heard.clear()
        self._take(limit_bytes=1 << 62)
        self._lose(reason)

    def _lose(self, reason: Unreachable) -> None:
        lost = list(self._open.values())
        self._open.clear()
        self._open_bytes = 0
        if lost:
            self._on_lost(lost, reason)

    def _hang_up(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None
