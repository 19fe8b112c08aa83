"""What a client knows of the ring: learned from the first node that answers, and then followed.

Members come and go while a client lives, and all that it was told of at its start may have gone by
the end. So it asks one of the members every few seconds, and at once when a link is lost, and goes
by what is newer than what it knows.
"""

from collections.abc import Callable, Iterable, Sequence
from random import choice, random

import gevent
import gevent.event
import zerorpc

from dynamo.errors import DynamoError
from dynamo.net.asking import ask
from dynamo.net.link import SILENCE_S, Link, Prepare
from dynamo.net.links import OnLost, OnReplies
from dynamo.protocol.messages import Envelope, GetRing, RingDone
from dynamo.values.ring import Ring

FOLLOW_S = 3.0
"""How often a client asks whether there is a newer ring, about."""
LEAST_S = 0.25
"""How long it waits at least before it asks again."""
REQUEST_ID = 0
"""Of its own requests; those of its client's operations begin with 1."""


class Following:
    """The ring, and a link to each member; all of it in one hub.

    `on_replies`, `on_lost` and `prepare` are those of `Link`, for what the client itself has sent;
    `on_ring` is called when another ring has been learned.
    """

    def __init__(
        self,
        me: str,
        seeds: Sequence[str],
        prefer: str | None,
        on_replies: OnReplies,
        on_lost: OnLost,
        on_ring: Callable[[], None],
        prepare: Prepare,
        context: zerorpc.Context,
        relay: str = "",
    ) -> None:
        self._me = me
        self._relay = relay
        self._seeds = seeds
        self._prefer = prefer
        self._pass_replies = on_replies
        self._pass_lost = on_lost
        self._on_ring = on_ring
        self._prepare_of_client = prepare
        self._context = context
        self.known: tuple[Ring, int] | None = None
        """The ring, and how many nodes hold each key; None until the first node has answered."""
        self.links: dict[str, Link] = {}
        self.favourites: list[str] = []
        """All members, in an order of this client's own, so that clients spread over the nodes."""
        self._liking: dict[str, float] = {}
        """By this order; it stays as it is for those who stay."""
        self._retired: list[Link] = []
        """Links to those that have left, until the last answer on them has come."""
        self._in_doubt = gevent.event.Event()
        self._greenlet = gevent.spawn(self._run)

    @property
    def addresses(self) -> list[str]:
        """Where a member may be found: those known now, and those of the beginning."""
        now = [link.address for link in self.links.values()]
        return list(dict.fromkeys([*now, *self._seeds]))

    def close(self) -> None:
        self._greenlet.kill()
        for link in (*self.links.values(), *self._retired):
            link.close()

    def _run(self) -> None:
        while True:
            self._ask()
            self._close_idle()
            self._in_doubt.clear()
            wait_s = FOLLOW_S * (0.75 + random() / 2) if self.known else 0.0
            gevent.sleep(LEAST_S if self.known else LEAST_S / 5)
            self._in_doubt.wait(wait_s)

    def _ask(self) -> None:
        """Ask a member on its link; where none answers, everybody who may know, one by one."""
        up = [node for node, link in self.links.items() if link.up]
        if up:
            node = choice(up)
            self.links[node].send([Envelope(self._me, node, GetRing(REQUEST_ID))])
            return
        for address in self.addresses:
            found = ask(address, GetRing(REQUEST_ID), SILENCE_S, self._context, self._relay)
            if isinstance(found, RingDone):
                self._take(found)
                return

    def _on_replies(self, replies: list[Envelope]) -> None:
        for reply in replies:
            if reply.message.id == REQUEST_ID and isinstance(reply.message, RingDone):
                self._take(reply.message)
        self._pass_replies(_of_client(replies))

    def _on_lost(self, requests: list[Envelope], error: DynamoError) -> None:
        self._in_doubt.set()
        if requests := _of_client(requests):
            self._pass_lost(requests, error)

    def _prepare(self, request: Envelope) -> Envelope | None:
        own = request.message.id == REQUEST_ID
        return request if own else self._prepare_of_client(request)

    def _take(self, found: RingDone) -> None:
        """Go by this ring, unless it is older than the one known."""
        ring = Ring(found.owners, found.epoch)
        if self.known and ring.epoch < self.known[0].epoch:
            return
        news = self._relink(found.addresses) or self.known != (ring, found.n)
        self.known = ring, found.n
        if news:
            self._on_ring()

    def _relink(self, addresses: dict[str, str]) -> bool:
        """Have a link to each of the members and to nobody else; False if that was so before."""
        before = {node: link.address for node, link in self.links.items()}
        for node in [node for node, at in before.items() if addresses.get(node) != at]:
            self._retired.append(self.links.pop(node))
        for node in addresses.keys() - self.links.keys():
            self.links[node] = Link(
                self._me,
                addresses[node],
                self._on_replies,
                self._on_lost,
                self._context,
                self._prepare,
                self._relay,
            )
            self._liking.setdefault(node, random())
        self.favourites = sorted(self.links, key=lambda n: (n != self._prefer, self._liking[n]))
        return before != addresses

    def _close_idle(self) -> None:
        idle = [link for link in self._retired if link.idle]
        self._retired = [link for link in self._retired if link not in idle]
        for link in idle:
            link.close()


def _of_client(envelopes: Iterable[Envelope]) -> list[Envelope]:
    return [envelope for envelope in envelopes if envelope.message.id != REQUEST_ID]
