"""Files that are each in order of their keys, read as one sequence in that order.

What a key was is not in every file: in the formats of text "10" may have been a number, which comes
behind "9", or a text. So it is seen from the files: they were sorted as numbers if all of them are
in order so, and else as texts. Keys of the other formats are what they were, in the order of
`portable_hash.order`. So many files are read at once and no more; of more than those, so many at a
time are merged into one on the local disk, until they are few.
"""

import heapq
import pickle
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count, islice
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from mapreduce.api import Pair
from mapreduce.data.portable_hash import order
from mapreduce.errors import JobError

TEXTS = frozenset(["text", "tsv", "csv"])
"""The output formats that give keys back as texts, whatever they were."""

AT_ONCE = 32
"""So many files are read at once: each may hold some chunks and a thread or two."""
_BATCH = 1000
"""So many pairs are written to the local disk together."""

Way = Callable[[Any], Any]
"""Gives what a key is ordered by."""


class Sorted(NamedTuple):
    """A file whose pairs are in order of their keys; `pairs` begins to read it."""

    name: str
    pairs: Callable[[], Iterator[Pair]]


def merged(files: Sequence[Sorted], way: Way, descending: bool = False) -> Iterator[Pair]:
    """The pairs of all files in order of their keys; equal keys in order of the files. `way` is how
    they were sorted: `way_of`.

    Raises `JobError` at the first key of a file that is not in order, and if the local disk can't
    take what more than `AT_ONCE` files have.

    >>> one = Sorted("part-00000", lambda: iter([("2", "a"), ("10", "b")]))
    >>> other = Sorted("part-00001", lambda: iter([("1", "c"), ("9", "d")]))
    >>> [key for key, _ in merged([one, other], way_of([one, other]))]
    ['1', '2', '9', '10']
    """
    if len(files) <= AT_ONCE:
        yield from _merged(files, way, descending)
        return
    with tempfile.TemporaryDirectory(prefix="mapreduce-merged-") as folder:
        paths = (Path(folder, str(number)) for number in count())
        while len(files) > AT_ONCE:
            groups = (files[at : at + AT_ONCE] for at in range(0, len(files), AT_ONCE))
            files = [_as_one(group, way, descending, next(paths)) for group in groups]
        yield from _merged(files, way, descending)


def _merged(files: Sequence[Sorted], way: Way, descending: bool) -> Iterator[Pair]:
    ranked = (_checked(file, way, descending) for file in files)
    for _, pair in heapq.merge(*ranked, key=itemgetter(0), reverse=descending):
        yield pair


def _as_one(files: Sequence[Sorted], way: Way, descending: bool, path: Path) -> Sorted:
    """The same pairs in one file at `path`."""
    pairs = _merged(files, way, descending)
    try:
        with path.open("wb") as file:
            while batch := list(islice(pairs, _BATCH)):
                pickle.dump(batch, file)
    except OSError as error:
        raise JobError(
            f"so many files are merged in passes over the local disk, and {path.parent} can't take "
            f"them: {error.strerror}; make room, or set TMPDIR to a folder on a larger disk"
        ) from error
    return Sorted(path.name, partial(_read, path))


def _read(path: Path) -> Iterator[Pair]:
    """The pairs of such a file, which goes when they have been read."""
    with path.open("rb") as file:
        while file.peek(1):
            yield from pickle.load(file)
    path.unlink()


def way_of(files: Sequence[Sorted], descending: bool = False, *, texts: bool = True) -> Way:
    """How the files were sorted; `texts` is False if keys are what they were. Files of texts are
    read until only one way is left: that is the first key which is no number, and the last where
    all are."""
    left: list[Way] = [_number, _any] if texts else [_any]
    for file in files if texts else ():
        before: dict[Way, Any] = {}
        for key, _ in file.pairs():
            left = [rank for rank in left if _fits(rank, key, before, descending)]
            if len(left) < 2:
                return left[0] if left else _any
    return left[0]


def _fits(rank: Way, key: Any, before: dict[Way, Any], descending: bool) -> bool:
    """True if `key` may follow the key `before`, both ranked so."""
    try:
        now = rank(key)
    except (TypeError, ValueError):
        return False
    if rank in before and _is_wrong(before[rank], now, descending):
        return False
    before[rank] = now
    return True


def _is_wrong(before: Any, now: Any, descending: bool) -> bool:
    return bool(before < now if descending else now < before)


def _checked(file: Sorted, rank: Way, descending: bool) -> Iterator[tuple[Any, Pair]]:
    before: tuple[Any, Pair] | None = None
    for pair in file.pairs():
        try:
            now = rank(pair[0]), pair
        except TypeError as error:
            shown = repr(pair[0])[:60]
            raise JobError(f"{file.name}: the key {shown} has no order: {error}") from None
        if before and _is_wrong(before[0], now[0], descending):
            raise _disorder(file, before[1][0], pair[0])
        yield now
        before = now


def _disorder(file: Sorted, before: Any, now: Any) -> JobError:
    return JobError(
        f"{file.name} is not in order of its keys: {repr(now)[:60]} comes behind "
        f"{repr(before)[:60]}. The reducer gives other keys than it gets, or these have another "
        "order as texts: the output formats pickle and jsonlines keep what they are"
    )


def _number(key: Any) -> float:
    """The number that a text shows. Raises ValueError or TypeError for anything else."""
    if not isinstance(key, str):
        raise TypeError
    try:
        return int(key)
    except ValueError:
        number = float(key)
        if number != number:
            raise
        return number


def _any(key: Any) -> Any:
    return order(_with_tuples(key))


def _with_tuples(key: Any) -> Any:
    """JSON knows no tuples."""
    return tuple(map(_with_tuples, key)) if isinstance(key, list) else key
