"""What every byte format offers: records out of slices, and bytes out of pairs."""

import operator
import reprlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar, Literal, Protocol

from mapreduce.api import Pair
from mapreduce.data import codecs
from mapreduce.data.codecs import Codec, Compressor
from mapreduce.data.formats.ranges import Given, whole_file
from mapreduce.data.slices import Reader, Slice
from mapreduce.errors import NotAPair, is_pair

Errors = Literal["strict", "replace", "ignore", "surrogateescape"]
"""What becomes of bytes that are not UTF-8, and of characters that have none: `bytes.decode`."""


BLOCK_PAIRS = 4096
BLOCK_BYTES = 4 << 20
"""So many pairs are encoded at once, or fewer that make so many bytes."""
FIRST_PAIRS = 64
"""How many pairs an encoder takes that has seen none yet."""

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80


class Batch:
    """Some records of one slice, to be read once: `values`, each with its key from `keys()`, or
    without `keys` pairs as they are.

    What failed on a record can ask afterwards which one it was. The records pay nothing for that:
    an iterator over a list knows how many are left.

    >>> batch = Batch(["to", "be"], lambda: iter([0, 3]))
    >>> next(batch.pairs), batch.current(), batch.size, batch.done
    ((0, 'to'), (0, 'to'), 2, 0)
    """

    __slots__ = ("_keys", "_pairs", "_unread", "_values", "size")

    def __init__(
        self, values: Sequence[Any], keys: Callable[[], Iterable[Any]] | None = None
    ) -> None:
        self._values = values
        self._keys = keys
        self._unread: Iterator[Any] | None = None
        self._pairs: Iterator[Pair] | None = None
        self.size = len(values)
        """The number of records."""

    @property
    def pairs(self) -> Iterator[Pair]:
        """The records."""
        if self._pairs is None:
            self._unread = iter(self._values)
            self._pairs = self._with_keys(self._unread)
        return self._pairs

    def first(self, count: int) -> "Batch":
        """The first `count` records, or all if there are fewer."""
        return self.part(0, count)

    def part(self, start: int, stop: int) -> "Batch":
        """The records from `start` up to `stop`."""
        keys = self._keys
        part = None if keys is None else lambda: islice(keys(), start, stop)
        return Batch(self._values[start:stop], part if start else keys)

    def current(self) -> Pair | None:
        """The record that was last taken from `pairs`, None before the first."""
        if self._taken == 0:
            return None
        key, value = next(islice(self._with_keys(self._values), self._taken - 1, None))
        return key, value

    @property
    def done(self) -> int:
        """How many records lie before the current one. Other threads may ask."""
        return max(0, self._taken - 1)

    @property
    def _taken(self) -> int:
        unread = self._unread
        return 0 if unread is None else self.size - operator.length_hint(unread)

    def _with_keys(self, values: Iterable[Any]) -> Iterator[Pair]:
        return iter(values) if self._keys is None else zip(self._keys(), values)


class ReadFormat(Protocol):
    """How records are read."""

    @property
    def splittable(self) -> bool:
        """False if a file has to be read from its beginning."""

    def read(self, part: Slice, reader: Reader) -> Iterator[Batch]:
        """The records that begin in a slice. Raises `BadRecord` for what is not of the format,
        with the file and the position in it; in a compressed file positions count its content."""


class Encoder(Protocol):
    """Turns pairs into the bytes of one file."""

    next_pairs: int
    """How many pairs to add at once, by the size of those before: few that are large."""

    def add(self, pairs: list[Pair]) -> bytes:
        """The bytes that are ready, maybe none. Raises `BadRecord` for what is no pair, or holds
        what the format can't write."""

    def finish(self) -> bytes:
        """The rest of the file; nothing can be added after it."""


class WriteFormat(Protocol):
    """How pairs are written."""

    @property
    def extension(self) -> str:
        """What the names of its files end with, such as ".csv.gz"."""

    @property
    def mergeable(self) -> bool:
        """True if files one behind the other are a file of the format."""

    @property
    def line_separator(self) -> bytes | None:
        """What stands between key and value where these are bytes and each pair is a line of
        these, as executables write it; None if pairs are written in another way."""

    def encoder(self, first_part: bool = True) -> Encoder:
        """Writes one file; `first_part` is False for one that will stand behind another."""

    def reads_back(self) -> ReadFormat:
        """The format that reads what this one has written, as pairs. Raises JobError if there is
        none."""

    def decode(self, blocks: Iterable[bytes], name: str) -> Iterator[Pair]:
        """The pairs of a file called `name`, whatever that ends with."""


@dataclass(frozen=True, kw_only=True)
class BlockFormat(ABC):
    """The base of the formats whose blocks of pairs are each written by themselves, one behind
    the other, so that whole files can be put together too; compressed if wanted."""

    compress: Literal["no"] | Codec = "no"

    suffix: ClassVar[str] = ""
    mergeable: ClassVar[bool] = True

    @property
    def line_separator(self) -> bytes | None:
        return None

    @property
    def extension(self) -> str:
        return self.suffix + ("" if self.compress == "no" else codecs.suffix_of(self.compress))

    def encoder(self, first_part: bool = True) -> Encoder:
        compressor = None if self.compress == "no" else codecs.compressor(self.compress)
        return BlockEncoder(self.write, self.head() if first_part else b"", compressor)

    def decode(self, blocks: Iterable[bytes], name: str) -> Iterator[Pair]:
        if self.compress != "no":
            blocks = codecs.decompress(self.compress, blocks, name)
        for batch in self.reads_back().read(whole_file(name), Given(iter(blocks))):
            yield from batch.pairs

    def head(self) -> bytes:
        """What stands at the top of a file."""
        return b""

    @abstractmethod
    def write(self, pairs: list[Pair]) -> bytes:
        """The bytes of some pairs."""

    @abstractmethod
    def reads_back(self) -> ReadFormat:
        """See `WriteFormat`."""


class BlockEncoder:
    """Writes block by block, and compresses what it wrote."""

    def __init__(
        self, write: Callable[[list[Pair]], bytes], head: bytes, compressor: Compressor | None
    ) -> None:
        self._write = write
        self._head = head
        self._compressor = compressor
        self.next_pairs = FIRST_PAIRS

    def add(self, pairs: list[Pair]) -> bytes:
        data = self._write(checked(pairs))
        self.next_pairs = fitting_pairs(len(pairs), len(data))
        return self._compressed(self._with_head(data))

    def add_lines(self, text: bytes) -> bytes:
        """Like `add`, of pairs that are lines already: see `line_separator`."""
        return self._compressed(self._with_head(text))

    def finish(self) -> bytes:
        last = self._compressed(self._with_head(b""))
        return last + self._compressor.finish() if self._compressor else last

    def _with_head(self, data: bytes) -> bytes:
        head, self._head = self._head, b""
        return head + data if head else data

    def _compressed(self, data: bytes) -> bytes:
        return self._compressor.add(data) if self._compressor else data


def fitting_pairs(added: int, size_bytes: int) -> int:
    """How many pairs make a block if the `added` ones before made `size_bytes`."""
    fitting = added * BLOCK_BYTES // max(size_bytes, 1)
    return max(1, min(fitting, added * 8, BLOCK_PAIRS))


# Pairs -------------------------------------------------------------------------------------------


def checked(pairs: list[Any]) -> list[Pair]:
    """What user code gave, if each of it is a pair."""
    if set(map(type, pairs)) <= {tuple} and set(map(len, pairs)) <= {2}:
        return pairs
    return [_pair(given) for given in pairs]


def _pair(given: Any) -> Pair:
    if not is_pair(given):
        raise NotAPair(given).late()  # pairs are written many at a time
    return given[0], given[1]


def shown(given: Any) -> str:
    """The beginning of a value, for messages."""
    text = _SHORT.repr(given)
    return text if len(text) <= 100 else text[:97] + "..."
