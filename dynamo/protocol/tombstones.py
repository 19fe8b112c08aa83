"""Which copies are dead, or will be when they expire: a note of each on disk, for the reaper.

A note is written in the same commit as the copy, and taken away when the copy lives again. Purely
ephemeral copies have none: each node drops those by itself (see `dynamo.protocol.expiry`).
"""

import math
from collections.abc import Iterator

import msgspec

from dynamo.disk import record
from dynamo.disk.contract import dead_key, dead_range, key_of_dead, readable
from dynamo.disk.staging import Staging
from dynamo.errors import CorruptData
from dynamo.values import versions
from dynamo.values.versions import Siblings


class Note(msgspec.Struct, frozen=True, array_like=True):
    """What is known of one dead copy."""

    dead_at: float
    """When the last of it expires, in seconds since 1970; 0 for a tombstone."""
    looks: int = 0
    """How often all nodes have been found to agree about it."""
    looked_at: float = 0.0
    """When that was last so, by the clock of the steps of this life of the node."""
    life: int = 0
    """The node's life whose clock that is."""
    digest: bytes = b""
    """What they agreed about."""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Note)


class Tombstones:
    """The notes on a node's disk."""

    def __init__(self, staging: Staging) -> None:
        self._staging = staging

    def enter(self, partition: int, key: str, siblings: Siblings, before: Siblings) -> None:
        """The copy of `key` becomes this one, and was `before`: stage its note, or take it away."""
        dead_at = _dead_at(siblings)
        if dead_at < math.inf:
            self.write(partition, key, Note(dead_at))
        elif _dead_at(before) < math.inf:
            self.remove(partition, key)

    def write(self, partition: int, key: str, note: Note) -> None:
        sealed = record.seal(_encoder.encode(note))
        self._staging.put(dead_key(partition, key), sealed, durable=False)

    def remove(self, partition: int, key: str) -> None:
        self._staging.delete(dead_key(partition, key))

    def look_up(self, partition: int, key: str) -> Note | None:
        try:
            sealed = self._staging.get(dead_key(partition, key))
        except CorruptData:
            return None
        return None if sealed is None else _note_in(sealed)

    def read(self, partition: int, after: str) -> Iterator[tuple[str, Note]]:
        """The notes of a partition in order of key, behind `after`; damaged ones look new."""
        for disk_key, sealed in readable(self._staging.disk.scan(*dead_range(partition, after))):
            yield key_of_dead(disk_key), _note_in(sealed)


def _note_in(sealed: bytes) -> Note:
    try:
        return _decoder.decode(record.unseal(sealed))
    except (CorruptData, msgspec.MsgspecError):
        return Note(0.0)


def _dead_at(siblings: Siblings) -> float:
    """From when on nothing in a copy lives; infinite for what never expires, for nothing at all,
    and for what each node drops by itself."""
    if not siblings.versions or versions.forget_at(siblings) < math.inf:
        return math.inf
    return max(
        0.0 if version.value is None else version.expires_at or math.inf
        for version in siblings.versions
    )
