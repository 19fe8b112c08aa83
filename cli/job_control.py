"""What commands, the demo and tests do with jobs on a cluster: describe one, wait for its end."""

import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli import job_view
from cli.describing import describe
from cli.job_view import Record
from cli.options import open_store
from dynamo.config import ClusterConfig
from dynamo.errors import ConfigError, DynamoError

if TYPE_CHECKING:
    from mapreduce.cluster.connection import Connection

POLL_S = 0.2
"""How often the master is asked how far a job is."""


def open_master(config: ClusterConfig) -> "Connection":
    """The masters of the cluster, for calls."""
    if not config.masters:
        raise ConfigError(f"{config.path}: no [master NAME], and so no jobs; add one")
    from mapreduce.cluster.connection import Connection  # slow to import

    return Connection(config.master_addresses.values())


def create(
    config: ClusterConfig,
    master: "Connection",
    name: str,
    source: Path,
    inputs: tuple[str, ...],
    output: str,
    **options: Any,
) -> None:
    """Describe a job to the master; `options` are those of `cli.describing.job_options`."""
    spec, code = describe(name, source, inputs, output, **options)
    if not spec.files and not spec.modules:
        master.new_job(spec, code)
        return
    from mapreduce.engine import sidefiles

    with open_store(config) as store, tempfile.TemporaryDirectory() as folder:
        sidefiles.check_files(spec)
        sent = sidefiles.uploaded(sidefiles.zipped(spec, Path(folder)), store)
        try:
            master.new_job(sent, code)
        except DynamoError:
            sidefiles.remove(store, sent)
            raise


def wait_for_end(
    master: "Connection", name: str, detached: Callable[[], bool] = lambda: False
) -> Record:
    """Show progress bars until a job has ended, or `detached` says so; returns its last record."""
    from mapreduce.runners.bars import job_bars

    with job_bars() as show_bars:
        while True:
            record = master.job_status(name)
            show_bars(record)
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
