"""Anti-entropy: owners of a partition come to hold the same though nobody reads it.

Every `anti_entropy_s` this node compares all that it shares with each other member that is up; one
exchange at a time, the one that has waited longest first (see `dynamo.protocol.exchange`). Both of
two members ask: each also notices by it what is wrong with its own index. A member that has come
back is asked soon, and whoever shares a partition that this node is filling is asked at once.

An exchange whose peer falls silent ends, one that lasts gives way to the others; what was left is
compared in the next round.
"""

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from hashlib import blake2b
from typing import Any

from dynamo.protocol.exchange import Answers, Exchange
from dynamo.protocol.membership import Membership
from dynamo.protocol.messages import Envelope
from dynamo.protocol.repairs import Here
from dynamo.protocol.replica import Replica
from dynamo.protocol.scrub import Scrub
from dynamo.protocol.settings import Settings
from dynamo.protocol.trees import Trees
from dynamo.protocol.view import View
from dynamo.protocol.wholeness import Wholeness


class AntiEntropy:
    """This node's rounds, and its answers to those of others."""

    def __init__(
        self,
        view: View,
        replica: Replica,
        trees: Trees,
        scrub: Scrub,
        wholeness: Wholeness,
        members: Membership,
        settings: Settings,
        next_id: Callable[[], int],
    ) -> None:
        self._view = view
        self._trees = trees
        self._scrub = scrub
        self._wholeness = wholeness
        self._members = members
        self._settings = settings
        self.here = Here(view.me, replica, trees, wholeness, settings, next_id, scrub.doubt)
        self._exchange: Exchange | None = None
        self._table: object = None
        """The table of owners that `_shared` was made from."""
        self._shared: dict[str, list[int]] = {}
        """Peer -> the partitions that both of us should hold."""
        self._due: dict[str, float] = {}
        """When to compare with a peer next."""
        self._met_at: dict[str, float] = {}
        """When a peer and this node came to be up together: what one has missed was written before,
        so a tree from then on has all of it."""
        self._begin_at = -math.inf
        """When the next exchange begins, unless one is under way."""
        self._unfinished: dict[str, list[int]] = {}
        """What was left when an exchange gave way to others."""
        self._up: Collection[str] = ()
        self._agreed_at: dict[str, float] = {}
        """When a round with a peer went to its end last."""
        self._found: dict[str, int] = {}
        """How many partitions differed in the last round with a peer."""
        self._failed: dict[str, str] = {}
        """Why the last exchange with a peer ended before its end."""
        self.repaired = 0
        """Copies that this node has made good, here and at peers."""
        self.handlers: Mapping[type, Callable[[Envelope, float], Iterable[Envelope]]] = {
            **Answers(trees, wholeness).handlers,
        }

    def begin_fill(self, partitions: Iterable[int]) -> None:
        """This node may lack anything of these partitions: get it from the others."""
        partitions = list(partitions)
        if not partitions:
            return
        self._wholeness.begin_fill(partitions)
        if self._exchange is not None:  # what it has seen was before
            self._exchange.fail("a fill has begun")
            self._exchange.compared.clear()
            self._exchange = None
        for peer in self._due:
            self._due[peer] = -math.inf
        self._begin_at = -math.inf

    def on_reply(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        if self._exchange is None or not self._exchange.expects(envelope.message.id):
            return []  # an answer to an exchange that is over
        self._exchange.on_reply(envelope, now)
        return self._go_on(now)

    def on_lost(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        """A request of the exchange will not be answered."""
        if self._exchange is None or not self._exchange.expects(envelope.message.id):
            return []
        self._exchange.fail(f"{envelope.sender} is down")
        return self._go_on(now)

    @property
    def idle_until(self) -> float:
        if self._table is not self._view.table or self._up is not self._members.up:
            return -math.inf
        return self._begin_at if self._exchange is None else self._exchange.wake_at

    def next_wake(self) -> float:
        return self._begin_at if self._exchange is None else self._exchange.wake_at

    def tick(self, now: float) -> Iterable[Envelope]:
        if self._table is not self._view.table:
            self._learn_table(now)
        if self._up is not self._members.up:
            self._learn_who_is_up(now)
        if self._exchange is not None:
            return self._go_on(now) if self._exchange.wake_at <= now else []
        return self._begin_next(now) if self._begin_at <= now else []

    # Who is next ---------------------------------------------------------------------------------

    def _learn_table(self, now: float) -> None:
        """The table of owners has changed: others may share something with this node."""
        view, me = self._view, self._view.me
        self._table = view.table
        self._shared = {}
        for partition in sorted(view.held, key=self._turn):
            for peer in view.holders(partition):
                if peer != me:
                    self._shared.setdefault(peer, []).append(partition)
        used = {*self._trees.known, *self._wholeness.filling}
        for partition in sorted(used.difference(view.held)):
            self._trees.forget(partition)
            self._wholeness.abandon(partition)
        self._due = {peer: at for peer, at in self._due.items() if peer in self._shared}
        # The members behind this one in order of name come first, so that not all ask the same one.
        order = sorted(self._shared, key=lambda peer: (peer < me, peer))
        for place, peer in enumerate(order, start=1):
            wait_s = self._wait_s(peer)
            spread_s = wait_s * place / len(order) if wait_s < math.inf else wait_s
            self._due.setdefault(peer, now + spread_s)
            self._met_at.setdefault(peer, now)
        self._plan()
        self._settle()

    def _turn(self, partition: int) -> bytes:
        """By which partitions are compared in an order of this node's own: else all who compare
        with one that was away would make the same one good at the same time."""
        return blake2b(f"{self._view.me} {partition}".encode()).digest()

    def _learn_who_is_up(self, now: float) -> None:
        """A member that is back has missed something, as a rule; its hints go to it first."""
        if self._settings.anti_entropy_s:
            for peer in self._members.up - frozenset(self._up) if self._up else ():
                if peer in self._shared:
                    soon = now + self._settings.suspect_s
                    self._due[peer] = min(self._due[peer], soon)
                    self._met_at[peer] = now
        self._up = self._members.up
        self._plan()

    def _plan(self) -> None:
        """Find out when somebody is due next."""
        due = (self._due[peer] for peer in self._shared if peer in self._members.up)
        self._begin_at = min(due, default=math.inf)

    def _to_fill(self, peer: str) -> list[int]:
        """The filling partitions of which `peer` may have what is missing here."""
        wholeness = self._wholeness
        return [
            partition
            for partition in self._shared.get(peer, ())
            if not wholeness.is_whole(partition) and peer not in wholeness.exchanged_with(partition)
        ]

    def _wait_s(self, peer: str) -> float:
        """How long to wait before comparing with `peer` again."""
        if self._wholeness.filling and self._to_fill(peer):
            return self._settings.suspect_s
        return self._settings.anti_entropy_s or math.inf

    def _begin_next(self, now: float) -> Iterable[Envelope]:
        """Begin an exchange with the member whose turn it is."""
        if self._wholeness.filling:
            self._settle()
        up = self._members.up
        due = [(at, peer) for peer, at in self._due.items() if at <= now and peer in up]
        if not due:
            self._plan()
            return []
        _, peer = min(due)
        left = self._unfinished.pop(peer, [])
        partitions = self._to_fill(peer) or left or self._shared[peer]
        self._exchange = Exchange(self.here, peer, partitions, now, self._met_at[peer])
        return self._go_on(now)

    # The exchange under way ----------------------------------------------------------------------

    def _go_on(self, now: float) -> Iterable[Envelope]:
        exchange = self._exchange
        if exchange is None:
            return []
        sent = exchange.advance(now)
        compared, exchange.compared = exchange.compared, []
        for done in compared:
            if done.complete:
                self._wholeness.exchanged(done.partition, exchange.peer, whole=done.whole)
        if compared and self._wholeness.filling:
            self._settle()
        if not exchange.ended and self._is_too_long(exchange, now):
            exchange.fail("others wait")
            self._unfinished[exchange.peer] = exchange.left
        if exchange.silent:
            self._members.unanswered(exchange.peer, now)
        if exchange.ended:
            self._end(exchange, now)
        return sent

    def _is_too_long(self, exchange: Exchange, now: float) -> bool:
        if now < exchange.began_at + self._settings.timeout_s:
            return False
        up = self._members.up
        return any(
            at <= now and peer != exchange.peer and peer in up for peer, at in self._due.items()
        )

    def _end(self, exchange: Exchange, now: float) -> None:
        peer = exchange.peer
        self._exchange = None
        self.repaired += exchange.repaired
        self._failed[peer] = exchange.failed
        if peer in self._shared:  # else the table of owners has changed meanwhile
            self._due[peer] = now if peer in self._unfinished else now + self._wait_s(peer)
        if not exchange.failed:
            self._found[peer] = exchange.differing
            self._agreed_at[peer] = now
        self._plan()

    def _settle(self) -> None:
        """See which filling partitions have become whole."""
        for partition in list(self._wholeness.filling):
            view = self._view
            owners = view.ring.partition_owners(partition, view.table.n)
            # One that was declared dead has nothing to give; what only it held has been given up.
            sources = [owner for owner in owners if owner != view.me and owner in view.members]
            self._wholeness.settle(partition, sources)

    # Status --------------------------------------------------------------------------------------

    def status(self, now: float) -> dict[str, Any]:
        """What there is to tell; text, numbers and lists only."""
        exchange = self._exchange
        wholeness = self._wholeness
        return {
            "peers": {peer: self._status_of(peer, now) for peer in sorted(self._shared)},
            "exchange": exchange
            and {
                "peer": exchange.peer,
                "for_s": now - exchange.began_at,
                "partitions_left": len(exchange.left),
                "differing": exchange.differing,
                "repaired": exchange.repaired,
            },
            "repaired": self.repaired + (exchange.repaired if exchange else 0),
            "filling": {
                str(partition): sorted(wholeness.exchanged_with(partition))
                for partition in sorted(wholeness.filling)
            },
            "rebuild": self._scrub.status(),
        }

    def _status_of(self, peer: str, now: float) -> dict[str, Any]:
        agreed_at = self._agreed_at.get(peer)
        waits_for = self._failed.get(peer, "") if peer in self._members.up else f"{peer} to answer"
        return {
            "partitions": len(self._shared[peer]),
            "age_s": None if agreed_at is None else now - agreed_at,
            "differing": self._found.get(peer, 0),
            "waits_for": waits_for,
        }
