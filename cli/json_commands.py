"""The commands `mapreduce json`: a master and workers that speak JSON, after a text that others
follow too.

They need neither a store nor a cluster.ini, and import neither.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import click

from cli.errors import CommandGroup, Failure
from cli.options import CONTEXT_SETTINGS

PORT = click.IntRange(1, 65535)
MASTER_PORT = click.IntRange(2, 65535)
"""Heartbeats go to the port below it."""
COUNT = click.IntRange(1, 100_000)


def not_empty(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if not value:
        raise click.BadParameter("it is empty")
    return value


def heartbeat_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--heartbeat",
        "heartbeat_s",
        type=click.FloatRange(0.01, 3600),
        default=2.0,
        show_default=True,
        metavar="SECONDS",
        help="The time between two heartbeats, the same for the master and all workers.",
    )(command)


@click.group("json", cls=CommandGroup, context_settings=CONTEXT_SETTINGS)
def json_group() -> None:
    """A master and workers that speak JSON over TCP and UDP: docs/json-protocol.md.

    Mappers and reducers are executables in any language, which read stdin and write stdout. All are
    started in one folder, which paths are relative to; no cluster is needed.

    \b
    Example:
      mapreduce json master 6000 &
      mapreduce json worker 6000 6001 &
      mapreduce json worker 6000 6002 &
      mapreduce json submit 6000 --mapper ./map.py --reducer ./reduce.py input/ output/
      mapreduce json shutdown 6000
    """


@json_group.command(short_help="Run a master.")
@click.argument("port", type=MASTER_PORT)
@heartbeat_option
@click.option(
    "--missed",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="A worker that misses more heartbeats in a row is dead.",
)
def master(port: int, heartbeat_s: float, missed: int) -> None:
    """Run a master that listens at PORT, and at PORT - 1 for heartbeats, of this machine.

    The folder `var` here is deleted and made anew. The master runs until it is told to shut down,
    or stopped (Ctrl-C or SIGTERM).

    \b
    Example:
      mapreduce json master 6000
    """
    from mapreduce.jsonwire.master_process import serve_master

    serve_master(port, heartbeat_s, missed, partial(click.echo, err=True))


@json_group.command(short_help="Run a worker.")
@click.argument("master_port", type=MASTER_PORT)
@click.argument("worker_port", type=PORT)
@heartbeat_option
def worker(master_port: int, worker_port: int, heartbeat_s: float) -> None:
    """Run a worker that listens at WORKER_PORT and works for the master at MASTER_PORT.

    It may be started before the master. It runs until it is told to shut down, or stopped (Ctrl-C
    or SIGTERM); what goes wrong with a program is told here, on stderr.

    \b
    Example:
      mapreduce json worker 6000 6001
    """
    from mapreduce.jsonwire.worker_process import serve_worker

    serve_worker(master_port, worker_port, heartbeat_s, partial(click.echo, err=True))


@json_group.command(short_help="Give a master a job.")
@click.argument("master_port", type=MASTER_PORT)
@click.argument("input_directory", callback=not_empty)
@click.argument("output_directory", callback=not_empty)
@click.option("--mapper", required=True, callback=not_empty, metavar="FILE", help="An executable.")
@click.option("--reducer", required=True, callback=not_empty, metavar="FILE", help="An executable.")
@click.option("--mappers", type=COUNT, default=2, show_default=True, metavar="N")
@click.option("--reducers", type=COUNT, default=1, show_default=True, metavar="N")
def submit(
    master_port: int,
    input_directory: str,
    output_directory: str,
    mapper: str,
    reducer: str,
    mappers: int,
    reducers: int,
) -> None:
    """Give the master at MASTER_PORT a job over the files in INPUT_DIRECTORY.

    Paths are relative to the folder in which the master runs. It answers nothing: what becomes of
    the job is told where the master was started.

    \b
    Example:
      mapreduce json submit 6000 input/ output/ --mapper ./map.py --reducer ./reduce.py --mappers 4
    """
    from mapreduce.jsonwire.messages import NewMasterJob

    job = NewMasterJob(
        input_directory=input_directory,
        output_directory=output_directory,
        mapper_executable=mapper,
        reducer_executable=reducer,
        num_mappers=mappers,
        num_reducers=reducers,
    )
    _tell(master_port, job)


@json_group.command(short_help="End a master and its workers.")
@click.argument("master_port", type=MASTER_PORT)
def shutdown(master_port: int) -> None:
    """End the master at MASTER_PORT and all workers that have registered with it, at once.

    \b
    Example:
      mapreduce json shutdown 6000
    """
    from mapreduce.jsonwire.messages import Shutdown

    _tell(master_port, Shutdown())


def _tell(master_port: int, message: Any) -> None:
    import socket

    from mapreduce.jsonwire.messages import encode

    try:
        with socket.create_connection(("127.0.0.1", master_port), timeout=10) as connection:
            connection.sendall(encode(message))
    except OSError as error:
        raise Failure(
            f"no master listens at port {master_port} of this machine ({error.strerror or error}); "
            f"start one with `mapreduce json master {master_port}`"
        ) from error
