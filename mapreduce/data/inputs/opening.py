"""One reader for slices of every source."""

from collections.abc import Iterator, Sequence

from dynamo.store import Store
from mapreduce.data import formats
from mapreduce.data.codecs import codec_of, decompress
from mapreduce.data.formats import ReadFormat
from mapreduce.data.inputs.sources import InputSource
from mapreduce.data.locations import file_name
from mapreduce.data.slices import Reader, Slice, Source


def open_reader(store: Store) -> Reader:
    """The reader of slices, wherever they are."""
    return AnyReader(Sources(store))


def reading(part: Slice, name: str) -> ReadFormat:
    """How a slice is read that belongs to an input in the format called `name`."""
    if part.source == "range":
        from mapreduce.data.inputs.numbers import ReadRange

        return ReadRange()
    return formats.reading(name)


class Sources:
    """All places that input comes from, each opened when it is first asked for."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._open: dict[Source, InputSource] = {}

    def __getitem__(self, source: Source) -> InputSource:
        if source not in self._open:
            self._open[source] = _open_source(source, self._store)
        return self._open[source]


def _open_source(source: Source, store: Store) -> InputSource:
    # Each is imported by the processes that use it: fsspec alone takes longer than a small task.
    match source:
        case "store":
            from mapreduce.data.inputs.store import StoreSource

            return StoreSource(store)
        case "key":
            from mapreduce.data.inputs.keys import KeySource

            return KeySource(store)
        case "local":
            from mapreduce.data.inputs.local import LocalSource

            return LocalSource()
        case "range":
            from mapreduce.data.inputs.numbers import RangeSource

            return RangeSource()
        case "url":
            from mapreduce.data.inputs.url import UrlSource

            return UrlSource()


class AnyReader:
    """Asks the source of each slice; a compressed file comes decompressed, from its beginning."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def prepare(self, slices: Sequence[Slice]) -> None:
        for source in {part.source for part in slices}:
            self._sources[source].prepare([part for part in slices if part.source == source])

    def read(self, part: Slice, start: int, stop: int) -> Iterator[bytes]:
        read = self._sources[part.source].read
        codec = codec_of(file_name(part.path))
        if codec is None:
            return read(part, start, stop)
        # Positions count what comes out, so behind the beginning there is nothing more to read.
        return iter(()) if start else decompress(codec, read(part, 0, part.stop), part.path)
