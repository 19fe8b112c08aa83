"""Two owners of some partitions compare their hash trees and make good what differs: both sides.

One asks, the other only answers. The asker compares the roots, walks down where they differ, lists
the segments that differ, fetches copies that it lacks or that are not the same, and sends what the
other lacks. So after it both have what either had.

    asker           GetRoots        of all partitions at once; those that are equal are done
                    GetNodes        level by level, for one partition at a time
                    ListSegments    some at a time
                    FetchCopies, StoreCopies    in lots (`dynamo.protocol.repairs`)

Under load two trees always differ a little: in what was written while one was hashed and the other
was not yet. Listing then finds the same digests in most of these segments, and the asker takes a
rest after each such list.

Sources: the Dynamo paper, section 4.7; Riak's `riak_kv_exchange_fsm`.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import NamedTuple

from dynamo.protocol.messages import (
    Envelope,
    Failed,
    Failure,
    GetNodes,
    GetRoots,
    ListSegments,
    Message,
    NodesDone,
    RootsDone,
    SegmentsListed,
)
from dynamo.protocol.repairs import Here, Repairs
from dynamo.protocol.trees import Trees
from dynamo.protocol.wholeness import Wholeness
from dynamo.values.hashtree import differing_children, differing_keys

ROOTS_ASKED = 1024
"""Partitions whose roots are asked for in one message, at most."""
SEGMENTS_ASKED = 256
"""Segments that are listed in one message, at most."""
ENTRIES_LISTED = 1000
"""Entries in such a list from which on no further segment is added."""
REST_S = 0.05
"""The rest after a list in which nothing differed: it takes about 2 ms to make, and to compare."""


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


class _Walk:
    """One partition whose trees differ: where in it the exchange is."""

    def __init__(self, partition: int, whole: bool) -> None:
        self.partition = partition
        self.level = 0
        self.nodes: list[int] = [0]
        """Nodes of this level whose children have yet to be compared."""
        self.segments: deque[int] = deque()
        self.whole = whole


class Exchange:
    """The side that asks: it compares `partitions` with `peer`.

    `advance` is called after each reply and at `wake_at`; the exchange is over once it has `ended`,
    before its end if `failed` says why. Trees have all that was written before `trees_from`. With
    `only_give` it fetches nothing: the peer gets what this node has.
    """

    def __init__(
        self,
        here: Here,
        peer: str,
        partitions: Iterable[int],
        now: float,
        trees_from: float = -math.inf,
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
        self.compared: list[Compared] = []
        """Whoever reads it empties it."""
        self._here = here
        self._trees_from = trees_from
        self._left = dict.fromkeys(partitions)
        self._differ: deque[_Walk] = deque()
        self._walk: _Walk | None = None
        self._question: Envelope | None = None
        self._repairs = Repairs(here, peer)
        self._rest_until = now
        self._roots_at = now
        self._only_give = only_give

    @property
    def repaired(self) -> int:
        """Copies that were made good, here and there."""
        return self._repairs.repaired

    @property
    def left(self) -> list[int]:
        """The partitions that have yet to be compared to the end."""
        begun = [walk.partition for walk in (self._walk, *self._differ) if walk is not None]
        return begun + list(self._left)

    def expects(self, id: int) -> bool:
        asked = self._question is not None and self._question.message.id == id
        return asked or self._repairs.expects(id)

    def on_reply(self, envelope: Envelope, now: float) -> None:
        """Take in the reply to one of its requests."""
        self._heard_at = now
        message = envelope.message
        if self._repairs.expects(message.id):
            self._repairs.on_reply(message)
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
            sent += self._send_again(now) + self._repairs.send()
            if self._question is None and now >= self._rest_until:
                sent += self._ask(now)
        if sent:
            self._sent_at = now
        self.wake_at = self._next_wake(now)
        return sent

    @property
    def _deadline(self) -> float:
        """When the peer will have been silent for too long."""
        waits = self._question is not None or self._repairs.unanswered
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
        return question + self._repairs.unanswered

    # Questions -----------------------------------------------------------------------------------

    def _ask(self, now: float) -> list[Envelope]:
        """The next question, if it is time for one."""
        if self._walk is None and self._differ:
            self._walk = self._differ.popleft()
            self._repairs.begin(self._walk.partition)
        walk = self._walk
        if walk is None:
            return self._ask_roots(now)
        if walk.nodes:
            return self._question_of(GetNodes, walk.partition, walk.level, tuple(walk.nodes))
        if walk.segments and self._repairs.wants_more:
            asked = tuple(islice(walk.segments, SEGMENTS_ASKED))
            return self._question_of(ListSegments, walk.partition, asked)
        if walk.segments or not self._repairs.is_done:
            return []
        self._walk = None
        self.compared.append(Compared(walk.partition, walk.whole, self._repairs.complete))
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
        """How old a tree may be: one that is to fill a partition is younger than the fill."""
        wholeness = self._here.wholeness
        began = [wholeness.began_at(p, now) for p in self._left if not wholeness.is_whole(p)]
        oldest = max([self._trees_from, *began])
        return min(self._here.settings.anti_entropy_s, now - oldest)

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
        if not self._only_give:
            self._repairs.add(differ.missing_here, fetch=True)
        self._repairs.add(differ.different, fetch=not self._only_give)
        self._repairs.add(differ.missing_there, fetch=False)
        if not any(differ):
            self._rest_until = now + REST_S


def _joined(segments: Iterable[tuple[int, dict[str, bytes]]]) -> dict[str, bytes]:
    """The entries of several segments."""
    return {key: digest for _, entries in segments for key, digest in entries.items()}
