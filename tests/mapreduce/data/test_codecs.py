"""Compressed files: all their members, and nothing but them."""

import bz2
import gzip
import lzma
import random

import lz4.frame
import pytest
import zstandard

from mapreduce.data import codecs
from mapreduce.data.codecs import SUFFIXES
from mapreduce.errors import BadRecord

ELSEWHERE = {
    # What others write.
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.ZstdCompressor().compress,
    ".lz4": lz4.frame.compress,
}
EVERY = sorted(SUFFIXES)
CONTENT = random.Random(1).randbytes(3_000) + b"to be or not to be " * 10_000


def content(suffix: str, data: bytes, block_size: int = 1 << 20) -> bytes:
    blocks = (data[at : at + block_size] for at in range(0, len(data), block_size))
    return b"".join(codecs.decompressed("file" + suffix, blocks))


def compressed(suffix: str, *data: bytes) -> bytes:
    compressor = codecs.compressor(SUFFIXES[suffix])
    return b"".join([*map(compressor.add, data), compressor.finish()])


@pytest.mark.parametrize("suffix", EVERY)
@pytest.mark.parametrize("block_size", [1, 1000, 1 << 20])
def test_all_members_are_read(suffix: str, block_size: int) -> None:
    compress = ELSEWHERE[suffix]
    data = compress(CONTENT) + compress(b"") + compress(b"the end")
    assert content(suffix, data, block_size) == CONTENT + b"the end"


@pytest.mark.parametrize("suffix", EVERY)
def test_what_is_written_others_read_and_put_together(suffix: str) -> None:
    data = compressed(suffix, CONTENT, b"the", b" end")
    assert len(data) < len(CONTENT) / 10
    assert content(suffix, data + compressed(suffix) + data) == 2 * (CONTENT + b"the end")
    others = {".gz": gzip.decompress, ".bz2": bz2.decompress, ".xz": lzma.decompress}
    if suffix in others:
        assert others[suffix](data) == CONTENT + b"the end"


@pytest.mark.parametrize("suffix", EVERY)
def test_padding_is_no_content(suffix: str) -> None:
    data = ELSEWHERE[suffix](b"abc")
    assert content(suffix, data + bytes(8) + data + bytes(8), 5) == b"abcabc"


def test_skippable_frames_are_skipped() -> None:
    skipped = b"\x50\x2a\x4d\x18\5\0\0\0hello"
    for suffix in (".zst", ".lz4"):
        assert content(suffix, skipped + ELSEWHERE[suffix](b"abc") + skipped) == b"abc"


@pytest.mark.parametrize("suffix", EVERY)
def test_damage_is_refused_with_file_and_place(suffix: str) -> None:
    data = compressed(suffix, CONTENT)
    damaged = data + data[:2000] + b"\xaa" * 8 + data[2008:]
    with pytest.raises(BadRecord, match=rf"'file\{suffix}' is damaged.*near byte \d"):
        content(suffix, damaged)


@pytest.mark.parametrize("suffix", EVERY)
@pytest.mark.parametrize("behind", [b"no such thing", ELSEWHERE[".gz"](b"x")[:1] * 20])
def test_so_is_what_is_no_member(suffix: str, behind: bytes) -> None:
    with pytest.raises(BadRecord, match="is damaged, or not compressed with"):
        content(suffix, behind)
    with pytest.raises(BadRecord, match="is damaged, or not compressed with"):
        content(suffix, compressed(suffix, b"abc") + behind)


@pytest.mark.parametrize("suffix", EVERY)
def test_a_file_that_is_cut_off_is_refused(suffix: str) -> None:
    data = compressed(suffix, CONTENT)
    for kept in (1, 5, 100, len(data) - 1):
        with pytest.raises(BadRecord, match=rf"'file\{suffix}' is cut off.* {kept:,} bytes"):
            content(suffix, data[:kept])


@pytest.mark.parametrize("suffix", EVERY)
def test_what_grows_a_thousandfold_does_not_fill_memory(suffix: str) -> None:
    data = ELSEWHERE[suffix](bytes(40 << 20))
    assert max(map(len, codecs.decompressed("file" + suffix, [data]))) <= 33 << 20


def test_other_files_are_left_as_they_are() -> None:
    assert content(".txt", CONTENT) == CONTENT
