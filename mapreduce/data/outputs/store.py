"""Output to a folder of files in the store. A part's token is its manifest, which no path names
until the commit."""

import contextlib
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from dynamo import files
from dynamo.errors import DynamoError, FileMissing
from dynamo.files import Manifest
from dynamo.store import Store
from mapreduce.data.locations import SUCCESS
from mapreduce.data.outputs.contract import Output, as_json
from mapreduce.data.outputs.parts import Part, is_main, made_by_commit
from mapreduce.errors import OutputExists


class StoreOutput(Output):
    """A folder in the store. What is written is found by its `run`, if one is named: `sweep`."""

    def __init__(self, store: Store, path: str, run: str = "") -> None:
        self._store = store
        self._run = run
        self._folder = path.rstrip("/")
        files.check_path(self._folder)

    def check_absent(self) -> None:
        if files.under(self._store, self._folder):
            raise OutputExists(self._folder)

    def open(self, name: str, attempt: str) -> "StorePartWriter":
        return StorePartWriter(self._store, name, self._run)

    def commit(self, parts: Sequence[Part], summary: Mapping[str, Any], merged: str = "") -> None:
        found = {part.name: _manifest(part) for part in parts}
        if merged:
            mains = [name for name in found if is_main(name)]
            found[merged] = files.chained([found.pop(name) for name in mains])
        visible = {self._path(name): manifest for name, manifest in found.items()}
        # Two masters may be at the same commit: they write the same bytes to the same chunks.
        name = _success(zlib.crc32(self._folder.encode()))
        with files.Writer(self._store, owner=self._run, name=name) as success:
            success.write(as_json(summary))
            success.flush()
            files.publish_many(self._store, visible)
        self._publish_or_discard(SUCCESS, success.manifest)

    def retract(self) -> None:
        # `_SUCCESS` goes first: what has one is whole.
        for name in sorted(self._names(), key=lambda name: name != SUCCESS):
            if made_by_commit(name):
                files.remove(self._store, self._path(name))

    def discard(self, part: Part) -> None:
        files.discard(self._store, _manifest(part))

    def abandon(self) -> None:
        """Nothing to do: parts are known by their tokens, and each is discarded by its own; `sweep`
        finds those of which nobody has heard."""

    def files(self) -> dict[str, int]:
        found = files.stat_many(self._store, map(self._path, self._names()))
        return {self._name(path): manifest.size_bytes for path, manifest in found.items()}

    def read(self, name: str) -> Iterator[bytes]:
        return files.read(self._store, self._path(name))

    def summary(self) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = json.loads(b"".join(self.read(SUCCESS)))
        except FileMissing:
            return None
        return found

    def _publish_or_discard(self, name: str, manifest: Manifest) -> None:
        """Make a file visible, or leave no chunks of it."""
        try:
            files.publish(self._store, self._path(name), manifest)
        except BaseException:
            if not self._run:  # else another master may have published it; `sweep` looks after it
                with contextlib.suppress(DynamoError):
                    files.discard(self._store, manifest)
            raise

    def _names(self) -> list[str]:
        return [self._name(path) for path in self._store.list(self._folder + "/")]

    def _name(self, path: str) -> str:
        return path.removeprefix(self._folder + "/")

    def _path(self, name: str) -> str:
        return f"{self._folder}/{name}"


class StorePartWriter:
    """Uploads a part."""

    def __init__(self, store: Store, name: str, run: str) -> None:
        self._name = name
        self._writer = files.Writer(store, owner=run)
        self._records = 0

    def write(self, data: bytes, records: int) -> None:
        self._writer.write(data)
        self._records += records

    def close(self) -> Part:
        manifest = self._writer.close()
        token = msgspec.msgpack.encode(manifest)
        return Part(self._name, token, manifest.size_bytes, self._records)

    def abort(self) -> None:
        with contextlib.suppress(DynamoError):
            self._writer.abort()


def sweep(store: Store, run: str, visible: Iterable[Part] | None) -> None:
    """Delete all that was written for `run`, which is over, but for the parts that are `visible`
    and `_SUCCESS`; None if nothing is. Attempts whose worker was killed have left others, of which
    nobody has heard."""
    left = set(files.chunks_of(store, run))
    if left and visible is not None:
        left = {key for key in left if f"/{_success()}" not in key}
        left.difference_update(key for part in visible for key in _manifest(part).chunk_keys)
    store.multi_delete(left)


def is_written_for(part: Part, run: str) -> bool:
    """True if all that the part's token names was written for `run`: whoever makes the part
    visible, or deletes it, does so to no chunk of others."""
    try:
        keys = _manifest(part).chunk_keys
    except msgspec.MsgspecError:
        return False
    return all(key.startswith(files.chunks_prefix(run)) for key in keys)


def _success(folder: int | None = None) -> str:
    """What the upload of a folder's `_SUCCESS` is called, or how the names of all such begin."""
    return f"{SUCCESS}-" + ("" if folder is None else f"{folder:08x}")


def _manifest(part: Part) -> Manifest:
    return msgspec.msgpack.decode(part.token, type=Manifest)
