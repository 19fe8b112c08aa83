"""The reduce side for lines: sorted runs of a partition, merged by the system's `sort`."""

import itertools
import operator
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from mapreduce.data.pieces import Fetch, LineForm, Piece
from mapreduce.data.shuffle.blocks import decoded_lines
from mapreduce.data.shuffle.lines import whole_lines
from mapreduce.data.shuffle.reading import opened, read_ahead
from mapreduce.data.shuffle.sort import merged, written

_PIECE = operator.itemgetter(0)


def common_form(pieces: Iterable[Piece]) -> LineForm | None:
    """The form of the lines of all pieces; None if they have several, or are no lines."""
    forms = {piece.lines for piece in pieces}
    return forms.pop() if len(forms) == 1 else None


def merged_lines(
    pieces: Iterable[Piece], fetch: Fetch, form: LineForm, scratch: Path
) -> Iterator[bytes]:
    """The lines of all pieces in order of their keys, in blocks of whole lines; those of one key in
    order of map task and emission.

    All pieces are on the local disk when the first block comes. Raises what `grouped` raises.
    """
    with tempfile.TemporaryDirectory(
        prefix="lines-", dir=scratch, ignore_cleanup_errors=True
    ) as folder:
        runs = itertools.groupby(read_ahead(pieces, fetch), _PIECE)
        files = [
            written(Path(folder, f"{number}"), (opened(block, decoded_lines).text for block in run))
            for number, (_, run) in enumerate(runs)
        ]
        yield from whole_lines(merged(files, form))
