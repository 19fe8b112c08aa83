"""Files in memory, read in slices cut anywhere and in blocks of any size."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from mapreduce.api import Pair
from mapreduce.data import formats
from mapreduce.data.slices import Slice


class BytesReader:
    """Reads a file in memory, in blocks of the sizes given, over and over."""

    def __init__(self, content: bytes, block_sizes: Sequence[int] = (1 << 20,)) -> None:
        self.content = content
        self.block_sizes = block_sizes

    def prepare(self, slices: Sequence[Slice]) -> None:
        pass

    def read(self, part: Slice, start: int, stop: int) -> Iterator[bytes]:
        stop = min(stop, len(self.content))
        for size in itertools.cycle(self.block_sizes):
            if start >= stop:
                return
            yield self.content[start : min(start + size, stop)]
            start += size


def read(
    name: str,
    content: bytes,
    cuts: Sequence[int] = (),
    block_sizes: Sequence[int] = (1 << 20,),
    path: str = "file",
) -> list[Pair]:
    """All records of the slices cut at `cuts`, which is the same whether slices say that they
    begin behind a newline, as those of the store do, or leave it open."""
    found = _read(name, content, cuts, block_sizes, path, told=False)
    told = _read(name, content, cuts, block_sizes, path, told=True)
    assert str(found) == str(told)  # nan != nan
    return found


def _read(
    name: str,
    content: bytes,
    cuts: Sequence[int],
    block_sizes: Sequence[int],
    path: str,
    told: bool,
) -> list[Pair]:
    reader = BytesReader(content, block_sizes)
    borders = [0, *sorted({cut for cut in cuts if 0 < cut < len(content)}), len(content)]
    found: list[Pair] = []
    for start, stop in itertools.pairwise(borders):
        behind_newline = told and content[start - 1 : start] == b"\n"
        part = Slice(path, start, stop, starts_record=start == 0 or behind_newline)
        for batch in formats.reading(name).read(part, reader):
            pairs = list(batch.pairs)
            assert len(pairs) == batch.size
            found += pairs
    return found


def encoded(name: str, pairs: Sequence[Any]) -> bytes:
    """A file of pairs."""
    blocks = list(formats.encode(name, pairs))
    assert sum(count for _, count in blocks) == len(pairs)
    return b"".join(block for block, _ in blocks)


def decoded(name: str, content: bytes) -> list[Pair]:
    """What a run's result gives of such a file."""
    return list(formats.decode_output(name, [content], "part-00000"))
