"""The local copy: reads, merges and writes one node's copies, and stages them for the disk.

About *lives*. A dotted version vector needs actors that never use a count twice. A node's name is
no such actor: restored from an old copy of its disk it would count again from where that copy
stood, and other replicas would take its new writes for old ones (Riak lost acknowledged writes so:
riak_kv issue 679). Nor is a name with a number drawn at each start enough, because a copy can leave
a node and come to be there again while it runs. So each copy has a life of its own: the first time
a node coordinates a write of a copy it draws an actor `name-incarnation-number`, keeps it with the
copy, and draws another when the copy has gone or the node has started again. Ephemeral writes have
a life of their own kind, told by its name (see `dynamo.values.versions`).

About damage. A copy that fails its checksum is neither read nor written, until it has been healed
(see `dynamo.protocol.healing`): what came now would be all that it holds, and it would count.
"""

import heapq
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count, islice

import msgspec

from dynamo.disk import record
from dynamo.disk.contract import copy_key, copy_range, key_of_copy
from dynamo.disk.record import Copy
from dynamo.disk.staging import Staging
from dynamo.errors import CorruptData
from dynamo.protocol.expiry import Expiry
from dynamo.protocol.messages import (
    CopiesFetched,
    CopiesListed,
    CopyFetched,
    CopyStored,
    Envelope,
    Failed,
    Failure,
    FetchCopies,
    FetchCopy,
    ListCopies,
    Listed,
    Put,
    StoreCopies,
    StoreCopy,
)
from dynamo.protocol.tombstones import Tombstones
from dynamo.protocol.trees import Trees
from dynamo.protocol.view import View
from dynamo.protocol.wholeness import Wholeness
from dynamo.values import versions
from dynamo.values.versions import Siblings, Version

NO_COPY = Copy("", versions.EMPTY)
LOT_BYTES = 4 << 20
"""An answer with many copies ends before it grows over this, behind one copy at least."""


class Replica:
    """One node's copies on its disk.

    `incarnation` is drawn afresh by whoever starts the node, never read from a disk.
    """

    def __init__(
        self,
        view: View,
        staging: Staging,
        trees: Trees,
        wholeness: Wholeness,
        tombstones: Tombstones,
        incarnation: int,
        expiry: Expiry,
        wall: Callable[[], float],
    ) -> None:
        self._view = view
        self._staging = staging
        self._trees = trees
        self._wholeness = wholeness
        self._tombstones = tombstones
        self._expiry = expiry
        self._wall = wall
        self._incarnation = f"{view.me}-{incarnation:x}-"
        self._lives = count(1)
        self.corrupt_reads = 0
        """How many reads met a copy that fails its checksum."""
        self._gaps: set[int] = set()
        """Partitions of which the listing that is being made lacks something."""
        self.when_damaged: list[Callable[[str], None]] = []
        """Called with the key of each such copy, whenever it is met."""
        self.handlers: Mapping[type, Callable[[Envelope, float], Iterable[Envelope]]] = {
            FetchCopy: self._on_fetch,
            FetchCopies: self._on_fetch_many,
            ListCopies: self._on_list,
        }

    def has_whole(self, key: str) -> bool:
        """False while this node may lack what others hold of the key's partition."""
        return self._wholeness.is_whole(self._view.partition_of(key))

    def read(self, key: str) -> Siblings | None:
        """This node's copy of `key`; None if it is damaged, which is not the same as empty."""
        try:
            return self._load(key).siblings
        except CorruptData:
            return None

    def read_many(self, keys: Iterable[str]) -> tuple[Siblings, ...] | None:
        """The copies of the first of `keys`, as many as one answer has room for; None if one of
        them is damaged."""
        found: list[Siblings] = []
        size_bytes = 0
        try:
            for key in keys:
                copy = self._load(key).siblings
                size_bytes += versions.values_bytes(copy)
                if found and size_bytes > LOT_BYTES:
                    break
                found.append(copy)
        except CorruptData:
            return None
        return tuple(found)

    def write(self, put: Put) -> Siblings:
        """Coordinate one write: give it the next dot of this copy's life, stage the result.

        Raises `CorruptData`, before anything has changed, if the copy here is damaged.
        """
        return self._write(put, self._load(put.key)).siblings

    def write_many(self, puts: Iterable[Put]) -> list[Siblings]:
        """`write` each of them, or none if one of the copies here is damaged."""
        puts = list(puts)
        copies = {put.key: self._load(put.key) for put in puts}
        for put in puts:
            copies[put.key] = self._write(put, copies[put.key])
        return [copies[put.key].siblings for put in puts]

    def _write(self, put: Put, copy: Copy) -> Copy:
        life = copy.life
        ephemeral = put.ephemeral or _is_forgotten_with(copy.siblings, put)
        of_its_kind = life.endswith(versions.EPHEMERAL) == ephemeral
        if not (of_its_kind and life.startswith(self._incarnation)):
            mark = versions.EPHEMERAL if ephemeral else ""
            life = f"{self._incarnation}{next(self._lives):x}{mark}"
        siblings = versions.update(
            copy.siblings, put.context, life, put.value, put.written_at, put.expires_at
        )
        written = Copy(life, siblings)
        self._stage(put.key, written, put.durable, copy.siblings)
        return written

    def merge(self, key: str, siblings: Siblings, durable: bool) -> None:
        """Take in what another replica holds, unless it is only what this one may have dropped, or
        this node has left the cluster.

        Raises `CorruptData` if the copy here is damaged.
        """
        if versions.forget_at(siblings) <= self._wall() or self._view.me not in self._view.members:
            return
        copy = self._load(key)
        if copy is not NO_COPY:
            siblings = versions.reconcile([copy.siblings, siblings])
        # What is here already may have come without fsync: a durable write is written once more.
        if durable or siblings != copy.siblings:
            self._stage(key, Copy(copy.life, siblings), durable, copy.siblings)

    def merge_record(self, key: str, stored: bytes, durable: bool, lasting: bool) -> None:
        """`merge` with the record of another replica's copy, which has no life in it.

        Where there is no copy yet, the record of one that is not ephemeral is kept as it is.
        """
        siblings = record.decode(stored).siblings
        partition = self._view.partition_of(key)
        disk_key = copy_key(partition, key)
        if lasting and self._staging.get(disk_key) is None:
            self._staging.put(disk_key, stored, durable=durable)
            self._trees.enter(partition, key, siblings, durable=durable)
            self._tombstones.enter(partition, key, siblings, before=versions.EMPTY)
        else:
            self.merge(key, siblings, durable)

    def heal(self, key: str, siblings: Siblings) -> None:
        """Put what the others hold in the place of a damaged copy; it has no life here yet."""
        if not self._is_damaged(key):
            self.merge(key, siblings, durable=True)
        elif siblings.context and versions.forget_at(siblings) > self._wall():
            self._tombstones.remove(self._view.partition_of(key), key)
            self._stage(key, Copy("", siblings), durable=True)
        else:
            self.drop(key)

    def drop(self, key: str) -> None:
        """Let go of a copy; a crash may bring it back."""
        partition = self._view.partition_of(key)
        self._staging.delete(copy_key(partition, key))
        self._trees.remove(partition, key)
        self._tombstones.remove(partition, key)

    def listing(self, prefix: str, after: str, limit: int) -> CopiesListed | None:
        """This node's copies in order of key, without their values; `id` is 0.

        None if the disk can't be read there: a list with a gap would hide keys. For the same reason
        a partition with a damaged copy among them counts as one that is filling.
        """
        self._gaps = set(self._wholeness.filling)
        try:
            found = list(islice(self._scan(prefix, after), limit + 1))
        except CorruptData:
            self.corrupt_reads += 1
            return None
        more = len(found) > limit
        gaps, epoch = tuple(sorted(self._gaps)), self._view.ring.epoch
        return CopiesListed(0, tuple(found[:limit]), more, epoch, filling=gaps)

    def on_store(self, envelope: Envelope) -> Iterable[Envelope]:
        """Take in a `StoreCopy` that is meant for this node itself."""
        request: StoreCopy = envelope.message  # type: ignore[assignment]
        try:
            self.merge(request.key, request.siblings, request.durable)
        except CorruptData:
            return [envelope.reply(Failed(request.id, Failure.CORRUPT))]
        return [envelope.reply(CopyStored(request.id))]

    def on_store_many(self, envelope: Envelope) -> Iterable[Envelope]:
        """Take in `StoreCopies` that are meant for this node itself."""
        request: StoreCopies = envelope.message  # type: ignore[assignment]
        try:
            for key, stored in request.copies:
                self.merge_record(key, stored, request.durable, request.lasting)
        except CorruptData:
            return [envelope.reply(Failed(request.id, Failure.CORRUPT))]
        return [envelope.reply(CopyStored(request.id))]

    def _on_fetch(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        request: FetchCopy = envelope.message  # type: ignore[assignment]
        if not (request.anyway or self.has_whole(request.key)):
            return [envelope.reply(Failed(request.id, Failure.FILLING))]
        siblings = self.read(request.key)
        if siblings is None:  # to say "nothing" would count as an answer and could lose a write
            return [envelope.reply(Failed(request.id, Failure.CORRUPT))]
        return [envelope.reply(CopyFetched(request.id, siblings))]

    def _on_fetch_many(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        request: FetchCopies = envelope.message  # type: ignore[assignment]
        if not (request.anyway or all(map(self.has_whole, request.keys))):
            return [envelope.reply(Failed(request.id, Failure.FILLING))]
        siblings = self.read_many(request.keys)
        if siblings is None:
            return [envelope.reply(Failed(request.id, Failure.CORRUPT))]
        return [envelope.reply(CopiesFetched(request.id, siblings))]

    def _on_list(self, envelope: Envelope, now: float) -> Iterable[Envelope]:
        request: ListCopies = envelope.message  # type: ignore[assignment]
        listed = self.listing(request.prefix, request.after, request.limit)
        if listed is None:
            return [envelope.reply(Failed(request.id, Failure.CORRUPT))]
        return [envelope.reply(msgspec.structs.replace(listed, id=request.id))]

    def _scan(self, prefix: str, after: str) -> Iterator[Listed]:
        disk = self._staging.disk
        partitions = [
            disk.scan(*copy_range(partition, prefix, after))
            for partition in range(self._view.partitions)
            if self._wholeness.is_whole(partition)
        ]
        for disk_key, stored in heapq.merge(*partitions, key=lambda item: item[0][3:]):
            try:
                siblings = record.decode(stored).siblings
            except CorruptData:
                key = key_of_copy(disk_key)
                self._gaps.add(self._view.partition_of(key))
                self._tell_of_damage(key)
                continue
            yield Listed(key_of_copy(disk_key), _without_values(siblings))

    def _load(self, key: str) -> Copy:
        try:
            stored = self._staging.get(copy_key(self._view.partition_of(key), key))
            return NO_COPY if stored is None else record.decode(stored)
        except CorruptData:
            self._tell_of_damage(key)
            raise

    def _tell_of_damage(self, key: str) -> None:
        self.corrupt_reads += 1
        for tell in self.when_damaged:
            tell(key)

    def _is_damaged(self, key: str) -> bool:
        """Look again; nobody is told."""
        try:
            stored = self._staging.get(copy_key(self._view.partition_of(key), key))
            if stored is not None:
                record.decode(stored)
        except CorruptData:
            return True
        return False

    def _stage(
        self, key: str, copy: Copy, durable: bool, before: Siblings = versions.EMPTY
    ) -> None:
        partition = self._view.partition_of(key)
        self._staging.put(copy_key(partition, key), record.encode(copy), durable=durable)
        self._trees.enter(partition, key, copy.siblings, durable=durable)
        self._tombstones.enter(partition, key, copy.siblings, before)
        forget_at = versions.forget_at(copy.siblings)
        if forget_at != math.inf:
            self._expiry.note(forget_at, partition, key)


def _is_forgotten_with(siblings: Siblings, put: Put) -> bool:
    """True for a delete of nothing but ephemeral data, all of which is here: its tombstone need
    stand no longer than that would have."""
    if put.value is not None or not versions.ephemeral(siblings):
        return False
    return versions.join([siblings.context, put.context or {}]) == siblings.context


def _without_values(siblings: Siblings) -> Siblings:
    blanked = [
        Version(dot, None if value is None else b"", written_at, expires_at)
        for dot, value, written_at, expires_at in siblings.versions
    ]
    return Siblings(siblings.context, tuple(blanked))
