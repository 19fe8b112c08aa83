"""A page of a list of keys: of all members, until each partition is covered by R owners."""

from collections.abc import Iterable

from dynamo.protocol.messages import (
    CopiesListed,
    Envelope,
    KeysListed,
    ListCopies,
    Listed,
    ListKeys,
)
from dynamo.protocol.pending import Conversation
from dynamo.protocol.replica import Replica
from dynamo.protocol.view import View
from dynamo.values.versions import Siblings, is_dead, reconcile


class PendingListing:
    """A page of keys: every member is asked, until each partition is covered by r of its owners.

    With r + w > n, r owners of a partition know every acknowledged write of it. A page tells what
    its node held as an owner of its time: to one who has become an owner since then it may lack all
    of a partition, and not say so. So only pages of this table of owners or the one before count.
    """

    def __init__(self, talk: Conversation, replica: Replica, view: View):
        self.wake_at: float | None = talk.deadline
        self._talk = talk
        self._replica = replica
        self._view = view
        self._list: ListKeys = talk.request.message  # type: ignore[assignment]
        self._n = self._list.n or view.table.n
        self._r = self._list.r or min(talk.settings.r, self._n)
        self.held_bytes = 0  # a page has no values, and keys to a bounded number
        self._pages: dict[str, CopiesListed] = {}
        """What each has answered last; one that fills partitions is asked again."""

    def start(self, now: float) -> Iterable[Envelope]:
        return self._go_on(now)

    def on_reply(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        if isinstance(envelope.message, CopiesListed) and self._counts(envelope.message):
            self._pages[envelope.sender] = envelope.message
            if self._covered:
                return self._finish()
        return []

    def on_lost(self, member: str, now: float) -> Iterable[Envelope]:
        return []  # the others were asked at the start, and it is asked again in time

    def on_ring(self, now: float) -> Iterable[Envelope]:
        self._pages = {node: page for node, page in self._pages.items() if self._counts(page)}
        return self._go_on(now)

    def on_wake(self, now: float) -> Iterable[Envelope]:
        if now < self._talk.deadline:
            self._talk.suspect(self._silent, now)
            filling = any(page.filling for page in self._pages.values())
            if filling or not self._talk.hopeless(1, self._silent, now):
                return self._go_on(now)
        self.wake_at = None
        answered = tuple(sorted(self._pages))
        return [self._talk.too_few(self._r, answered, self._silent, now)]

    def _counts(self, page: CopiesListed) -> bool:
        return page.epoch >= self._view.ring.epoch - 1

    @property
    def _silent(self) -> tuple[str, ...]:
        return tuple(node for node in self._view.ring.members if node not in self._pages)

    @property
    def _covered(self) -> bool:
        ring = self._view.ring
        return all(
            sum(self._covers(owner, p) for owner in ring.partition_owners(p, self._n)) >= self._r
            for p in range(len(ring.owners))
        )

    def _covers(self, owner: str, partition: int) -> bool:
        page = self._pages.get(owner)
        return page is not None and partition not in page.filling

    def _go_on(self, now: float) -> list[Envelope]:
        """Make this node's page, where there is none yet, and ask the others for theirs."""
        wanted, me = self._list, self._talk.me
        own = self._pages.get(me)
        if own is None or own.filling:
            own = self._replica.listing(wanted.prefix, wanted.after, wanted.limit)
        if own is not None:
            self._pages[me] = own
        return self._finish() if self._covered else self._ask_silent(now)

    def _ask_silent(self, now: float) -> list[Envelope]:
        self.wake_at = self._talk.next_wake(now)
        wanted = self._list
        request = ListCopies(self._talk.id, wanted.prefix, wanted.after, wanted.limit)
        me = self._talk.me
        silent = [node for node in self._silent if node != me]
        filling = [node for node, page in self._pages.items() if page.filling and node != me]
        return [self._talk.ask(node, request) for node in (*silent, *filling)]

    def _finish(self) -> list[Envelope]:
        """Merge the pages up to where the shortest of those that were cut off ends."""
        self.wake_at = None
        ends = [page.copies[-1].key for page in self._pages.values() if page.more]
        end = min(ends, default="")
        listed: list[Listed] = [copy for page in self._pages.values() for copy in page.copies]
        copies: dict[str, list[Siblings]] = {}
        for key, siblings in listed:
            if not end or key <= end:
                copies.setdefault(key, []).append(siblings)
        wall = self._talk.wall()
        live = (key for key in sorted(copies) if not is_dead(reconcile(copies[key]), wall))
        return [self._talk.answer(KeysListed(0, tuple(live), end))]
