"""The command `mapreduce`: a cluster up and down, and jobs on it or on this machine alone."""

from functools import partial

import click

from cli import (
    cluster_commands,
    job_reports,
    job_steering,
    jobs,
    json_commands,
    output,
    scoreboard,
)
from cli.errors import CommandGroup
from cli.options import CONTEXT_SETTINGS, config_option, ready_option, say_ready
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


main.add_command(cluster_commands.up)
main.add_command(cluster_commands.down)


@main.command(short_help="Run a master.")
@click.argument("name")
@config_option
@ready_option
def master(name: str, config: ClusterConfig, ready_fd: int | None) -> None:
    """Run the master NAME of cluster.ini until it is stopped (Ctrl-C or SIGTERM).

    \b
    Example:
      mapreduce master m1
    """
    me = config.master(name)
    from dynamo.net.client import Client
    from mapreduce.cluster import master

    ready = say_ready(f"master {name} answers on {me.address}", ready_fd)
    with Client(list(config.node_addresses.values()), timeout_s=config.timeout_s) as store:
        master.serve(me, config.masters, store, ready, trusted_network=config.trusted_network)


@main.command(short_help="Run a worker.")
@click.argument("name")
@config_option
@ready_option
def worker(name: str, config: ClusterConfig, ready_fd: int | None) -> None:
    """Run the worker NAME of cluster.ini until it is stopped (Ctrl-C or SIGTERM).

    \b
    Example:
      mapreduce worker w1
    """
    me = config.worker(name)
    from cli import sandboxed
    from dynamo.net.client import Client
    from mapreduce.cluster import worker

    open_store = partial(
        Client,
        list(config.node_addresses.values()),
        prefer=me.node,
        timeout_s=config.timeout_s,
    )
    ready = say_ready(f"worker {name} beside node {me.node} has found the master", ready_fd)
    masters = list(config.master_addresses.values())
    beside = config.node(me.node)
    host = beside.address.rpartition(":")[0] if beside.host == me.host else me.host
    node = me.node if beside.host == me.host else ""
    with sandboxed.tasks_of(me, open_store) as inside:
        worker.serve(name, node, me.slots, masters, open_store, ready, host, *inside)


for command in (
    jobs.new_job,
    jobs.run_job,
    job_reports.status,
    job_reports.jobs,
    scoreboard.scoreboard,
    job_reports.logs,
    output.output,
    job_steering.kill_job,
    job_steering.pause,
    job_steering.resume,
    job_reports.history,
    jobs.replay,
    job_steering.rm,
    job_steering.drain,
    jobs.run,
    json_commands.json_group,
):
    main.add_command(command)


if __name__ == "__main__":
    main(prog_name="mapreduce")
