"""Two owners of some partitions compare their hash trees and make good what differs: both sides.

One asks, the other only answers. The asker compares the roots, walks down where they differ, lists
the segments that differ, fetches copies that it lacks or that are not the same, and sends what the
other lacks. So after it both have what either had.

    asker           GetRoots        of all partitions at once; those that are equal are done
                    GetNodes        level by level, for one partition at a time
                    ListSegments    some at a time
                    FetchCopies, StoreCopies    in lots, and some of these at a time

A lot that is refused because one copy of it is damaged is cut in two, and so on, until that copy is
alone: it keeps no other from agreeing.

Under load two trees always differ a little: in what was written while one was hashed and the other
was not yet. Listing then finds the same digests in most of these segments, and the asker takes a
rest after each such list.

Sources: the Dynamo paper, section 4.7; Riak's `riak_kv_exchange_fsm`.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
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
    GetNodes,
    GetRoots,
    ListSegments,
    Message,
    NodesDone,
    RootsDone,
    SegmentsListed,
    StoreCopies,
)
from dynamo.protocol.replica import Replica
from dynamo.protocol.settings import Settings
from dynamo.protocol.trees import Trees
from dynamo.protocol.wholeness import Wholeness
from dynamo.values.hashtree import differing_children, differing_keys
from dynamo.values.versions import Siblings, ephemeral, reconcile, values_bytes

ROOTS_ASKED = 1024
"""Partitions whose roots are asked for in one message, at most."""
SEGMENTS_ASKED = 256
"""Segments that are listed in one message, at most."""
ENTRIES_LISTED = 1000
"""Entries in such a list from which on no further segment is added."""
REST_S = 0.05
"""The rest after a list in which nothing differed: it takes about 2 ms to make, and to compare."""
LOT_KEYS = 128
"""Keys of a lot, at most: a node takes some 5 ms for so many small copies."""
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


class Answers:
    """The side that is asked: it only reads."""

    def __init__(self, trees: Trees, wholeness: Wholeness) -> None:
        self._trees = trees
        self._wholeness = wholeness
        self.handlers: Mapping[type, Callable[[Envelope, float], Iterable[Envelope]]] = {
            GetRoots: self._on_roots,
            GetNodes: self._on_nodes,
            ListSegments: self._on_segments,
        }

    def _on_roots(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        asked: GetRoots = envelope.message  # type: ignore[assignment]
        trees = {p: self._trees.tree(p, now, asked.max_age_s) for p in asked.partitions}
        roots = tuple((p, tree.root) for p, tree in trees.items() if tree is not None)
        filling = tuple(p for p in asked.partitions if not self._wholeness.is_whole(p))
        return [envelope.reply(RootsDone(asked.id, roots, filling))]

    def _on_nodes(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        asked: GetNodes = envelope.message  # type: ignore[assignment]
        tree = self._trees.known_tree(asked.partition)
        try:
            nodes = tree.children(asked.level, asked.indexes) if tree is not None else {}
        except ValueError as error:
            return [envelope.reply(Failed(asked.id, Failure.REQUEST, str(error)))]
        return [envelope.reply(NodesDone(asked.id, tuple(nodes.items())))]

    def _on_segments(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        asked: ListSegments = envelope.message  # type: ignore[assignment]
        listed: list[tuple[int, dict[str, bytes]]] = []
        entries = 0
        segments = asked.segments[:SEGMENTS_ASKED]
        for segment, found in self._trees.entries(asked.partition, segments):
            listed.append((segment, found))
            entries += len(found)
            if entries >= ENTRIES_LISTED:
                break
        whole = self._wholeness.is_whole(asked.partition)
        return [envelope.reply(SegmentsListed(asked.id, tuple(listed), whole))]


class Compared(NamedTuple):
    """A partition that has been compared to the end."""

    partition: int
    whole: bool
    """The peer held the partition whole, as far as it said."""
    complete: bool
    """Everything the peer has of it could be fetched."""


class _Lot(NamedTuple):
    """Keys of one partition that are made good together."""

    keys: tuple[str, ...]
    fetch: bool
    """True if this node has something to fetch, False if it has something to give."""


class _Walk:
    """One partition whose trees differ: where in it the exchange is."""

    def __init__(self, partition: int, whole: bool) -> None:
        self.partition = partition
        self.level = 0
        self.nodes: list[int] = [0]
        """Nodes of this level whose children have yet to be compared."""
        self.segments: deque[int] = deque()
        self.lots: deque[_Lot] = deque()
        """The keys that differ and have yet to be made good."""
        self.whole = whole
        self.complete = True

    def add(self, keys: Sequence[str], *, fetch: bool) -> None:
        """These keys differ."""
        for start in range(0, len(keys), LOT_KEYS):
            self.lots.append(_Lot(tuple(keys[start : start + LOT_KEYS]), fetch))

    def add_first(self, keys: tuple[str, ...], *, fetch: bool) -> None:
        """It is the turn of these keys next."""
        if keys:
            self.lots.appendleft(_Lot(keys, fetch))


class Exchange:
    """The side that asks: it compares `partitions` with `peer`.

    `advance` is called after each reply and at `wake_at`; the exchange is over once it has `ended`,
    before its end if `failed` says why. With `only_give` it fetches nothing: the peer gets what
    this node has.
    """

    def __init__(
        self,
        here: Here,
        peer: str,
        partitions: Iterable[int],
        now: float,
        *,
        only_give: bool = False,
    ) -> None:
        self.peer = peer
        self.began_at = self._heard_at = self._sent_at = now
        self.wake_at = now
        self.ended = False
        self.failed = ""
        self.silent = False
        """True if it ended because the peer left its requests unanswered."""
        self.differing = 0
        """Partitions whose roots differed."""
        self.repaired = 0
        """Copies that were made good, here and there."""
        self.compared: list[Compared] = []
        """Whoever reads it empties it."""
        self._here = here
        self._left = dict.fromkeys(partitions)
        self._differ: deque[_Walk] = deque()
        self._walk: _Walk | None = None
        self._question: Envelope | None = None
        self._repairs: dict[int, tuple[_Lot, Envelope]] = {}
        """Lot and request of each repair that has yet to be answered."""
        self._rest_until = now
        self._roots_at = now
        self._may_push = True
        self._only_give = only_give
        self._copy_bytes = GUESSED_BYTES

    @property
    def left(self) -> list[int]:
        """The partitions that have yet to be compared to the end."""
        begun = [walk.partition for walk in (self._walk, *self._differ) if walk is not None]
        return begun + list(self._left)

    def expects(self, id: int) -> bool:
        asked = self._question is not None and self._question.message.id == id
        return asked or id in self._repairs

    def on_reply(self, envelope: Envelope, now: float) -> None:
        """Take in the reply to one of its requests."""
        self._heard_at = now
        message = envelope.message
        if message.id in self._repairs:
            self._take_repair(self._repairs.pop(message.id)[0], message)
            return
        self._question = None
        try:
            if isinstance(message, RootsDone):
                self._take_roots(message, now)
            elif isinstance(message, NodesDone):
                self._take_nodes(message)
            elif isinstance(message, SegmentsListed):
                self._take_segments(message, now)
            else:
                self.fail(f"{self.peer} answered {message}")
        except ValueError as error:
            self.fail(str(error))

    def fail(self, reason: str) -> None:
        """It is over before its end."""
        self.ended, self.failed = True, reason

    def advance(self, now: float) -> list[Envelope]:
        """Send what can be sent now."""
        if now >= self._deadline:
            self.silent = True
            self.fail(f"{self.peer} has not answered for {now - self._heard_at:.1f} s")
        sent: list[Envelope] = []
        if not self.ended:
            sent += self._send_again(now) + self._send_repairs()
            if self._question is None and now >= self._rest_until:
                sent += self._ask(now)
        if sent:
            self._sent_at = now
        self.wake_at = self._next_wake(now)
        return sent

    @property
    def _deadline(self) -> float:
        """When the peer will have been silent for too long."""
        waits = self._question is not None or self._repairs
        return self._heard_at + 5 * self._here.settings.suspect_s if waits else math.inf

    @property
    def _again_at(self) -> float:
        """When to send again what has not been answered."""
        return max(self._heard_at, self._sent_at) + self._here.settings.resend_s

    def _next_wake(self, now: float) -> float:
        rest_until = max(self._rest_until, self._roots_at if self._walk is None else now)
        if self._question is None and rest_until > now:
            return min(rest_until, self._deadline)
        return min(self._deadline, self._again_at)

    def _send_again(self, now: float) -> list[Envelope]:
        if now < self._again_at:
            return []
        question = [self._question] if self._question is not None else []
        return question + [request for _, request in self._repairs.values()]

    # Questions -----------------------------------------------------------------------------------

    def _ask(self, now: float) -> list[Envelope]:
        """The next question, if it is time for one."""
        if self._walk is None and self._differ:
            self._walk = self._differ.popleft()
        walk = self._walk
        if walk is None:
            return self._ask_roots(now)
        if walk.nodes:
            return self._question_of(GetNodes, walk.partition, walk.level, tuple(walk.nodes))
        if walk.segments and sum(len(lot.keys) for lot in walk.lots) < self._window:
            asked = tuple(islice(walk.segments, SEGMENTS_ASKED))
            return self._question_of(ListSegments, walk.partition, asked)
        if walk.segments or walk.lots or self._repairs:
            return []
        self._walk = None
        self.compared.append(Compared(walk.partition, walk.whole, walk.complete))
        return self._ask(now)

    def _ask_roots(self, now: float) -> list[Envelope]:
        self.ended = not self._left
        if self.ended or now < self._roots_at:
            return []
        asked = tuple(islice(self._left, ROOTS_ASKED))
        max_age_s = self._max_age_s(now)
        for partition in asked:  # those of this node are hashed meanwhile
            self._here.trees.tree(partition, now, max_age_s)
        return self._question_of(GetRoots, asked, max_age_s)

    def _question_of(self, kind: Callable[..., Message], *details: object) -> list[Envelope]:
        question = kind(self._here.next_id(), *details)
        self._question = Envelope(self._here.me, self.peer, question)
        return [self._question]

    def _max_age_s(self, now: float) -> float:
        """How old a tree may be: what is to fill a partition has to be younger than the fill."""
        wholeness = self._here.wholeness
        began = [wholeness.began_at(p, now) for p in self._left if not wholeness.is_whole(p)]
        return min([self._here.settings.anti_entropy_s, *(now - at for at in began)])

    # Answers -------------------------------------------------------------------------------------

    def _take_roots(self, done: RootsDone, now: float) -> None:
        max_age_s = self._max_age_s(now)
        filling = set(done.filling)
        for partition, root in done.roots:
            tree = self._here.trees.tree(partition, now, max_age_s)
            if tree is None or partition not in self._left:
                continue
            del self._left[partition]
            whole = partition not in filling
            if tree.root == root:
                self.compared.append(Compared(partition, whole, True))
            else:
                self.differing += 1
                self._differ.append(_Walk(partition, whole))
        self._roots_at = now + self._here.settings.resend_s

    def _take_nodes(self, done: NodesDone) -> None:
        walk = self._walk
        tree = self._here.trees.known_tree(walk.partition) if walk is not None else None
        if walk is None or tree is None:
            raise ValueError("an answer about a partition that this node does not hold")
        mine = tree.children(walk.level, walk.nodes)
        walk.nodes = differing_children(mine, dict(done.nodes))
        walk.level += 1
        if walk.level == tree.depth:
            walk.segments, walk.nodes = deque(walk.nodes), []

    def _take_segments(self, done: SegmentsListed, now: float) -> None:
        walk = self._walk
        if walk is None or not done.segments:
            raise ValueError("a list of no segment, or one that nobody asked for")
        walk.whole &= done.whole
        listed = [segment for segment, _ in done.segments]
        if listed != list(islice(walk.segments, len(listed))):
            raise ValueError(f"segments {listed[:8]} were not the next ones asked for")
        for _ in listed:
            walk.segments.popleft()
        mine = _joined(self._here.trees.entries(walk.partition, listed))
        differ = differing_keys(mine, _joined(done.segments))
        found = len(walk.lots)
        if not self._only_give:
            walk.add(differ.missing_here, fetch=True)
        walk.add(differ.different, fetch=not self._only_give)
        walk.add(differ.missing_there, fetch=False)
        if len(walk.lots) == found:
            self._rest_until = now + REST_S

    # Repairs -------------------------------------------------------------------------------------

    @property
    def _window(self) -> int:
        """How many copies may be on their way."""
        return max(1, min(self._here.settings.exchange_window, WINDOW_BYTES // self._copy_bytes))

    def _send_repairs(self) -> list[Envelope]:
        sent: list[Envelope] = []
        walk = self._walk
        room = self._window - sum(len(lot.keys) for lot, _ in self._repairs.values())
        while walk is not None and walk.lots and room > 0:
            lot = walk.lots.popleft()
            walk.add_first(lot.keys[room:], fetch=lot.fetch)
            lot = lot._replace(keys=lot.keys[:room])
            room -= len(lot.keys)
            if lot.fetch:
                sent.append(self._repair_by(lot, FetchCopies, lot.keys, True))
            elif self._may_push:
                sent += self._push_own(walk, lot)
        return sent

    def _repair_by(self, lot: _Lot, kind: Callable[..., Message], *details: object) -> Envelope:
        id = self._here.next_id()
        request = Envelope(self._here.me, self.peer, kind(id, *details))
        self._repairs[id] = lot, request
        return request

    def _push_own(self, walk: _Walk, lot: _Lot) -> list[Envelope]:
        """Send the peer this node's copies of a lot, the first of them if they are large."""
        records: list[tuple[str, bytes]] = []
        size_bytes, lasting = 0, True
        for place, key in enumerate(lot.keys):
            if size_bytes >= WINDOW_BYTES:
                walk.add_first(lot.keys[place:], fetch=False)
                break
            own = self._own_copy(walk, key)
            if own is not None and own.context:  # else there was an entry and no copy
                self._weigh(own)
                records.append((key, record.encode(Copy("", own))))
                size_bytes += len(records[-1][1])
                lasting &= not ephemeral(own)
        if not records:
            return []
        lot = _Lot(tuple([key for key, _ in records]), fetch=False)
        return [self._repair_by(lot, StoreCopies, tuple(records), True, "", lasting)]

    def _own_copy(self, walk: _Walk, key: str) -> Siblings | None:
        """This node's copy, by which its entry is made good; None if it is damaged, and to be
        healed from others."""
        own = self._here.replica.read(key)
        if own is not None and self._here.trees.mend(walk.partition, key, own):
            self._here.doubt(walk.partition)
        return own

    def _take_repair(self, lot: _Lot, message: Message) -> None:
        walk = self._walk
        if walk is None:
            return
        if isinstance(message, CopyStored):
            self.repaired += len(lot.keys)
        elif isinstance(message, CopiesFetched) and message.siblings:
            self._take_copies(walk, lot, message.siblings)
        elif not (isinstance(message, Failed) and message.reason is Failure.CORRUPT):
            # A node that takes no writes refuses all.
            walk.complete = self._may_push = False
        elif len(lot.keys) == 1:
            walk.complete = False
        else:
            middle = len(lot.keys) // 2
            walk.add_first(lot.keys[middle:], fetch=lot.fetch)
            walk.add_first(lot.keys[:middle], fetch=lot.fetch)

    def _take_copies(self, walk: _Walk, lot: _Lot, copies: tuple[Siblings, ...]) -> None:
        """Merge what has come, and see that the peer gets what was not in it."""
        walk.add_first(lot.keys[len(copies) :], fetch=True)
        fetched = zip(lot.keys, copies)
        lacking = [key for key, theirs in fetched if self._take_copy(walk, key, theirs)]
        walk.add_first(tuple(lacking), fetch=False)

    def _take_copy(self, walk: _Walk, key: str, theirs: Siblings) -> bool:
        """Merge one of them; True if the peer lacks something that is here."""
        own = self._own_copy(walk, key)
        if own is None:
            walk.complete = False
            return False
        self._weigh(theirs)
        merged = reconcile([own, theirs]) if own.context else theirs
        if merged != own:
            self._here.replica.merge(key, theirs, durable=True)
            self.repaired += 1
        return merged != theirs

    def _weigh(self, siblings: Siblings) -> None:
        """Learn how large copies are here."""
        self._copy_bytes = (7 * self._copy_bytes + 512 + values_bytes(siblings)) // 8


def _joined(segments: Iterable[tuple[int, dict[str, bytes]]]) -> dict[str, bytes]:
    """The entries of several segments."""
    return {key: digest for _, entries in segments for key, digest in entries.items()}
