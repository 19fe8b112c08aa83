"""The system's `sort`: lines in order of their keys, byte by byte, in files of any size.

Lines with the same key stay in the order in which they came, in a file and from file to file. What
does not fit into memory `sort` keeps in files beside these.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from mapreduce.data.pieces import LineForm
from mapreduce.errors import ScratchFailed

READ_BYTES = 1 << 20
_FAN_IN = 32
"""So many files are merged at once. `sort` refuses more than a process may have open: for a task
that may be 64, see `mapreduce.engine.allowance`."""

Process = subprocess.Popen[bytes]


def can_sort(form: LineForm) -> bool:
    """True if there is a `sort` here, and it can tell the keys of such lines."""
    separator = form.separator
    return len(separator) == 1 and separator != b"\0" and shutil.which("sort") is not None


class Sorting:
    """The file `unsorted` while it is being sorted; it is gone when that is done.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run = Path(folder, "run")
    ...     _ = run.write_bytes(b"to\\t1\\nbe\\t2\\nto\\t0\\n")
    ...     Sorting(run, LineForm(), memory_bytes=1 << 20).finish().read_bytes()
    b'be\\t2\\nto\\t1\\nto\\t0\\n'
    """

    def __init__(self, unsorted: Path, form: LineForm, memory_bytes: int) -> None:
        self._unsorted = unsorted
        self._sorted = unsorted.with_suffix(".sorted")
        size = ["-S", f"{max(1, memory_bytes >> 10)}K"]
        files = ["-o", self._sorted.name, unsorted.name]
        self._process = _started([*_keys(form), *size, *files], unsorted.parent)

    def finish(self) -> Path:
        """Wait for the sorted file. Raises `ScratchFailed` if there is no room for it."""
        _end(self._process, self._sorted)
        self._unsorted.unlink()
        return self._sorted

    def close(self) -> None:
        """End it, if it is not at its end."""
        _kill(self._process)


def merged(files: Sequence[Path], form: LineForm) -> Iterator[bytes]:
    """The lines of sorted files of one folder in order, in blocks that are cut anywhere. Raises
    `ScratchFailed` where they can't be merged."""
    if len(files) == 1:
        yield from blocks_of(files[0])
        return
    folder = files[0].parent
    names = [file.name for file in files]
    process = _started(["-m", f"--batch-size={_FAN_IN}", *_keys(form), *names], folder)
    assert process.stdout is not None
    try:
        while block := process.stdout.read(READ_BYTES):
            yield block
        _end(process, folder)
    finally:
        _kill(process)


def written(file: Path, texts: Iterable[bytes]) -> Path:
    """A new file of some bytes. Raises `ScratchFailed` if there is no room for them."""
    size_bytes = 0
    try:
        with file.open("wb") as opened:
            for text in texts:
                size_bytes += len(text)
                opened.write(text)
    except OSError as error:
        reason = f"{error.strerror} after {size_bytes:,} bytes"
        raise ScratchFailed(file, reason) from error
    return file


def blocks_of(file: Path) -> Iterator[bytes]:
    """The bytes of a file in blocks."""
    with file.open("rb", buffering=0) as opened:
        while block := opened.read(READ_BYTES):
            yield block


def _keys(form: LineForm) -> list[str]:
    return ["-s", "-t", os.fsdecode(form.separator), "-k", f"1,{form.fields}"]


def _started(arguments: Sequence[str], folder: Path) -> Process:
    return subprocess.Popen(
        ["sort", "-T", ".", *arguments],
        cwd=folder,
        env={**os.environ, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    )


def _end(process: Process, made: Path) -> None:
    _, said = process.communicate()
    if process.returncode:
        reason = said.decode(errors="replace").strip() or f"status {process.returncode}"
        raise ScratchFailed(made, f"`sort` failed with {reason}")


def _kill(process: Process) -> None:
    with contextlib.suppress(OSError):
        process.kill()
    with process:  # closes its pipes
        process.wait()
