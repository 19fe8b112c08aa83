"""A hash tree over one partition: two owners find the keys in which they differ, and little else.

Keys fall by a hash of their own into a fixed number of *segments*. A segment holds each of its
keys with a *digest* of this node's copy; its hash covers both. An inner node's hash covers the
hashes of its `width` children, up to the root at level 0; the segments are the level `depth`.

The tree keeps the hashes only: keys and digests lie on disk (`dynamo.protocol.trees`).

Two owners compare roots and walk down, level by level, asking only for the children of nodes that
differ: about `width * depth` hashes and one segment for each differing key, however many there
are in all. The trees may change during the walk: what it then finds is a key too many, or one
too few that the next walk finds.

Source: the Dynamo paper, section 4.7; the fixed shape, which never has to be balanced, is that of
Riak's hashtree.

>>> here, there = HashTree(), HashTree()
>>> there.put(segment_of("colour"), hash_of([(b"colour", b"digest")]))
>>> here.root == there.root
False
>>> differing = [0]
>>> for level in range(here.depth):
...     mine, theirs = here.children(level, differing), there.children(level, differing)
...     differing = differing_children(mine, theirs)
>>> differing == [segment_of("colour")]
True
"""

import struct
from collections.abc import Iterable, Mapping
from functools import cache
from hashlib import blake2b
from typing import NamedTuple

HASH_BYTES = 16
"""The size of each hash in the tree. 128 bits: no two nodes meet one value by chance."""
SEGMENTS = 1024
WIDTH = 32
"""Two levels below the root: a walk takes few round trips, and each of them is small."""
MAX_SEGMENTS = 1 << 20

Hashes = tuple[bytes, ...]
"""The hashes of a node's children, in order."""

_ENTRY = struct.Struct(">HB")


def segment_of(key: str, segments: int = SEGMENTS) -> int:
    """The segment that `key` belongs to.

    All of the key is hashed, and not as the ring does it: the keys of a partition, or of an
    extent, have the leading bits of their position in common.
    """
    encoded = key.encode("utf-8", "surrogatepass")
    hashed = blake2b(encoded, digest_size=8, person=b"segment").digest()
    return int.from_bytes(hashed, "big") * segments >> 64


def hash_of(entries: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The hash of a segment: of its keys and their digests, which come in order of the keys.

    Lengths go in too, so that no entry runs into the next.
    """
    parts = []
    for key, digest in entries:
        parts += [_ENTRY.pack(len(key), len(digest)), key, digest]
    return _hash(b"".join(parts))


NO_KEYS = blake2b(b"", digest_size=HASH_BYTES).digest()
"""The hash of a segment without any."""


class HashTree:
    """The hashes of one partition; both owners must give it the same shape.

    `segments` is a power of `width`. Equal segments give equal hashes everywhere, whatever
    happened before. Changes are cheap; the hashes above them are made when they are next asked for.
    """

    def __init__(self, segments: int = SEGMENTS, width: int = WIDTH) -> None:
        self.segments = segments
        self.width = width
        self.depth = _depth(segments, width)
        """The level of the segments; the root's is 0."""
        self._levels = [list(level) for level in _empty_levels(self.depth, width)]
        self._dirty: set[int] = set()  # segments put since the hashes above them were made

    def put(self, segment: int, hash: bytes) -> None:
        """A segment now has this hash: see `hash_of`. Raises ValueError where there is none."""
        _check_index(segment, self.segments, "segments")
        if self._levels[self.depth][segment] != hash:
            self._levels[self.depth][segment] = hash
            self._dirty.add(segment)

    def empty(self, first: int, stop: int) -> None:
        """There are no keys in the segments first <= segment < stop."""
        if self._levels[self.depth][first:stop] != [NO_KEYS] * (stop - first):
            for segment in range(first, stop):
                self.put(segment, NO_KEYS)

    @property
    def root(self) -> bytes:
        """The hash of everything: equal roots mean equal keys and digests."""
        self._rehash()
        return self._levels[0][0]

    def children(self, level: int, indexes: Iterable[int]) -> dict[int, Hashes]:
        """The hashes of the children of these inner nodes of a level; the root is 0 of level 0.

        The children of node `index` are `index * width` and the next ones, a level below. Raises
        ValueError where there is no such node.
        """
        if not 0 <= level < self.depth:
            raise ValueError(f"inner nodes have levels from 0 to {self.depth - 1}, not {level}")
        self._rehash()
        below, width = self._levels[level + 1], self.width
        found = {}
        for index in indexes:
            _check_index(index, len(self._levels[level]), f"nodes of level {level}")
            found[index] = tuple(below[index * width : (index + 1) * width])
        return found

    def _rehash(self) -> None:
        """Make the hashes of all that lies above segments that have changed."""
        if not self._dirty:
            return
        changed = self._dirty
        for level in range(self.depth - 1, -1, -1):
            changed = {index // self.width for index in changed}
            below = self._levels[level + 1]
            for index in changed:
                children = below[index * self.width : (index + 1) * self.width]
                self._levels[level][index] = _hash(b"".join(children))
        self._dirty = set()


class KeyDifferences(NamedTuple):
    """In which keys two copies of a segment differ, each in order of keys."""

    missing_here: tuple[str, ...]
    missing_there: tuple[str, ...]
    different: tuple[str, ...]
    """On both sides, with different digests."""


def differing_children(mine: Mapping[int, Hashes], theirs: Mapping[int, Hashes]) -> list[int]:
    """The indexes, one level below, of the children that differ: whose turn it is next.

    Both sides come from `HashTree.children` for the same level and nodes. Raises ValueError where
    they can't: the other side answers another question, or its tree has another shape.

    >>> differing_children({3: (b"a", b"b")}, {3: (b"a", b"c")})
    [7]
    """
    if mine.keys() != theirs.keys():
        raise ValueError(
            f"the answer is for other nodes: asked for {sorted(mine)[:8]}, got {sorted(theirs)[:8]}"
        )
    found = []
    for index, hashes in mine.items():
        if len(hashes) != len(theirs[index]):
            raise ValueError(
                f"node {index} has {len(hashes)} children here and {len(theirs[index])} there: "
                "the two trees must have the same segments and width"
            )
        first = index * len(hashes)
        pairs = enumerate(zip(hashes, theirs[index]))
        found += [first + place for place, (ours, other) in pairs if ours != other]
    return found


def differing_keys(mine: Mapping[str, bytes], theirs: Mapping[str, bytes]) -> KeyDifferences:
    """Which keys differ between two copies of the same segment.

    >>> differing_keys({"a": b"1", "b": b"1"}, {"b": b"2", "c": b"1"})
    KeyDifferences(missing_here=('c',), missing_there=('a',), different=('b',))
    """
    return KeyDifferences(
        missing_here=tuple(sorted(theirs.keys() - mine.keys())),
        missing_there=tuple(sorted(mine.keys() - theirs.keys())),
        different=tuple(sorted(k for k in mine.keys() & theirs.keys() if mine[k] != theirs[k])),
    )


def _depth(segments: int, width: int) -> int:
    """How often `segments` can be divided by `width`."""
    depth, nodes = 0, 1
    while width > 1 and nodes < segments <= MAX_SEGMENTS:
        nodes *= width
        depth += 1
    if depth == 0 or nodes != segments:
        raise ValueError(
            f"a hash tree has a power of its width of segments, from 2 to {MAX_SEGMENTS:,}: "
            f"{segments:,} with a width of {width} is none"
        )
    return depth


@cache
def _empty_levels(depth: int, width: int) -> tuple[Hashes, ...]:
    """The hashes of an empty tree, level by level: on each all are the same."""
    levels = [(_hash(b""),) * width**depth]
    for level in range(depth - 1, -1, -1):
        levels.insert(0, (_hash(levels[0][0] * width),) * width**level)
    return tuple(levels)


def _check_index(index: int, count: int, what: str) -> None:
    if not 0 <= index < count:
        raise ValueError(f"{what} have numbers from 0 to {count - 1}, not {index}")


def _hash(data: bytes) -> bytes:
    return blake2b(data, digest_size=HASH_BYTES).digest()
