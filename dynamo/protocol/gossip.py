"""Gossip: every node comes to know the same cluster, and changes of it are carried through.

Each node holds a `Cluster` (see `dynamo.values.cluster`), keeps it on its disk, and compares it now
and then with that of another member picked at random; a change is told at once to a few, who tell
others. What a node says of itself in it, that it has *seen* a table and is *ready* for the next
phase, goes out only when the table is on its disk.

A node that has just started knows what its disk knows, which may be nothing, or long out of date.
It answers no reads until it has heard one other member, or has waited for one in vain; and the
nodes of a new cluster answer none before all of them have met. If the one that it hears knows of a
later life of this node than its own disk does, the disk is a new one or an old copy: then nothing
on it can be taken for whole, and all is compared with the other replicas first.

Sources: the Dynamo paper, sections 4.8.1 and 4.8.2; Demers et al., "Epidemic Algorithms for
Replicated Database Maintenance" (1987).
"""

import hashlib
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from random import Random

import msgspec

from dynamo.disk import record
from dynamo.disk.contract import CLUSTER
from dynamo.disk.staging import Staging
from dynamo.errors import CorruptData
from dynamo.protocol.membership import Membership
from dynamo.protocol.messages import (
    ClearPlan,
    ClusterDone,
    CommitPlan,
    Envelope,
    Failed,
    Failure,
    GetCluster,
    Gossip,
    Gossiped,
    StageChange,
)
from dynamo.protocol.settings import Settings
from dynamo.protocol.view import View
from dynamo.values import cluster as changes
from dynamo.values.cluster import Cluster, Member, Phase, Seen, Table
from dynamo.values.ring import Ring

FANOUT = 4
"""How many members a change is told to at once; each of them tells as many."""
PUSH_S = 0.1
"""Changes that come within this time are told together."""

_encoder = msgspec.msgpack.Encoder(order="deterministic")
_decoder = msgspec.msgpack.Decoder(Cluster)


class Gossiper:
    """What one node knows of its cluster, and how it tells and learns it.

    `address` is where this node is reached from now on, and `life` the number drawn for this start
    of it; chance here follows from that.
    A `silent` node says nothing of itself, because it can't keep what it would say; so a change of
    the cluster waits for it. One that was removed and still has its copies (`has_old_copies`) stays
    out: keys that were deleted since would come back with them. `begin_fill` is told of partitions
    that may lack anything, `filling` says which still do.
    """

    def __init__(
        self,
        view: View,
        staging: Staging,
        members: Membership,
        settings: Settings,
        next_id: Callable[[], int],
        address: str,
        life: int,
        begin_fill: Callable[[Iterable[int]], None],
        filling: Callable[[], Collection[int]],
        has_old_copies: Callable[[], bool],
        silent: bool = False,
    ) -> None:
        self._view = view
        self._staging = staging
        self._members = members
        self._settings = settings
        self._next_id = next_id
        self._random = Random(life)
        self._begin_fill = begin_fill
        self._filling = filling
        self._has_old_copies = has_old_copies
        self._silent = silent
        self._refilled: object = None
        """The rank of the table for which this node has filled since all had seen it."""
        self.settled = False
        """False until this node may trust that what it knows of the cluster is not out of date."""
        self.misfit = ""
        """Why this node, which is new, can never take part; "" as a rule."""
        self._asked: dict[int, tuple[str, float]] = {}
        """Requests under way: id -> the member, and when it is taken to be silent."""
        self._next_round = -math.inf
        self._push_at = math.inf
        self._pushed_at = -math.inf
        self._settles_at = -math.inf
        self._start(address, life)
        self.handlers: Mapping[type, Callable[[Envelope, float], Iterable[Envelope]]] = {
            Gossip: self._on_gossip,
            Gossiped: self._on_gossiped,
            GetCluster: lambda envelope, now: [self._told(envelope)],
            StageChange: self._on_stage,
            ClearPlan: self._on_clear,
            CommitPlan: self._on_commit,
        }

    def _start(self, address: str, life: int) -> None:
        """Take up what is known as a new life of this node."""
        known = self._view.cluster
        before = known.members.get(self._view.me)
        self._self = Member(address, before.version + 1 if before else 1, life)
        self._adopt(self._with_self(known), keep=True)
        self.settled = not self._peers

    @property
    def _peers(self) -> list[str]:
        """Whom to tell and to ask."""
        return [name for name in self._view.members if name != self._view.me]

    # Rounds --------------------------------------------------------------------------------------

    def next_wake(self) -> float | None:
        settles_at = math.inf if self.settled else self._settles_at
        wake_at = min(self._next_round, self._push_at, settles_at)
        return None if wake_at == math.inf else wake_at

    def tick(self, now: float) -> Iterable[Envelope]:
        if now >= self._settles_at:
            # Nobody is there who could know better; unless the first nodes have yet to meet.
            begun = self._settles_at > -math.inf
            self.settled = self.settled or (begun and self._view.table.rank.epoch > 0)
            self._settles_at = now + self._settings.suspect_s
        if self._moving:
            self._take(self._view.cluster)  # this node may have become ready meanwhile
        sent: list[Envelope] = []
        if now >= self._next_round:
            sent += self._round(now)
        if now >= self._push_at:
            sent += self._push(now)
        return sent

    def on_lost(self, id: int) -> None:
        """A request will not be answered, which others have taken note of."""
        self._asked.pop(id, None)

    def _round(self, now: float) -> Iterable[Envelope]:
        """Compare with one member; one that has not answered in time is taken to be down."""
        settings, peers = self._settings, self._peers
        for id, (member, silent_at) in list(self._asked.items()):
            if now >= silent_at:
                del self._asked[id]
                self._members.unanswered(member, now)
        wait_s = settings.resend_s if not self.settled else settings.gossip_s or math.inf
        self._next_round = now + wait_s if peers else math.inf
        asked = peers if not self.settled else self._pick(1)
        return [self._ask(peer, None, now) for peer in asked]

    def _push(self, now: float) -> Iterable[Envelope]:
        """Tell what is new to a few."""
        self._push_at, self._pushed_at = math.inf, now
        return [self._ask(peer, self._view.cluster, now) for peer in self._pick(FANOUT)]

    def _pick(self, count: int) -> list[str]:
        """Some members at random, of those that are up where there are any."""
        peers = self._peers
        up = [peer for peer in peers if peer in self._members.up] or peers
        return self._random.sample(up, min(count, len(up)))

    def _ask(self, peer: str, cluster: Cluster | None, now: float) -> Envelope:
        id = self._next_id()
        self._asked[id] = peer, now + self._settings.suspect_s
        return Envelope(self._view.me, peer, Gossip(id, self._digest, cluster))

    # What comes ----------------------------------------------------------------------------------

    def _on_gossip(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        message: Gossip = envelope.message  # type: ignore[assignment]
        if message.cluster is not None:
            self._hear(message.cluster, now)
            self._settle(now)
        same = message.digest == self._digest
        known = None if same else self._view.cluster
        return [envelope.reply(Gossiped(message.id, known))]

    def _on_gossiped(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        message: Gossiped = envelope.message  # type: ignore[assignment]
        self._asked.pop(message.id, None)
        if message.cluster is not None:
            self._hear(message.cluster, now)
            if self._view.cluster != message.cluster and envelope.sender in self._peers:
                self._push_soon(now)
        self._settle(now)
        return []

    def _settle(self, now: float) -> None:
        """A member was heard. Where the first nodes have not all met, it may know as little."""
        if not self.settled and self._view.table.rank.epoch > 0:
            self.settled = True
            self._next_round = now + (self._settings.gossip_s or math.inf)

    def _hear(self, cluster: Cluster, now: float) -> None:
        """Take in what another node knows."""
        if len(cluster.table.owners) != self._view.partitions:
            self._meet_misfit(cluster)
            return
        before, me = self._view.cluster, self._view.me
        joins_again = me in cluster.table.members and me in self._view.table.removed
        if joins_again and self._has_old_copies():
            return
        merged = changes.merge(before, cluster)
        heard = cluster.members.get(me)
        if heard and heard.life != self._self.life and heard.version >= self._self.version:
            self._self = self._self._replace(version=heard.version + 1)
            self._begin_fill(_held(merged.table.writing, merged.table.n, me))
        self._take(merged)
        if self._view.cluster != before:
            self._push_soon(now)

    def _meet_misfit(self, cluster: Cluster) -> None:
        """No member of this cluster has another number of partitions; a new node may be told one
        that is wrong."""
        if self._view.table.rank.epoch == 0 and cluster.table.rank.epoch > 0:
            self.misfit = (
                f"the cluster has {len(cluster.table.owners)} partitions, and {self._view.me} is "
                f"configured for {self._view.partitions}; their number never changes: write "
                f"partitions = {len(cluster.table.owners)} in cluster.ini"
            )

    def _push_soon(self, now: float) -> None:
        self._push_at = min(self._push_at, max(now, self._pushed_at + PUSH_S))

    def _take(self, cluster: Cluster) -> None:
        """`cluster` is what is known now: say what this node has to say, and go on from there."""
        while True:
            told = self._with_self(cluster)
            self._fill_for(told)
            cluster = changes.advance(self._with_self(told))
            if cluster == told:
                break
        if cluster != self._view.cluster:
            self._adopt(cluster)

    def _with_self(self, cluster: Cluster) -> Cluster:
        """`cluster` with this node's own entries, if it is a member."""
        me, table = self._view.me, cluster.table
        if me not in table.live or self._silent:
            return cluster
        ready = table.phase is not Phase.FILLING or self._is_ready(cluster)
        said = Seen(table.rank, ready)
        if cluster.members.get(me) == self._self and cluster.seen.get(me) == said:
            return cluster
        return cluster._replace(
            members={**cluster.members, me: self._self}, seen={**cluster.seen, me: said}
        )

    def _adopt(self, cluster: Cluster, keep: bool = False) -> None:
        """Go by `cluster` from now on; keep it on disk if more has changed than who has seen it."""
        known = self._view.cluster
        self._view.change(cluster)
        self._members.go_by(cluster.table.live)
        encoded = _encoder.encode(cluster)
        self._digest = hashlib.blake2b(encoded, digest_size=8).digest()
        self._moving = cluster.table.phase is not Phase.STABLE or not _all_have_seen(cluster)
        if keep or (known.table, known.members) != (cluster.table, cluster.members):
            self._staging.put(CLUSTER, record.seal(encoded), durable=True)

    # Filling for a change ------------------------------------------------------------------------

    def _fill_for(self, cluster: Cluster) -> None:
        """Fill what this node is to hold anew: at once, and once more when all have seen the table.

        Until then somebody may still complete a write with a quorum of the old owners alone, behind
        the back of what has been fetched by then; afterwards nobody does.
        """
        table, me = cluster.table, self._view.me
        if table.phase is not Phase.FILLING or me not in table.live:
            return
        if table.rank != self._view.table.rank:
            self._begin_fill(_gained(table, me))
        if self._refilled != table.rank and _all_have_seen(cluster):
            self._refilled = table.rank
            self._begin_fill(_gained(table, me))

    def _is_ready(self, cluster: Cluster) -> bool:
        return self._refilled == cluster.table.rank and not self._filling()

    # What operators ask for ----------------------------------------------------------------------

    def _on_stage(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        change = envelope.message.change  # type: ignore[union-attr]
        return self._change(envelope, now, lambda known, me: changes.stage(known, change, me))

    def _on_clear(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        return self._change(envelope, now, changes.clear)

    def _on_commit(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        if envelope.message.rank != self._view.table.rank:  # type: ignore[union-attr]
            detail = "the plan has changed since it was shown; see `dynamo plan`, then commit that"
            return [envelope.reply(Failed(envelope.message.id, Failure.REQUEST, detail))]
        return self._change(envelope, now, changes.commit)

    def depart(self, now: float) -> None:
        """This node was leaving, and nobody needs it any more."""
        self._take(changes.depart(self._view.cluster, self._view.me))
        self._push_soon(now)

    def _change(
        self, envelope: Envelope, now: float, change: Callable[[Cluster, str], Cluster]
    ) -> Iterable[Envelope]:
        me = self._view.me
        try:
            if me not in self._view.members:
                raise ValueError(f"{me} is no member of the cluster; ask one that is")
            self._take(change(self._view.cluster, me))
        except ValueError as error:
            return [envelope.reply(Failed(envelope.message.id, Failure.REQUEST, str(error)))]
        self._push_soon(now)
        return [self._told(envelope)]

    def _told(self, envelope: Envelope) -> Envelope:
        return envelope.reply(ClusterDone(envelope.message.id, self._view.cluster))


def load(staging: Staging) -> Cluster | None:
    """What the disk knows of the cluster; None if nothing, or if that is damaged."""
    try:
        stored = staging.get(CLUSTER)
        return None if stored is None else _decoder.decode(record.unseal(stored))
    except (CorruptData, msgspec.MsgspecError):
        return None


def _held(rings: Iterable[Ring], n: int, me: str) -> set[int]:
    """The partitions that `me` holds by any of these rings."""
    return {
        partition
        for ring in rings
        for partition in range(len(ring.owners))
        if me in ring.partition_owners(partition, n)
    }


def _gained(table: Table, me: str) -> list[int]:
    """The partitions that `me` holds by the target of a change, and not by the table before it."""
    before, after = table.writing
    return sorted(_held([after], table.n, me) - _held([before], table.n, me))


def _all_have_seen(cluster: Cluster) -> bool:
    """True if every live member has the table, so that nobody goes by an earlier one."""
    table, seen = cluster.table, cluster.seen
    return all(name in seen and seen[name].rank == table.rank for name in table.live)
