"""Gossip: every node comes to know the same cluster, and changes of it are carried through.

Each node holds a `Cluster` (see `dynamo.values.cluster`) and keeps it on its disk. What is new to
it, it tells once to a few members picked at random, who tell others: that reaches nearly all of
them at once. Now and then it compares a digest with one member, which makes up for what was missed.
What a node says of itself, that it has *seen* a table and is *ready* for the next phase, goes out
only when the table is on its disk.

A node that has just started knows what its disk knows, which may be nothing, or long out of date.
It answers no reads until it has heard one other member, or has waited for one in vain, and until it
has heard one says nothing of its new life; the nodes of a new cluster answer none before all of
them have met. If the one that it hears knows of a later life of this node than its own disk does,
the disk is a new one or an old copy: then nothing on it can be taken for whole, and all is compared
with the other replicas first.

Sources: the Dynamo paper, sections 4.8.1 and 4.8.2; Demers et al., "Epidemic Algorithms for
Replicated Database Maintenance" (1987): rumour mongering, backed up by anti-entropy.
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
    Heard,
    Rumour,
    StageChange,
)
from dynamo.protocol.settings import Settings
from dynamo.protocol.view import View
from dynamo.values import cluster as changes
from dynamo.values.cluster import Cluster, Member, News, Phase, Seen, Table
from dynamo.values.ring import Ring

FANOUT = 4
"""How many members are told what is new; each to whom it is new tells as many."""
RUMOUR_S = 0.1
"""What comes to be known within this time is told together."""

_encode = msgspec.msgpack.Encoder().encode
_encode_in_order = msgspec.msgpack.Encoder(order="deterministic").encode
"""Two nodes that know the same give the same bytes; that takes sorting."""
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
        self._introduced = False
        """True once another member has said what it knows."""
        self.misfit = ""
        """Why this node, which is new, can never take part; "" as a rule."""
        self._asked: dict[int, tuple[str, float]] = {}
        """Requests under way: id -> the member, and when it is taken to be silent."""
        self._next_round = -math.inf
        self._tell_at = math.inf
        self._told_at = -math.inf
        self._told = view.cluster
        """What this node has told others, or has had no need to."""
        self._kept = True
        """False while the disk lacks what this node knows of others, but for the table."""
        self._digest: bytes | None = None
        self._awaits_fill = False
        """True while this node is to say that it is ready once it has filled up."""
        self._settles_at: float | None = None
        self._start(address, life)
        self.handlers: Mapping[type, Callable[[Envelope, float], Iterable[Envelope]]] = {
            Gossip: self._on_gossip,
            Rumour: self._on_rumour,
            GetCluster: lambda envelope, now: [self._known(envelope)],
            StageChange: self._on_stage,
            ClearPlan: self._on_clear,
            CommitPlan: self._on_commit,
        }

    def _start(self, address: str, life: int) -> None:
        """Take up what is known as a new life of this node."""
        known = self._view.cluster
        before = known.members.get(self._view.me)
        self._self = Member(address, before.version + 1 if before else 1, life)
        self.settled = self._introduced = not self._members.others
        self._take(known)
        self._keep(durable=True)

    # Rounds --------------------------------------------------------------------------------------

    @property
    def idle_until(self) -> float:
        if self._awaits_fill or not self.settled:
            return -math.inf
        return self._next_round if self._next_round < self._tell_at else self._tell_at

    def next_wake(self) -> float:
        wake_at = min(self._next_round, self._tell_at)
        if not self.settled and self._settles_at is not None:
            wake_at = min(wake_at, self._settles_at)
        return wake_at

    def tick(self, now: float) -> Iterable[Envelope]:
        if not self.settled:
            self._wait_for_others(now)
        if self._awaits_fill and not self._filling():
            self._take(self._view.cluster)
            self._tell_soon(now)
        sent: list[Envelope] = []
        if now >= self._next_round:
            sent += self._round(now)
        if now >= self._tell_at:
            sent += self._tell(now)
        return sent

    def on_lost(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        """A request will not be answered, which others have taken note of."""
        self._asked.pop(envelope.message.id, None)
        return []

    def _round(self, now: float) -> Iterable[Envelope]:
        """Compare with a member; one that has not answered in time is taken to be down."""
        settings = self._settings
        for id, (member, silent_at) in list(self._asked.items()):
            if now >= silent_at:
                del self._asked[id]
                self._members.unanswered(member, now)
        self._next_round = math.inf
        self._next_round_by(now + (self._rest_s if self._introduced else settings.resend_s))
        return [self._ask(peer, now) for peer in self._pick(1 if self._introduced else FANOUT)]

    @property
    def _rest_s(self) -> float:
        return self._settings.gossip_s or math.inf

    def _next_round_by(self, at: float) -> None:
        if self._members.others:
            self._next_round = min(self._next_round, at)

    def _ask(self, peer: str, now: float) -> Envelope:
        id = self._next_id()
        self._asked[id] = peer, now + self._settings.suspect_s
        return Envelope(self._view.me, peer, Gossip(id, self._digest_now()))

    def _tell(self, now: float) -> Iterable[Envelope]:
        """Tell a few what is new, and keep what has not been worth a commit of its own."""
        if not self._kept:
            self._keep(durable=False)
        news = changes.news(self._view.cluster, self._told)
        self._tell_at, self._told_at, self._told = math.inf, now, self._view.cluster
        self._next_round_by(now + self._rest_s)  # it may have had nobody to compare with before
        return [self._rumour(peer, news) for peer in self._pick(FANOUT)] if news else []

    def _tell_soon(self, now: float) -> None:
        self._tell_at = min(self._tell_at, max(now, self._told_at + RUMOUR_S))

    def _rumour(self, peer: str, news: News) -> Envelope:
        return Envelope(self._view.me, peer, Rumour(self._next_id(), news))

    def _pick(self, count: int) -> list[str]:
        """Some members at random, of those that are up where there are any."""
        peers = self._members.others_up or self._members.others
        return self._random.sample(peers, min(count, len(peers)))

    # What comes ----------------------------------------------------------------------------------

    def _on_gossip(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        message: Gossip = envelope.message  # type: ignore[assignment]
        same = message.digest == self._digest_now()
        return [envelope.reply(Gossiped(message.id, None if same else self._view.cluster))]

    def on_reply(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        """What a member knows that was asked; that one has heard a rumour is of no interest."""
        message = envelope.message
        if not isinstance(message, Gossiped):
            return []
        self._asked.pop(message.id, None)
        sent = []
        if message.cluster is not None:
            if not self._is_ours(message.cluster.table):
                return []
            self._hear(message.cluster, now)
            news = changes.news(self._view.cluster, message.cluster)
            if news and envelope.sender in self._view.members:
                sent.append(self._rumour(envelope.sender, news))
        if not self._introduced and self._view.table.rank.epoch > 0:
            self._introduced = True  # while the first nodes have not all met others know as little
            self._settle(now)
        return sent

    def _on_rumour(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        news: News = envelope.message.news  # type: ignore[union-attr]
        if news.table is None or self._is_ours(news.table):
            self._hear(news, now)
        return [envelope.reply(Heard(envelope.message.id))]

    def _is_ours(self, table: Table) -> bool:
        """False for the table of another cluster, or where this node is configured for another."""
        mine = self._view.table
        if len(table.owners) != self._view.partitions:
            self._meet_misfit(table)
            return False
        return min(mine.rank.epoch, table.rank.epoch) == 0 or mine.founding == table.founding

    def _meet_misfit(self, table: Table) -> None:
        """The number of partitions never changes; a new node may be told one that is wrong."""
        if self._view.table.rank.epoch == 0 and table.rank.epoch > 0:
            self.misfit = (
                f"the cluster has {len(table.owners)} partitions, and {self._view.me} is "
                f"configured for {self._view.partitions}; their number never changes: write "
                f"partitions = {len(table.owners)} in cluster.ini"
            )

    def _hear(self, heard: Cluster | News, now: float) -> None:
        """Take in what another node knows."""
        before, me = self._view.cluster, self._view.me
        joins_again = heard.table is not None and me in heard.table.members
        if joins_again and me in before.table.removed and self._has_old_copies():
            return
        merged = changes.merge(before, heard)
        mine = heard.members.get(me)
        if merged is before and mine in (None, self._self):
            return  # as most that is heard brings nothing new
        if mine and mine.life != self._self.life and mine.version >= self._self.version:
            self._self = self._self._replace(version=mine.version + 1)
            self._begin_fill(_held(merged.table.writing, merged.table.n, me))
        self._take(merged)
        if self._view.cluster != before:
            self._tell_soon(now)

    def _wait_for_others(self, now: float) -> None:
        if self._settles_at is None:
            self._settles_at = now + self._settings.suspect_s
            self._tell_soon(now)
        if now >= self._settles_at:
            self._settles_at = now + self._settings.suspect_s
            if self._view.table.rank.epoch > 0:  # else it may be new to a cluster that has begun
                self._settle(now)  # nobody is there who could know better

    def _settle(self, now: float) -> None:
        """What this node knows is not out of date, as far as anybody there can tell."""
        self.settled = True
        if self._introduced:
            self._next_round = now + self._rest_s
        self._take(self._view.cluster)
        self._tell_at = now

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
        self._awaits_fill = self._refilled == cluster.table.rank and not self._is_ready(cluster)

    def _with_self(self, cluster: Cluster) -> Cluster:
        """`cluster` with what this node says of itself, if it is a member.

        A disk may be an old copy. Until somebody has told this node what others know of it, it must
        not tell of a new life: those who hear would forget the one that it should be told of.
        """
        me, table = self._view.me, cluster.table
        if me not in table.live or self._silent:
            return cluster
        ready = table.phase is not Phase.FILLING or self._is_ready(cluster)
        said = Seen(table.rank, ready)
        if cluster.seen.get(me) != said:
            cluster = cluster._replace(seen={**cluster.seen, me: said})
        if self._introduced and cluster.members.get(me) != self._self:
            cluster = cluster._replace(members={**cluster.members, me: self._self})
        return cluster

    def _adopt(self, cluster: Cluster) -> None:
        """Go by `cluster` from now on."""
        known, me = self._view.cluster, self._view.me
        self._view.change(cluster)
        self._digest = None
        same_table = cluster.table is known.table
        if not same_table:
            self._members.go_by(cluster.table.live)
        if not same_table or cluster.members.get(me) != known.members.get(me):
            self._keep(durable=True)
        elif cluster.members != known.members:
            self._kept = False

    def _keep(self, durable: bool) -> None:
        self._kept = True
        self._staging.put(CLUSTER, record.seal(_encode(self._view.cluster)), durable=durable)

    def _digest_now(self) -> bytes:
        """What tells this node's knowledge from another's; the rank stands for the table."""
        if self._digest is None:
            known = self._view.cluster
            encoded = _encode_in_order((known.table.rank, known.members, known.seen))
            self._digest = hashlib.blake2b(encoded, digest_size=8).digest()
        return self._digest

    # Filling for a change ------------------------------------------------------------------------

    def _fill_for(self, cluster: Cluster) -> None:
        """Fill what this node is to hold anew: at once, and once more when all have seen the table.

        Until then somebody may still complete a write with a quorum of the old owners alone, behind
        the back of what has been fetched by then; afterwards nobody does.
        """
        table, me = cluster.table, self._view.me
        if table.phase is not Phase.FILLING or me not in table.live or self._silent:
            return
        if table.rank != self._view.table.rank:
            self._begin_fill(_gained(table, me))
        if self._refilled != table.rank and changes.all_have_seen(cluster):
            self._refilled = table.rank
            self._begin_fill(_gained(table, me))

    def _is_ready(self, cluster: Cluster) -> bool:
        """True once this node has all that it is to hold; what it has said it can't take back."""
        said = cluster.seen.get(self._view.me)
        if said == Seen(cluster.table.rank, ready=True):
            return True
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
        self._tell_soon(now)

    def _change(
        self, envelope: Envelope, now: float, change: Callable[[Cluster, str], Cluster]
    ) -> Iterable[Envelope]:
        me = self._view.me
        try:
            if me not in self._view.members:
                raise ValueError(f"{me} is no member of the cluster; ask one that is")
            if self._silent:
                raise ValueError(f"the disk of {me} takes no writes; ask another member")
            self._take(change(self._view.cluster, me))
        except ValueError as error:
            return [envelope.reply(Failed(envelope.message.id, Failure.REQUEST, str(error)))]
        self._tell_soon(now)
        return [self._known(envelope)]

    def _known(self, envelope: Envelope) -> Envelope:
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
    return {partition for ring in rings for partition in ring.held_by(me, n)}


def _gained(table: Table, me: str) -> list[int]:
    """The partitions that `me` holds by the target of a change, and not by the table before it."""
    before, after = table.writing
    return sorted(_held([after], table.n, me) - _held([before], table.n, me))
