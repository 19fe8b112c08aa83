"""Output to a folder of this machine."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from mapreduce.data.outputs.tree import TreeOutput
from mapreduce.errors import JobError

_BLOCK_BYTES = 1 << 20


class FolderOutput(TreeOutput):
    """A folder of the local file system."""

    def __init__(self, folder: Path) -> None:
        super().__init__(Folder(folder))


class Folder:
    """A local folder as a `Tree`; it is made when something is written to it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __str__(self) -> str:
        return str(self._folder)

    def occupied(self) -> bool:
        if self._folder.is_dir():
            return any(self._folder.iterdir())
        return self._folder.exists()

    def check_writable(self) -> None:
        above = self._folder.absolute()
        while not above.exists():
            above = above.parent
        if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
            raise JobError(f"the output {self} can't be written: {above} is no folder to write to")

    def create(self, name: str) -> BinaryIO:
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("wb")

    def read(self, name: str) -> Iterator[bytes]:
        with (self._folder / name).open("rb", buffering=0) as file:
            while block := file.read(_BLOCK_BYTES):
                yield block

    def exists(self, name: str) -> bool:
        return (self._folder / name).exists()

    def move(self, name: str, to: str) -> None:
        (self._folder / name).replace(self._folder / to)

    def remove(self, name: str) -> None:
        (self._folder / name).unlink(missing_ok=True)

    def remove_folder(self, name: str) -> None:
        shutil.rmtree(self._folder / name, ignore_errors=True)
        if self._folder.is_dir() and not any(self._folder.iterdir()):
            self._folder.rmdir()

    def files(self) -> dict[str, int]:
        if not self._folder.is_dir():
            return {}
        found = sorted(path for path in self._folder.iterdir() if path.is_file())
        return {path.name: path.stat().st_size for path in found}
