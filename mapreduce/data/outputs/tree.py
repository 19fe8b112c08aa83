"""Output to a folder of a file system. Attempts write into `_temporary`; the commit moves their
files to their final names.

A move is atomic on a local file system. Object stores copy and delete: there, and after a crash,
only `_SUCCESS`, which comes last, tells that the output is whole.
"""

import contextlib
import json
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO, Protocol

from mapreduce.data.locations import SUCCESS, TEMPORARY
from mapreduce.data.outputs.contract import Output, as_json
from mapreduce.data.outputs.parts import Part, is_main, made_by_commit
from mapreduce.errors import JobError, OutputExists

MOVES_AT_ONCE = 16
"""Each takes some requests where the folder is at a URL."""


class Tree(Protocol):
    """A folder of some file system. Names are relative to it, and may have folders before them."""

    def occupied(self) -> bool:
        """True if there is a file in its place, or anything in it."""

    def check_writable(self) -> None:
        """Raise JobError if nothing can be written to it."""

    def create(self, name: str) -> BinaryIO:
        """A new file to write to, seen by others at the latest when it is closed."""

    def read(self, name: str) -> Iterator[bytes]: ...

    def exists(self, name: str) -> bool: ...

    def move(self, name: str, to: str) -> None:
        """Give a file another name; one of that name is replaced."""

    def remove(self, name: str) -> None:
        """Delete a file; one that is not there is no error."""

    def remove_folder(self, name: str) -> None:
        """Delete a folder with all that is in it, as far as that goes, and the whole tree if that
        leaves it empty. Raises nothing."""

    def files(self) -> dict[str, int]:
        """The files directly in it, in order of their names, with their sizes in bytes."""


class TreeOutput(Output):
    """A folder of a file system. A part's token is the name of its file in `_temporary`."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def check_absent(self) -> None:
        if self._tree.occupied():
            raise OutputExists(str(self._tree))
        self._tree.check_writable()

    def open(self, name: str, attempt: str) -> "TreePartWriter":
        return TreePartWriter(self._tree, name, f"{attempt}-{uuid.uuid4().hex[:8]}")

    def commit(self, parts: Sequence[Part], summary: Mapping[str, Any], merged: str = "") -> None:
        together = [part for part in parts if merged and is_main(part.name)]
        alone = [part for part in parts if not (merged and is_main(part.name))]
        try:
            with ThreadPoolExecutor(MOVES_AT_ONCE, thread_name_prefix="commit") as threads:
                list(threads.map(self._publish, alone))
            if merged:
                self._merge(together, merged)
            self._write(SUCCESS, [as_json(summary)])
        except BaseException:
            self._take_back(alone, merged)
            raise
        self._tree.remove_folder(TEMPORARY)

    def retract(self) -> None:
        # `_SUCCESS` goes first: what has one is whole.
        for name in sorted(self._tree.files(), key=lambda name: name != SUCCESS):
            if made_by_commit(name):
                self._tree.remove(name)

    def discard(self, part: Part) -> None:
        self._tree.remove(_written(part))

    def abandon(self) -> None:
        self._tree.remove_folder(TEMPORARY)

    def files(self) -> dict[str, int]:
        return self._tree.files()

    def read(self, name: str) -> Iterator[bytes]:
        return self._tree.read(name)

    def summary(self) -> dict[str, Any] | None:
        if not self._tree.exists(SUCCESS):
            return None
        found: dict[str, Any] = json.loads(b"".join(self._tree.read(SUCCESS)))
        return found

    def _publish(self, part: Part) -> None:
        written = _written(part)
        if self._tree.exists(written):
            self._tree.move(written, part.name)
        elif not self._tree.exists(part.name):
            raise JobError(f"{self._tree}/{written} is gone: something has removed it; run again")

    def _merge(self, parts: Sequence[Part], name: str) -> None:
        """One file of all parts, which stay where they are until the commit has succeeded."""
        gone = [part for part in parts if not self._tree.exists(_written(part))]
        if gone and not self._tree.exists(name):
            raise JobError(
                f"{self._tree}/{_written(gone[0])} is gone: something has removed it; run again"
            )
        if not gone:
            self._write(name, (block for p in parts for block in self._tree.read(_written(p))))

    def _write(self, name: str, blocks: Iterator[bytes] | Sequence[bytes]) -> None:
        """A file that is seen whole or not at all."""
        written = f"{TEMPORARY}/{name}"
        with self._tree.create(written) as file:
            for block in blocks:
                file.write(block)
        self._tree.move(written, name)

    def _take_back(self, parts: Sequence[Part], merged: str) -> None:
        """Let nothing be seen of half an output; what can't be taken back shows no `_SUCCESS`."""
        for name in (SUCCESS, merged):
            with contextlib.suppress(Exception):
                self._tree.remove(name)
        for part in parts:
            with contextlib.suppress(Exception):
                if self._tree.exists(part.name):
                    self._tree.move(part.name, _written(part))


class TreePartWriter:
    """Writes a part into `_temporary`."""

    def __init__(self, tree: Tree, name: str, written: str) -> None:
        self._tree = tree
        self._part = Part(name, os.fsencode(written), 0, 0)
        self._file = tree.create(_written(self._part))
        self._size_bytes = 0
        self._records = 0

    def write(self, data: bytes, records: int) -> None:
        self._file.write(data)
        self._size_bytes += len(data)
        self._records += records

    def close(self) -> Part:
        self._file.close()
        return Part(self._part.name, self._part.token, self._size_bytes, self._records)

    def abort(self) -> None:
        with contextlib.suppress(Exception):
            self._file.close()
        with contextlib.suppress(Exception):
            self._tree.remove(_written(self._part))


def _written(part: Part) -> str:
    return f"{TEMPORARY}/{os.fsdecode(part.token)}"
