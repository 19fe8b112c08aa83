"""The commands of `mapreduce` that tell of jobs: how far they are, what they printed and took."""

import fnmatch
import itertools
import re

import click

from cli import history_view, job_view, servers_view, show
from cli.job_control import open_master
from cli.options import config_option, json_option, open_store
from cli.waiting import wait_and_tell
from dynamo.config import ClusterConfig
from dynamo.errors import RequestError

STATES = ("new", "running", "succeeded", "failed", "killed")


@click.command(short_help="Say how far a job is, or how the cluster is.")
@click.argument("name", required=False)
@click.option("--wait", is_flag=True, help="Stay until the job has ended.")
@json_option
@config_option
def status(name: str | None, wait: bool, as_json: bool, config: ClusterConfig) -> None:
    """Say how far the job NAME is; without NAME, which servers answer.

    Of a job: for each stage what is done, what runs, what waits and why, what failed, how fast it
    goes and how long it may still take; its slowest tasks; its counters; and the first traceback
    of the user's own code, though the task may have been tried again since.

    \b
    Examples:
      mapreduce status
      mapreduce status wc
      mapreduce status wc --wait
      mapreduce status wc --json
    """
    if name is None:
        servers_view.print_servers(config, as_json)
        return
    master = open_master(config)
    if wait:
        wait_and_tell(master, name)
    elif as_json:
        show.as_json(master.job_status(name))
    else:
        job_view.print_summary(master.job_status(name))


@click.command(short_help="List jobs.")
@click.option("--state", "states", multiple=True, type=click.Choice(STATES),
              help="Only jobs in this state; may be given again.")  # fmt: skip
@click.option("--name", "pattern", default="*", metavar="GLOB", help="Only jobs named like this.")
@click.option("--limit", type=click.IntRange(1), help="Only so many, the newest.")
@json_option
@config_option
def jobs(
    states: tuple[str, ...], pattern: str, limit: int | None, as_json: bool, config: ClusterConfig
) -> None:
    """List jobs, the newest first.

    \b
    Examples:
      mapreduce jobs
      mapreduce jobs --state running --state failed
      mapreduce jobs --name 'wc-*' --limit 10 --json
    """
    newest_first = reversed(open_master(config).jobs())
    found = (
        record
        for record in newest_first
        if fnmatch.fnmatchcase(record["name"], pattern)
        and (not states or record["state"] in states)
    )
    listed = list(itertools.islice(found, limit))
    if as_json:
        show.as_json(listed)
    else:
        show.table(job_view.JOB_COLUMNS, map(job_view.job_row, listed))


@click.command(short_help="Print what a job's tasks have printed.")
@click.argument("name")
@click.argument("task", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on with what is printed until the job ends.")
@click.option("--servers", is_flag=True, help="What masters and workers have said of the run.")
@config_option
def logs(name: str, task: str | None, follow: bool, servers: bool, config: ClusterConfig) -> None:
    """Print what the tasks of the job NAME have printed, or only TASK.

    TASK is a kind, a task or one of its attempts: map, map-00003 or map-00003.1. With --follow,
    Ctrl-C ends the following and not the job.

    With --servers it is what the masters and workers have said of the job's latest run, in order
    of time by the clock of each; with TASK the lines that name it.

    \b
    Examples:
      mapreduce logs wc map-00003
      mapreduce logs wc --follow
      mapreduce logs wc --servers
    """
    if servers:
        if follow:
            raise RequestError("--servers tells of what is there by now; leave out --follow")
        _print_server_lines(name, task, config)
        return
    from mapreduce.runners import logs as kept

    master = open_master(config)
    record = master.job_status(name)
    last = None
    with open_store(config) as store:
        if follow:
            found = kept.follow(store, lambda: master.job_status(name), task)
        else:
            found = kept.read(store, record["run"] or name, task)
        for log in found:
            if log[:2] != last:
                last = log[:2]
                step = f" of step {log.step}" if record["steps"] > 1 else ""
                click.echo(f"== {log.attempt}{step}")
            click.echo(log.text, nl=not log.text.endswith("\n"))
    if last is None:
        click.echo(f"no task of job {name}{f' like {task}' if task else ''} printed", err=True)


def _print_server_lines(name: str, task: str | None, config: ClusterConfig) -> None:
    from mapreduce.cluster import serverlog

    run = open_master(config).job_status(name)["run"]
    names_it = re.compile(rf"\b{re.escape(task)}\b" if task else "").search
    with open_store(config) as store:
        found = [line for line in serverlog.read(store, run) if names_it(line.text)]
    width = max((len(line.server) for line in found), default=0)
    for at, server, text in found:
        click.echo(f"{show.clock(at)}  {server:{width}}  {text}")
    if not found:
        of = f" of {task}" if task else ""
        click.echo(f"no server has said anything{of} of the latest run of job {name}", err=True)


@click.command(short_help="Tell of past runs of a job, with the time of each task.")
@click.argument("name")
@click.option("--run", "run_id", metavar="RUN", help="The tasks of this run, not of the latest.")
@click.option("--slowest", type=click.IntRange(1), metavar="N", help="Only the slowest N tasks.")
@json_option
@config_option
def history(
    name: str, run_id: str | None, slowest: int | None, as_json: bool, config: ClusterConfig
) -> None:
    """Tell of the past runs of the job NAME, and of the attempts of each task in the latest.

    Of an attempt: when it began and how long it took, on which worker, how near to its data, and
    how it ended. It is read from the store, where it stays until `mapreduce rm`.

    \b
    Examples:
      mapreduce history wc
      mapreduce history wc --slowest 10
      mapreduce history wc --run wc-1a2b3c4d --json
    """
    open_master(config).job_status(name)  # an unknown job is an error
    with open_store(config) as store:
        history_view.print_history(store, name, run_id, slowest, as_json)
