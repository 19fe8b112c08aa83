"""The commands of `mapreduce` that are about jobs on a cluster."""

import contextlib
import itertools
import pdb
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli import job_control, job_view, show
from cli.cluster_processes import ClusterProcesses
from cli.describing import describe, job_options
from cli.errors import Failure
from cli.job_control import ctrl_c, open_master, wait_for_end
from cli.options import config_option, json_option, open_store
from dynamo.config import ClusterConfig
from dynamo.errors import DynamoError, RequestError

if TYPE_CHECKING:
    from mapreduce.cluster.connection import Connection


@click.command(name="new_job", short_help="Describe a job: its code, inputs and output.")
@click.argument("name")
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--input", "inputs", multiple=True, metavar="/PATH",
              help="A file, folder or glob in the store, keys:PREFIX or a URL.")  # fmt: skip
@click.option("--output", required=True, metavar="/PATH", help="A folder that is not there yet.")
@job_options
@config_option
def new_job(
    name: str,
    source: Path,
    inputs: tuple[str, ...],
    output: str,
    config: ClusterConfig,
    **options: Any,
) -> None:
    """Describe the job NAME: run the classes of the Python file SOURCE over files of the store.

    Everything is checked now; `mapreduce run_job NAME` starts it. SOURCE has the classes MyMapper,
    MyReducer, ..., or a whole job: `job = Job(...)`, or a function `job` that makes one of the
    parameters that --set gives, such as `def job(rounds: int = 10)`.

    \b
    Examples:
      mapreduce new_job wc examples/wordcount.py --input /books --output /out/wc --reducers 4
      mapreduce new_job pr examples/pagerank.py --input /links --output /out/pr --set rounds=10
    """
    master = open_master(config)
    job_control.create(config, master, name, source, inputs, output, **options)
    click.echo(f"job {name} is ready; start it with `mapreduce run_job {name} --wait`")


@click.command(name="run_job", short_help="Start a job.")
@click.argument("name")
@click.option("--wait", is_flag=True, help="Show how far it is, and at its end a summary.")
@config_option
def run_job(name: str, wait: bool, config: ClusterConfig) -> None:
    """Start the job NAME. A job that has failed or was killed starts again.

    With --wait, Ctrl-C ends the waiting and not the job.

    \b
    Example:
      mapreduce run_job wc --wait
    """
    master = open_master(config)
    if wait:
        _wait_and_tell(master, name, master.run_job)
        return
    master.run_job(name)
    click.echo(f"job {name} runs; see how far it is with `mapreduce status {name}`")


@click.command(name="kill_job", short_help="Stop a job.")
@click.argument("name")
@config_option
def kill_job(name: str, config: ClusterConfig) -> None:
    """Stop the job NAME: its processes end and its intermediate data goes.

    \b
    Example:
      mapreduce kill_job wc
    """
    click.echo(_what_killing_did(open_master(config).kill_job(name)))


@click.command(short_help="Say how far a job is, or how the cluster is.")
@click.argument("name", required=False)
@click.option("--wait", is_flag=True, help="Stay until the job has ended.")
@json_option
@config_option
def status(name: str | None, wait: bool, as_json: bool, config: ClusterConfig) -> None:
    """Say how far the job NAME is; without NAME, which servers answer.

    \b
    Examples:
      mapreduce status
      mapreduce status wc
      mapreduce status wc --wait
    """
    if name is None:
        _cluster_status(config, as_json)
        return
    master = open_master(config)
    if wait:
        _wait_and_tell(master, name)
    elif as_json:
        show.as_json(master.job_status(name))
    else:
        job_view.print_summary(master.job_status(name))


@click.command(short_help="List all jobs.")
@json_option
@config_option
def jobs(as_json: bool, config: ClusterConfig) -> None:
    """List all jobs, the newest first.

    \b
    Example:
      mapreduce jobs
    """
    found = list(reversed(open_master(config).jobs()))
    if as_json:
        show.as_json(found)
    else:
        show.table(job_view.JOB_COLUMNS, map(job_view.job_row, found))


@click.command(short_help="Print the result of a job.")
@click.argument("name")
@click.option("--named", metavar="OUTPUT", default="", help="Print this named output instead.")
@config_option
def output(name: str, named: str, config: ClusterConfig) -> None:
    """Print the whole result of the job NAME: its output files, one behind the other.

    Each file holds one reducer's keys in order.

    \b
    Examples:
      mapreduce output wc | sort -k2 -n -r | head
      mapreduce output visits --named bad
      dynamo get /out/wc -r -o wc/        fetches the files instead
    """
    from mapreduce.data import outputs

    told = open_master(config).output(name)
    names = [file["path"].rpartition("/")[2] for file in told["files"]]
    of = outputs.named_output_of
    if named and named not in map(of, names):
        has = ", ".join(dict.fromkeys(filter(None, map(of, names)))) or "none"
        raise RequestError(f"job {name} has nothing in an output {named!r}; named outputs: {has}")
    with open_store(config) as store:
        folder = outputs.open_output("store", told["path"], store)
        for part in names:
            if of(part) == named if named else outputs.holds_output(part):
                for block in folder.read(part):
                    sys.stdout.buffer.write(block)
    sys.stdout.buffer.flush()


@click.command(short_help="Print what a job's tasks have printed.")
@click.argument("name")
@click.argument("task", required=False)
@config_option
def logs(name: str, task: str | None, config: ClusterConfig) -> None:
    """Print what the tasks of the job NAME have printed, or only TASK.

    TASK is a kind, a task or one of its attempts: map, map-00003 or map-00003.1.

    \b
    Example:
      mapreduce logs wc map-00003
    """
    from mapreduce.engine import paths

    record = open_master(config).job_status(name)
    prefix = paths.run_keys(record["run"] or name)
    with open_store(config) as store:
        found = [(key, *_attempt_of(key.removeprefix(prefix))) for key in store.list(prefix)]
        found = [(key, step, attempt) for key, step, attempt in found if _is_of(attempt, task)]
        for key, step, attempt in found:
            text = (store.get(key).value or b"").decode(errors="replace")
            click.echo(f"== {attempt}" + (f" of step {step}" if record["steps"] > 1 else ""))
            click.echo(text, nl=not text.endswith("\n"))
    if not found:
        click.echo(f"no task of job {name}{f' like {task}' if task else ''} printed", err=True)


@click.command(short_help="Run a job on this machine alone, without a cluster.")
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("inputs", nargs=-1, metavar="INPUT...")
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
    source: Path,
    inputs: tuple[str, ...],
    output: str,
    runner: str,
    limit: int | None,
    processes: int | None,
    **options: Any,
) -> None:
    """Run the classes of the Python file SOURCE over local files, in processes of this machine.

    INPUT is a file, a folder, a pattern such as 'books/*.txt' or a URL. The same file runs on a
    cluster without a change: see `mapreduce new_job`.

    \b
    Examples:
      mapreduce run examples/wordcount.py book.txt -o out/
      python -m pdb -m cli.mapreduce run wc.py book.txt -o out/ --runner inline --limit 100
    """
    from mapreduce.runners import inline, local
    from mapreduce.runners.bars import job_bars

    if limit and runner != "inline":
        raise RequestError("--limit is for one process: give --runner inline with it")
    spec, code = describe(_job_name(source), source, inputs, output, **options)
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
    from mapreduce.runners.replay import parse_task
    from mapreduce.runners.replay import replay as pairs_of

    record = open_master(config).job_status(name)
    count = 0
    try:
        with open_store(config) as store:
            for key, value in itertools.islice(pairs_of(store, record, parse_task(task)), limit):
                click.echo(f"{key}\t{value}")
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


COMMANDS = (new_job, run_job, kill_job, status, jobs, output, logs, run, replay)


def _wait_and_tell(
    master: "Connection", name: str, start: Callable[[str], object] = lambda name: None
) -> None:
    with ctrl_c() as pressed:
        start(name)
        record = wait_for_end(master, name, detached=pressed)
    if not job_view.ended(record):
        click.echo(
            f"\njob {name} goes on; `mapreduce status {name} --wait` comes back to it, "
            f"`mapreduce kill_job {name}` ends it",
            err=True,
        )
        return
    job_view.print_summary(record)
    if record["state"] != "succeeded":
        raise Failure(f"job {name} {record['state']}")


def _what_killing_did(record: job_view.Record) -> str:
    """
    >>> _what_killing_did({"name": "wc", "state": "killed", "committing": False})
    'job wc is killed'
    """
    name = record["name"]
    if record["committing"] and not job_view.ended(record):
        return (
            f"job {name} is making its output visible, which is let finish; "
            f"`mapreduce status {name}` says how it ended"
        )
    return f"job {name} is killed"


def _job_name(source: Path) -> str:
    """A job's name from a file's: /x/word count.py runs as word-count."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", source.stem).strip("-._")[:100] or "job"


def _attempt_of(key: str) -> tuple[str, str]:
    """Step and attempt of the rest of a log's key.

    >>> _attempt_of("2:log:map-00003.1")
    ('2', 'map-00003.1')
    """
    step, _, attempt = key.partition(":log:")
    return step, attempt


def _is_of(attempt: str, task: str | None) -> bool:
    """True for map-00003.1 if `task` is map, map-00003 or map-00003.1, or None for all."""
    kind, _, _ = attempt.partition("-")
    return task in (None, kind, attempt, attempt.partition(".")[0])


def _cluster_status(config: ClusterConfig, as_json: bool) -> None:
    """Every server of the file, and whether it answers."""
    rows = _with_pids(config, [*_node_rows(config), *_master_and_worker_rows(config)])
    if as_json:
        show.as_json([dict(zip(SERVER_COLUMNS, row)) for row in rows])
    else:
        show.table(SERVER_COLUMNS, rows)
    if silent := [f"{kind} {name}" for kind, name, _, _, state, _ in rows if state != "up"]:
        raise Failure(f"no answer from {', '.join(silent)}; start them with `mapreduce up`")


Row = tuple[str, str, str, str, str]
SERVER_COLUMNS = ("kind", "name", "address", "pid", "state", "details")


def _with_pids(config: ClusterConfig, rows: list[Row]) -> list[tuple[str, ...]]:
    """The process ids of those that `mapreduce up` has started on this machine."""
    running = ClusterProcesses(config).running()
    pids = {(server.kind, server.name): str(process.pid) for server, process in running.items()}
    return [(*row[:3], pids.get(row[:2], ""), *row[3:]) for row in rows]


def _node_rows(config: ClusterConfig) -> list[Row]:
    with open_store(config, may_be_down=True) as store:
        found = store.status()  # type: ignore[attr-defined]
    return [
        ("node", node.name, node.address, "up", "")
        if isinstance(answer := found.get(node.address), dict)
        else ("node", node.name, node.address, "no answer", str(answer))
        for node in config.nodes
    ]


def _master_and_worker_rows(config: ClusterConfig) -> list[Row]:
    if not config.masters:
        return []
    masters = open_master(config)
    standings = masters.standings()
    rows = [_master_row(m.name, m.address, standings.get(m.address)) for m in config.masters]
    workers = {}
    if any(standing["leads"] for standing in standings.values()):
        with contextlib.suppress(DynamoError):
            workers = {worker["name"]: worker for worker in masters.workers()}
    for worker in config.workers:
        alive = workers.get(worker.name)
        details = f"{alive['running']} of {alive['slots']} slots at work" if alive else ""
        state = "up" if alive else "no answer"
        rows.append(("worker", worker.name, f"beside {worker.node}", state, details))
    return rows


def _master_row(name: str, address: str, standing: dict[str, Any] | None) -> Row:
    if standing is None:
        return ("master", name, address, "no answer", "")
    if standing["leads"]:
        return ("master", name, address, "up", f"leads, term {standing['term']}")
    leader = standing["leader"]
    return ("master", name, address, "up", f"stands by{f' for {leader}' if leader else ''}")
