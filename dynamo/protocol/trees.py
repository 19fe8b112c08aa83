"""The index of this node's copies and the hash trees over it, one for each partition.

The index lies on disk: an entry for each copy, with a digest that names its versions. It is written
in the same commit as the copy, so it is never behind. In memory are hashes only. A write costs an
entry and a mark on its segment; the segment is hashed again when somebody wants to compare the
partition, in slices, so that no step takes long and hashing has a small share of the time.

A tree is therefore a little behind the index under load. Who compares says how old it may be.

Purely ephemeral copies are in no index: nobody misses them for long.
"""

import math
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from hashlib import blake2b
from itertools import groupby
from operator import itemgetter

import msgspec

from dynamo.disk.contract import index_key, index_range, segment_and_key_of_index
from dynamo.disk.staging import Staging
from dynamo.errors import CorruptData
from dynamo.protocol.messages import Envelope
from dynamo.values import versions
from dynamo.values.hashtree import SEGMENTS, HashTree, hash_of, segment_of
from dynamo.values.versions import Siblings

DIGEST_BYTES = 8
"""Two copies of one key meet in a digest by chance once in 2**64 cases."""
SLICE = 2048
"""Index entries that one step hashes, about; a segment that was looked up by itself counts as
`LOOK_UP` of them more."""
LOOK_UP = 16
PAUSE_S = 0.03
"""Between two slices: each takes some 3 ms, so that hashing has a tenth of the time at most."""
TOO_MANY = SEGMENTS // 8
"""Changed segments of a partition from which on all of it is hashed again in one go."""

_encode = msgspec.msgpack.Encoder().encode


def digest_of(siblings: Siblings) -> bytes:
    """What names the versions of a copy: a hash of its context and of its dots, not of its values.

    It is the same on every machine, and whatever life the copy has there.

    >>> copy = versions.update(versions.EMPTY, None, "a", b"1", written_at=1.0)
    >>> digest_of(copy) == digest_of(versions.reconcile([copy, versions.EMPTY]))
    True
    """
    named = (sorted(siblings.context.items()), [version.dot for version in siblings.versions])
    return blake2b(_encode(named), digest_size=DIGEST_BYTES).digest()


class Trees:
    """The index on a node's disk, and as much of the trees as somebody has asked for."""

    def __init__(self, staging: Staging) -> None:
        self._staging = staging
        self._partitions: dict[int, _Partition] = {}
        self._written: set[tuple[int, int]] = set()
        """Partition and segment of what this step has staged: a scan does not find it yet."""
        self._wanted: dict[int, None] = {}
        """Partitions that are to be hashed, in the order in which they were asked for."""
        self._work_at = -math.inf
        self.idle_until = math.inf
        self.unindexed: set[int] = set()
        """Partitions with copies that have no entry yet: nobody may compare them."""

    # The index -----------------------------------------------------------------------------------

    def enter(self, partition: int, key: str, siblings: Siblings, *, durable: bool) -> None:
        """The copy of `key` is now this one: stage its index entry, with the copy."""
        if versions.ephemeral(siblings):
            return
        segment = segment_of(key)
        place = index_key(partition, segment, key)
        self._staging.put(place, digest_of(siblings), durable=durable)
        self._note(partition, segment)

    def remove(self, partition: int, key: str) -> None:
        """There is no copy of `key` any more: stage the deletion of its index entry."""
        segment = segment_of(key)
        self._staging.delete(index_key(partition, segment, key))
        self._note(partition, segment)

    def _note(self, partition: int, segment: int) -> None:
        self._written.add((partition, segment))
        self.idle_until = -math.inf

    def mend(self, partition: int, key: str, siblings: Siblings) -> bool:
        """Make the entry of `key` what it should be for this copy; True if it was another."""
        here = siblings.context and not versions.ephemeral(siblings)
        digest = digest_of(siblings) if here else None
        with suppress(CorruptData):
            if self._staging.get(index_key(partition, segment_of(key), key)) == digest:
                return False
        if here:
            self.enter(partition, key, siblings, durable=False)
        else:
            self.remove(partition, key)
        return True

    def entries(
        self, partition: int, segments: Iterable[int]
    ) -> Iterator[tuple[int, dict[str, bytes]]]:
        """Each segment with its keys and their digests, as they are on disk.

        Segments that lie side by side are read in one scan, as far as the caller goes on.
        """
        for _, run in groupby(enumerate(segments), key=lambda placed: placed[1] - placed[0]):
            side_by_side = [segment for _, segment in run]
            yield from self._entries_between(partition, side_by_side[0], side_by_side[-1] + 1)

    def _entries_between(
        self, partition: int, first: int, stop: int
    ) -> Iterator[tuple[int, dict[str, bytes]]]:
        place = first
        for segment, group in groupby(self._scan(partition, first, stop), key=itemgetter(0)):
            yield from ((empty, {}) for empty in range(place, segment))
            yield segment, {key.decode(): digest for _, key, digest in group}
            place = segment + 1
        yield from ((empty, {}) for empty in range(place, stop))

    # The trees -----------------------------------------------------------------------------------

    def tree(self, partition: int, now: float, max_age_s: float) -> HashTree | None:
        """The tree of a partition with all that was on disk `max_age_s` ago, and maybe more.

        None if it has yet to be hashed, which begins now.
        """
        if partition in self.unindexed:
            return None
        known = self._partitions.get(partition)
        if known is None:
            known = self._partitions[partition] = _Partition()
        if known.is_current or known.hashed_at >= now - max_age_s:
            return known.tree
        self._wanted[partition] = None
        self.idle_until = min(self.idle_until, self._work_at)
        return None

    def known_tree(self, partition: int) -> HashTree | None:
        """The tree of a partition, however old it is; None if nobody has asked for it lately."""
        known = self._partitions.get(partition)
        return known.tree if known is not None else None

    @property
    def known(self) -> Collection[int]:
        """The partitions that take room here."""
        return self._partitions.keys()

    def forget(self, partition: int) -> None:
        """Nobody compares this partition any more: free what its tree takes."""
        self._partitions.pop(partition, None)
        self._wanted.pop(partition, None)

    def next_wake(self) -> float:
        return self._work_at if self._wanted else math.inf

    def tick(self, now: float) -> Iterable[Envelope]:
        """Hash one slice of what is wanted."""
        if self._wanted and now >= self._work_at:
            self._work_at = now + PAUSE_S
            left = SLICE
            for partition in list(self._wanted):
                left = self._hash(partition, left, now)
                if left <= 0:
                    break
        if self._written:
            for partition, segment in self._written:
                if partition in self._partitions:
                    self._partitions[partition].changed.add(segment)
            self._written.clear()
        self.idle_until = self.next_wake()
        return []

    def _hash(self, partition: int, left: int, now: float) -> int:
        """Hash up to about `left` entries of a partition; returns what is left of them."""
        known = self._partitions[partition]
        if not known.is_hashing:
            known.begin(now)
        while left > 0 and known.hashed_to < SEGMENTS:
            known.hashed_to, read = self._hash_from(known.tree, partition, known.hashed_to, left)
            left -= read + LOOK_UP
        while left > 0 and known.again:
            segment = known.again.pop()
            entries = [(key, digest) for _, key, digest in self._scan(partition, segment)]
            known.tree.put(segment, hash_of(entries))
            left -= len(entries) + LOOK_UP
        if not known.is_hashing:
            known.hashed_at = known.began_at
            del self._wanted[partition]
        return left

    def _hash_from(self, tree: HashTree, partition: int, first: int, limit: int) -> tuple[int, int]:
        """Hash segments from `first` on until `limit` entries have been read: the next segment,
        and how many entries there were."""
        read, place = 0, first
        scanned = self._scan(partition, first, SEGMENTS)
        for segment, group in groupby(scanned, key=itemgetter(0)):
            entries = [(key, digest) for _, key, digest in group]
            tree.empty(place, segment)
            tree.put(segment, hash_of(entries))
            place = segment + 1
            read += len(entries)
            if read >= limit:
                return place, read
        tree.empty(place, SEGMENTS)
        return SEGMENTS, read

    def _scan(
        self, partition: int, first: int, stop: int | None = None
    ) -> Iterator[tuple[int, bytes, bytes]]:
        """Segment, key and digest of the entries on disk, in order; `stop` is `first + 1`.

        Where the disk can't be read on, the entries end: the trees then differ, and nobody is led
        to believe that this node has what it can't read.
        """
        start_and_stop = index_range(partition, first, stop or first + 1)
        try:
            for disk_key, digest in self._staging.disk.scan(*start_and_stop):
                yield *segment_and_key_of_index(disk_key), digest
        except CorruptData:
            return


class _Partition:
    """What is in memory of one partition."""

    def __init__(self) -> None:
        self.tree = HashTree()
        self.hashed_at = -math.inf
        """All that was on disk at this time has been hashed."""
        self.hashed_to = 0
        """Segments from this one on have yet to be hashed, be they changed or not."""
        self.changed: set[int] = set()
        """Segments written since they were hashed."""
        self.again: list[int] = []
        """Those of them that are being hashed again now."""
        self.began_at = -math.inf

    @property
    def is_hashing(self) -> bool:
        return bool(self.again) or (self.hashed_to < SEGMENTS and self.began_at > -math.inf)

    @property
    def is_current(self) -> bool:
        return self.hashed_to == SEGMENTS and not self.again and not self.changed

    def begin(self, now: float) -> None:
        """From now on all that has changed is hashed again."""
        self.began_at = now
        if len(self.changed) > TOO_MANY:
            self.hashed_to = 0
        if self.hashed_to == SEGMENTS:
            self.again = sorted(self.changed, reverse=True)
        self.changed = set()
