"""What a change of the ring means for the nodes' data, and what to know before it is made.

`dynamo plan` shows it before anything moves; the transfers then do exactly what is listed here.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from dynamo.values.ring import Ring


@dataclass(frozen=True)
class Move:
    """What becomes of one partition: who holds it newly, and who no longer has to.

    Nodes are in the order of the preference lists. With a change in the number of nodes that hold
    a partition there may be more of one kind than of the other.
    """

    partition: int
    takers: tuple[str, ...]
    givers: tuple[str, ...]


def moves(present: Ring, target: Ring, n: int) -> list[Move]:
    """For each partition whose `n` owners change, who takes it and who gives it up.

    Counted are all owners in the preference list, not the first alone: a partition that gets
    another first owner may change hands nowhere, and one that keeps it may do so.

    >>> moves(Ring(("a", "b", "a", "c")), Ring(("d", "b", "a", "c")), n=2)
    ... # doctest: +NORMALIZE_WHITESPACE
    [Move(partition=0, takers=('d',), givers=('a',)),
     Move(partition=3, takers=('d',), givers=('a',))]
    """
    if len(present.owners) != len(target.owners):
        raise ValueError(
            f"the present ring has {len(present.owners)} partitions, the target "
            f"{len(target.owners)}: their number can't change"
        )
    found = []
    for partition in range(len(present.owners)):
        before = present.partition_owners(partition, n)
        after = target.partition_owners(partition, n)
        takers = tuple(node for node in after if node not in before)
        givers = tuple(node for node in before if node not in after)
        if takers or givers:
            found.append(Move(partition, takers, givers))
    return found


def warnings(ring: Ring, n: int, hosts: Mapping[str, str]) -> list[str]:
    """What people should know about a ring before it is used, one line each.

    `hosts` has all members, with the machine on which each runs. An owner that it lacks counts as
    on a machine of its own.

    >>> warnings(Ring(("n1", "n2")), 3, {"n1": "10.0.0.1", "n2": "10.0.0.1"})
    ['every key has 2 replicas, not 3: only 2 members own partitions']
    """
    return [*_too_few(ring, n), *_sharing_hosts(ring, n, hosts), *_owning_nothing(ring, hosts)]


def _too_few(ring: Ring, n: int) -> list[str]:
    count = len(ring.members)
    if count >= n:
        return []
    replicas = "1 replica" if count == 1 else f"{count} replicas"
    members = "1 member owns" if count == 1 else f"{count} members own"
    return [f"every key has {replicas}, not {n}: only {members} partitions"]


def _sharing_hosts(ring: Ring, n: int, hosts: Mapping[str, str]) -> list[str]:
    """A line if replicas of a partition share a host while another has none of them."""
    host_count = len({hosts.get(member, member) for member in (*ring.members, *hosts)})
    sharing = []
    for partition in range(len(ring.owners)):
        owners = ring.partition_owners(partition, n)
        host, replicas = Counter(hosts.get(o, o) for o in owners).most_common(1)[0]
        if replicas > 1 and len({hosts.get(o, o) for o in owners}) < host_count:
            sharing.append((partition, host, replicas))
    if not sharing:
        return []
    partition, host, replicas = sharing[0]
    return [
        f"{len(sharing)} of {len(ring.owners)} partitions have two or more replicas on one host "
        f"though there are {host_count} hosts: partition {partition} has {replicas} on {host}"
    ]


def _owning_nothing(ring: Ring, hosts: Mapping[str, str]) -> list[str]:
    """A line for each member without a partition: it coordinates, but holds no data."""
    return [f"{node} owns no partition" for node in sorted(set(hosts) - set(ring.members))]
