"""The consistent-hash ring: which nodes hold a key.

The hash space is cut into Q equal partitions, each owned by one node (the third strategy of the
Dynamo paper, section 6.2). A key's *preference list* is the owner of its partition and the next
N-1 distinct nodes around the ring. Everything here is a pure function of the table of owners.
"""

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import chain, islice
from typing import NamedTuple

from dynamo.values.claim import claim as claim  # how a table of owners is made
from dynamo.values.claim import replace as replace


class Placement(NamedTuple):
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
    def _known_walks(self) -> list[tuple[str, ...]]:
        """For each partition, the nodes that a walk from it met, as far as one was asked for."""
        return [()] * len(self.owners)

    @cached_property
    def _known_holdings(self) -> dict[int, dict[str, tuple[int, ...]]]:
        """By the number of owners of each partition: the partitions of each node."""
        return {}

    def partition_of(self, key: str) -> int:
        """The partition that holds `key`: the leading bits of its position."""
        return position(key) * len(self.owners) >> 64

    def preference_list(self, key: str, n: int) -> tuple[str, ...]:
        """The `n` distinct nodes that should hold `key`; fewer when there are fewer members."""
        partition = self.partition_of(key)  # and then as partition_owners does: this is hot
        known = self._known_walks[partition]
        return known[:n] if len(known) >= n else self._reach(partition, n)

    def partition_owners(self, partition: int, n: int) -> tuple[str, ...]:
        """The nodes that should hold every key of `partition`."""
        known = self._known_walks[partition]
        return known[:n] if len(known) >= n else self._reach(partition, n)

    def held_by(self, node: str, n: int) -> tuple[int, ...]:
        """The partitions of which `node` is one of the `n` owners, in order.

        >>> Ring(("n1", "n2", "n3", "n4")).held_by("n1", n=2)
        (0, 3)
        """
        if n not in self._known_holdings:
            held: dict[str, list[int]] = {}
            for partition in range(len(self.owners)):
                for owner in self.partition_owners(partition, n):
                    held.setdefault(owner, []).append(partition)
            self._known_holdings[n] = {owner: tuple(parts) for owner, parts in held.items()}
        return self._known_holdings[n].get(node, ())

    def _reach(self, partition: int, count: int) -> tuple[str, ...]:
        """The first `count` nodes that a walk from `partition` meets, walked now and then known."""
        known = self._known_walks[partition]
        if len(known) < min(count, len(self.members)):
            known = self._known_walks[partition] = tuple(islice(self._walk(partition), count))
        return known[:count]

    def _walk(self, partition: int) -> Iterator[str]:
        """All members in the order in which a walk around the ring from `partition` meets them."""
        met: set[str] = set()
        for owner in chain(islice(self.owners, partition, None), islice(self.owners, partition)):
            if owner not in met:
                met.add(owner)
                yield owner

    def _beyond(self, partition: int, n: int) -> Iterator[str]:
        """The nodes that the walk meets behind the first `n`."""
        for place in range(n, len(self.members)):
            known = self._known_walks[partition]
            yield (known if place < len(known) else self._reach(partition, 2 * place + 1))[place]

    def walk(self, key: str) -> Iterator[str]:
        """All members, in the order in which a walk around the ring from `key` meets them."""
        return self._beyond(self.partition_of(key), 0)

    def placements(self, key: str, n: int, up: Collection[str]) -> list[Placement]:
        """The `n` nodes that take part in a request while only the nodes in `up` answer.

        Every owner that is up stands for itself; for each that is down the next node around the
        ring that is up stands in, with a hint (the paper's sloppy quorum, section 4.6). With too
        few nodes up the list is shorter than `n`.
        """
        partition = self.partition_of(key)
        owners = self.partition_owners(partition, n)
        if all(map(up.__contains__, owners)):  # as they nearly always are
            return list(map(Placement, owners))
        substitutes = (node for node in self._beyond(partition, n) if node in up)
        placed = (
            Placement(owner) if owner in up else Placement(next(substitutes, ""), hint_for=owner)
            for owner in owners
        )
        return [placement for placement in placed if placement.node]
