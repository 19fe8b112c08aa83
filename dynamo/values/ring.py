"""The consistent-hash ring: which nodes hold a key.

The hash space is cut into Q equal partitions, each owned by one node (the third strategy of the
Dynamo paper, section 6.2). A key's *preference list* is the owner of its partition and the next
N-1 distinct nodes around the ring. Everything here is a pure function of the table of owners.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache


@dataclass(frozen=True)
class Placement:
    """A node that takes part in a request; `hint_for` names the owner it stands in for."""

    node: str
    hint_for: str | None = None


def routing_part(key: str) -> str:
    """The part of a key that is hashed: the text in its first braces, or all of it.

    Keys that share a routing part live on the same nodes.

    >>> routing_part("file:{4f2a:00003}:00007"), routing_part("plain"), routing_part("a{}b")
    ('4f2a:00003', 'plain', 'a{}b')
    """
    start = key.find("{")
    end = key.find("}", start + 1)
    return key[start + 1 : end] if start >= 0 and end > start + 1 else key


@lru_cache(maxsize=8192)  # a request asks for the same key's position several times
def position(key: str) -> int:
    """Where `key` lies in the hash space, from 0 to 2**64 - 1: the hash of its routing part."""
    part = routing_part(key).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(part, digest_size=8).digest(), "big")


@dataclass(frozen=True)
class Ring:
    """A table of owners, one for each partition; its length is a power of two.

    >>> ring = Ring(claim(["n1", "n2", "n3"], partitions=8, n=3))
    >>> sorted(ring.preference_list("some key", n=3))
    ['n1', 'n2', 'n3']
    """

    owners: tuple[str, ...]
    epoch: int = 1

    def __post_init__(self) -> None:
        count = len(self.owners)
        if count == 0 or count & (count - 1):
            raise ValueError(f"a ring has a power of two partitions, not {count}")

    @cached_property
    def members(self) -> tuple[str, ...]:
        """The nodes that own at least one partition, in order of name."""
        return tuple(sorted(set(self.owners)))

    @cached_property
    def _walks(self) -> tuple[tuple[str, ...], ...]:
        """For each partition, all members in the order in which a walk from it meets them."""
        owners = self.owners
        return tuple(tuple(dict.fromkeys(owners[p:] + owners[:p])) for p in range(len(owners)))

    def partition_of(self, key: str) -> int:
        """The partition that holds `key`: the leading bits of its position."""
        return position(key) * len(self.owners) >> 64

    def preference_list(self, key: str, n: int) -> tuple[str, ...]:
        """The `n` distinct nodes that should hold `key`; fewer when there are fewer members."""
        return self._walks[self.partition_of(key)][:n]

    def partition_owners(self, partition: int, n: int) -> tuple[str, ...]:
        """The nodes that should hold every key of `partition`."""
        return self._walks[partition][:n]

    def walk(self, key: str) -> tuple[str, ...]:
        """All members, in the order in which a walk around the ring from `key` meets them."""
        return self._walks[self.partition_of(key)]

    def placements(self, key: str, n: int, up: Collection[str]) -> list[Placement]:
        """The `n` nodes that take part in a request while only the nodes in `up` answer.

        Every owner that is up stands for itself; for each that is down the next node around the
        ring that is up stands in, with a hint (the paper's sloppy quorum, section 4.6). With too
        few nodes up the list is shorter than `n`.
        """
        walk = self._walks[self.partition_of(key)]
        substitutes = (node for node in walk[n:] if node in up)
        placed = (
            Placement(owner) if owner in up else Placement(next(substitutes, ""), hint_for=owner)
            for owner in walk[:n]
        )
        return [placement for placement in placed if placement.node]


def claim(
    members: Sequence[str], partitions: int, n: int, present: Sequence[str] | None = None
) -> tuple[str, ...]:
    """A table of owners for `members`, made from the `present` table by moving little.

    Each member owns partitions // len(members) partitions, or one more. A member keeps what it
    owns up to its share; partitions without an owner go to the member that lacks most and does
    not own one of the n-1 neighbours on either side, where there is such a member.

    >>> claim(["a", "b"], partitions=4, n=2)
    ('a', 'b', 'a', 'b')
    """
    if not members:
        raise ValueError("a ring needs at least one member")
    order = sorted(set(members))
    if len(order) > partitions:
        raise ValueError(f"{len(order)} members can't share {partitions} partitions")
    share = _shares(order, partitions, present)
    owners: list[str | None] = [None] * partitions
    for partition, owner in enumerate(present or ()):
        if share.get(owner, 0) > 0:
            owners[partition] = owner
            share[owner] -= 1
    for partition in range(partitions):
        if owners[partition] is None:
            near = {owners[(partition + step) % partitions] for step in range(1 - n, n)}
            taker = max(order, key=lambda m: (share[m] > 0, m not in near, share[m]))
            owners[partition] = taker
            share[taker] -= 1
    return tuple(owner for owner in owners if owner is not None)


def _shares(order: Sequence[str], partitions: int, present: Sequence[str] | None) -> Counter[str]:
    """How many partitions each member is to own; who owns most now gets what is left over."""
    owned = Counter(present or ())
    base, left_over = divmod(partitions, len(order))
    richest = sorted(order, key=lambda member: (-owned[member], member))
    return Counter({member: base + (member in richest[:left_over]) for member in order})


def replace(owners: Sequence[str], old: str, new: str) -> tuple[str, ...]:
    """The table in which `new` owns exactly what `old` owned."""
    return tuple(new if owner == old else owner for owner in owners)
