"""fsspec: the only door to file systems elsewhere, such as s3://, http:// or zip://.

How to get in, credentials and options, is fsspec's own configuration: its files in
~/.config/fsspec, variables of the environment such as FSSPEC_S3_KEY, and what each protocol's
library reads itself. It has to be there wherever tasks run.

Importing this takes a while, so it is imported where a URL is met, not before.
"""

import contextlib
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from fsspec.archive import AbstractArchiveFileSystem
from fsspec.core import url_to_fs

from dynamo.errors import DynamoError
from mapreduce.errors import JobError

FileSystem = Any
"""An `fsspec.AbstractFileSystem`, which has no types."""

_VERSION_FIELDS = (
    # What file systems tell of a file that changes with it; the surest first.
    *("ETag", "etag", "md5Hash", "Content-MD5", "Digest", "CRC", "generation", "Last-Modified"),
    *("LastModified", "last_modified", "updated", "mtime", "modify", "created", "date_time"),
)


_BUCKETS = {"s3", "gs", "gcs", "abfs", "az", "oss"}
_EXTRAS = {"s3": "s3", "s3a": "s3", "http": "http", "https": "http"}
"""Which extra of this package brings the library of a protocol."""


def opened(url: str, *, anew: bool = False) -> tuple[FileSystem, str]:
    """The file system of a URL, and the path of the URL in it.

    fsspec keeps file systems open, and some of them keep what they have listed; with `anew` that
    is forgotten. An archive remembers all its contents, so it is opened once more.
    """
    try:
        fs, path = url_to_fs(url)
        if anew and "::" in url:
            fs.clear_instance_cache()
            fs, path = url_to_fs(url)
    except ImportError as error:
        raise JobError(
            f"{url!r} can't be opened: {error}; {_remedy(url)}, wherever the job's tasks run"
        ) from error
    except ValueError as error:
        raise JobError(f"{url!r} can't be opened: {error}") from error
    if anew:
        fs.invalidate_cache()
    return fs, str(path)


def _remedy(url: str) -> str:
    """How to get the library that a URL needs.

    >>> _remedy("s3://bucket/key"), _remedy("gs://bucket/key")
    ("pip install 'dynamo-mapreduce[s3]'", 'use pip')
    """
    schemes = [part.partition("://")[0] for part in url.split("::")]
    extra = next((_EXTRAS[scheme] for scheme in schemes if scheme in _EXTRAS), None)
    return f"pip install 'dynamo-mapreduce[{extra}]'" if extra else "use pip"


def url_of(given: str, path: str) -> str:
    """The URL of the file at `path` in the file system of the URL `given`.

    >>> url_of("s3://books/*.txt", "books/emma.txt")
    's3://books/emma.txt'
    >>> url_of("zip://*.txt::file:///books.zip", "emma.txt")
    'zip://emma.txt::file:///books.zip'
    """
    head, chained, rest = given.partition("::")
    if "://" not in head:
        return f"{head}::{url_of(rest, path)}"
    scheme = head.partition("://")[0]
    return (path if "://" in path else f"{scheme}://{path}") + chained + rest


def is_http(fs: FileSystem) -> bool:
    return "http" in (fs.protocol if isinstance(fs.protocol, tuple) else (fs.protocol,))


def has_buckets(fs: FileSystem) -> bool:
    """True for object stores, whose paths begin with a bucket: they know no folders and no rename,
    and to make a folder there would make the bucket if its name is mistyped."""
    return bool(_BUCKETS & set(fs.protocol if isinstance(fs.protocol, tuple) else (fs.protocol,)))


def is_archive(fs: FileSystem) -> bool:
    """True for zip, tar and their like, where a member is decompressed from its beginning."""
    return isinstance(fs, AbstractArchiveFileSystem)


def version_of(info: dict[str, Any]) -> str:
    """What changes when a file does, as far as its file system tells."""
    told = next((info[field] for field in _VERSION_FIELDS if info.get(field)), "")
    if isinstance(told, datetime):  # where a list of files tells seconds
        told = told.timestamp()
    return f"{info.get('size')}:{told}"


@contextlib.contextmanager
def told(url: str, what: str) -> Iterator[None]:
    """Errors of all those libraries as one of ours, which names the URL.

    `OSError` passes: it says what it is about, and "not found" and "disk full" are told apart.
    """
    try:
        yield
    except (DynamoError, OSError):
        raise
    except Exception as error:
        reason = str(error) or f"{type(error).__name__}, its protocol can't do that"
        raise JobError(f"{url!r} can't be {what}: {reason}") from error
