"""A hash tree over one partition: two owners find the keys in which they differ, and little else.

Keys fall by a hash of their own into a fixed number of *segments*. A segment holds each of its
keys with a *digest* of this node's copy; its hash covers both. An inner node's hash covers the
hashes of its `width` children, up to the root at level 0; the segments are the level `depth`.

Two owners compare roots and walk down, level by level, asking only for the children of nodes that
differ: about `width * depth` hashes and one segment for each differing key, however many there
are in all. The trees may change during the walk: what it then finds is a key too many, or one
too few that the next walk finds.

Source: the Dynamo paper, section 4.7; the fixed shape, which never has to be balanced, is that of
Riak's hashtree.

>>> here, there = HashTree(), HashTree()
>>> for number in range(1000):
...     here.update(f"key {number}", b"digest")
...     there.update(f"key {number}", b"digest")
>>> here.root == there.root
True
>>> there.update("key 7", b"newer")
>>> differing = [0]
>>> for level in range(here.depth):
...     mine, theirs = here.children(level, differing), there.children(level, differing)
...     differing = differing_children(mine, theirs)
>>> [differing_keys(here.segment(index), there.segment(index)).different for index in differing]
[('key 7',)]

A snapshot, the bytes of a whole tree:

snapshot := BLAKE2b of body, 16 bytes | body
body     := b"HT01" | segments, 4 bytes | width, 4 bytes | entry for each key, in order of keys
entry    := length of key, 4 bytes | length of digest, 1 byte | key, UTF-8 | digest
(numbers are big-endian)
"""

import struct
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import NamedTuple

HASH_BYTES = 16
"""The size of each hash in the tree. 128 bits: no two nodes meet one value by chance."""
SEGMENTS = 1024
WIDTH = 32
"""Two levels below the root: a walk takes few round trips, and each of them is small."""
MAX_SEGMENTS = 1 << 20
MAX_DIGEST_BYTES = 255

Hashes = tuple[bytes, ...]
"""The hashes of a node's children, in order."""

_MAGIC = b"HT01"
_HEADER = struct.Struct(">4sII")
_ENTRY = struct.Struct(">IB")


class HashTree:
    """The hashes of one partition's keys and digests; both owners must give it the same shape.

    `segments` is a power of `width`. Equal sets of (key, digest) give equal hashes everywhere,
    whatever happened before. Changes are cheap; the hashes above them are made when they are next
    asked for.
    """

    def __init__(self, segments: int = SEGMENTS, width: int = WIDTH) -> None:
        self.segments = segments
        self.width = width
        self.depth = _depth(segments, width)
        """The level of the segments; the root's is 0."""
        self._entries: dict[int, dict[str, bytes]] = {}  # empty segments are left out
        self._dirty: set[int] = set()  # segments changed since their hash was made
        self._levels = _empty_levels(self.depth, width)

    def update(self, key: str, digest: bytes) -> None:
        """`key`'s copy now has this digest: 1 to 255 bytes that depend on nothing node-local.

        Raises ValueError for another length.
        """
        if not 0 < len(digest) <= MAX_DIGEST_BYTES:
            raise ValueError(
                f"a digest has 1 to {MAX_DIGEST_BYTES} bytes, that of {key!r} has {len(digest):,}"
            )
        index = self.segment_of(key)
        entries = self._entries.setdefault(index, {})
        if entries.get(key) != digest:
            entries[key] = digest
            self._dirty.add(index)

    def remove(self, key: str) -> None:
        """`key` has no copy here any more; one that never had any is no error."""
        index = self.segment_of(key)
        entries = self._entries.get(index, {})
        if key in entries:
            del entries[key]
            self._dirty.add(index)
            if not entries:
                del self._entries[index]

    def segment_of(self, key: str) -> int:
        """The segment that `key` belongs to.

        All of the key is hashed, and not as the ring does it: the keys of a partition, or of an
        extent, have the leading bits of their position in common.
        """
        hashed = blake2b(_encoded(key), digest_size=8, person=b"segment").digest()
        return int.from_bytes(hashed, "big") * self.segments >> 64

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

    def segment(self, index: int) -> dict[str, bytes]:
        """Key -> digest of a segment, as it is now. Raises ValueError where there is none."""
        _check_index(index, self.segments, "segments")
        return dict(self._entries.get(index, {}))

    def digest(self, key: str) -> bytes | None:
        """The digest that `key` was last updated with, or None."""
        return self._entries.get(self.segment_of(key), {}).get(key)

    def items(self) -> Iterator[tuple[str, bytes]]:
        """Every key and its digest, in no particular order."""
        for entries in self._entries.values():
            yield from entries.items()

    def __len__(self) -> int:
        return sum(map(len, self._entries.values()))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, HashTree):
            return NotImplemented
        mine, theirs = (self.segments, self.width), (other.segments, other.width)
        return mine == theirs and self._entries == other._entries

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"HashTree({len(self):,} keys, segments={self.segments}, width={self.width})"

    def to_bytes(self) -> bytes:
        """A snapshot of the tree; equal trees have equal snapshots."""
        header = _HEADER.pack(_MAGIC, self.segments, self.width)
        body = header + _entries_to_bytes(self.items())
        return _hash(body) + body

    @classmethod
    def from_bytes(cls, snapshot: bytes) -> "HashTree":
        """The tree in a snapshot. Raises ValueError if it was damaged or is of another kind.

        That it is of the state on disk, and not of an earlier one, its keeper must know.
        """
        body = snapshot[HASH_BYTES:]
        if _hash(body) != snapshot[:HASH_BYTES]:
            raise ValueError(f"a hash tree of {len(snapshot):,} bytes fails its checksum")
        if body[: len(_MAGIC)] != _MAGIC:
            raise ValueError(f"a hash tree begins with {_MAGIC!r}, not {body[: len(_MAGIC)]!r}")
        _, segments, width = _HEADER.unpack_from(body)
        tree = cls(segments, width)
        for key, digest in _entries_from_bytes(body, _HEADER.size):
            tree.update(key, digest)
        return tree

    def _rehash(self) -> None:
        """Make the hashes of changed segments, and of what lies above them."""
        changed = self._dirty
        for index in changed:
            entries = self._entries.get(index, {})
            self._levels[self.depth][index] = _hash(_entries_to_bytes(entries.items()))
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


def _empty_levels(depth: int, width: int) -> list[list[bytes]]:
    """The hashes of an empty tree, level by level: on each all are the same."""
    levels = [[_hash(b"")] * width**depth]
    for level in range(depth - 1, -1, -1):
        levels.insert(0, [_hash(levels[0][0] * width)] * width**level)
    return levels


def _check_index(index: int, count: int, what: str) -> None:
    if not 0 <= index < count:
        raise ValueError(f"{what} have numbers from 0 to {count - 1}, not {index}")


def _hash(data: bytes) -> bytes:
    return blake2b(data, digest_size=HASH_BYTES).digest()


def _encoded(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")


def _entries_to_bytes(entries: Iterable[tuple[str, bytes]]) -> bytes:
    """Keys and digests in one form: in order of keys, and with lengths, so that no two run over."""
    parts = []
    for key, digest in sorted(entries):
        encoded = _encoded(key)
        parts += [_ENTRY.pack(len(encoded), len(digest)), encoded, digest]
    return b"".join(parts)


def _entries_from_bytes(body: bytes, offset: int) -> Iterator[tuple[str, bytes]]:
    while offset < len(body):
        key_bytes, digest_bytes = _ENTRY.unpack_from(body, offset)
        key_start = offset + _ENTRY.size
        digest_start = key_start + key_bytes
        offset = digest_start + digest_bytes
        key = body[key_start:digest_start].decode("utf-8", "surrogatepass")
        yield key, body[digest_start:offset]
