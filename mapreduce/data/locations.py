"""What the path of an input or output means, and the names of a job's own marks beside its parts.

/books, /books/*.txt, books   a plain path: in the store or on this machine, as the job runs
keys:PREFIX                   the plain keys of the store that begin with PREFIX
range:COUNT                   numbers: see `mapreduce.data.inputs.numbers`
SCHEME://...                  an fsspec URL; also a chained one, SCHEME://...::SCHEME://...
"""

import re
from typing import Literal

from mapreduce.data.slices import Source
from mapreduce.errors import JobError

Files = Literal["store", "local"]
"""Where a job's plain paths are: both kinds may begin with /."""

KEYS = "keys:"
RANGE = "range:"
SUCCESS = "_SUCCESS"
TEMPORARY = "_temporary"
RUNS = "_runs"
JOBS = "_jobs"
"""The folders at the top of the store with what goes from step to step, and with side files."""
_NOT_DATA = (SUCCESS, TEMPORARY, RUNS, JOBS)
"""Names inside a folder that are no input of a job."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(://|::)")
_WILDCARD = re.compile(r"[*?[]")


def is_url(path: str) -> bool:
    """True for what fsspec is to open.

    >>> is_url("s3://books/emma.txt"), is_url("zip://emma.txt::books.zip"), is_url("/a:b/c")
    (True, True, False)
    """
    return _URL.match(path) is not None


def source_of(kind: Files, path: str) -> Source:
    """Where an input is; `kind` says where plain paths are.

    >>> source_of("local", "books/*.txt"), source_of("store", "keys:user-"), source_of(
    ...     "store", "range:10")
    ('local', 'key', 'range')
    """
    if is_url(path):
        return "url"
    if path.startswith(RANGE):
        return "range"
    if not path.startswith(KEYS):
        return kind
    if kind == "local":
        raise JobError(f"{path!r} names keys of the store: run the job on a cluster")
    return "key"


def file_name(path: str) -> str:
    """The name of the file itself: a URL without its query, and without what it is packed in.

    >>> file_name("https://host/a.gz?version=2"), file_name("zip://a.gz::file:///all.zip")
    ('https://host/a.gz', 'zip://a.gz')
    """
    if not is_url(path):
        return path
    innermost = next((part for part in path.split("::") if "://" in part), path)
    return innermost.partition("?")[0] if innermost.startswith("http") else innermost


def is_glob(path: str) -> bool:
    """True if there is a wildcard in `path`: *, ? or [."""
    return _WILDCARD.search(path) is not None


def folder_of_glob(pattern: str) -> str:
    """The folder before the first wildcard, with its slash.

    >>> folder_of_glob("/books/20*/*.txt")
    '/books/'
    """
    return _WILDCARD.split(pattern)[0].rpartition("/")[0] + "/"


def is_data(path: str, given: str) -> bool:
    """False for a job's own marks below the folder `given`, unless the user has named one.

    >>> is_data("/out/part-00000", "/out"), is_data("/out/_SUCCESS", "/out")
    (True, False)
    """
    inside = path[len(given) :].split("/")
    return not any(name in _NOT_DATA for name in inside)
