"""A slow walk over all copies: their checksums are tried, their index entries made good.

Every partition's turn comes once in `rebuild_s`, and soon when there is doubt: an entry was met
that is not that of its copy. A disk from before there was an index gets one so; until then nobody
compares its partitions. Entries without a copy are not looked for: an exchange that meets one
removes it.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from dynamo.disk import record
from dynamo.disk.contract import (
    COPIES,
    INDEXED,
    SCRUBBED,
    Disk,
    copy_range,
    key_of_copy,
    partition_of_scrubbed,
    scrubbed_key,
)
from dynamo.disk.staging import Staging
from dynamo.errors import CorruptData
from dynamo.protocol.messages import Envelope
from dynamo.protocol.settings import Settings
from dynamo.protocol.trees import Trees

SLICE_COPIES = 256
SLICE_BYTES = 1 << 20
"""What one step reads, at most, and one copy more."""
PAUSE_S = 0.25
"""Between two slices of what is done each week: 4 MiB/s."""
HASTE_PAUSE_S = 0.03
"""The same where entries are in doubt or missing."""
LOOK_S = 3600.0
"""How often to look whose turn it is, lest a clock that was wrong puts it off for years."""


class _Turn(NamedTuple):
    partition: int
    in_doubt: bool
    after: str = ""
    """The last key that has been read."""
    copies: int = 0


class Scrub:
    """The walk over one node's copies.

    `wall` tells this machine's clock: a week is longer than most processes live.
    """

    def __init__(
        self,
        staging: Staging,
        trees: Trees,
        partitions: int,
        settings: Settings,
        wall: Callable[[], float],
    ) -> None:
        self._staging = staging
        self._trees = trees
        self._partitions = partitions
        self._rebuild_s = settings.rebuild_s or math.inf
        self._wall = wall
        self.when_damaged: list[Callable[[str], None]] = []
        """Called with the key of each copy that fails its checksum."""
        self.mended = 0
        """Index entries that were wrong or missing."""
        self._ended: dict[int, float] = {}
        """When each partition was walked over last; not there for those that have yet to be."""
        self._begun: float | None = None
        """When this disk began to have an index, once that is known: the others count from then."""
        self._is_marked = False
        try:
            self._is_marked = self._look(staging.disk)
        except CorruptData:  # then there may be copies without an entry
            trees.unindexed.update(range(partitions))
        self._doubted: dict[int, None] = dict.fromkeys(sorted(trees.unindexed))
        self._turn: _Turn | None = None
        self.idle_until = -math.inf

    def _look(self, disk: Disk) -> bool:
        """Learn what the disk says of its index; True if it has had one from the beginning."""
        self._ended = {partition_of_scrubbed(k): float(v) for k, v in disk.scan(*SCRUBBED)}
        marked = disk.get(INDEXED) is not None
        if not marked and next(iter(disk.scan(*COPIES)), None) is not None:
            self._trees.unindexed.update(range(self._partitions))
        return marked

    def doubt(self, partition: int) -> None:
        """Some index entry of a partition was wrong: look at all of them soon."""
        if self._turn is None or self._turn.partition != partition:
            self._doubted[partition] = None
            self.idle_until = -math.inf

    def next_wake(self) -> float:
        return self.idle_until

    def tick(self, now: float) -> Iterable[Envelope]:
        """Read one slice, if it is time for one."""
        if now < self.idle_until:
            return []
        if not self._is_marked and not self._trees.unindexed:
            self._is_marked = True
            self._staging.put(INDEXED, str(self._wall()).encode(), durable=False)
        if self._turn is None:
            self._turn = self._next_turn()
        if self._turn is None:
            self.idle_until = now + self._until_due_s() if self._rebuild_s < math.inf else math.inf
        else:
            self._turn = self._read_slice(self._turn)
            hasty = self._turn.in_doubt if self._turn else bool(self._doubted)
            self.idle_until = now + (HASTE_PAUSE_S if hasty else PAUSE_S)
        return []

    def _next_turn(self) -> _Turn | None:
        if self._doubted:
            partition = next(iter(self._doubted))
            del self._doubted[partition]
            return _Turn(partition, in_doubt=True)
        partition = min(range(self._partitions), key=self._due_in_s)
        return _Turn(partition, in_doubt=False) if self._due_in_s(partition) <= 0.0 else None

    def _due_in_s(self, partition: int) -> float:
        """Until a partition's turn has come; at once if it ended in what is now the future."""
        age_s = self._wall() - self._ended_at(partition)
        return self._rebuild_s - age_s if age_s >= 0.0 else 0.0

    def _ended_at(self, partition: int) -> float:
        """When a partition was walked over last; a new disk counts from its beginning."""
        if self._begun is None:
            begun = self._staging.get(INDEXED)
            self._begun = float(begun) if begun else self._wall()
        return self._ended.get(partition, self._begun)

    def _until_due_s(self) -> float:
        due_in_s = min(map(self._due_in_s, range(self._partitions)))
        return min(max(due_in_s, 0.0), self._rebuild_s, LOOK_S)

    def _read_slice(self, turn: _Turn) -> _Turn | None:
        """Read on; None once the partition has been walked over."""
        copies = size_bytes = 0
        try:
            for disk_key, stored in self._staging.disk.scan(
                *copy_range(turn.partition, "", turn.after)
            ):
                key = key_of_copy(disk_key)
                self._check(turn.partition, key, disk_key, stored)
                copies, size_bytes = copies + 1, size_bytes + len(stored)
                if copies >= SLICE_COPIES or size_bytes >= SLICE_BYTES:
                    return turn._replace(after=key, copies=turn.copies + copies)
        except CorruptData:
            pass  # the disk can't be read on here; whoever asks for such a key meets it too
        self._end(turn.partition)
        return None

    def _check(self, partition: int, key: str, disk_key: bytes, stored: bytes) -> None:
        if self._staging.changes(disk_key):  # by this very step, its entry too
            return
        try:
            siblings = record.decode(stored).siblings
        except CorruptData:
            for tell in self.when_damaged:
                tell(key)
            return
        self.mended += self._trees.mend(partition, key, siblings)

    def _end(self, partition: int) -> None:
        self._ended[partition] = self._wall()
        self._staging.put(scrubbed_key(partition), str(self._wall()).encode(), durable=False)
        self._trees.unindexed.discard(partition)

    def status(self) -> dict[str, Any]:
        """What there is to tell; text, numbers and lists only."""
        turn = self._turn
        return {
            "partition": turn.partition if turn else None,
            "copies": turn.copies if turn else 0,
            "in_doubt": len(self._doubted) + bool(turn and turn.in_doubt),
            "mended": self.mended,
        }
