"""Input that is no file: numbers, for jobs that compute rather than read.

    range:COUNT           the numbers from 0 up to COUNT - 1, each a map task of its own
    range:COUNT:each=N    N numbers to each task

A record is (number, number). The slices of such an input count numbers where others count bytes.
"""

import functools
import re
from collections.abc import Iterable, Iterator, Sequence

from mapreduce.data.formats import Batch
from mapreduce.data.inputs.sources import Extent, Found
from mapreduce.data.slices import Reader, Slice
from mapreduce.errors import JobError

BATCH_NUMBERS = 4096
TASKS_LIMIT = 100_000
"""As in `planning`: a job with more tasks would be busy with nothing else."""
_RANGE = re.compile(r"range:(?P<count>\d{1,18})(:each=(?P<each>0*[1-9]\d{0,17}))?")


class RangeSource:
    """Tells how many tasks a range makes; there is nothing to read."""

    def find(self, path: str, split_bytes: int) -> Iterable[Found]:
        count, each = parsed(path)
        if -(-count // each) > TASKS_LIMIT:
            raise JobError(
                f"{path} would be {-(-count // each):,} map tasks, and {TASKS_LIMIT:,} is the "
                f"most: give each more numbers, as in range:{count}:each={-(-count // 1000)}"
            )
        cuts = range(0, count, each)
        return [Found(path, "", tuple(Extent(cut, min(cut + each, count)) for cut in cuts))]

    def prepare(self, slices: Sequence[Slice]) -> None:
        """Nothing to look up."""

    def read(self, part: Slice, start: int, stop: int) -> Iterator[bytes]:
        """Numbers are no bytes: `ReadRange` makes them."""
        return iter(())


def parsed(path: str) -> tuple[int, int]:
    """How many numbers there are, and how many of them belong to a task. Raises `JobError`.

    >>> parsed("range:10000"), parsed("range:10000:each=100")
    ((10000, 1), (10000, 100))
    """
    found = _RANGE.fullmatch(path)
    if found is None:
        raise JobError(
            f"{path!r} is no range of numbers: write range:10000 for the numbers 0 to 9999, each a "
            "task of its own, or range:10000:each=100 for 100 numbers to each task"
        )
    return int(found["count"]), int(found["each"] or 1)


class ReadRange:
    """The "format" of every range, whatever format the job's other inputs have."""

    splittable = True

    def read(self, part: Slice, reader: Reader) -> Iterator[Batch]:
        for start in range(part.start, part.stop, BATCH_NUMBERS):
            numbers = range(start, min(start + BATCH_NUMBERS, part.stop))
            yield Batch(numbers, functools.partial(iter, numbers))
