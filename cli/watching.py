"""What `--watch` does: look again every second, until Ctrl-C."""

import contextlib
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:  # slow to import: not before it is needed
    from rich.console import RenderableType

EVERY_S = 1.0
Found = TypeVar("Found")


def watch(
    read: Callable[[], Found],
    drawn: Callable[[Found], Iterable["RenderableType"]],
    line: Callable[[Found], object] | None = None,
) -> None:
    """Show what is read: as `drawn`, in the same place; or each time what `line` makes of it, as a
    line of JSON."""
    frames = (read() for _ in itertools.count())
    with contextlib.suppress(KeyboardInterrupt):
        if line is None:
            _draw(map(drawn, frames))
        else:
            _print(map(line, frames))


def _print(lines: Iterator[object]) -> None:
    for line in lines:
        click.echo(json.dumps(line))
        sys.stdout.flush()
        time.sleep(EVERY_S)


def _draw(frames: Iterator[Iterable["RenderableType"]]) -> None:
    from rich.console import Group
    from rich.live import Live

    with Live(auto_refresh=False) as live:
        for frame in frames:
            live.update(Group(*frame), refresh=True)
            time.sleep(EVERY_S)
