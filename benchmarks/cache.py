"""Where data for benchmarks is kept: made once, from a seed, in a folder that git ignores."""

from collections.abc import Callable
from pathlib import Path

FOLDER = Path(__file__).parent / ".cache"


def made(name: str, write: Callable[[Path], None], folder: Path = FOLDER) -> Path:
    """The path of the file `name` in the cache; `write` makes it if it is not there yet."""
    path = folder / name
    if not path.exists():
        folder.mkdir(exist_ok=True)
        (folder / ".gitignore").write_text("*\n")
        unfinished = path.with_suffix(".unfinished")
        write(unfinished)
        unfinished.replace(path)
    return path
