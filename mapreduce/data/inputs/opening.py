"""One reader for slices of every source."""

from collections.abc import Iterator, Mapping, Sequence

from dynamo.store import Store
from mapreduce.data.codecs import codec_of, decompressed
from mapreduce.data.inputs.local import LocalSource
from mapreduce.data.inputs.sources import InputSource
from mapreduce.data.inputs.store import StoreSource
from mapreduce.data.slices import Reader, Slice, Source


def open_reader(store: Store) -> Reader:
    """The reader of slices, wherever they are."""
    return AnyReader(sources(store))


def sources(store: Store) -> Mapping[Source, InputSource]:
    """All places that input comes from."""
    return {"store": StoreSource(store), "local": LocalSource()}


class AnyReader:
    """Asks the source of each slice; a compressed file comes decompressed, from its beginning."""

    def __init__(self, places: Mapping[Source, InputSource]) -> None:
        self._sources = places

    def prepare(self, slices: Sequence[Slice]) -> None:
        for source in {part.source for part in slices}:
            self._sources[source].prepare([part for part in slices if part.source == source])

    def read(self, part: Slice, start: int, stop: int) -> Iterator[bytes]:
        read = self._sources[part.source].read
        if codec_of(part.path) is None:
            return read(part, start, stop)
        # Positions count what comes out, so behind the beginning there is nothing more to read.
        return iter(()) if start else decompressed(part.path, read(part, 0, part.stop))
