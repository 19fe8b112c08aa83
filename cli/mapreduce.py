"""The command `mapreduce`: a cluster up and down, and jobs on it or on this machine alone."""

import click

from cli.cluster_processes import ClusterProcesses
from cli.errors import CommandGroup
from cli.options import (
    CONTEXT_SETTINGS,
    config_option,
)
from dynamo.config import ClusterConfig


@click.group(cls=CommandGroup, context_settings=CONTEXT_SETTINGS)
@click.version_option(package_name="dynamo-mapreduce")
def main() -> None:
    """MapReduce on a replicated key-value store.

    \b
    Try:
      mapreduce up
      dynamo put -r books/ /books
      mapreduce new_job wc examples/wordcount.py --input /books --output /out/wc --reducers 4
      mapreduce run_job wc --wait
      mapreduce output wc
      mapreduce down

    \b
    Without a cluster:
      mapreduce run examples/wordcount.py book.txt -o out/

    Exit codes: 0 done, 1 the cluster or the job failed, 2 the command can't work as it is.
    """


# The cluster -------------------------------------------------------------------------------------


@main.command(short_help="Start everything in cluster.ini.")
@config_option
def up(config: ClusterConfig) -> None:
    """Start all store nodes, the master and the workers of cluster.ini in the background.

    Returns when each of them answers. What runs already stays as it is. Logs are in the folder
    `log` of the cluster's data folder.

    \b
    Example:
      mapreduce up
    """
    ClusterProcesses(config).up(click.echo)


@main.command(short_help="Stop what `up` has started.")
@config_option
def down(config: ClusterConfig) -> None:
    """Stop all that `mapreduce up` has started; data stays where it is.

    \b
    Example:
      mapreduce down
    """
    ClusterProcesses(config).down(click.echo)


if __name__ == "__main__":
    main(prog_name="mapreduce")
