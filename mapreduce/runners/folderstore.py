"""A `Store` in a folder, for several processes of one machine while one job runs."""

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, unquote

from dynamo.errors import RequestError
from dynamo.options import Resolver
from dynamo.store import OneByOne, Reading, Written, check_key, check_value
from dynamo.values.versions import Context

_NAME_CHARACTERS = 200
"""File systems allow 255; longer keys go on in a folder below."""


class FolderStore(OneByOne):
    """One copy of each key, one file for it; of several puts the last one stays.

    There are no siblings and no quorum, so contexts, `n`, `r`, `w`, `durable` and resolvers change
    nothing. Nothing expires: the folder is gone with its job. A put is seen whole or not at all.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)

    def get(
        self,
        key: str,
        *,
        n: int | None = None,
        r: int | None = None,
        timeout_s: float | None = None,
        resolver: Resolver = "siblings",
    ) -> Reading:
        try:
            return Reading((self._path(key).read_bytes(),), {}, ("folder",))
        except FileNotFoundError:
            return Reading((), {}, ("folder",))

    def put(
        self,
        key: str,
        value: bytes,
        *,
        context: Context | None = None,
        n: int | None = None,
        w: int | None = None,
        timeout_s: float | None = None,
        durable: bool | None = None,
        ttl_s: float | None = None,
        ephemeral: bool = False,
        if_absent: bool = False,
        if_context: Context | None = None,
    ) -> Written:
        path = self._path(key)
        check_value(value)
        if if_absent or if_context is not None:
            raise RequestError("a store in a folder knows no conditions")
        self._write(path, value)
        return Written(("folder",))

    def delete(
        self,
        key: str,
        *,
        context: Context | None = None,
        n: int | None = None,
        w: int | None = None,
        timeout_s: float | None = None,
        durable: bool = True,
    ) -> Written:
        with contextlib.suppress(FileNotFoundError):
            self._path(key).unlink()
        return Written(("folder",))

    def list(
        self,
        prefix: str,
        *,
        after: str = "",
        n: int | None = None,
        r: int | None = None,
        timeout_s: float | None = None,
    ) -> Iterator[str]:
        found = (_key(path.relative_to(self._folder)) for path in self._folder.rglob("=*"))
        return iter(sorted(key for key in found if key.startswith(prefix) and key > after))

    def locate(
        self, key: str, *, n: int | None = None, timeout_s: float | None = None
    ) -> tuple[str, ...]:
        check_key(key)
        return ()

    def _write(self, path: Path, data: bytes) -> None:
        """Make a file that is seen whole or not at all."""
        written = self._folder / f"writing-{os.getpid()}-{uuid.uuid4().hex}"
        try:
            written.write_bytes(data)
        except FileNotFoundError:
            self._folder.mkdir(parents=True, exist_ok=True)
            written.write_bytes(data)
        if path.parent != self._folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        written.replace(path)

    def _path(self, key: str) -> Path:
        """`key` percent-encoded; the name of its file begins with =, those of folders with +."""
        check_key(key)
        name = quote(key, safe=" {}:,@")
        starts = range(0, len(name), _NAME_CHARACTERS)
        *folders, last = [name[start : start + _NAME_CHARACTERS] for start in starts]
        return self._folder.joinpath(*(f"+{folder}" for folder in folders), f"={last}")


def _key(path: Path) -> str:
    return unquote("".join(part[1:] for part in path.parts))
