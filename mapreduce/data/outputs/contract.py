"""What every place for output does.

Each attempt writes its parts out of sight. `commit` makes the winners' parts visible under their
final names and then writes `_SUCCESS` (a summary as JSON), whose presence says that the output is
whole. `discard` deletes a part that lost. A part that is not committed is never seen.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from mapreduce.data.outputs.parts import Part


class PartWriter(Protocol):
    """Writes one part, out of sight. Whoever opens one ends it with `close` or `abort`."""

    def write(self, data: bytes, records: int) -> None:
        """Add bytes that hold so many records."""

    def close(self) -> Part:
        """The part, stored; if it can't be stored, `abort` is still to be called."""

    def abort(self) -> None:
        """Leave nothing of the part behind, written or half written; raises nothing."""


class Output(ABC):
    """The output folder of one job."""

    @abstractmethod
    def check_absent(self) -> None:
        """Raise `OutputExists` if there is anything in the folder, before a job starts, or
        `JobError` if the folder can't be written to."""

    @abstractmethod
    def open(self, name: str, attempt: str) -> PartWriter:
        """Begin a part that is to be called `name`."""

    def write(self, name: str, attempt: str, blocks: Iterable[tuple[bytes, int]]) -> Part:
        """Store one part out of sight. A block comes with the number of records it holds."""
        writer = self.open(name, attempt)
        try:
            for block, records in blocks:
                writer.write(block, records)
            return writer.close()
        except BaseException:
            writer.abort()
            raise

    @abstractmethod
    def commit(self, parts: Sequence[Part], summary: Mapping[str, Any], merged: str = "") -> None:
        """Make all parts visible, then `_SUCCESS`.

        With `merged`, the parts of the job's own output become one file of that name, in the order
        in which they are given; parts of named outputs keep their names.

        May be repeated after a failure. In the store some parts can be visible after one: whoever
        gives up retracts them; a folder takes them back by itself.
        """

    @abstractmethod
    def retract(self) -> None:
        """Delete what a commit that did not come to its end has made visible.

        The folder was empty when the job began; what no commit makes is left alone.
        """

    @abstractmethod
    def discard(self, part: Part) -> None:
        """Delete a part that will not be committed; one that is gone already is no error."""

    @abstractmethod
    def abandon(self) -> None:
        """Delete what attempts of a job that has ended without output may have left."""

    @abstractmethod
    def files(self) -> dict[str, int]:
        """The names of the visible files in order, each with its size in bytes."""

    @abstractmethod
    def read(self, name: str) -> Iterator[bytes]:
        """The bytes of a visible file."""

    @abstractmethod
    def summary(self) -> dict[str, Any] | None:
        """What `_SUCCESS` says; None if the output is not whole."""


def as_json(summary: Mapping[str, Any]) -> bytes:
    return json.dumps(summary, indent=2, sort_keys=True).encode() + b"\n"
