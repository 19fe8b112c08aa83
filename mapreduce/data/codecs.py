"""Codecs: compressed files, read and written as streams.

A file's codec is told by the end of its name:

    .gz   gzip    RFC 1952        .xz   xz      the .xz file format 1.2.1
    .bz2  bzip2                   .zst  zstd    RFC 8878
    .lz4  lz4     LZ4 frame format 1.6

Each of these may hold several members (streams, frames) one behind the other, which together are
the content: what `cat a.gz b.gz` gives, or a tool that compresses in parallel. Zero bytes between
and behind members are padding, as gzip and xz allow. What we write carries checksums and no time,
so the same content gives the same bytes.
"""

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, Protocol

import lz4.frame
import zstandard

from mapreduce.errors import BadRecord

Codec = Literal["gzip", "bzip2", "xz", "zstd", "lz4"]

SUFFIXES: Mapping[str, Codec] = {
    ".gz": "gzip",
    ".bz2": "bzip2",
    ".xz": "xz",
    ".zst": "zstd",
    ".lz4": "lz4",
}
"""The end of a file's name -> its codec."""

INPUT_BYTES = 1 << 10
"""How much a decompressor is fed at once: so little that what comes out fits in memory, even where
zstd makes 128 KiB of four bytes. Larger pieces would be hardly faster."""
OUTPUT_BYTES = 1 << 20
"""The size of decompressed blocks, at least."""

_DAMAGED = (zlib.error, OSError, EOFError, lzma.LZMAError, zstandard.ZstdError, RuntimeError)
"""What the decompressors raise for what is not theirs."""


class Compressor(Protocol):
    """Compresses a stream of bytes into one member."""

    def add(self, data: bytes) -> bytes:
        """The compressed bytes that are ready, maybe none."""

    def finish(self) -> bytes:
        """The rest; nothing can be added after it."""


def codec_of(path: str) -> Codec | None:
    """The codec that a file's name tells, None for a plain file.

    >>> codec_of("/logs/2024.TXT.GZ"), codec_of("/logs/2024.txt")
    ('gzip', None)
    """
    name = path.lower()
    return next((codec for suffix, codec in SUFFIXES.items() if name.endswith(suffix)), None)


def suffix_of(codec: Codec) -> str:
    """What the names of files in that codec end with, such as ".gz"."""
    return next(suffix for suffix, known in SUFFIXES.items() if known == codec)


# Reading -----------------------------------------------------------------------------------------


def decompressed(path: str, blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The content of the file at `path` whose bytes are `blocks`, in blocks of about 1 MiB; for a
    plain file the blocks themselves. Raises `BadRecord` for one that is damaged or cut off.

    >>> import gzip
    >>> list(decompressed("a.gz", [gzip.compress(b"to be "), gzip.compress(b"or not")]))
    [b'to be or not']
    """
    codec = codec_of(path)
    return iter(blocks) if codec is None else decompress(codec, blocks, path)


def decompress(codec: Codec, blocks: Iterable[bytes], name: str) -> Iterator[bytes]:
    """What `blocks` hold in that codec; errors call the file `name`."""
    ready: list[bytes] = []
    size_bytes = 0
    for data in _content(codec, blocks, name):
        ready.append(data)
        size_bytes += len(data)
        if size_bytes >= OUTPUT_BYTES:
            yield b"".join(ready)
            ready, size_bytes = [], 0
    if size_bytes:
        yield b"".join(ready)


def _content(codec: Codec, blocks: Iterable[bytes], name: str) -> Iterator[bytes]:
    """The content in the pieces that the decompressors give."""
    member: Any = None
    position = 0
    for data in _pieces(blocks):
        position += len(data)
        while member is not None or (data := data.lstrip(b"\0")):
            if member is None:
                member = _DECOMPRESSORS[codec]()
            try:
                yield from _output(member, data)
            except _DAMAGED as error:
                raise BadRecord(
                    f"{name!r} is damaged, or not compressed with {codec}: {error} "
                    f"(near byte {position - len(data):,} of the compressed file)"
                ) from None
            data = member.unused_data or b""
            if not member.eof:
                break
            member = None
    if member is not None:
        raise BadRecord(
            f"{name!r} is cut off: its last {codec} stream does not end within the "
            f"{position:,} bytes of the file; copy it again"
        )


def _output(member: Any, data: bytes) -> Iterator[bytes]:
    """What a member makes of some bytes; the two that can make any amount of them, in pieces."""
    if not isinstance(member, bz2.BZ2Decompressor | lzma.LZMADecompressor):
        yield member.decompress(data)
        return
    yield member.decompress(data, OUTPUT_BYTES)
    while not member.eof and not member.needs_input:
        yield member.decompress(b"", OUTPUT_BYTES)


def _pieces(blocks: Iterable[bytes]) -> Iterator[bytes]:
    for block in blocks:
        for start in range(0, len(block), INPUT_BYTES):
            yield block[start : start + INPUT_BYTES]


_DECOMPRESSORS: Mapping[Codec, Callable[[], Any]] = {
    # Each reads one member: decompress(data), eof, unused_data.
    "gzip": lambda: zlib.decompressobj(wbits=16 + zlib.MAX_WBITS),
    "bzip2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ),
    "zstd": lambda: zstandard.ZstdDecompressor().decompressobj(),
    "lz4": lz4.frame.LZ4FrameDecompressor,
}


# Writing -----------------------------------------------------------------------------------------


def compressor(codec: Codec) -> Compressor:
    """Compresses one stream.

    >>> import gzip
    >>> gz = compressor("gzip")
    >>> gzip.decompress(gz.add(b"to be") + gz.finish())
    b'to be'
    """
    return Lz4Compressor() if codec == "lz4" else ObjectCompressor(_COMPRESSORS[codec]())


class ObjectCompressor:
    """A compressor of the standard library's shape: compress(data), flush()."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def add(self, data: bytes) -> bytes:
        compressed: bytes = self._stream.compress(data)
        return compressed

    def finish(self) -> bytes:
        rest: bytes = self._stream.flush()
        return rest


class Lz4Compressor(ObjectCompressor):
    """LZ4 frames begin by themselves."""

    def __init__(self) -> None:
        super().__init__(lz4.frame.LZ4FrameCompressor(content_checksum=True))
        self._head: bytes = self._stream.begin()

    def add(self, data: bytes) -> bytes:
        head, self._head = self._head, b""
        return head + super().add(data)

    def finish(self) -> bytes:
        return self._head + super().finish()


_COMPRESSORS: Mapping[Codec, Callable[[], Any]] = {
    "gzip": lambda: zlib.compressobj(wbits=16 + zlib.MAX_WBITS),
    "bzip2": bz2.BZ2Compressor,
    "xz": lambda: lzma.LZMACompressor(lzma.FORMAT_XZ),
    "zstd": lambda: zstandard.ZstdCompressor(write_checksum=True).compressobj(),
}
