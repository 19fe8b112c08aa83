"""The commands of `mapreduce` that change what runs: stop, pause, resume, remove, drain."""

import fnmatch
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

from cli import show
from cli.errors import Failure
from cli.job_control import open_master
from cli.options import config_option
from cli.waiting import what_killing_did
from dynamo.config import ClusterConfig
from dynamo.errors import RequestError

if TYPE_CHECKING:
    from mapreduce.cluster.connection import Connection

POLL_S = 0.2


@click.command(name="kill_job", short_help="Stop a job, or what runs of one of its tasks.")
@click.argument("name")
@click.argument("task", required=False)
@config_option
def kill_job(name: str, task: str | None, config: ClusterConfig) -> None:
    """Stop the job NAME: its processes end within two seconds and its intermediate data goes.

    With TASK only what runs of that task of the present step, which then starts again; that does
    not count as a failure.

    \b
    Examples:
      mapreduce kill_job wc
      mapreduce kill_job wc map-00003
    """
    master = open_master(config)
    if task is None:
        click.echo(what_killing_did(master.kill_job(name)))
        return
    master.kill_task(name, task)
    click.echo(f"{task} of job {name} is killed, and starts again")


@click.command(short_help="Start no further task of a job.")
@click.argument("name")
@config_option
def pause(name: str, config: ClusterConfig) -> None:
    """Start no further task of the job NAME until `mapreduce resume`; tasks that run go on.

    \b
    Example:
      mapreduce pause wc
    """
    open_master(config).pause_job(name)
    click.echo(f"job {name} is paused; `mapreduce resume {name}` lets it go on")


@click.command(short_help="Let a paused job go on.")
@click.argument("name")
@config_option
def resume(name: str, config: ClusterConfig) -> None:
    """Let the job NAME, which is paused, go on.

    \b
    Example:
      mapreduce resume wc
    """
    open_master(config).resume_job(name)
    click.echo(f"job {name} goes on")


@click.command(short_help="Remove jobs with all that is kept of them.")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--output", "with_output", is_flag=True, help="Remove what they have written too.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@config_option
def rm(names: tuple[str, ...], with_output: bool, yes: bool, config: ClusterConfig) -> None:
    """Remove the jobs NAME: record, specification, code, side files, plans, logs and history.

    NAME may be a pattern such as 'wc-*'. A pattern, or more than one NAME, is asked about. The
    output stays, unless --output is given. A job that runs is not removed: kill it first.

    \b
    Examples:
      mapreduce rm wc
      mapreduce rm 'wc-*' sort --output --yes
    """
    master = open_master(config)
    found = _matching(names, [record["name"] for record in master.jobs()])
    if not found:
        click.echo("no job is named like that", err=True)
        return
    if not yes and (len(found) > 1 or list(names) != found):
        click.echo("\n".join(found), err=True)
        what = show.number_of(len(found), "job") + (" and their output" if with_output else "")
        click.confirm(f"remove {what}?", abort=True, err=True)
    refused = [why for name in found if (why := _removed(master, name, with_output))]
    if refused:
        raise Failure("\n".join(refused), exit_code=2)


def _matching(patterns: Iterable[str], names: Sequence[str]) -> list[str]:
    """The names that are given, as they are or by patterns; a plain one need not exist.

    >>> _matching(["a*", "b"], ["a1", "a2"])
    ['a1', 'a2', 'b']
    """
    found = [
        fnmatch.filter(names, pattern) if set(pattern) & set("*?[") else [pattern]
        for pattern in patterns
    ]
    return list(dict.fromkeys(name for some in found for name in some))


def _removed(master: "Connection", name: str, with_output: bool) -> str:
    """Remove a job and say so; or why it can't be removed."""
    try:
        master.remove_job(name, with_output)
    except RequestError as error:
        return str(error)
    click.echo(f"job {name} is removed")
    return ""


@click.command(short_help="Give a worker no further tasks, as before its machine is stopped.")
@click.argument("worker")
@click.option("--undo", is_flag=True, help="Give it tasks again.")
@click.option("--wait", is_flag=True, help="Return when nothing runs there any more.")
@config_option
def drain(worker: str, undo: bool, wait: bool, config: ClusterConfig) -> None:
    """Give WORKER no further tasks; those that run there come to their end.

    It stays so until --undo, or until it is started anew.

    \b
    Examples:
      mapreduce drain w2 --wait
      mapreduce drain w2 --undo
    """
    if undo and wait:
        raise RequestError("--wait is for a worker that gets no tasks; leave out --undo")
    master = open_master(config)
    master.drain_worker(worker, not undo)
    if undo:
        click.echo(f"worker {worker} gets tasks again")
        return
    click.echo(
        f"worker {worker} gets no further tasks; `mapreduce drain {worker} --undo` ends that"
    )
    if wait:
        _wait_until_idle(master, worker)


def _wait_until_idle(master: "Connection", worker: str) -> None:
    """A worker that is gone meanwhile has nothing to do either."""
    while any(
        known["running"] or not known["draining"]
        for known in master.workers()
        if known["name"] == worker
    ):
        time.sleep(POLL_S)
    click.echo(f"nothing runs on worker {worker}")
