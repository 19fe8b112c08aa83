"""Places that output goes to, each with a way to let any of its operations fail."""

import errno
import io
import os
import threading
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import fsspec

from dynamo import files
from dynamo.errors import QuorumFailed
from dynamo.store import MemoryStore, Written
from mapreduce.data.outputs import Output, open_output
from mapreduce.data.outputs.folder import Folder
from mapreduce.data.outputs.store import StoreOutput
from mapreduce.data.outputs.tree import Tree, TreeOutput
from mapreduce.data.outputs.url import UrlTree
from tests.mapreduce import s3

KINDS = ["store", "folder", "file", "memory", "s3"]


class Faults:
    """Lets the operation number `fails_at` fail, counted from 0, and with `forever` all after it.

    What `spares` names never fails: a full disk, say, takes no bytes, but moves and deletes.
    """

    def __init__(self, error: Exception, fails_at: int, forever: bool, spares: str = "") -> None:
        self.error = error
        self.fails_at = fails_at
        self.forever = forever
        self.spares = spares
        self.count = 0
        self.lock = threading.Lock()

    def check(self, operation: str) -> None:
        if operation in self.spares.split():
            return
        with self.lock:
            number, self.count = self.count, self.count + 1
        if number == self.fails_at or (self.forever and number > self.fails_at):
            raise self.error

    @property
    def seen(self) -> bool:
        return self.count > self.fails_at


class StorePlace:
    """A folder in the store."""

    kind = "store"

    def __init__(self) -> None:
        self.store = FaultyStore()
        self.output: Output = StoreOutput(self.store, "/out")

    def visible(self) -> dict[str, bytes]:
        return {
            path.removeprefix("/out/"): b"".join(files.read(self.store, path))
            for path in files.under(self.store, "/out")
        }

    def held(self) -> int:
        """How many keys or files there are in all, seen or not."""
        return len(list(self.store.list("")))

    def occupy(self) -> None:
        files.write(self.store, "/out/old", io.BytesIO(b"old"))

    def faulty(self, fails_at: int, *, forever: bool = False, full: bool = False) -> Faults:
        """From now on an operation fails: that of a number, or all from it on."""
        error = QuorumFailed("put", "key", 2, ["n1"], ["n2", "n3"], 1.0)
        self.store.faults = Faults(error, fails_at, forever, "delete" if full else "")
        return self.store.faults

    def healed(self) -> None:
        self.store.faults = None


class FaultyStore(MemoryStore):
    """A store whose writes fail when they are told to."""

    faults: Faults | None = None

    def put(self, key: str, value: bytes, **options: Any) -> Written:  # type: ignore[override]
        self._check("put")
        return super().put(key, value, **options)

    def multi_put(  # type: ignore[override]
        self, items: Mapping[str, bytes], **options: Any
    ) -> dict[str, Written]:
        self._check("put")
        return {key: MemoryStore.put(self, key, value) for key, value in items.items()}

    def delete(self, key: str, **options: Any) -> Written:  # type: ignore[override]
        self._check("delete")
        return super().delete(key, **options)

    def _check(self, operation: str) -> None:
        if self.faults:
            self.faults.check(operation)


class TreePlace:
    """A folder of a file system: of this machine, or at a URL."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        urls = {"file": f"file://{folder}", "memory": f"memory://{uuid.uuid4().hex}"}
        if kind == "s3":
            urls["s3"] = s3.new_folder()
        self.path = urls.get(kind, str(folder)) + "/out"
        self.fs: Any
        self.fs, self.root = fsspec.core.url_to_fs(self.path)
        if kind == "s3":
            self.fs = s3.client()
        self.tree: Tree = UrlTree(self.path) if kind in urls else Folder(Path(self.path))
        self.output = open_output("local", self.path, MemoryStore())

    def visible(self) -> dict[str, bytes]:
        self.fs.invalidate_cache()
        return {
            name: self.fs.cat_file(f"{self.root}/{name}")
            for name in self._files()
            if "/" not in name
        }

    def held(self) -> int:
        return len(self._files())

    def _files(self) -> list[str]:
        return [path.removeprefix(f"{self.root}/") for path in self.fs.find(self.root)]

    def occupy(self) -> None:
        self.fs.makedirs(self.root, exist_ok=True)
        self.fs.pipe_file(f"{self.root}/old", b"old")

    def faulty(self, fails_at: int, *, forever: bool = False, full: bool = False) -> Faults:
        error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        spares = "move remove" if full else ""
        faults = Faults(error, fails_at, forever, spares)
        self.output = TreeOutput(FaultyTree(self.tree, faults))
        return faults

    def healed(self) -> None:
        self.output = open_output("local", self.path, MemoryStore())


class FaultyTree:
    """A tree whose operations fail when they are told to."""

    def __init__(self, tree: Tree, faults: Faults) -> None:
        self._tree = tree
        self._faults = faults

    def __str__(self) -> str:
        return str(self._tree)

    def occupied(self) -> bool:
        return self._tree.occupied()

    def check_writable(self) -> None:
        self._tree.check_writable()

    def create(self, name: str) -> BinaryIO:
        self._faults.check("create")
        return FaultyFile(self._tree.create(name), self._faults)  # type: ignore[return-value]

    def read(self, name: str) -> Iterator[bytes]:
        return self._tree.read(name)

    def exists(self, name: str) -> bool:
        return self._tree.exists(name)

    def move(self, name: str, to: str) -> None:
        self._faults.check("move")
        self._tree.move(name, to)

    def remove(self, name: str) -> None:
        self._faults.check("remove")
        self._tree.remove(name)

    def remove_folder(self, name: str) -> None:
        self._tree.remove_folder(name)

    def files(self) -> dict[str, int]:
        return self._tree.files()


class FaultyFile:
    """A file whose writes and whose close fail when they are told to."""

    def __init__(self, file: BinaryIO, faults: Faults) -> None:
        self._file = file
        self._faults = faults

    def write(self, data: bytes) -> int:
        self._faults.check("write")
        return self._file.write(data)

    def close(self) -> None:
        self._file.close()
        self._faults.check("close")

    def __enter__(self) -> "FaultyFile":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


Place = StorePlace | TreePlace


def place_of(kind: str, folder: Path) -> Place:
    """An output of that kind, with nothing in it; `folder` is for its files."""
    return StorePlace() if kind == "store" else TreePlace(kind, folder)
