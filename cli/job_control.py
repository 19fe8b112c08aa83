"""What commands, the demo and tests do with jobs on a cluster: describe one, wait for its end."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli import job_view
from cli.job_view import Record
from dynamo.config import ClusterConfig
from dynamo.errors import ConfigError

if TYPE_CHECKING:
    from mapreduce.cluster.connection import Connection

POLL_S = 0.2
"""How often the master is asked how far a job is."""


def open_master(config: ClusterConfig) -> "Connection":
    """The master of the cluster, for calls."""
    if not config.masters:
        raise ConfigError(f"{config.path}: no [master NAME], and so no jobs; add one")
    from mapreduce.cluster.connection import Connection  # slow to import

    return Connection(config.masters[0].address)


def create(
    master: "Connection",
    name: str,
    source: Path,
    inputs: tuple[str, ...],
    output: str,
    *,
    mapper: str | None = None,
    reducer: str | None = None,
    combiner: str | None = None,
    **options: Any,
) -> None:
    """Describe a job to the master; `options` are further fields of `JobSpec`."""
    from mapreduce.engine.orders import Code, JobSpec

    code = Code(
        kind="source",
        filename=str(source),
        mapper=mapper or "",  # the master fills in what a source file has by default
        reducer=reducer,
        combiner=combiner,
    )
    spec = JobSpec(name=name, inputs=inputs, output=output, code=code, **options)
    master.new_job(spec, source.read_bytes())


def wait_for_end(
    master: "Connection", name: str, detached: Callable[[], bool] = lambda: False
) -> Record:
    """Show progress bars until a job has ended, or `detached` says so; returns its last record."""
    from cli.progress import job_bars

    with job_bars() as show_bars:
        while True:
            record = master.job_status(name)
            show_bars(job_view.stages(record))
            if job_view.ended(record) or detached():
                return record
            time.sleep(POLL_S)


@contextmanager
def ctrl_c() -> Iterator[Callable[[], bool]]:
    """What it gives says whether Ctrl-C was pressed; a second one interrupts as usual.

    So a call to the master is never cut off in its middle, and its answer is known.
    """
    pressed = False
    before = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: object) -> None:
        nonlocal pressed
        pressed = True
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, note)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, before)
