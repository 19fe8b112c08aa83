"""What disks have lost for good, so that no two ever lose the same.

A disk may lose what it had acknowledged: a bit flips, an old copy of it is restored, a machine dies
and is removed. If the others that hold it lost it too before it has been made good, it would really
be lost, and no store could give it back.
"""

from collections.abc import Iterable

from dynamo.disk.contract import COPIES, HINTS, MemoryDisk, key_of_copy, owner_and_key_of_hint
from dynamo.simulation.world import World, siblings_in
from dynamo.values.versions import Siblings, reconcile


class Losses:
    """What disks have lost and what not all owners hold again.

    While somebody's loss of a key is open nobody else may lose anything of that key.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._open: dict[str, dict[str, list[Siblings]]] = {}
        """Key -> machine -> what it lost."""

    def may_lose(self, name: str, stored: Iterable[bytes]) -> bool:
        """True if no other machine has an open loss of the keys of these records."""
        return all(self._losers(key_of(disk_key)) <= {name} for disk_key in stored)

    def lose(self, name: str, stored: dict[bytes, bytes]) -> None:
        """Note that `name` loses these records."""
        for disk_key, before in stored.items():
            lost = self._open.setdefault(key_of(disk_key), {}).setdefault(name, [])
            lost.append(siblings_in(before))

    def _losers(self, key: str) -> set[str]:
        lost = self._open.get(key, {})
        copies = self._world.kept_copies(key).values()
        for name in list(lost):
            if all(reconcile([copy, *lost[name]]) == copy for copy in copies):
                del lost[name]
        return set(lost)


def stored_copies(disk: MemoryDisk) -> dict[bytes, bytes]:
    """The records of a node's own copies and of those it keeps for others, by disk key."""
    return dict([*disk.scan(*COPIES), *disk.scan(*HINTS)])


def key_of(disk_key: bytes) -> str:
    """The key of a record, whether it is the node's own or is kept for another."""
    if disk_key.startswith(HINTS[0]):
        return owner_and_key_of_hint(disk_key)[1]
    return key_of_copy(disk_key)
