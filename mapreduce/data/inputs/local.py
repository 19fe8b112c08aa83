"""Input from files of this machine."""

import glob
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from mapreduce.data.inputs.sources import BLOCK_BYTES, Extent, Found, changed, check_version
from mapreduce.data.locations import folder_of_glob, is_data
from mapreduce.data.slices import Slice
from mapreduce.errors import InputMissing


class LocalSource:
    """Local files. An input is a file, a folder with all below it, or a glob."""

    def find(self, path: str, split_bytes: int) -> Iterable[Found]:
        return map(_found, _paths(path))

    def prepare(self, slices: Sequence[Slice]) -> None:
        for part in slices:
            try:
                check_version(part, _version(Path(part.path))[1])
            except FileNotFoundError as error:
                raise changed(part) from error

    def read(self, part: Slice, start: int, stop: int) -> Iterator[bytes]:
        with Path(part.path).open("rb", buffering=0) as file:
            file.seek(start)
            while start < stop and (block := file.read(min(BLOCK_BYTES, stop - start))):
                start += len(block)
                yield block


def _paths(name: str) -> list[Path]:
    path = Path(name)
    if path.is_dir():
        # By their whole paths, as in the store: "a-b" comes before "a/b".
        below = sorted(path.rglob("*"), key=str)
        found = [p for p in below if p.is_file() and is_data(str(p), name)]
    elif path.is_file():
        found = [path]
    else:
        matches = [Path(match) for match in sorted(glob.glob(name, recursive=True))]  # noqa: PTH207
        given = folder_of_glob(name) if "/" in name else ""
        found = [match for match in matches if match.is_file() and is_data(str(match), given)]
    if not found:
        raise InputMissing(name, "give a file, a folder that holds files, or a glob that matches")
    return found


def _found(path: Path) -> Found:
    size_bytes, version = _version(path)
    return Found(str(path), version, (Extent(0, size_bytes),) if size_bytes else ())


def _version(path: Path) -> tuple[int, str]:
    """The size of a local file, and what changes when the file does."""
    status = path.stat()
    return status.st_size, f"{status.st_size}:{status.st_mtime_ns}"
