"""Progress bars on stderr: only on a terminal, so that pipes and logs stay clean."""

from collections.abc import Callable, Iterator, Mapping
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


@contextmanager
def job_bars() -> Iterator[Callable[[Mapping[str, tuple[int, int]]], None]]:
    """One bar for each stage; the block calls what it gets with stage -> (done, total)."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description:<7}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as progress:
        bars = {}

        def show(stages: Mapping[str, tuple[int, int]]) -> None:
            for stage, (done, total) in stages.items():
                if stage not in bars:
                    bars[stage] = progress.add_task(stage, total=total or None)
                progress.update(bars[stage], completed=done, total=total or None)

        yield show
