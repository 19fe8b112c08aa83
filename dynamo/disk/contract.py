"""The disk as the node sees it: an ordered map of bytes with atomic, durable batches.

Names of keys on disk (the first byte leaves room for others):

    b"v" | partition, 2 bytes big-endian | key, UTF-8        one copy: see `dynamo.disk.record`
    b"h" | owner, UTF-8 | 0 | key, UTF-8                     a copy kept for an owner that is down
    b"w" | partition, 2 bytes | segment, 2 bytes | key       the digest of a copy: its index entry
    b"x" | when, 8 bytes | partition, 2 bytes | key, UTF-8   empty: an ephemeral copy to be dropped
    b"c"                                                     what the node knows of its cluster
    b"d" | partition, 2 bytes | key                          that a copy is dead: see `tombstones`
    b"p" | partition, 2 bytes                                that it is filling: see `wholeness`
    b"mindexed2"                                             that every copy here has an entry
    b"mlooked"                                               nothing: written to have all synced
    b"mscrubbed" | partition, 2 bytes                        when a scrub of it ended last

So the copies of a partition lie together and in the order of their keys, and so do the hinted
copies for one owner, and the index entries of one segment of a partition's hash tree; the
ephemeral copies lie there once more in the order in which they may be dropped (`when` is a
big-endian double, in seconds since 1970).

What is often scanned, "w" and "x", has its place behind the copies: to find a key or its successor
LevelDB reads a whole block of each sorted file that has one, and a copy of 1 MiB is a block. Before
the copies these small entries would share a block with one, or be followed by it.
"""

import struct
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple, Protocol

from dynamo.errors import CorruptData, ReadOnly


class Write(NamedTuple):
    """One change to the disk; `value=None` deletes the key."""

    key: bytes
    value: bytes | None


class Usage(NamedTuple):
    """How much room a disk takes, and how much is left for it."""

    used_bytes: int
    free_bytes: int | None
    """None where nothing but the machine's memory bounds it."""


class Disk(Protocol):
    """An ordered map from bytes to bytes. Only one thread at a time may call `commit`.

    Bytes on a disk can rot: where that is noticed, `get` and a scan raise `CorruptData`.
    """

    def get(self, key: bytes) -> bytes | None:
        """The value of `key`, or None."""

    def scan(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values with start <= key < stop, in order of the keys' bytes."""

    def size(self, start: bytes, stop: bytes) -> int:
        """About how many bytes the keys with start <= key < stop take; cheap, and an estimate."""

    def usage(self) -> Usage:
        """What is used and what is free; it looks at every file, so not in a hub, nor often."""

    def commit(self, writes: Sequence[Write], *, sync: bool) -> None:
        """Apply all of `writes` or none. With `sync`, return only when they, and every commit
        before them, would survive a loss of power. Raises `ReadOnly` where the disk is full or
        takes no writes; whether they were applied then shows after a restart or `recover`."""

    def recover(self) -> None:
        """Take writes again after `ReadOnly`, or raise it once more, with the reason of now."""

    def close(self) -> None:
        """Give the disk back; nothing may be called afterwards."""


def copy_key(partition: int, key: str) -> bytes:
    """Where the copy of `key` is kept.

    >>> copy_key(3, "colour")
    b'v\\x00\\x03colour'
    """
    return b"v" + partition.to_bytes(2, "big") + key.encode()


def key_of_copy(disk_key: bytes) -> str:
    """The key whose copy is kept at `disk_key`."""
    return disk_key[3:].decode()


def copy_range(partition: int, prefix: str, after: str) -> tuple[bytes, bytes]:
    """Start and stop of a scan over a partition's keys: those with this prefix, behind `after`."""
    first = copy_key(partition, prefix)
    start = max(first, copy_key(partition, after) + b"\x00") if after else first
    return start, first + b"\xff"


def copies_range(first: int, stop: int) -> tuple[bytes, bytes]:
    """Start and stop of a scan over all copies of the partitions first <= partition < stop."""
    return copy_key(first, ""), copy_key(stop - 1, "") + b"\xff"


def partition_of_copy(disk_key: bytes) -> int:
    """The partition of the copy that is kept at `disk_key`."""
    return int.from_bytes(disk_key[1:3], "big")


def hint_key(owner: str, key: str) -> bytes:
    """Where the copy of `key` is kept that is meant for `owner`.

    >>> hint_key("n1", "colour")
    b'hn1\\x00colour'
    """
    return b"h" + owner.encode() + b"\x00" + key.encode()


def owner_and_key_of_hint(disk_key: bytes) -> tuple[str, str]:
    """The owner and the key of the hinted copy at `disk_key`."""
    owner, _, key = disk_key[1:].partition(b"\x00")
    return owner.decode(), key.decode()


CLUSTER = b"c"
"""Where a node keeps what it knows of its cluster, sealed as in `dynamo.disk.record`."""

HINTS = (b"h", b"i")
"""Start and stop of a scan over all hinted copies."""


def expiry_key(when: float, partition: int, key: str) -> bytes:
    """Where it is noted that the copy of `key` may be dropped at `when`.

    >>> expiry_key(2.0, 3, "colour")
    b'x@\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x03colour'
    """
    return b"x" + struct.pack(">d", when) + copy_key(partition, key)[1:]


def when_and_copy_of_expiry(disk_key: bytes) -> tuple[float, bytes]:
    """When the copy may be dropped, and where on disk it is."""
    (when,) = struct.unpack(">d", disk_key[1:9])
    return when, b"v" + disk_key[9:]


EXPIRIES = (b"x", b"y")
"""Start and stop of a scan over all of these notes, the earliest first."""


def index_key(partition: int, segment: int, key: str) -> bytes:
    """Where the digest of the copy of `key` is kept.

    >>> index_key(3, 5, "colour")
    b'w\\x00\\x03\\x00\\x05colour'
    """
    return b"w" + (partition << 16 | segment).to_bytes(4, "big") + key.encode()


def index_range(partition: int, first: int, stop: int) -> tuple[bytes, bytes]:
    """Start and stop of a scan over the index entries of the segments first <= segment < stop."""
    return index_key(partition, first, ""), index_key(partition, stop - 1, "") + b"\xff"


def segment_and_key_of_index(disk_key: bytes) -> tuple[int, bytes]:
    """The segment and the key, still in UTF-8, of an index entry."""
    return int.from_bytes(disk_key[3:5], "big"), disk_key[5:]


INDEXED = b"mindexed2"
"""There on every disk on which all copies have had an index entry from the beginning, or have got
it since."""


def scrubbed_key(partition: int) -> bytes:
    """Where it is noted when a scrub of a partition ended last."""
    return b"mscrubbed" + partition.to_bytes(2, "big")


def partition_of_scrubbed(disk_key: bytes) -> int:
    """The partition that a note of `scrubbed_key` is about."""
    return int.from_bytes(disk_key[-2:], "big")


def dead_key(partition: int, key: str) -> bytes:
    """Where it is noted that the copy of `key` is dead, or will be.

    >>> dead_key(3, "colour")
    b'd\\x00\\x03colour'
    """
    return b"d" + copy_key(partition, key)[1:]


def dead_range(partition: int, after: str) -> tuple[bytes, bytes]:
    """Start and stop of a scan over the notes of a partition's dead copies, behind `after`."""
    start, stop = copy_range(partition, "", after)
    return b"d" + start[1:], b"d" + stop[1:]


def key_of_dead(disk_key: bytes) -> str:
    """The key that a note of `dead_key` is about."""
    return key_of_copy(disk_key)


LOOKED = b"mlooked"
"""Written with fsync by a node that tells what it holds: then that is what a crash leaves."""


def filling_key(partition: int) -> bytes:
    """Where it is noted that a partition is filling."""
    return b"p" + partition.to_bytes(2, "big")


def partition_of_filling(disk_key: bytes) -> int:
    """The partition that a mark of `filling_key` is about."""
    return int.from_bytes(disk_key[1:3], "big")


COPIES = (b"v", b"w")
"""Start and stop of a scan over all copies."""
SCRUBBED = (b"mscrubbed", b"mscrubbee")
"""Start and stop of a scan over the notes of ended scrubs."""
FILLING = (b"p", b"q")
"""Start and stop of a scan over the marks of partitions that are filling."""


def readable(items: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    """A scan up to where the disk can't be read; the other replicas have what lies behind."""
    with suppress(CorruptData):
        yield from items


class MemoryDisk:
    """A `Disk` in memory that can lose what was not synced, as a disk does at a crash.

    >>> disk = MemoryDisk()
    >>> disk.commit([Write(b"a", b"1")], sync=True)
    >>> disk.commit([Write(b"a", b"2")], sync=False)
    >>> disk.crash()
    >>> disk.get(b"a")
    b'1'
    """

    def __init__(self) -> None:
        self._now: dict[bytes, bytes] = {}
        self._before_sync: dict[bytes, bytes | None] = {}
        """What each key written since the last sync held at that sync."""
        self._keys: list[bytes] = []
        """All keys, in order."""
        self.refuses = ""
        """Why the disk takes no writes; "" while it does."""

    def get(self, key: bytes) -> bytes | None:
        return self._now.get(key)

    def scan(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        first = bisect_left(self._keys, start)
        keys = self._keys[first : bisect_left(self._keys, stop, first)]
        return zip(keys, [self._now[key] for key in keys])

    def size(self, start: bytes, stop: bytes) -> int:
        return sum(len(key) + len(value) for key, value in self.scan(start, stop))

    def usage(self) -> Usage:
        return Usage(sum(len(key) + len(value) for key, value in self._now.items()), None)

    def commit(self, writes: Sequence[Write], *, sync: bool) -> None:
        self.recover()
        for key, value in writes:
            self._before_sync.setdefault(key, self._now.get(key))
            self._set(key, value)
        if sync:
            self._before_sync.clear()

    def recover(self) -> None:
        if self.refuses:
            raise ReadOnly(self.refuses)

    def crash(self) -> None:
        """Lose every commit since the last one with `sync`."""
        for key, value in self._before_sync.items():
            self._set(key, value)
        self._before_sync.clear()

    def snapshot(self) -> dict[bytes, bytes]:
        """A copy of all that is on the disk."""
        return dict(self._now)

    def restore(self, snapshot: Mapping[bytes, bytes]) -> None:
        """Put an old copy in the place of all that is on the disk."""
        self._now, self._keys = dict(snapshot), sorted(snapshot)
        self._before_sync.clear()

    def flip_bit(self, key: bytes, place: int) -> None:
        """Damage the value of `key`: its `place`-th bit is the other one from now on."""
        damaged = bytearray(self._now[key])
        damaged[place // 8] ^= 1 << place % 8
        self._now[key] = bytes(damaged)

    def close(self) -> None:
        """Keep everything: a memory disk can be opened again by using it."""

    def _set(self, key: bytes, value: bytes | None) -> None:
        if value is None:
            if self._now.pop(key, None) is not None:
                del self._keys[bisect_left(self._keys, key)]
            return
        if key not in self._now:
            insort(self._keys, key)
        self._now[key] = value
