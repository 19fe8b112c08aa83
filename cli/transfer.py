"""Files between this machine and the store, several at once."""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import nullcontext
from pathlib import Path
from threading import Semaphore
from typing import BinaryIO, TypeVar
from uuid import uuid4

import msgspec

from cli import show
from cli.progress import bytes_bar
from dynamo import files
from dynamo.errors import FileMissing, RequestError
from dynamo.files import Manifest, Progress
from dynamo.store import Store

AT_ONCE = 32
"""Files on their way at once: small files are bound by round trips, which they share."""
LARGE_BYTES = 1 << 20
LARGE_AT_ONCE = 4
"""Files over `LARGE_BYTES` on their way at once: each holds a window of chunks in memory."""

Item = TypeVar("Item")


class Upload(msgspec.Struct, frozen=True):
    """One local file and the path it will have in the store."""

    source: Path
    path: str
    size_bytes: int


class Download(msgspec.Struct, frozen=True):
    """One file of the store and the local file it goes to."""

    path: str
    manifest: Manifest
    target: Path


def for_each(action: Callable[[Item], object], items: Iterable[Item]) -> None:
    """Do `action` for all items, a few at once; after the first error the rest is not begun."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        futures = [pool.submit(action, item) for item in items]
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _for_each_file(
    action: Callable[[Item], object], items: Iterable[Item], size_of: Callable[[Item], int]
) -> None:
    """`for_each` with few large files at once; the small ones come first."""
    large = Semaphore(LARGE_AT_ONCE)

    def one(item: Item) -> None:
        with large if size_of(item) > LARGE_BYTES else nullcontext():
            action(item)

    for_each(one, sorted(items, key=size_of))


# Up ----------------------------------------------------------------------------------------------


def plan_uploads(sources: Sequence[str], target: str, *, recursive: bool) -> list[Upload]:
    """What `put` will store; everything is checked before anything is stored.

    One file goes to `target` itself, or into it if `target` ends with /. The contents of one
    folder go into `target`; of several files and folders each keeps its name there.
    """
    uploads: list[Upload] = []
    inside = len(sources) > 1 or target.endswith("/")
    for source in map(Path, sources):
        folder = target.rstrip("/")
        if source.is_dir():
            if not recursive:
                raise RequestError(f"{source} is a folder; store all in it with `dynamo put -r`")
            uploads += _folder(source, f"{folder}/{source.name}" if len(sources) > 1 else folder)
        elif source.is_file():
            uploads.append(_upload(source, f"{folder}/{source.name}" if inside else target))
        else:
            raise RequestError(f"no such file or folder: {source}")
    _check(uploads)
    return uploads


def upload(store: Store, uploads: Sequence[Upload]) -> None:
    """Store all files, with a progress bar."""
    total = sum(one.size_bytes for one in uploads)
    with bytes_bar(f"{show.number_of(len(uploads), 'file')} up", total) as progress:

        def one(item: Upload) -> None:
            with item.source.open("rb") as source:
                files.write(store, item.path, source, progress=progress)

        _for_each_file(one, uploads, lambda item: item.size_bytes)


def _folder(source: Path, target: str) -> list[Upload]:
    found = sorted(path for path in source.rglob("*") if path.is_file())
    return [_upload(path, f"{target}/{path.relative_to(source).as_posix()}") for path in found]


def _upload(source: Path, path: str) -> Upload:
    files.check_path(path)
    return Upload(source, path, source.stat().st_size)


def _check(uploads: Sequence[Upload]) -> None:
    sources: dict[str, Path] = {}
    for one in uploads:
        if (other := sources.setdefault(one.path, one.source)) != one.source:
            raise RequestError(f"{other} and {one.source} would both become {one.path}")
        if not os.access(one.source, os.R_OK):
            raise RequestError(f"{one.source} can't be read: check its permissions")


# Down --------------------------------------------------------------------------------------------


def plan_downloads(store: Store, folder: str, target: Path) -> list[Download]:
    """All files in `folder`, and where each goes below `target`."""
    paths = files.under(store, folder)
    if not paths:
        raise FileMissing(folder)
    base = folder.rstrip("/")
    return [
        Download(path, manifest, target / (path[len(base) + 1 :] or Path(path).name))
        for path, manifest in files.stat_many(store, paths).items()
    ]


def download(store: Store, downloads: Sequence[Download]) -> None:
    """Fetch all files, with a progress bar. Each appears whole or not at all."""
    total = sum(one.manifest.size_bytes for one in downloads)
    with bytes_bar(f"{show.number_of(len(downloads), 'file')} down", total) as progress:
        _for_each_file(
            lambda one: _fetch(store, one, progress),
            downloads,
            lambda one: one.manifest.size_bytes,
        )


def _fetch(store: Store, one: Download, progress: Progress) -> None:
    one.target.parent.mkdir(parents=True, exist_ok=True)
    partial = one.target.with_name(f".{one.target.name}.{uuid4().hex[:8]}")
    try:
        with partial.open("wb") as file:
            copy_to(store, one.manifest, file, progress)
        partial.replace(one.target)
    finally:
        partial.unlink(missing_ok=True)


def copy_to(
    store: Store, manifest: Manifest, target: BinaryIO, progress: Progress | None = None
) -> None:
    """Write the contents of a file of the store into an open local file."""
    for block in files.read_range(store, manifest, 0, manifest.size_bytes):
        target.write(block)
        if progress:
            progress(len(block))
