"""Output to a folder at an fsspec URL.

Object stores know no rename and no folder: a commit copies each part to its name and deletes what
it copied, and readers wait for `_SUCCESS`.
"""

import contextlib
import re
import uuid
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

from mapreduce.data import remote
from mapreduce.data.locations import TEMPORARY
from mapreduce.data.outputs.tree import TreeOutput
from mapreduce.errors import JobError

_BLOCK_BYTES = 4 << 20
_UPLOAD_BYTES = 8 << 20
"""What is sent at once, and held in memory until then; s3fs itself would hold 50 MB of each file.
S3 makes a file of 10,000 such at most: 80 GiB."""
_WILDCARD = re.compile(r"[*?\[]")


class UrlOutput(TreeOutput):
    """A folder at an fsspec URL."""

    def __init__(self, url: str) -> None:
        super().__init__(UrlTree(url))


class UrlTree:
    """A folder at a URL as a `Tree`."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._fs, path = remote.opened(url)
        self._root = path.rstrip("/")
        self._has_buckets = remote.has_buckets(self._fs)

    def __str__(self) -> str:
        return self._url

    def occupied(self) -> bool:
        if _WILDCARD.search(self._root):
            # What it is to delete fsspec takes for a pattern, so other folders would be met too.
            raise JobError(f"the output {self._url!r} has a wildcard, * ? or [: name one folder")
        try:
            with remote.told(self._url, "looked up"):
                return bool(self._list()) or bool(self._fs.isfile(self._root))
        except OSError as error:
            raise JobError(f"the output {self._url!r} can't be looked up: {error}") from error

    def check_writable(self) -> None:
        trial = f"{TEMPORARY}/{uuid.uuid4().hex}"
        try:
            with remote.told(self._url, "written to"), self.create(trial) as file:
                file.write(b"trial")
        except OSError as error:
            raise JobError(f"the output {self._url!r} can't be written to: {error}") from error
        self.remove_folder(TEMPORARY)

    def create(self, name: str) -> BinaryIO:
        path = self._path(name)
        with remote.told(self._url, "written to"):
            if not self._has_buckets:
                self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            return cast(BinaryIO, self._fs.open(path, "wb", block_size=_UPLOAD_BYTES))

    def read(self, name: str) -> Iterator[bytes]:
        with remote.told(self._url, "read"), self._opened(name) as file:
            while block := file.read(_BLOCK_BYTES):
                yield block

    def exists(self, name: str) -> bool:
        self._fs.invalidate_cache()
        return bool(self._fs.exists(self._path(name)))

    def move(self, name: str, to: str) -> None:
        with remote.told(self._url, "written to"):
            if not self._has_buckets:
                self._fs.mv(self._path(name), self._path(to))
                return
            # `mv` asks more, and does not tell of a file that may not be deleted.
            self._fs.cp_file(self._path(name), self._path(to))
            self._fs.rm_file(self._path(name))

    def remove(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError), remote.told(self._url, "written to"):
            self._fs.rm_file(self._path(name))

    def remove_folder(self, name: str) -> None:
        self._fs.invalidate_cache()
        with contextlib.suppress(Exception):
            self._fs.rm(self._path(name), recursive=True)
        # What has no slash is a bucket, which is not ours to delete.
        with contextlib.suppress(Exception):
            if "/" in self._root.strip("/") and not self._list():
                self._fs.rmdir(self._root)

    def files(self) -> dict[str, int]:
        with remote.told(self._url, "looked up"):
            return {
                entry["name"].rstrip("/").rpartition("/")[2]: entry["size"]
                for entry in sorted(self._list(), key=lambda entry: str(entry["name"]))
                if entry["type"] == "file"
            }

    def _list(self) -> list[dict[str, Any]]:
        """All that is directly in the folder; nothing where there is none."""
        self._fs.invalidate_cache()
        try:
            found = self._fs.ls(self._root, detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [entry for entry in found if entry["name"].rstrip("/") != self._root]

    def _opened(self, name: str) -> Any:
        """A stream that holds nothing beside what is asked for."""
        return self._fs.open(self._path(name), "rb", cache_type="none")

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"
