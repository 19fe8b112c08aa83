"""What commands, the demo and tests do first: find the master, and describe a job to it."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.describing import describe
from cli.options import open_store
from dynamo.config import ClusterConfig
from dynamo.errors import ConfigError, DynamoError

if TYPE_CHECKING:
    from mapreduce.cluster.connection import Connection


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
    source: Path | None,
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
