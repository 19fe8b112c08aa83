"""The commands `mapreduce up` and `down`: the servers of this machine, or of all hosts."""

import contextlib
import socket
import time

import click

from cli import remote_hosts, worker_counts
from cli.cluster_processes import ClusterProcesses, servers
from cli.errors import Failure
from cli.job_control import open_master
from cli.options import config_option
from dynamo.config import ClusterConfig
from dynamo.errors import DynamoError, RequestError

DRAIN_S = 30.0
"""Tasks of workers that are too many have so long to end; after that they run again elsewhere."""
POLL_S = 0.2

ssh_option = click.option("--ssh", "over_ssh", is_flag=True, help="On all hosts, through ssh.")


@click.command(short_help="Start everything in cluster.ini.")
@click.option("--host", metavar="NAME", help="Only the servers of this host, on this machine.")
@click.option("--workers", type=click.IntRange(1), metavar="N",
              help="N workers on this machine, however many cluster.ini names.")  # fmt: skip
@ssh_option
@click.option("--copy", is_flag=True, help="With --ssh: replace a cluster.ini that differs there.")
@click.option("--with-caller", is_flag=True, hidden=True, help="Give up when stdin ends.")
@config_option
def up(
    host: str | None,
    workers: int | None,
    over_ssh: bool,
    copy: bool,
    with_caller: bool,
    config: ClusterConfig,
) -> None:
    """Start all store nodes, the masters and the workers of cluster.ini in the background.

    Returns when each of them answers. What runs already stays as it is. Logs are in the folder
    `log` of the cluster's data folder.

    With --workers there are N workers until `mapreduce down`, spread over the nodes of this
    machine; another N starts what is missing, and drains and stops what is too many.

    If cluster.ini names servers on several hosts, --host NAME starts those of one, on its own
    machine, and --ssh those of all, from any: it copies cluster.ini where there is none, and
    runs `mapreduce up --host NAME` on each host. If one fails, what it has started on the others
    is stopped again.

    \b
    Examples:
      mapreduce up
      mapreduce up --workers 8
      mapreduce up --host 10.0.0.5
      mapreduce up --ssh
    """
    if over_ssh:
        _refuse_beside_ssh(host, workers)
        remote_hosts.up(config, copy, click.echo)
        return
    here = _this_host(config, host, "up")
    if workers is None:
        ClusterProcesses(config, 0 if with_caller else None).up(click.echo, here)
        return
    with worker_counts.chosen(config, here, workers) as counted:
        processes = ClusterProcesses(counted)
        processes.up(click.echo, here)
    processes.retire(click.echo, here, lambda names: _drain(config, names))


@click.command(short_help="Stop what `up` has started.")
@click.argument("labels", nargs=-1, metavar="[SERVER]...")
@click.option("--host", metavar="NAME", help="Only the servers of this host, on this machine.")
@ssh_option
@config_option
def down(labels: tuple[str, ...], host: str | None, over_ssh: bool, config: ClusterConfig) -> None:
    """Stop all that `mapreduce up` has started on this machine; data stays where it is.

    SERVER is one of them, named as its log is: node-n1, master-m1, worker-w1.

    \b
    Examples:
      mapreduce down
      mapreduce down worker-w2
      mapreduce down --host 10.0.0.5
      mapreduce down --ssh
    """
    if over_ssh:
        _refuse_beside_ssh(host, *labels)
        remote_hosts.down(config, click.echo)
        return
    if host is not None:
        config.host(host)
    ClusterProcesses(config).down(click.echo, host, labels)
    if not labels:
        worker_counts.forget(config, host)


def _refuse_beside_ssh(*others: object) -> None:
    if any(other is not None for other in others):
        raise RequestError("--ssh is for all servers of all hosts; give it alone")


def _this_host(config: ClusterConfig, name: str | None, command: str) -> str:
    """The host of cluster.ini that this machine is: `name`, or the only one."""
    if name is None and len(config.hosts) > 1:
        listed = "\n".join(
            f"  {host.name}: {_servers_of(config, host.name)}" for host in config.hosts
        )
        raise Failure(
            f"{config.path} names servers on {len(config.hosts)} hosts:\n{listed}\n"
            f"`mapreduce {command} --host NAME` on each of them starts its own, "
            f"`mapreduce {command} --ssh` all from here",
            exit_code=2,
        )
    host = config.hosts[0] if name is None else config.host(name)
    _check_is_here(config, host.name)
    return host.name


def _servers_of(config: ClusterConfig, host: str) -> str:
    return ", ".join(str(server) for server in servers(config) if server.host == host)


def _check_is_here(config: ClusterConfig, host: str) -> None:
    """Raise if servers of `host` can't listen on this machine, before any is started."""
    for server in servers(config):
        if server.host == host and server.address:
            ip = server.address.rpartition(":")[0]
            with contextlib.closing(socket.socket()) as one:
                try:
                    one.bind((ip, 0))
                except OSError as error:
                    raise Failure(
                        f"{ip}, the address of {server}, is none of this machine "
                        f"({error.strerror}); run this on the host {host}",
                        exit_code=2,
                    ) from None


def _drain(config: ClusterConfig, workers: list[str]) -> None:
    """Give workers no further tasks, and wait a while until what runs there has ended."""
    master = open_master(config)
    deadline = time.monotonic() + DRAIN_S
    try:
        for worker in workers:
            master.drain_worker(worker, True)
        while busy := [
            known
            for known in master.workers()
            if known["name"] in workers and (known["running"] or not known["draining"])
        ]:
            if time.monotonic() > deadline:
                tasks = sum(worker["running"] for worker in busy)
                click.echo(f"{tasks} tasks did not end in {DRAIN_S:g} s, and run again elsewhere")
                return
            time.sleep(POLL_S)
    except DynamoError as error:
        click.echo(f"not drained, what runs there runs again elsewhere: {error}", err=True)
