"""The map side for lines: what an executable writes is sorted by the system's `sort`.

It goes to a file as it is. When that is large enough it is sorted in the background, while the
program goes on, and stored as a run when its turn comes: a piece for each partition. No Python sees
a line, but to tell its partition where there are several. A combiner gets the sorted lines of a
run, and what it gives is sorted once more.
"""

import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, TypeGuard

from mapreduce.api import Pair
from mapreduce.data.pieces import MEMORY_BYTES, LineForm, Piece, Put
from mapreduce.data.shuffle.blocks import encoded_lines
from mapreduce.data.shuffle.columns import Same
from mapreduce.data.shuffle.combining import CombineAll
from mapreduce.data.shuffle.lines import LineGroups, LinePairs, Lines, whole_lines
from mapreduce.data.shuffle.placing import Partition, Placing
from mapreduce.data.shuffle.sort import Sorting, blocks_of, can_sort, written
from mapreduce.data.shuffle.storing import Storing
from mapreduce.errors import ScratchFailed

RUN_BYTES = 8 << 20
"""So many bytes of lines make a run for a single partition. For several they may be more: each run
makes a piece for each."""
_SORTS = 2
"""So many runs are sorted at once, while the program makes the next."""
_MEMORY_SHARE = 8
"""A run is at most such a part of the memory: `sort` takes several times its size."""


def can_be_sorted(pairs: Iterable[Pair]) -> TypeGuard[LinePairs]:
    """True for lines that are better sorted here: not if they all have one value, as those of a
    word count, which `Collector` need only count."""
    if not isinstance(pairs, LinePairs) or not can_sort(pairs.form):
        return False
    return not isinstance(pairs.first().columns().values, Same)


class LineCollector:
    """Gathers the lines of one map attempt and writes them as pieces: for lines of the form `form`
    what `Collector` is for pairs. `combine` gives lines of that form too. It is to be closed,
    whatever happens.

    >>> import contextlib, tempfile
    >>> stored, lines = [], LinePairs([b"to\\t1\\nor\\t1\\n", b"be\\t2\\n"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     into = {"form": lines.form, "scratch": Path(folder)}
    ...     collector = LineCollector(0, 1, 1, lambda *block: stored.append(block), **into)
    ...     with contextlib.closing(collector):
    ...         collector.collect(lines)
    ...         [(piece.partition, piece.records) for piece in collector.finish()]
    [(0, 3)]
    """

    def __init__(
        self,
        map_index: int,
        attempt: int,
        partitions: int,
        put: Put,
        *,
        form: LineForm,
        scratch: Path,
        combine: CombineAll | None = None,
        partition: Partition | None = None,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        self.output_records = 0
        self.combine_input_records = self.combine_output_records = 0
        self.spills = 0
        """How many runs were written because there were more lines than one run holds."""
        self.spilled_records = 0
        self._storing = Storing(map_index, attempt, put)
        self._placing = Placing(partitions, partition)
        self._form = form
        self._combine = combine
        self._memory_bytes = memory_bytes
        share = memory_bytes // _MEMORY_SHARE
        self._run_bytes = min(RUN_BYTES, share) if partitions == 1 else share
        self._folder = tempfile.TemporaryDirectory(
            prefix="lines-", dir=scratch, ignore_cleanup_errors=True
        )
        self._lines: BinaryIO | None = None
        self._size_bytes = 0
        self._sorting: deque[Sorting] = deque()
        self._opened = self._runs = 0
        self._pieces: list[Piece] = []

    def collect(self, pairs: Iterable[Pair]) -> None:
        """Gather all of `pairs`, which `can_be_sorted`. Raises `ScratchFailed` when the local disk
        is full."""
        assert isinstance(pairs, LinePairs)
        for lines in pairs.lines():
            if self._size_bytes >= self._run_bytes:
                self.spills += 1
                self._sort()
                self.spilled_records = self.output_records
            self.output_records += lines.records
            self._write(lines.text)

    def finish(self) -> tuple[Piece, ...]:
        """Write what is left; the pieces of all runs, in order of run and partition."""
        self._sort()
        self._store_sorted()
        return tuple(self._pieces)

    def close(self) -> None:
        """End what is still being sorted, and remove all files."""
        if self._lines is not None:
            self._lines.close()
        for sorting in self._sorting:
            sorting.close()
        self._folder.cleanup()

    def _write(self, text: bytes) -> None:
        if self._lines is None:
            self._opened += 1
            path = Path(self._folder.name, f"run-{self._opened:05d}")
            self._lines = path.open("wb", buffering=0)
        try:
            view = memoryview(text)
            while view:
                view = view[self._lines.write(view) :]
        except OSError as error:
            reason = f"{error.strerror} after {self._size_bytes:,} bytes"
            raise ScratchFailed(Path(self._lines.name), reason) from error
        self._size_bytes += len(text)

    def _sort(self) -> None:
        """Begin to sort what has been written. Some runs are sorted at once; the others are stored
        before."""
        if self._lines is not None:
            self._store_sorted(_SORTS - 1)
            self._lines.close()
            self._sorting.append(self._begun(Path(self._lines.name)))
            self._lines, self._size_bytes = None, 0

    def _begun(self, unsorted: Path) -> Sorting:
        return Sorting(unsorted, self._form, self._memory_bytes // (2 * _SORTS))

    def _store_sorted(self, most: int = 0) -> None:
        """Store runs, until no more than `most` are left."""
        while len(self._sorting) > most:
            file = self._sorting[0].finish()
            if self._combine is not None:
                self._sorting[0] = self._begun(self._combined(file, self._combine))
                file = self._sorting[0].finish()
            for partition, lines in enumerate(self._parted(file)):
                if lines:
                    blocks = encoded_lines(lines)
                    piece = self._storing.piece(partition, self._runs, blocks, self._form)
                    self._pieces.append(piece)
            self._sorting.popleft()
            file.unlink()
            self._runs += 1

    def _combined(self, file: Path, combine: CombineAll) -> Path:
        """What the combiner makes of sorted lines, in a file of its own, as it comes."""

        def before() -> Iterator[bytes]:
            for text in whole_lines(blocks_of(file)):
                self.combine_input_records += Lines(text, self._form).records
                yield text

        def after() -> Iterator[bytes]:
            pairs = combine.function(LineGroups(before(), self._form))
            assert isinstance(pairs, LinePairs)
            for lines in pairs.lines():
                self.combine_output_records += lines.records
                yield lines.text

        combined = written(file.with_suffix(".combined"), after())
        file.unlink()
        return combined

    def _parted(self, file: Path) -> list[list[Lines]]:
        """The lines of each partition, in blocks."""
        parts: list[list[Lines]] = [[] for _ in range(self._placing.partitions)]
        for text in whole_lines(blocks_of(file)):
            lines = Lines(text, self._form)
            if len(parts) == 1:
                parts[0].append(lines)
                continue
            texts: list[list[bytes]] = [[] for _ in parts]
            numbers = self._placing.numbers(lines.keys())
            for number, line in zip(numbers, text.split(b"\n")):
                texts[number].append(line)
            for part, some in zip(parts, texts):
                if some:
                    some.append(b"")
                    part.append(Lines(b"\n".join(some), self._form))
        return parts
