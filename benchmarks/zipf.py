"""Text to count and to index: words of a made-up language whose frequencies follow Zipf's law.

The same bytes on every machine: made from a seed by Python's own generator, whose streams don't
change.
"""

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

from benchmarks import cache

VOCABULARY = 50_000
WORDS_IN_LINE = 12
WORDS_IN_DOCUMENT = 60
_PAGE_LINES = 4096
_SCATTER = 2_654_435_761
"""Odd, so that its multiples by 0 to 2**32 - 1 differ modulo 2**32, and lie in no order."""


def text(size_bytes: int, seed: int = 1, folder: Path = cache.FOLDER) -> Path:
    """The path of a file of at least `size_bytes`: lines of twelve words."""

    def write(path: Path) -> None:
        _write(path, size_bytes, _lines(random.Random(seed), WORDS_IN_LINE))

    return cache.made(f"zipf-{size_bytes}-{seed}.txt", write, folder)


def documents(size_bytes: int, seed: int = 1, folder: Path = cache.FOLDER) -> Path:
    """The path of a file of at least `size_bytes`: a document in each line, which is the
    document's name (eight hexadecimal digits, in no order), a tab, and sixty words."""

    def write(path: Path) -> None:
        texts = enumerate(_lines(random.Random(seed), WORDS_IN_DOCUMENT))
        lines = (f"{number * _SCATTER % 2**32:08x}\t{text}" for number, text in texts)
        _write(path, size_bytes, lines)

    return cache.made(f"documents-{size_bytes}-{seed}.txt", write, folder)


def _write(path: Path, size_bytes: int, lines: Iterator[str]) -> None:
    written = 0
    with path.open("wb") as file:
        while written < size_bytes:
            page = itertools.islice(lines, _PAGE_LINES)
            written += file.write(("\n".join(page) + "\n").encode())


def _lines(generator: random.Random, words_in_line: int) -> Iterator[str]:
    """Lines of drawn words, without end."""
    words = _words(generator)
    weights = list(itertools.accumulate(1 / rank for rank in range(1, len(words) + 1)))
    while True:
        count = _PAGE_LINES * words_in_line
        drawn = iter(generator.choices(words, cum_weights=weights, k=count))
        yield from map(" ".join, zip(*[drawn] * words_in_line))


def _words(generator: random.Random) -> list[str]:
    """Distinct words, the most frequent ones short, as in a natural language."""
    syllables = [c + v for c in "bdfghklmnprstvwz" for v in "aeiou"]
    words: dict[str, None] = {}
    while len(words) < VOCABULARY:
        length = 1 + len(words) // 10 % 2 + (len(words) > 60) + (len(words) > 4000)
        words["".join(generator.choices(syllables, k=length))] = None
    return list(words)
