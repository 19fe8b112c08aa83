"""What a run gives back, whichever runner it was."""

import shutil
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mapreduce.api import Pair
from mapreduce.data import formats
from mapreduce.engine.status import JobStatus

Progress = Callable[[JobStatus], None]
"""Called now and then while a job runs, and once when it has ended."""


class RunResult:
    """A finished job: iterate over it for the pairs of its output, partition after partition.

    Within a partition the pairs come in the order in which the reducer made them, which is key
    order. With the output format "pickle" they are the objects that user code yielded; with
    others what the format gives back of them, such as texts (docs/formats.md). Output of the
    format "raw" can't be read back.
    """

    def __init__(
        self,
        output: str,
        output_format: str,
        summary: dict[str, Any],
        parts: Sequence[str],
        read_part: Callable[[str], Iterable[bytes]],
    ) -> None:
        self.output = output
        """The output folder."""
        self.summary = summary
        """See `mapreduce.engine.summary.summarise`."""
        self.parts = tuple(parts)
        """The names of the output's parts, in order of partition."""
        self.output_format = output_format
        self._read_part = read_part

    @property
    def counters(self) -> dict[str, int]:
        """The counters of all tasks together, the user's among them."""
        counters: dict[str, int] = self.summary["counters"]
        return counters

    def __iter__(self) -> Iterator[Pair]:
        for name in self.parts:
            yield from formats.decode_output(self.output_format, self._read_part(name), name)

    def __repr__(self) -> str:
        return f"<RunResult {self.summary['job']} {self.summary['state']} in {self.output}>"

    def remove_with_me(self, folder: Path) -> None:
        """Delete `folder` when nobody has this result any more, at the latest at exit."""
        weakref.finalize(self, shutil.rmtree, folder, True)
