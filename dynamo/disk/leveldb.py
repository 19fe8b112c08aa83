"""A `Disk` in LevelDB; the only place that knows plyvel."""

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import plyvel

from dynamo.disk.contract import Usage, Write
from dynamo.errors import NodeFailed

WRITE_BUFFER_BYTES = 16 << 20
"""What LevelDB gathers in memory before it writes a sorted file; larger means fewer rewrites."""


class LevelDisk:
    """One LevelDB folder; LevelDB's own lock keeps a second process out of it.

    `fsync=False` makes every commit return before the disk has it: faster, and a loss of power
    can then lose acknowledged writes (a killed process still loses nothing).
    """

    def __init__(self, folder: Path, *, fsync: bool = True) -> None:
        self._folder = folder
        self._fsync = fsync
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._db = plyvel.DB(
                str(folder), create_if_missing=True, write_buffer_size=WRITE_BUFFER_BYTES
            )
        except (plyvel.Error, OSError) as error:
            raise NodeFailed(
                f"LevelDB in {folder} can't be opened: {_reason(error)}; "
                "if another process uses this folder, stop it first"
            ) from error

    def get(self, key: bytes) -> bytes | None:
        value: bytes | None = self._db.get(key)
        return value

    def scan(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        return iter(self._db.iterator(start=start, stop=stop))

    def size(self, start: bytes, stop: bytes) -> int:
        """What LevelDB's sorted files hold, compressed; what was written last is not in them yet,
        up to `WRITE_BUFFER_BYTES`."""
        size_bytes: int = self._db.approximate_size(start, stop)
        return size_bytes

    def usage(self) -> Usage:
        used_bytes = 0
        for path in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):  # LevelDB has just done away with it
                used_bytes += path.stat().st_size
        return Usage(used_bytes, shutil.disk_usage(self._folder).free)

    def commit(self, writes: Sequence[Write], *, sync: bool) -> None:
        try:
            self._write(writes, sync and self._fsync)
        except plyvel.Error as error:
            raise NodeFailed(
                f"LevelDB in {self._folder} can't write {len(writes):,} changes: "
                f"{_reason(error)}; look for a full or broken disk"
            ) from error

    def close(self) -> None:
        self._db.close()

    def _write(self, writes: Sequence[Write], sync: bool) -> None:
        # plyvel would commit a batch even when its block raises, unless it is a transaction.
        with self._db.write_batch(transaction=True, sync=sync) as batch:
            for key, value in writes:
                if value is None:
                    batch.delete(key)
                else:
                    batch.put(key, value)


def _reason(error: Exception) -> str:
    """What went wrong, as text: plyvel passes LevelDB's words on as bytes."""
    words = error.args[0] if isinstance(error, plyvel.Error) and error.args else error
    return words.decode(errors="replace") if isinstance(words, bytes) else str(words)
