"""Output: a folder of parts, made visible at once, whichever attempts wrote them.

Each attempt writes its part out of sight. `commit` makes the winners' parts visible under their
final names and then writes `_SUCCESS` (a summary as JSON), whose presence says that the output is
whole. `discard` deletes a part that lost. A part that is not committed is never seen.
"""

import contextlib
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from dynamo import files
from dynamo.store import Store
from mapreduce.data.locations import SUCCESS, TEMPORARY, Files
from mapreduce.errors import JobError, OutputExists


class Part(msgspec.Struct, frozen=True, array_like=True):
    """One attempt's output, stored but not yet visible under its final name."""

    name: str
    """The final name inside the output folder, such as part-00003."""
    token: bytes
    """What the output's store needs to make it visible or delete it; opaque elsewhere."""
    size_bytes: int
    records: int


class Output(Protocol):
    """The output folder of one job."""

    def check_absent(self) -> None:
        """Raise `OutputExists` if there is anything in the folder, before a job starts."""

    def write(self, name: str, attempt: str, blocks: Iterable[tuple[bytes, int]]) -> Part:
        """Store one part out of sight. A block comes with the number of records it holds."""

    def commit(self, parts: Sequence[Part], summary: Mapping[str, Any]) -> None:
        """Make all parts visible, then `_SUCCESS`.

        May be repeated after a failure. In the store some parts can be visible after one: whoever
        gives up removes them; a folder takes them back by itself.
        """

    def discard(self, part: Part) -> None:
        """Delete a part that will not be committed; one that is gone already is no error."""

    def abandon(self) -> None:
        """Delete what attempts of a job that has ended without output may have left."""


def open_output(kind: Files, path: str, store: Store) -> Output:
    """The output folder at `path` in the store, or in the local file system."""
    return StoreOutput(store, path) if kind == "store" else FolderOutput(Path(path))


class StoreOutput:
    """A folder of files in the store. A part's token is its manifest, which no path names yet."""

    def __init__(self, store: Store, path: str) -> None:
        self._store = store
        self._folder = path.rstrip("/")
        files.check_path(self._folder)

    def check_absent(self) -> None:
        if files.under(self._store, self._folder):
            raise OutputExists(self._folder)

    def write(self, name: str, attempt: str, blocks: Iterable[tuple[bytes, int]]) -> Part:
        records = 0
        with files.Writer(self._store) as writer:
            for block, count in blocks:
                writer.write(block)
                records += count
        manifest = writer.manifest
        return Part(name, msgspec.msgpack.encode(manifest), manifest.size_bytes, records)

    def commit(self, parts: Sequence[Part], summary: Mapping[str, Any]) -> None:
        for part in parts:
            files.publish(self._store, f"{self._folder}/{part.name}", _manifest(part))
        with files.Writer(self._store) as writer:
            writer.write(_as_json(summary))
        files.publish(self._store, f"{self._folder}/{SUCCESS}", writer.manifest)

    def discard(self, part: Part) -> None:
        files.discard(self._store, _manifest(part))

    def abandon(self) -> None:
        """Nothing to do: parts are known by their tokens only, and each is discarded by its own."""


class FolderOutput:
    """A folder of the local file system. Attempts write into `_temporary`; commit renames."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._temporary = folder / TEMPORARY

    def check_absent(self) -> None:
        if self._folder.is_dir():
            if any(self._folder.iterdir()):
                raise OutputExists(str(self._folder))
        elif self._folder.exists():
            raise OutputExists(str(self._folder))

    def write(self, name: str, attempt: str, blocks: Iterable[tuple[bytes, int]]) -> Part:
        self._temporary.mkdir(parents=True, exist_ok=True)
        path = self._temporary / f"{attempt}-{uuid.uuid4().hex[:8]}"
        size_bytes = records = 0
        try:
            with path.open("wb") as file:
                for block, count in blocks:
                    size_bytes += file.write(block)
                    records += count
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return Part(name, os.fsencode(path.name), size_bytes, records)

    def commit(self, parts: Sequence[Part], summary: Mapping[str, Any]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            for part in parts:
                self._publish(part)
            (self._folder / SUCCESS).write_bytes(_as_json(summary))
        except BaseException:
            for part in parts:
                # Half an output must not be seen.
                with contextlib.suppress(OSError):
                    (self._folder / part.name).replace(self._written(part))
            raise
        shutil.rmtree(self._temporary, ignore_errors=True)

    def discard(self, part: Part) -> None:
        self._written(part).unlink(missing_ok=True)

    def abandon(self) -> None:
        shutil.rmtree(self._temporary, ignore_errors=True)
        if self._folder.is_dir() and not any(self._folder.iterdir()):
            self._folder.rmdir()

    def _publish(self, part: Part) -> None:
        written, final = self._written(part), self._folder / part.name
        if written.exists():
            written.replace(final)
        elif not final.exists():
            raise JobError(f"{written} is gone: something else has removed it; run again")

    def _written(self, part: Part) -> Path:
        return self._temporary / os.fsdecode(part.token)


def _manifest(part: Part) -> files.Manifest:
    return msgspec.msgpack.decode(part.token, type=files.Manifest)


def _as_json(summary: Mapping[str, Any]) -> bytes:
    return json.dumps(summary, indent=2, sort_keys=True).encode() + b"\n"
