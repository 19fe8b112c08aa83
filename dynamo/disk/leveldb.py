"""A `Disk` in LevelDB; the only place that knows plyvel.

What goes wrong with a disk, and what is done about it (plyvel tells LevelDB's words):

    full, or read-only     `ReadOnly` from `commit`, before LevelDB meets it where possible: after a
                           failed write LevelDB takes none until it is opened again, and to open it
                           there has to be room for its log to be written out
    a damaged block        `CorruptData` from `get` and from a scan that comes across it
    a damaged log          LevelDB drops what it can't read: `records_lost`, and a warning
    does not open at all   moved aside, never deleted: `moved_aside`, a warning, an empty disk
"""

import contextlib
import logging
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import plyvel

from dynamo.disk.contract import Usage, Write
from dynamo.errors import CorruptData, NodeFailed, ReadOnly

log = logging.getLogger("dynamo.disk")

WRITE_BUFFER_BYTES = 16 << 20
"""What LevelDB gathers in memory before it writes a sorted file; larger means fewer rewrites."""
OPTIONS: dict[str, Any] = {
    "write_buffer_size": WRITE_BUFFER_BYTES,
    "compression": None,
    "bloom_filter_bits": 10,
}
"""Not compressed: each rewrite of a sorted file would unpack and pack all of it again, which for
text takes three times as long as all else that LevelDB does. Pieces of jobs are compressed already.
Bloom filters: a write looks for an earlier copy, and for most there is none; without a filter a
block of each sorted file is read to see that, which may be a neighbour of 1 MiB."""
REOPENING_BYTES = 2 * WRITE_BUFFER_BYTES
"""What LevelDB may write while it is opened: its logs, as sorted files."""
PROBE_BYTES = 4096


class LevelDisk:
    """One LevelDB folder; LevelDB's own lock keeps a second process out of it.

    `fsync=False` makes every commit return before the disk has it: faster, and a loss of power
    can then lose acknowledged writes (a killed process still loses nothing). With less than
    `reserve_bytes` free no write is taken, so that LevelDB can always be opened again.
    """

    def __init__(self, folder: Path, *, fsync: bool = True, reserve_bytes: int = 0) -> None:
        self.moved_aside: Path | None = None
        """Where a LevelDB that could not be opened is now; this disk began empty then."""
        self.records_lost = False
        """True if LevelDB had to drop damaged records of its log: acknowledged writes may be
        missing here."""
        self._folder = folder
        self._fsync = fsync
        self._reserve_bytes = reserve_bytes
        self._broken = ""
        """Why LevelDB itself refuses all writes until it is opened again."""
        self._opening = Lock()
        """`size` may be asked for by another thread while LevelDB is opened again."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._db = self._open_or_begin_anew()
        except (plyvel.Error, OSError) as error:
            raise NodeFailed(
                f"LevelDB in {folder} can't be opened: {_reason(error)}; "
                "if another process uses this folder, stop it first"
            ) from error

    def get(self, key: bytes) -> bytes | None:
        try:
            value: bytes | None = self._db.get(key, verify_checksums=True)
        except plyvel.Error as error:
            raise self._unreadable(error) from error
        return value

    def scan(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        try:
            yield from self._db.iterator(start=start, stop=stop, verify_checksums=True)
        except plyvel.Error as error:
            raise self._unreadable(error) from error

    def size(self, start: bytes, stop: bytes) -> int:
        """What LevelDB's sorted files hold; what was written last is not in them yet,
        up to `WRITE_BUFFER_BYTES`."""
        with self._opening:
            size_bytes: int = self._db.approximate_size(start, stop)
        return size_bytes

    def usage(self) -> Usage:
        used_bytes = 0
        for path in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):  # LevelDB has just done away with it
                used_bytes += path.stat().st_size
        return Usage(used_bytes, shutil.disk_usage(self._folder).free)

    def commit(self, writes: Sequence[Write], *, sync: bool) -> None:
        self._check_room(self._reserve_bytes)
        try:
            self._write(writes, sync and self._fsync)
        except plyvel.Error as error:
            self._broken = _reason(error)
            raise ReadOnly(
                f"LevelDB in {self._folder} can't write {len(writes):,} changes: {self._broken}; "
                f"{_mib(shutil.disk_usage(self._folder).free)} are free there"
            ) from error

    def recover(self) -> None:
        self._check_room(self._reserve_bytes + REOPENING_BYTES)
        if not self._broken:
            return
        if self._broken.startswith("Corruption"):  # it would open, and refuse soon again
            raise ReadOnly(
                f"LevelDB in {self._folder} is damaged ({self._broken}): stop the node, move the "
                "folder away and start the node, which fills itself from the others"
            )
        self._probe()
        with self._opening:
            self._reopen()

    def _reopen(self) -> None:
        self._db.close()
        try:
            self._db = self._open()
        except plyvel.Error as error:
            raise NodeFailed(
                f"LevelDB in {self._folder} can't be opened again: {_reason(error)}"
            ) from error
        self._broken = ""

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

    def _unreadable(self, error: Exception) -> CorruptData:
        return CorruptData(f"LevelDB in {self._folder} can't read its data: {_reason(error)}")

    # Room ----------------------------------------------------------------------------------------

    def _check_room(self, needed_bytes: int) -> None:
        """Costs a few microseconds: much less than the commit it stands before."""
        room = os.statvfs(self._folder)
        if room.f_flag & os.ST_RDONLY:
            raise ReadOnly(f"the disk of {self._folder} is read-only")
        free_bytes = room.f_bavail * room.f_frsize
        if free_bytes < needed_bytes:
            raise ReadOnly(
                f"the disk of {self._folder} is full: {_mib(free_bytes)} are free, "
                f"{_mib(needed_bytes)} are needed (reserve_mb = {self._reserve_bytes >> 20}); "
                "make room there"
            )

    def _probe(self) -> None:
        """See whether files can be written at all before LevelDB gives up what it has open."""
        probe = self._folder / "probe"
        try:
            with probe.open("wb") as file:
                file.write(bytes(PROBE_BYTES))
                file.flush()
                os.fsync(file.fileno())
            probe.unlink()
        except OSError as error:
            raise ReadOnly(f"the disk of {self._folder} refuses writes: {error}") from error

    # Opening -------------------------------------------------------------------------------------

    def _open_or_begin_anew(self) -> plyvel.DB:
        try:
            return self._open()
        except plyvel.CorruptionError as error:
            self.moved_aside = self._move_aside(_reason(error))
            return self._open()

    def _open(self) -> plyvel.DB:
        """Open what is there, or make it where nothing is."""
        try:
            return self._open_strictly(create=False)
        except plyvel.CorruptionError as error:
            strict = _reason(error)
        except plyvel.Error as error:
            if "does not exist" not in _reason(error):
                raise
            if any(self._folder.glob("*.ldb")) or any(self._folder.glob("*.log")):
                raise plyvel.CorruptionError(b"Corruption: the file CURRENT is missing") from error
            return self._open_strictly(create=True)
        db = plyvel.DB(str(self._folder), **OPTIONS)
        self.records_lost = True
        log.warning(
            "LevelDB in %s has damaged records in its log (%s) and dropped them: writes may be "
            "missing here until they have been fetched from the other nodes",
            self._folder,
            strict,
        )
        return db

    def _open_strictly(self, *, create: bool) -> plyvel.DB:
        """Open, and say so if records of the log are damaged instead of dropping them.

        A log that is torn off at its end, as a loss of power may leave it, is not damaged.
        """
        return plyvel.DB(
            str(self._folder),
            create_if_missing=create,
            **OPTIONS,
            paranoid_checks=True,
        )

    def _move_aside(self, reason: str) -> Path:
        """Give the folder another name and make an empty one in its place."""
        stamp = time.strftime("%Y%m%dT%H%M%S")
        aside = self._folder.with_name(f"{self._folder.name}.damaged-{stamp}")
        if aside.exists():  # rename would replace an empty folder
            raise FileExistsError(f"{reason}; it can't be moved aside, {aside} is there already")
        self._folder.rename(aside)
        self._folder.mkdir()
        log.warning(
            "LevelDB in %s is damaged (%s). It is now %s, and this node begins with an empty disk, "
            "which is to be filled from the other nodes. Delete %s once all data is back",
            self._folder,
            reason,
            aside,
            aside,
        )
        return aside


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / (1 << 20):,.1f} MiB"


def _reason(error: Exception) -> str:
    """What went wrong, as text: plyvel passes LevelDB's words on as bytes."""
    words = error.args[0] if isinstance(error, plyvel.Error) and error.args else error
    return words.decode(errors="replace") if isinstance(words, bytes) else str(words)
