"""The cluster as its nodes tell it to each other: members, the table of owners, a change under way.

Every node holds one `Cluster` and merges what it hears from others into it (`merge`); the merge is
commutative, associative and idempotent, so gossip in any order ends with the same everywhere.

A change of members moves partitions from one table of owners to another, through *phases*:

    STABLE      reads ask the owners, writes go to the owners.
    FILLING     `target` is the table to come. Reads ask the old owners; writes need a quorum of the
                old owners and one of the new. Nodes that are to hold more fill up from the others.
    SWITCHING   everyone has filled up. Reads ask the new owners; writes still need both quorums.
    STABLE      again: the target has become the table.

Reads and writes of one phase and of the next overlap in a node, those of two phases apart do not.
So a phase begins only when all members have *seen* the one before it. `advance` says when that is,
by a rule that gives the same result wherever it is applied: no member has to lead, and no two can
disagree. A member that is down holds a change up, unless it is declared dead, which an operator has
to do; the others refuse it from then on. A change under way keeps its target even so: somebody may
be a phase ahead already, and read by it. The table without the dead is the next change.

Source: the joint quorum is that of Raft's joint consensus (Ongaro and Ousterhout 2014, section 6);
"seen by all" is what Riak's ring gossip waits for.
"""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

from dynamo.values import ring
from dynamo.values.ring import Ring, claim

Entry = TypeVar("Entry")


class Phase(StrEnum):
    STABLE = "stable"
    FILLING = "filling"
    SWITCHING = "switching"


class Kind(StrEnum):
    """What a change does with a node."""

    JOIN = "join"
    LEAVE = "leave"
    REPLACE = "replace"
    """`node` leaves and `by` joins in its place."""
    REMOVE = "remove"
    """`node` is dead and will not come back; what only it held is lost."""


class Change(NamedTuple):
    """One staged change; `address` is that of the node that joins.

    >>> str(Change(Kind.REPLACE, "n2", by="n5", address="127.0.0.1:7405"))
    'replace n2 by n5'
    """

    kind: Kind
    node: str
    by: str = ""
    address: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.node}" + (f" by {self.by}" if self.by else "")

    @property
    def joins(self) -> str:
        """The node that is a member afterwards and was not before; "" for none."""
        return self.node if self.kind is Kind.JOIN else self.by


class Rank(NamedTuple):
    """Of two tables the one of higher rank holds; `proposer` decides between two made at once."""

    epoch: int
    stage: int = 0
    proposer: str = ""

    def __str__(self) -> str:
        """What people call a plan.

        >>> str(Rank(3, 2, "n1"))
        '3.2-n1'
        """
        return f"{self.epoch}.{self.stage}-{self.proposer}"


class Seen(NamedTuple):
    """What a member says of itself: the table it has, and if it is `ready`: holds all it asks."""

    rank: Rank
    ready: bool


class Member(NamedTuple):
    """A node and where it is reached.

    Only the node itself changes its entry, and raises `version` with it. `life` is drawn at each
    start: a node that hears of another life of its own, of no lower version, knows that its disk
    is not the one it last had.
    """

    address: str
    version: int = 0
    life: int = 0


class Table(NamedTuple):
    """Who owns what, and what is to become of it."""

    rank: Rank
    phase: Phase
    n: int
    """How many nodes hold each partition."""
    members: tuple[str, ...]
    """In order of name. A member may own nothing: one that has just joined or is about to leave."""
    owners: tuple[str, ...]
    target: tuple[str, ...] = ()
    """The owners to come; empty while stable."""
    leaving: tuple[str, ...] = ()
    dead: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    """The dead of the past: nobody takes anything from them any more, should they come back."""
    staged: tuple[Change, ...] = ()
    founding: str = ""
    """Names the cluster for good, after what its founders were configured with."""

    @property
    def live(self) -> tuple[str, ...]:
        """The members that take part: all but the dead."""
        return _without(self.members, self.dead) if self.dead else self.members

    @property
    def change(self) -> str:
        """The change under way in words, such as "join n4, leave n2"; "" where there is none."""
        joining = sorted(set(self.target) - set(self.owners))
        named = ((Kind.JOIN, joining), (Kind.LEAVE, self.leaving), (Kind.REMOVE, self.dead))
        words = [f"{kind} {node}" for kind, nodes in named for node in nodes]
        return ", ".join(words) or ("move partitions" if self.target else "")

    @property
    def reading(self) -> Ring:
        """The ring that reads go by."""
        owners = self.target if self.phase is Phase.SWITCHING else self.owners
        return _ring(owners, self.rank.epoch)

    @property
    def writing(self) -> tuple[Ring, ...]:
        """The rings that a write needs a quorum in, each."""
        tables = (self.owners, self.target) if self.target else (self.owners,)
        return tuple(_ring(owners, self.rank.epoch) for owners in tables)


class Cluster(NamedTuple):
    """All that is told from node to node."""

    table: Table
    members: Mapping[str, Member]
    seen: Mapping[str, Seen]


class News(NamedTuple):
    """A part of a cluster: what somebody may not know yet. No table means that it is the same."""

    table: Table | None
    members: Mapping[str, Member]
    seen: Mapping[str, Seen]

    def __bool__(self) -> bool:
        return bool(self.table or self.members or self.seen)


def found(addresses: Mapping[str, str], partitions: int, n: int) -> Cluster:
    """The cluster as its founders make it, each by itself from the same configuration.

    Until all of them have met (`advance`) it gives way to any that exists already, and to one of
    fewer founders: a node that is new in the configuration founds nothing beside an old cluster.

    >>> cluster = found({"n1": "127.0.0.1:7401", "n2": "127.0.0.1:7402"}, partitions=4, n=2)
    >>> cluster.table.rank.epoch, cluster.table.owners
    (0, ('n1', 'n2', 'n1', 'n2'))
    """
    members = tuple(sorted(addresses))
    owners = claim(members, partitions, n)
    text = repr((n, sorted(addresses.items()), owners))
    name = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    table = Table(Rank(0, -len(members), name), Phase.STABLE, n, members, owners, founding=name)
    return Cluster(table, {name: Member(address) for name, address in addresses.items()}, {})


def merge(one: Cluster, other: Cluster | News) -> Cluster:
    """What both know together."""
    table = one.table
    if other.table is not None and other.table.rank > table.rank:
        table = other.table
    members = _latest(one.members, other.members, _age)
    seen = _latest(one.seen, other.seen, tuple)
    if table is one.table and members is one.members and seen is one.seen:
        return one  # as most that is heard brings nothing new
    merged = Cluster(table, members, seen)
    if table is one.table and len(members) == len(one.members) and len(seen) == len(one.seen):
        return merged  # of the same names
    return _only_members(merged)


def news(cluster: Cluster, known: Cluster) -> News:
    """What `cluster`, which knows all that `known` does, knows beyond it.

    >>> before = found({"n1": "127.0.0.1:7401"}, partitions=4, n=1)
    >>> after = before._replace(seen={"n1": Seen(before.table.rank, ready=True)})
    >>> list(news(after, before).seen), bool(news(after, after))
    (['n1'], False)
    """
    if cluster.table.rank != known.table.rank:
        return News(*cluster)  # with all members: one that lacks the table lacks most
    return News(None, _beyond(cluster.members, known.members), _beyond(cluster.seen, known.seen))


def advance(cluster: Cluster) -> Cluster:
    """The next phase, if all live members have seen this one and are ready; else the same.

    >>> alone = found({"n1": "127.0.0.1:7401"}, partitions=4, n=1)
    >>> alone = alone._replace(seen={"n1": Seen(alone.table.rank, ready=True)})
    >>> advance(alone).table.rank
    Rank(epoch=1, stage=0, proposer='')
    """
    table = cluster.table
    rests = table.phase is Phase.STABLE and not table.dead and table.rank.epoch > 0
    if rests or not all_have_seen(cluster):
        return cluster
    next_rank = Rank(table.rank.epoch + 1)
    if table.phase is Phase.FILLING:
        if not all(cluster.seen[member].ready for member in table.live):
            return cluster
        table = table._replace(rank=next_rank, phase=Phase.SWITCHING)
    elif table.phase is Phase.SWITCHING:
        gone = _without(table.dead, table.target)
        table = table._replace(
            rank=next_rank,
            phase=Phase.STABLE,
            owners=table.target,
            target=(),
            members=_without(table.members, gone),
            dead=_without(table.dead, gone),
        )
    elif table.dead:  # declared dead while a change was under way
        table = _begin(table, next_rank, table.owners)
    else:  # the first nodes have met
        table = table._replace(rank=next_rank)
    return _only_members(cluster._replace(table=table))


def all_have_seen(cluster: Cluster) -> bool:
    """True if every live member has the table, so that nobody goes by an earlier one."""
    table, seen = cluster.table, cluster.seen
    return all(name in seen and seen[name].rank == table.rank for name in table.live)


def stage(cluster: Cluster, change: Change, proposer: str) -> Cluster:
    """`cluster` with one more change to be planned and committed; ValueError says why not."""
    table = cluster.table
    _check(cluster, change, proposer)
    rank = table.rank._replace(stage=table.rank.stage + 1, proposer=proposer)
    return cluster._replace(table=table._replace(rank=rank, staged=(*table.staged, change)))


def clear(cluster: Cluster, proposer: str) -> Cluster:
    """`cluster` with nothing staged."""
    table = cluster.table
    if not table.staged:
        return cluster
    rank = table.rank._replace(stage=table.rank.stage + 1, proposer=proposer)
    return cluster._replace(table=table._replace(rank=rank, staged=()))


def commit(cluster: Cluster, proposer: str) -> Cluster:
    """`cluster` with all that is staged begun; ValueError says why not."""
    table = cluster.table
    if not table.staged:
        raise ValueError("nothing is staged; see `dynamo join --help` and `dynamo leave --help`")
    dead = {change.node for change in table.staged if change.kind is Kind.REMOVE}
    if table.phase is not Phase.STABLE:
        return cluster._replace(table=_declare_dead(table, dead, proposer))
    joining = {change.joins: change.address for change in table.staged if change.joins}
    left = {change.node for change in table.staged if change.kind in (Kind.LEAVE, Kind.REPLACE)}
    present = table.owners
    for change in table.staged:
        if change.kind is Kind.REPLACE:
            present = ring.replace(present, change.node, change.by)
    wanted = table._replace(
        members=tuple(sorted({*table.members, *joining})),
        leaving=tuple(sorted({*table.leaving, *left} - dead)),
        dead=tuple(sorted({*table.dead, *dead})),
        removed=tuple(sorted({*table.removed, *dead} - set(joining))),
        staged=(),
    )
    rank = Rank(table.rank.epoch + 1, proposer=proposer)
    members = {**cluster.members, **{name: Member(at) for name, at in joining.items()}}
    return _only_members(cluster._replace(table=_begin(wanted, rank, present), members=members))


def _declare_dead(table: Table, dead: Collection[str], proposer: str) -> Table:
    """The change under way goes on without `dead`; `advance` takes them out when it is done.

    Within the epoch: where a member is a phase ahead already, that holds, and this is lost.
    """
    if any(change.kind is not Kind.REMOVE for change in table.staged):
        raise ValueError(_UNDER_WAY)
    return table._replace(
        rank=table.rank._replace(stage=table.rank.stage + 1, proposer=proposer),
        leaving=_without(table.leaving, dead),
        dead=tuple(sorted({*table.dead, *dead})),
        removed=tuple(sorted({*table.removed, *dead})),
        staged=(),
    )


def depart(cluster: Cluster, name: str) -> Cluster:
    """`cluster` without a member that was leaving and that nobody needs any more."""
    table = cluster.table
    if name not in table.leaving or name in (*table.owners, *table.target):
        raise ValueError(f"{name} is still in use and can't depart")
    left = table._replace(
        rank=Rank(table.rank.epoch + 1, proposer=name),
        members=_without(table.members, [name]),
        leaving=_without(table.leaving, [name]),
    )
    return _only_members(cluster._replace(table=left))


_UNDER_WAY = "a change is under way: see `dynamo transfers`, and wait until it is done"


def _begin(table: Table, rank: Rank, present: Sequence[str]) -> Table:
    """The change of a table to one without those that leave or are dead, nor gaps for the new."""
    stay = _without(table.live, table.leaving)
    target = claim(stay, len(table.owners), table.n, present)
    if target != table.owners:
        return table._replace(rank=rank, phase=Phase.FILLING, target=target)
    members = _without(table.members, table.dead)
    return table._replace(rank=rank, phase=Phase.STABLE, target=(), members=members, dead=())


def _check(cluster: Cluster, change: Change, proposer: str) -> None:
    """Refuse a change that can't be made, in words for the operator."""
    table, node = cluster.table, change.node
    if table.rank.epoch == 0:
        met = [name for name, said in cluster.seen.items() if said.rank == table.rank]
        missing = _without(table.members, met)
        raise ValueError(f"the cluster's first nodes have not all met yet: {', '.join(missing)}")
    if (table.phase is not Phase.STABLE or table.leaving) and change.kind is not Kind.REMOVE:
        raise ValueError(_UNDER_WAY)
    for other in table.staged:
        if {node, change.joins} & {other.node, other.joins} - {""}:
            raise ValueError(f"{other} is staged already; `dynamo plan --clear` forgets it")
    if change.joins and not change.address:
        raise ValueError(f"the address of {change.joins} is missing")
    if change.joins in table.members:
        raise ValueError(f"{change.joins} is a member already; members: {', '.join(table.members)}")
    taken = [name for name, member in cluster.members.items() if member.address == change.address]
    if change.joins and taken:
        raise ValueError(f"{change.address} is the address of {taken[0]}")
    if change.kind is Kind.JOIN:
        joining = sum(bool(other.joins) for other in table.staged)
        if len(table.members) + joining >= len(table.owners):
            raise ValueError(f"{len(table.owners)} partitions can't be shared by more nodes")
        return
    if node not in table.members:
        raise ValueError(f"{node} is no member; members: {', '.join(table.members)}")
    if node in table.dead:
        raise ValueError(f"{node} is declared dead already")
    if change.kind is Kind.REMOVE and node == proposer:
        raise ValueError(f"{node} answers, so it is not dead; `dynamo leave {node}` loses nothing")
    _check_stay(table, (*table.staged, change))


def _check_stay(table: Table, staged: Sequence[Change]) -> None:
    """Refuse to let go of nodes that the others need."""
    gone = [change for change in staged if change.kind is not Kind.JOIN]
    stay = {*table.live, *(change.joins for change in staged)} - {"", *table.leaving}
    stay -= {change.node for change in gone}
    if not stay:
        raise ValueError(f"{gone[-1].node} is the last member; a cluster needs one")
    # Nobody takes over their parts then, so W copies of a key may be theirs.
    leaves = any(change.kind is Kind.LEAVE for change in gone)
    if leaves and len(gone) > 1 and len(stay) < table.n:
        raise ValueError(
            f"only {len(stay)} would stay, and each key has {table.n} replicas: "
            f"below {table.n} members they leave one at a time"
        )


def _only_members(cluster: Cluster) -> Cluster:
    """Without what is known of nodes that are no members (any more)."""
    known = cluster.members.keys()
    if len(known) == len(cluster.table.members) and cluster.seen.keys() <= known:
        return cluster
    names = set(cluster.table.members)
    return cluster._replace(
        members={name: member for name, member in cluster.members.items() if name in names},
        seen={name: seen for name, seen in cluster.seen.items() if name in names},
    )


@lru_cache(maxsize=8)
def _ring(owners: tuple[str, ...], epoch: int) -> Ring:
    """One ring for all who go by a table, because it keeps what it has worked out."""
    return Ring(owners, epoch)


def _beyond(mine: Mapping[str, Entry], known: Mapping[str, Entry]) -> dict[str, Entry]:
    if mine is known:
        return {}
    # What has been passed on in one process is the same object: that is quickly seen.
    return {
        name: entry
        for name, entry in mine.items()
        if (other := known.get(name)) is not entry and other != entry
    }


def _latest(
    mine: Mapping[str, Entry], heard: Mapping[str, Entry], age: Callable[[Entry], tuple[Any, ...]]
) -> Mapping[str, Entry]:
    """Of each entry the latest; `mine` itself if nothing that was heard is later."""
    if heard is mine:
        return mine
    later = {
        name: entry
        for name, entry in heard.items()
        if (known := mine.get(name)) is not entry
        and (known is None or (entry != known and age(entry) > age(known)))
    }
    return {**mine, **later} if later else mine


def _without(names: Sequence[str], gone: Collection[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name not in gone)


def _age(member: Member) -> tuple[int, int, str]:
    return member.version, member.life, member.address
