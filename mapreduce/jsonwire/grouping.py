"""The master's part of the group phase: sorted files are merged, and their keys dealt to the
reducers.

The key of a line is what stands before its first TAB, or all of it. Keys are dealt in turn, like
cards, in the order of their bytes, so reducers get equally many keys, and the same ones whenever
the job is run. The system's `sort` merges, in memory that does not grow with the files.
"""

import os
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

SORT = ("sort", "--buffer-size=128M")
BUFFER_BYTES = 4 * 1024 * 1024
"""So much of lines is held for all reducers together before it is written: they may be more than a
process may have open files."""


def sort_environment() -> dict[str, str]:
    """That in which `sort` compares bytes."""
    return {**os.environ, "LC_ALL": "C"}


def names_for_sort(paths: Iterable[str | Path]) -> bytes:
    """What `sort --files0-from=-` reads: the list may be longer than a command line."""
    return b"".join(os.fsencode(os.path.abspath(path)) + b"\0" for path in paths)  # noqa: PTH100


def group(sorted_files: list[str], groups: list[str], scratch: str) -> None:
    """Write all lines of `sorted_files` to the files `groups`, in order, those of a key to one.

    A worker that follows another order than that of bytes (a locale's, say) may have sorted them:
    then they are sorted again. Raises OSError.
    """
    for path in groups:
        Path(path).write_bytes(b"")
    if not sorted_files:
        return
    merge = ["--merge"] if all(map(is_sorted, sorted_files)) else []
    command = [*SORT, *merge, f"--temporary-directory={scratch}", "--files0-from=-"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, env=sort_environment()) as sort:
        assert sort.stdin and sort.stdout
        sort.stdin.write(names_for_sort(sorted_files))
        sort.stdin.close()
        _write(deal_keys(sort.stdout, len(groups)), groups)
    if sort.returncode:
        raise OSError(f"`{' '.join(command)}` ended with exit status {sort.returncode}")


def is_sorted(path: str) -> bool:
    """True if the lines of a file are in the order of their bytes."""
    return not subprocess.run(["sort", "-C", path], env=sort_environment()).returncode


def deal_keys(lines: Iterable[bytes], hands: int) -> Iterator[tuple[int, bytes]]:
    """(hand, line) for each line of a sorted file; the lines of a key go to the same hand.

    >>> list(deal_keys([b"a\\t1\\n", b"a\\t2\\n", b"b\\t1\\n", b"c\\t1\\n"], 2))
    [(0, b'a\\t1\\n'), (0, b'a\\t2\\n'), (1, b'b\\t1\\n'), (0, b'c\\t1\\n')]
    """
    hand, turn = 0, 0
    begun: bytes | None = None
    bare: list[tuple[bytes, int]] = []
    # Lines of a key stand together but for one case: between a line without a TAB, "a", and one
    # with it, "a TAB 1", there may be keys like "a\x01". So bare keys are kept while others have
    # them as their beginning.
    for line in lines:
        if begun is None or not line.startswith(begun):
            key, tab, _ = line.rstrip(b"\n").partition(b"\t")
            begun = key + tab if tab else None
            while bare and not key.startswith(bare[-1][0]):
                bare.pop()
            if bare and bare[-1][0] == key:
                hand = bare[-1][1]
            else:
                hand, turn = turn % hands, turn + 1
                if not tab:
                    bare.append((key, hand))
        yield hand, line


def _write(dealt: Iterable[tuple[int, bytes]], groups: list[str]) -> None:
    held: list[list[bytes]] = [[] for _ in groups]
    size_bytes = 0
    for hand, line in dealt:
        held[hand].append(line)
        size_bytes += len(line)
        if size_bytes >= BUFFER_BYTES:
            _append(held, groups)
            size_bytes = 0
    _append(held, groups)


def _append(held: list[list[bytes]], groups: list[str]) -> None:
    for lines, group in zip(held, groups):
        if lines:
            with open(group, "ab") as file:  # noqa: PTH123
                file.writelines(lines)
            lines.clear()
