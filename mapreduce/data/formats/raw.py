"""The format "raw": the values as they are, one behind the other, nothing between.

    written:  values that are bytes; keys are left out.

For files of formats that are not here: the reducer makes their bytes.
"""

from dataclasses import dataclass

from mapreduce.api import Pair
from mapreduce.data.formats.contract import BlockFormat, ReadFormat, shown
from mapreduce.errors import BadRecord, JobError


@dataclass(frozen=True, kw_only=True)
class WriteRaw(BlockFormat):
    """Bytes."""

    def write(self, pairs: list[Pair]) -> bytes:
        try:
            return b"".join([value for _, value in pairs])
        except TypeError:
            pair = next(p for p in pairs if not isinstance(p[1], bytes | bytearray | memoryview))
            raise BadRecord(
                f"the value of the pair {shown(pair)} is not bytes, which the format raw writes: "
                "encode it, as in value.encode(), or write the format text"
            ) from None

    def reads_back(self) -> ReadFormat:
        raise JobError(
            "output in the format raw has no records to read back: read the files of the output "
            "folder, or write the format pickle"
        )
