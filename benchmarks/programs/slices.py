"""What the programs by hand share: files in slices, each read at line ends."""

from collections.abc import Sequence
from pathlib import Path

SLICE_BYTES = 16 << 20
Slice = tuple[Path, int, int]


def slices(path: Path, at_least: int = 1) -> Sequence[Slice]:
    """A file in `at_least` slices, of 16 MiB at most: its path, and where they start and stop."""
    size = path.stat().st_size
    step = max(1, min(SLICE_BYTES, -(-size // at_least)))
    return [(path, at, min(at + step, size)) for at in range(0, size, step)]


def text_of(part: Slice) -> str:
    """The lines that begin in a slice, without the last one's end."""
    path, start, stop = part
    with path.open("rb") as file:
        if start:
            file.seek(start - 1)
            file.readline()
        text = file.read(max(0, stop - file.tell()))
        if text and not text.endswith(b"\n"):
            text += file.readline()
    return text.decode().removesuffix("\n")
