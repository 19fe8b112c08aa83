"""Input from any fsspec URL: files, folders and globs of a file system elsewhere."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from mapreduce.data import remote
from mapreduce.data.inputs.sources import Extent, Found, changed, check_version
from mapreduce.data.locations import folder_of_glob, is_data
from mapreduce.data.remote import FileSystem
from mapreduce.data.slices import Slice
from mapreduce.errors import InputMissing, JobError

RANGE_BYTES = 4 << 20
"""What is asked for in one request."""


class File(NamedTuple):
    """A file as it was looked up. `size_bytes` is None if its server does not tell it."""

    fs: FileSystem
    path: str
    size_bytes: int | None


class UrlSource:
    """URLs. An input is a file, a folder with all below it, or a glob.

    A folder served over http ends with a slash: everything there can be read as a file.
    """

    def __init__(self) -> None:
        self._files: dict[str, File] = {}

    def find(self, path: str, split_bytes: int) -> Iterable[Found]:
        with remote.told(path, "looked up"):
            try:
                fs, inside = remote.opened(path, anew=True)
                infos = _infos(fs, inside, path)
            except FileNotFoundError as error:
                raise InputMissing(path, str(error.__cause__ or "there is no such file")) from error
            except OSError as error:
                raise JobError(f"the input {path!r} can't be looked up: {error}") from error
        if not infos:
            raise InputMissing(path, "give a file, a folder that holds files, or a glob")
        return (
            _found(remote.url_of(path, name), File(fs, name, info.get("size")), info, split_bytes)
            for name, info in sorted(infos.items())
        )

    def prepare(self, slices: Sequence[Slice]) -> None:
        self._files = {}
        archives: set[str] = set()
        for part in slices:
            archive = part.path.partition("::")[2]
            with remote.told(part.path, "read"):
                try:
                    fs, inside = remote.opened(part.path, anew=archive not in archives)
                    info = fs.info(inside)
                except FileNotFoundError as error:
                    raise _gone(part, error) from error
            archives.add(archive)
            check_version(part, remote.version_of(info))
            self._files[part.path] = File(fs, inside, info.get("size"))

    def read(self, part: Slice, start: int, stop: int) -> Iterator[bytes]:
        file = self._files[part.path]
        if start and (file.size_bytes is None or start >= file.size_bytes):
            return
        left = math.inf if file.size_bytes is None else min(stop, file.size_bytes) - start
        with remote.told(part.path, "read"), _opened(file, start) as stream:
            while left > 0 and (block := stream.read(int(min(RANGE_BYTES, left)))):
                left -= len(block)
                yield block
        if 0 < left < math.inf:
            raise JobError(f"{part.path!r} was cut off: the last {left:,} bytes did not come")


def _gone(part: Slice, error: FileNotFoundError) -> JobError:
    """The error for a planned file that is not there; a web server may only be out of order."""
    reason = error.__cause__
    if reason is None or getattr(reason, "status", 0) in (404, 410):
        return changed(part)
    return JobError(f"{part.path!r} can't be read: {reason}")


def _infos(fs: FileSystem, inside: str, given: str) -> dict[str, dict[str, Any]]:
    """What the file system says of each file that an input names."""
    if _is_glob(fs, inside):
        folder = folder_of_glob(inside) if "/" in inside else ""
        found = fs.glob(inside, detail=True)
    elif not given.partition("::")[0].endswith("/"):
        info = fs.info(inside)
        if info["type"] != "directory":
            return {inside: info}
        folder, found = inside, fs.find(inside, detail=True)
    else:
        folder, found = inside, fs.find(inside, detail=True)
    return {
        path: _whole_info(fs, path, info)
        for path, info in found.items()
        if info["type"] == "file" and is_data(path, folder)
    }


def _whole_info(fs: FileSystem, path: str, info: dict[str, Any]) -> dict[str, Any]:
    """Lists of a web server tell names only."""
    whole: dict[str, Any] = info if info.get("size") is not None else fs.info(path)
    return whole


def _is_glob(fs: FileSystem, path: str) -> bool:
    """True if there is a wildcard; in the URL of a web page ? begins a query."""
    return any(wildcard in path for wildcard in ("*[" if remote.is_http(fs) else "*?["))


def _found(url: str, file: File, info: dict[str, Any], split_bytes: int) -> Found:
    version = remote.version_of(info)
    if file.size_bytes is None:
        # Its length is seen when it is read; what is planned is that there is something.
        return Found(url, version, (Extent(0, 1),), in_ranges=False)
    if not file.size_bytes:
        return Found(url, version, ())
    in_ranges = (
        file.size_bytes > split_bytes and not remote.is_archive(file.fs) and _gives_ranges(file)
    )
    return Found(url, version, (Extent(0, file.size_bytes),), in_ranges)


def _gives_ranges(file: File) -> bool:
    """Whether a file can be read from its middle: some servers always begin at the beginning."""
    try:
        with _opened(file, 1) as stream:
            return len(stream.read(1)) == 1
    except Exception:
        return False


def _opened(file: File, start: int) -> Any:
    """A stream that stands at `start`, and fetches what is asked for and no more."""
    if not start and remote.is_http(file.fs):
        return file.fs.open(file.path, "rb", block_size=0)  # one request, also without ranges
    stream = file.fs.open(file.path, "rb", cache_type="none")
    try:
        stream.seek(start)
    except BaseException:
        stream.close()
        raise
    return stream
