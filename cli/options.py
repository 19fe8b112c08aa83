"""Options that many commands share, and the one way in which they open the store."""

import contextlib
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from cli import worker_counts
from dynamo.config import ClusterConfig, load
from dynamo.errors import Unreachable
from dynamo.store import Store

CONTEXT_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def _load(ctx: click.Context, parameter: click.Parameter, value: str) -> ClusterConfig:
    return worker_counts.applied(load(value))


def config_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """--config, given to the command as a checked `ClusterConfig`."""
    return click.option(
        "--config",
        metavar="FILE",
        default="cluster.ini",
        show_default=True,
        envvar="DYNAMO_CONFIG",
        show_envvar=True,
        callback=_load,
        help="The file that describes the cluster.",
    )(command)


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(
        command
    )


def ready_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The pipe on which `mapreduce up` hears that a server answers."""
    return click.option("--ready-fd", type=int, default=None, hidden=True)(command)


@contextmanager
def open_store(config: ClusterConfig, *, may_be_down: bool = False) -> Iterator[Store]:
    """The store of the cluster, closed behind the block; `Unreachable` if no node listens.

    A caller of the command may hand in its own way to open one as click's `obj`, as tests do.
    """
    context = click.get_current_context(silent=True)
    if context and callable(context.obj):
        yield context.obj(config)
        return
    if not may_be_down:
        check_listening(config)
    from dynamo.net.client import Client  # slow to import: not before it is needed

    client = Client(list(config.node_addresses.values()), timeout_s=config.timeout_s)
    try:
        yield client
    finally:
        client.close()


def check_listening(config: ClusterConfig) -> None:
    """Raise `Unreachable`, at once, if no node of the cluster listens at its address."""
    if not any(_listens(address) for address in config.node_addresses.values()):
        nodes = ", ".join(config.node_addresses.values())
        raise Unreachable(f"no store node listens at {nodes}; start them with `mapreduce up`")


def _listens(address: str) -> bool:
    """A client would wait its whole time for nodes that may yet start; a person need not."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1.0).close()
    except OSError:
        return False
    return True


def say_ready(what: str, ready_fd: int | None) -> Callable[[], None]:
    """What a server calls when it answers: tells people, and the `mapreduce up` that started it."""

    def ready() -> None:
        click.echo(f"{what}; Ctrl-C stops it")
        if ready_fd is not None:
            # Where servers wait for each other's hosts, nobody may listen any more.
            with contextlib.suppress(BrokenPipeError), open(ready_fd, "wb") as pipe:  # noqa: PTH123
                pipe.write(b"ready")

    return ready
