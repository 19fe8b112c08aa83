"""The writes of one step, gathered for one commit, and visible to the step's own reads."""

from dynamo.disk.contract import Disk, Write


class Staging:
    """Collects writes over a disk.

    `get` sees what has been staged; scans go to the disk itself, which is enough for listings:
    nothing that tells of a staged write has been sent yet.
    """

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self._staged: dict[bytes, bytes | None] = {}
        self._sync = False

    def get(self, key: bytes) -> bytes | None:
        if key in self._staged:
            return self._staged[key]
        return self.disk.get(key)

    def put(self, key: bytes, value: bytes, *, durable: bool) -> None:
        """Stage one write; a durable one makes the whole commit wait for the disk."""
        self._staged[key] = value
        self._sync |= durable

    def delete(self, key: bytes) -> None:
        """Stage a deletion; it may be lost at a crash, so only what can be deleted again."""
        self._staged[key] = None

    def take(self) -> tuple[list[Write], bool]:
        """All that was staged since the last call, and whether the commit has to sync."""
        taken = [Write(*item) for item in self._staged.items()], self._sync
        self._staged, self._sync = {}, False
        return taken
