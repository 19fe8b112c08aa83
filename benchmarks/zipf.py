"""Text to count: words of a made-up language whose frequencies follow Zipf's law.

The same bytes on every machine: made from a seed by Python's own generator, whose streams don't
change. Made once, and kept in a folder that git ignores.
"""

import itertools
import random
from pathlib import Path

CACHE = Path(__file__).parent / ".cache"
VOCABULARY = 50_000
WORDS_IN_LINE = 12
_PAGE_LINES = 4096


def text(size_bytes: int, seed: int = 1) -> Path:
    """The path of a file of at least `size_bytes`, made if it is not there yet."""
    path = CACHE / f"zipf-{size_bytes}-{seed}.txt"
    if not path.exists():
        CACHE.mkdir(exist_ok=True)
        (CACHE / ".gitignore").write_text("*\n")
        unfinished = path.with_suffix(".unfinished")
        _write(unfinished, size_bytes, random.Random(seed))
        unfinished.replace(path)
    return path


def _write(path: Path, size_bytes: int, generator: random.Random) -> None:
    words = _words(generator)
    weights = list(itertools.accumulate(1 / rank for rank in range(1, len(words) + 1)))
    written = 0
    with path.open("wb") as file:
        while written < size_bytes:
            count = _PAGE_LINES * WORDS_IN_LINE
            drawn = iter(generator.choices(words, cum_weights=weights, k=count))
            lines = [" ".join(line) for line in zip(*[drawn] * WORDS_IN_LINE)]
            written += file.write(("\n".join(lines) + "\n").encode())


def _words(generator: random.Random) -> list[str]:
    """Distinct words, the most frequent ones short, as in a natural language."""
    syllables = [c + v for c in "bdfghklmnprstvwz" for v in "aeiou"]
    words: dict[str, None] = {}
    while len(words) < VOCABULARY:
        length = 1 + len(words) // 10 % 2 + (len(words) > 60) + (len(words) > 4000)
        words["".join(generator.choices(syllables, k=length))] = None
    return list(words)
