"""A progress bar on stderr: only on a terminal, so that pipes and logs stay clean."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def bytes_bar(title: str, total_bytes: int) -> Iterator[Callable[[int], None]]:
    """A bar over a transfer; the block calls what it gets with the bytes just moved.

    May be called from many threads.
    """
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(
        *columns,
        TransferSpeedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        bar = progress.add_task(title, total=total_bytes)
        yield lambda moved: progress.advance(bar, moved)
