"""Text for people: sizes, times and tables."""

import json
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:  # slow to import: not before it is needed
    from rich.table import Table

PIPE_WIDTH = 10_000
"""Into a pipe nothing is folded: a row of a table stays a line."""


def size(count_bytes: float) -> str:
    """
    >>> size(812), size(16 << 20)
    ('812 B', '16.0 MiB')
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count_bytes < 1024:
            return f"{count_bytes:.0f} B" if unit == "B" else f"{count_bytes:.1f} {unit}"
        count_bytes /= 1024
    return f"{count_bytes:.1f} TiB"


def number_of(count: int, noun: str) -> str:
    """
    >>> number_of(1, "file"), number_of(1200, "file")
    ('1 file', '1,200 files')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def moment(seconds_since_1970: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds_since_1970))


def clock(seconds_since_1970: float) -> str:
    """The time of day, to the millisecond."""
    whole = int(seconds_since_1970)
    thousandths = int((seconds_since_1970 - whole) * 1000)
    return time.strftime("%H:%M:%S", time.localtime(whole)) + f".{thousandths:03d}"


def duration(seconds: float | None) -> str:
    """
    >>> duration(0.123), duration(75), duration(None)
    ('0.12 s', '1 min 15 s', '-')
    """
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{seconds:.2f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; on a terminal long texts are folded to its width."""
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    console.print(drawn(columns, rows))


def drawn(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> "Table":
    """A table that `rich` can print."""
    from rich.table import Table

    found = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        found.add_column(column, overflow="fold")
    for row in rows:
        found.add_row(*(_plain(cell) for cell in row))
    return found


def as_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, default=str))


def _plain(cell: object) -> Any:
    from rich.text import Text

    return Text("-" if cell is None or cell == "" else str(cell))
