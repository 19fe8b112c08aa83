"""Which partitions this node holds whole, and which it is filling.

A node that has a partition anew, or whose disk was lost or is an old copy, must not say "nothing
here" of a key: that would count as an answer, and hide a write that was acknowledged. So it *fills*
such a partition first. Meanwhile it takes in copies and acknowledges them, but answers no read
of them and coordinates no request for them.

Its *sources* are the owners that reads go by, without this node. An acknowledged write is on W of N
owners; were this node one of them, W - 1 others still have it. So of any N - W + 1 sources that are
whole at least one has it, and a partition is whole once it has been compared with so many to the
end. Where they are not to be had, all sources, whole or not, know together what there is to know.
"""

from collections.abc import Callable, Collection, Iterable

from dynamo.disk.contract import FILLING, filling_key, partition_of_filling
from dynamo.disk.staging import Staging
from dynamo.errors import CorruptData
from dynamo.protocol.settings import Settings


class Wholeness:
    """The marks of one node's partitions: they are on disk, and survive a restart."""

    def __init__(self, staging: Staging, settings: Settings, partitions: int) -> None:
        self._staging = staging
        self._settings = settings
        try:
            marked = [partition_of_filling(disk_key) for disk_key, _ in staging.disk.scan(*FILLING)]
        except CorruptData:  # then any of them may be filling
            marked = list(range(partitions))
        self._exchanged: dict[int, dict[str, bool]] = {partition: {} for partition in marked}
        """Filling partition -> peers compared with since the fill began, and if they were whole.
        A restart forgets them: what was fetched stays, so comparing again is quick."""
        self._began_at: dict[int, float] = {}
        self.when_whole: list[Callable[[int], None]] = []
        """Called with each partition that has become whole."""

    @property
    def filling(self) -> Collection[int]:
        """The partitions that are filling."""
        return self._exchanged.keys()

    def is_whole(self, partition: int) -> bool:
        return partition not in self._exchanged

    def begin_fill(self, partitions: Iterable[int]) -> None:
        """These partitions may lack anything from now on; durably noted with this step."""
        for partition in partitions:
            self._staging.put(filling_key(partition), b"", durable=True)
            self._exchanged[partition] = {}
            self._began_at.pop(partition, None)

    def abandon(self, partition: int) -> None:
        """This node is not to hold the partition after all."""
        if self._exchanged.pop(partition, None) is not None:
            self._staging.delete(filling_key(partition))

    def began_at(self, partition: int, now: float) -> float:
        """When the fill of a partition began; `now` if nobody has asked before."""
        return self._began_at.setdefault(partition, now)

    def exchanged_with(self, partition: int) -> Collection[str]:
        """The peers compared with to the end since the fill of a partition began."""
        return self._exchanged.get(partition, {}).keys()

    def exchanged(self, partition: int, peer: str, *, whole: bool) -> None:
        """All that `peer` holds of a partition is here now; `whole`: it holds it whole itself."""
        if partition in self._exchanged:
            exchanged = self._exchanged[partition]
            exchanged[peer] = whole or exchanged.get(peer, False)

    def settle(self, partition: int, sources: Collection[str]) -> None:
        """See whether a partition that fills has been compared with enough of its sources."""
        exchanged = self._exchanged.get(partition)
        if exchanged is None:
            return
        whole = sum(exchanged.get(source, False) for source in sources)
        enough = self._settings.n - self._settings.w + 1
        if whole >= enough or all(source in exchanged for source in sources):
            self.abandon(partition)
            for tell in self.when_whole:
                tell(partition)
