"""The format "whole": each file is one record.

    read:     key: the path of the file; value: its content as text, or with bytes=yes as bytes.

A file is read into memory as it is, its line ends too, and is never cut.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from mapreduce.data.formats.contract import Batch, Errors
from mapreduce.data.formats.lines import decoded
from mapreduce.data.slices import Reader, Slice


@dataclass(frozen=True, kw_only=True)
class ReadWhole:
    """(path, content)."""

    bytes: bool = False
    errors: Errors = "strict"
    splittable: ClassVar[bool] = False

    def read(self, part: Slice, reader: Reader) -> Iterator[Batch]:
        content = b"".join(reader.read(part, part.start, part.stop))
        text_or_bytes = content if self.bytes else decoded(part, 0, content, self.errors)
        yield Batch([(part.path, text_or_bytes)])
