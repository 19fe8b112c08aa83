"""What an exchange makes good: copies of keys that differ, moved in lots between two nodes.

What this node lacks or has otherwise is fetched and merged; what the peer lacks is pushed to it,
and so is what turned out to be missing in a copy that it told. A lot is what one message carries.
It costs a request, a commit and an answer, so that a hundred small copies take little longer than
one. Those on their way make a few MiB at most, and no more copies than a node handles in a few
milliseconds: so long may other requests have to wait for them.

A lot that is refused because one copy in it is damaged is cut in two, and so on, until that copy is
alone: it keeps no other from being made good.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from dynamo.disk import record
from dynamo.disk.record import Copy
from dynamo.protocol.messages import (
    CopiesFetched,
    CopyStored,
    Envelope,
    Failed,
    Failure,
    FetchCopies,
    Message,
    StoreCopies,
)
from dynamo.protocol.replica import Replica
from dynamo.protocol.settings import Settings
from dynamo.protocol.trees import Trees
from dynamo.protocol.wholeness import Wholeness
from dynamo.values.versions import Siblings, ephemeral, reconcile, values_bytes

LOT_KEYS = 128
"""Keys of a lot, at most: small copies of so many take each of two nodes a millisecond or two."""
WINDOW_BYTES = 4 << 20
"""About how large the copies on their way may be together."""
GUESSED_BYTES = 64 << 10
"""How large a copy is taken to be before any has been seen."""


class Here(NamedTuple):
    """What an exchange works with on this node."""

    me: str
    replica: Replica
    trees: Trees
    wholeness: Wholeness
    settings: Settings
    next_id: Callable[[], int]
    doubt: Callable[[int], None]
    """Called with a partition in which an index entry was wrong."""


class _Lot(NamedTuple):
    """Keys of one partition that are made good together."""

    keys: tuple[str, ...]
    fetch: bool
    """True if this node has something to fetch, False if it has something to give."""


class Repairs:
    """The lots of one exchange with `peer`: one partition's at a time."""

    def __init__(self, here: Here, peer: str) -> None:
        self.repaired = 0
        """Copies that were made good, here and there."""
        self.complete = True
        """All that was found of this partition at the peer could be fetched."""
        self._here = here
        self._peer = peer
        self._partition = 0
        self._waiting: deque[_Lot] = deque()
        self._under_way: dict[int, tuple[_Lot, Envelope]] = {}
        """Lot and request of each that has yet to be answered."""
        self._may_push = True
        self._copy_bytes = GUESSED_BYTES

    def begin(self, partition: int) -> None:
        """From now on it is about this partition; all that was before has been answered."""
        self._partition = partition
        self.complete = True

    def add(self, keys: Sequence[str], *, fetch: bool) -> None:
        """These keys differ: fetch what the peer has of them, or push what is here."""
        for start in range(0, len(keys), LOT_KEYS):
            self._waiting.append(_Lot(tuple(keys[start : start + LOT_KEYS]), fetch))

    @property
    def is_done(self) -> bool:
        """True if nothing waits and nothing is under way."""
        return not (self._waiting or self._under_way)

    @property
    def wants_more(self) -> bool:
        """True if fewer keys wait than may be on their way."""
        return sum(len(lot.keys) for lot in self._waiting) < self._window

    @property
    def unanswered(self) -> list[Envelope]:
        """The requests that have yet to be answered."""
        return [request for _, request in self._under_way.values()]

    def expects(self, id: int) -> bool:
        return id in self._under_way

    def send(self) -> list[Envelope]:
        """The requests there is room for."""
        sent: list[Envelope] = []
        while self._waiting and (room := self._room) > 0:
            keys, fetch = self._waiting.popleft()
            self._add_first(keys[room:], fetch)
            if fetch:
                sent += self._fetch(keys[:room])
            elif self._may_push:
                sent += self._push(keys[:room])
        return sent

    def on_reply(self, message: Message) -> None:
        """Take in the reply to one of its requests."""
        lot, _ = self._under_way.pop(message.id)
        if isinstance(message, CopyStored):
            self.repaired += len(lot.keys)
        elif isinstance(message, CopiesFetched) and message.siblings:
            self._take_copies(lot, message.siblings)
        elif not (isinstance(message, Failed) and message.reason is Failure.CORRUPT):
            # A damaged copy concerns one key; a node that takes no writes refuses all.
            self.complete = self._may_push = False
        elif len(lot.keys) == 1:
            self.complete = False
        else:
            middle = len(lot.keys) // 2
            self._add_first(lot.keys[middle:], lot.fetch)
            self._add_first(lot.keys[:middle], lot.fetch)

    @property
    def _window(self) -> int:
        """How many copies may be on their way."""
        return max(1, min(self._here.settings.exchange_window, WINDOW_BYTES // self._copy_bytes))

    @property
    def _room(self) -> int:
        """How many more copies may be on their way now."""
        return self._window - sum(len(lot.keys) for lot, _ in self._under_way.values())

    def _add_first(self, keys: tuple[str, ...], fetch: bool) -> None:
        if keys:
            self._waiting.appendleft(_Lot(keys, fetch))

    def _ask(self, lot: _Lot, request: Message) -> list[Envelope]:
        envelope = Envelope(self._here.me, self._peer, request)
        self._under_way[request.id] = lot, envelope
        return [envelope]

    def _fetch(self, keys: tuple[str, ...]) -> list[Envelope]:
        request = FetchCopies(self._here.next_id(), keys, anyway=True)
        return self._ask(_Lot(keys, fetch=True), request)

    def _push(self, keys: tuple[str, ...]) -> list[Envelope]:
        """Give the peer these copies, the first of them if they are large."""
        records: list[tuple[str, bytes]] = []
        size_bytes, lasting = 0, True
        for place, key in enumerate(keys):
            if size_bytes >= WINDOW_BYTES:
                self._add_first(keys[place:], fetch=False)
                break
            own = self._own(key)
            if own is None or not own.context:  # there was an entry and no copy
                continue
            self._weigh(own)
            records.append((key, record.encode(Copy("", own))))
            size_bytes += len(records[-1][1])
            lasting = lasting and not ephemeral(own)
        if not records:
            return []
        lot = _Lot(tuple([key for key, _ in records]), fetch=False)
        request = StoreCopies(self._here.next_id(), tuple(records), lasting=lasting)
        return self._ask(lot, request)

    def _take_copies(self, lot: _Lot, copies: tuple[Siblings, ...]) -> None:
        """Merge what has come, and see that the peer gets what was not in it."""
        self._add_first(lot.keys[len(copies) :], fetch=True)
        told = zip(lot.keys, copies)
        lacking = [key for key, theirs in told if self._lacks(key, theirs)]
        self._add_first(tuple(lacking), fetch=False)

    def _lacks(self, key: str, theirs: Siblings) -> bool:
        """Merge a copy that the peer told; True if it lacks something that is here."""
        own = self._own(key)
        if own is None:
            self.complete = False
            return False
        self._weigh(theirs)
        merged = reconcile([own, theirs]) if own.context else theirs
        if merged != own:
            self._here.replica.merge(key, theirs, durable=True)
            self.repaired += 1
        return merged != theirs

    def _own(self, key: str) -> Siblings | None:
        """This node's copy, after which its index entry is made good; None if it is damaged, and to
        be healed from others."""
        own = self._here.replica.read(key)
        if own is not None and self._here.trees.mend(self._partition, key, own):
            self._here.doubt(self._partition)
        return own

    def _weigh(self, siblings: Siblings) -> None:
        """Learn how large copies are here."""
        self._copy_bytes = (7 * self._copy_bytes + 512 + values_bytes(siblings)) // 8
