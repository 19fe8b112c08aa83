"""What jobs of several sections are made of."""

import random
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from mapreduce import Input, Job, Mapper, Reducer
from tests.mapreduce.battery.sequential import Content

SIDE = Path(__file__).parents[1] / "side"
SPILLING = 1 << 20
"""The least memory that a task can be given."""


class Case(NamedTuple):
    """A job with the files that it reads, by their paths below some folder."""

    name: str
    job: Job
    files: Mapping[str, Content]
    inputs: Sequence[Input] = (Input("in"),)


class Words(Mapper):
    def map(self, key, value):
        self.context.count("lines")
        for word in value.split():
            yield word, 1


class Sum(Reducer):
    def reduce(self, key, values):
        yield key, sum(values)


class Listed(Reducer):
    """Shows the order of values."""

    def reduce(self, key, values):
        return [(key, list(values))]


class Digest(Reducer):
    """Shows the order of values where there are many."""

    def reduce(self, key, values):
        count = checksum = 0
        for value in values:
            count += 1
            checksum = zlib.crc32(repr(value).encode(), checksum)
        yield key, (count, checksum)


class Positions(Mapper):
    def map(self, key, value):
        name = Path(self.context.input).name
        return [(word, (name, key, place)) for place, word in enumerate(value.split())]


def text(seed: int, lines: int, words: Sequence[str]) -> bytes:
    chosen = random.Random(seed)
    return b"".join(
        " ".join(chosen.choices(words, k=chosen.randrange(9))).encode()
        + chosen.choice([b"\n", b"\r\n"])
        for _ in range(lines)
    )


ODD_FILES = {
    "in/words.txt": text(1, 60, ["to", "be", "or", "not", "Elsinore", "é", "😀", "naïve"]),
    "in/a-b/no end.txt": b"a b\nb c",
    "in/a/below.txt": b"x y\n" * 9,
    "in/a-c.txt": b"x z\n" * 9,
    "in/b empty": b"",
    "in/empty lines": b"\n\n\r\n\nx\n\n",
    "in/one byte": b"x",
    "in/one newline": b"\n",
    "in/only multi-byte": "ßß 😀😀😀 é\r\nend".encode() * 20,
    "in/long line": b"long " * 60 + b"\nshort\n",
}
