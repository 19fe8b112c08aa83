"""The commands of `mapreduce` that describe and start a job, on a cluster or here."""

import itertools
import pdb
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from cli import describing_executables, job_control, job_view
from cli.describing import describe, job_options
from cli.errors import Failure
from cli.job_control import open_master
from cli.options import config_option, open_store
from cli.waiting import wait_and_tell
from dynamo.config import ClusterConfig
from dynamo.errors import DynamoError, RequestError


@click.command(name="new_job", short_help="Describe a job: its code, inputs and output.")
@click.argument("name")
@click.argument("source", required=False)
@click.option("--input", "inputs", multiple=True, metavar="/PATH",
              help="A file, folder or glob in the store, keys:PREFIX or a URL.")  # fmt: skip
@click.option("--output", required=True, metavar="/PATH", help="A folder that is not there yet.")
@job_options
@config_option
def new_job(
    name: str,
    source: str | None,
    inputs: tuple[str, ...],
    output: str,
    config: ClusterConfig,
    **options: Any,
) -> None:
    """Describe the job NAME: run the classes of the Python file SOURCE over files of the store, or
    without SOURCE the programs --mapper and --reducer, in any language.

    Everything is checked now; `mapreduce run_job NAME` starts it. SOURCE has the classes MyMapper,
    MyReducer, ..., or a whole job: `job = Job(...)`, or a function `job` that makes one of the
    parameters that --set gives, such as `def job(rounds: int = 10)`. A mapper that is a program
    reads lines and writes lines `key TAB value`; a reducer reads these in order of their keys.
    Files that the commands name are sent with the job.

    \b
    Examples:
      mapreduce new_job wc examples/wordcount.py --input /books --output /out/wc --reducers 4
      mapreduce new_job pr examples/pagerank.py --input /links --output /out/pr --set rounds=10
      mapreduce new_job wc --mapper ./map.awk --reducer ./sum.awk --input /books --output /out/wc
    """
    path = _source([source] if source else [], options)
    if source and path is None:
        raise RequestError(f"{source!r} is no Python source; --input names what programs read")
    master = open_master(config)
    job_control.create(config, master, name, path, inputs, output, **options)
    click.echo(f"job {name} is ready; start it with `mapreduce run_job {name} --wait`")


@click.command(name="run_job", short_help="Start a job.")
@click.argument("name")
@click.option("--wait", is_flag=True, help="Show how far it is, and at its end a summary.")
@config_option
def run_job(name: str, wait: bool, config: ClusterConfig) -> None:
    """Start the job NAME. A job that has failed or was killed starts again.

    With --wait, Ctrl-C ends the waiting and not the job; a second one kills the job, after asking.

    \b
    Example:
      mapreduce run_job wc --wait
    """
    master = open_master(config)
    if wait:
        wait_and_tell(master, name, master.run_job)
        return
    master.run_job(name)
    click.echo(f"job {name} runs; see how far it is with `mapreduce status {name}`")


@click.command(short_help="Run a job on this machine alone, without a cluster.")
@click.argument("inputs", nargs=-1, metavar="[SOURCE] INPUT...")
@click.option("-o", "--output", required=True, metavar="DIR", help="A folder that is not there.")
@click.option(
    "--runner",
    type=click.Choice(["local", "inline"]),
    default="local",
    show_default=True,
    help="inline: all in this process, for a debugger.",
)
@click.option("--limit", type=click.IntRange(1), help="Map only so many records (inline).")
@click.option("--processes", type=click.IntRange(1), help="How many; default: one for each CPU.")
@job_options
def run(
    inputs: tuple[str, ...],
    output: str,
    runner: str,
    limit: int | None,
    processes: int | None,
    **options: Any,
) -> None:
    """Run the classes of the Python file SOURCE over local files, in processes of this machine; or
    without SOURCE the programs --mapper and --reducer, in any language.

    INPUT is a file, a folder, a pattern such as 'books/*.txt' or a URL. The same file runs on a
    cluster without a change: see `mapreduce new_job`.

    \b
    Examples:
      mapreduce run examples/wordcount.py book.txt -o out/
      python -m pdb -m cli.mapreduce run wc.py book.txt -o out/ --runner inline --limit 100
      mapreduce run --mapper ./map.awk --reducer 'uniq -c' book.txt -o out/
    """
    from mapreduce.runners import inline, local
    from mapreduce.runners.bars import job_bars

    if limit and runner != "inline":
        raise RequestError("--limit is for one process: give --runner inline with it")
    source = _source(inputs, options)
    if source is not None:
        inputs = inputs[1:]
    spec, code = describe(_job_name(source, options), source, inputs, output, **options)
    describing_executables.check_here(spec)
    with job_bars() as progress:
        if runner == "inline":
            result = inline.run(spec, code, limit=limit, progress=progress)
        else:
            result = local.run(spec, code, processes=processes, progress=progress)
    for line in job_view.local_summary(result.summary, output):
        click.echo(line, err=True)


@click.command(short_help="Do a task of a job again, here, to see why it fails.")
@click.argument("name")
@click.argument("task")
@click.option("--limit", type=click.IntRange(1), help="Stop after so many pairs.")
@click.option("--pdb", "debug", is_flag=True, help="Open a debugger where user code raises.")
@config_option
def replay(name: str, task: str, limit: int | None, debug: bool, config: ClusterConfig) -> None:
    """Do TASK of the latest run of the job NAME again, in this process, and print its pairs.

    TASK is as the job's errors and logs name it: map-00003, or 2/map-00003 of the second step. It
    reads from the store what it read there, and changes nothing. A reduce task needs its maps to
    be done again before, all of them.

    \b
    Examples:
      mapreduce replay wc map-00003
      mapreduce replay wc map-00003 --pdb
    """
    from mapreduce.engine.child import describe
    from mapreduce.engine.tasknames import parse_task
    from mapreduce.runners.replay import replay as pairs_of

    record = open_master(config).job_status(name)
    count = 0
    try:
        with open_store(config) as store:
            for key, value in itertools.islice(pairs_of(store, record, parse_task(task)), limit):
                click.echo(f"{_shown(key)}\t{_shown(value)}")
                count += 1
    except DynamoError:
        raise
    except Exception as error:
        here = error.__traceback__
        click.echo(describe(error.with_traceback(here and here.tb_next)), err=True)
        if debug:
            pdb.post_mortem(error.__traceback__)
        raise Failure(f"task {task} of job {name} raises this after {count:,} pairs") from error
    click.echo(f"task {task} of job {name} gives {count:,} pairs and raises nothing", err=True)


def _shown(given: Any) -> str:
    """A key or a value; what a program gives is bytes."""
    return given.decode(errors="backslashreplace") if isinstance(given, bytes) else str(given)


def _source(words: Sequence[str], options: Mapping[str, Any]) -> Path | None:
    """The file that holds the code of a job; None if that is programs."""
    if words and describing_executables.is_source(words[0], options):
        return Path(words[0])
    if not any(options.get(name) for name in describing_executables.PROGRAMS):
        raise click.UsageError(
            "give SOURCE, a Python file with classes, or --mapper and --reducer, two programs"
        )
    return None


def _job_name(source: Path | None, options: Mapping[str, Any]) -> str:
    """A job's name from a file's: /x/word count.py runs as word-count."""
    stem = source.stem if source else describing_executables.job_name(options)
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:100] or "job"
