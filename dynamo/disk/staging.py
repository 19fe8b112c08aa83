"""The writes of one step, gathered for one commit, and visible to the step's own reads."""

from dynamo.disk.contract import Disk, Write


class Staging:
    """Collects writes over a disk.

    `get` sees what has been staged; scans go to the disk itself, which is enough for listings:
    nothing that tells of a staged write has been sent yet. With `read_only` everything staged is
    dropped: who would tell of it has to ask first.
    """

    def __init__(self, disk: Disk, *, read_only: bool = False) -> None:
        self.disk = disk
        self.read_only = read_only
        self.read_bytes = 0
        """What has been read of the disk so far, by `get`."""
        self._staged: dict[bytes, bytes | None] = {}
        self._sync = False

    def get(self, key: bytes) -> bytes | None:
        if key in self._staged:
            return self._staged[key]
        value = self.disk.get(key)
        if value is not None:
            self.read_bytes += len(value)
        return value

    def changes(self, key: bytes) -> bool:
        """True if this step has changed `key`, so that a scan finds what is no more."""
        return key in self._staged

    def put(self, key: bytes, value: bytes, *, durable: bool) -> None:
        """Stage one write; a durable one makes the whole commit wait for the disk."""
        if self.read_only:
            return
        self._staged[key] = value
        self._sync |= durable

    def delete(self, key: bytes) -> None:
        """Stage a deletion; it may be lost at a crash, so only what can be deleted again."""
        if self.read_only:
            return
        self._staged[key] = None

    @property
    def is_empty(self) -> bool:
        """True if this step has staged nothing so far: scans of the disk see all there is."""
        return not self._staged

    def take(self) -> tuple[list[Write], bool]:
        """All that was staged since the last call, and whether the commit has to sync."""
        if not self._staged:
            return [], False
        taken = [Write(*item) for item in self._staged.items()], self._sync
        self._staged, self._sync = {}, False
        return taken
