"""The command `mapreduce scoreboard`: what each worker and node does, now or live."""

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from cli import scoreboard_view, show, watching
from cli.errors import Failure
from cli.job_control import open_master
from cli.options import config_option, json_option, open_store
from dynamo.config import ClusterConfig
from dynamo.errors import DynamoError, Unreachable

if TYPE_CHECKING:  # slow to import: not before it is needed
    from rich.console import RenderableType

Read = Callable[[], dict[str, Any]]
"""Asks the leading master and the nodes: "workers", which is None while no master leads, with the
reason as "error", "nodes", what they say of themselves, and "node_contacts"."""


@click.command(short_help="Show what each worker and node does, and whom nobody hears any more.")
@click.option("--watch", is_flag=True, help="Look again every second, until Ctrl-C.")
@json_option
@config_option
def scoreboard(watch: bool, as_json: bool, config: ClusterConfig) -> None:
    """Show each worker: what it does, when the leading master last heard of it, and its strikes.

    A worker has a strike for each time that it was expected to report and did not: with one it gets
    no more tasks until it is heard, after two, five seconds, it is lost and its tasks go to others.
    "done" and "failed" count attempts since this master began to lead. Below, the store nodes: when
    they, or one of them, last heard of each; a strike is another node that takes it to be down.
    With --watch --json, each second prints a line.

    \b
    Examples:
      mapreduce scoreboard
      mapreduce scoreboard --watch
      mapreduce scoreboard --json
    """
    with _asking(config) as read:
        if watch:
            watching.watch(read, partial(_drawn, config=config), dict if as_json else None)
            return
        found = read()
    if found["workers"] is None:
        raise Unreachable(found["error"])
    if as_json:
        show.as_json(found)
    else:
        _print(found, config)
    if lost := list(scoreboard_view.concerns(found["workers"])):
        raise Failure("; ".join(lost))


@contextlib.contextmanager
def _asking(config: ClusterConfig) -> Iterator[Read]:
    master = open_master(config)
    with open_store(config, may_be_down=True) as store:

        def read() -> dict[str, Any]:
            found: dict[str, Any] = {"workers": None, "error": ""}
            try:
                found["workers"] = master.scoreboard()
            except DynamoError as error:  # another may lead in a moment
                found["error"] = str(error)
            told = store.status()  # type: ignore[attr-defined]
            nodes = {name: told[at] for name, at in config.node_addresses.items()}
            contacts = scoreboard_view.contacts(nodes, nodes)
            return {**found, "nodes": nodes, "node_contacts": contacts}

        yield read


def _print(found: dict[str, Any], config: ClusterConfig) -> None:
    show.table(
        scoreboard_view.WORKER_COLUMNS, scoreboard_view.worker_rows(found["workers"], config)
    )
    click.echo(scoreboard_view.rule(found["workers"]))
    click.echo()
    show.table(scoreboard_view.NODE_COLUMNS, scoreboard_view.node_rows(found["nodes"], config))
    click.echo(scoreboard_view.NODE_RULE)


def _drawn(found: dict[str, Any], config: ClusterConfig) -> Iterator["RenderableType"]:
    if found["workers"] is None:
        yield f"no scoreboard: {found['error']}"
    else:
        rows = scoreboard_view.worker_rows(found["workers"], config)
        yield show.drawn(scoreboard_view.WORKER_COLUMNS, rows)
        yield scoreboard_view.rule(found["workers"])
    yield ""
    nodes = scoreboard_view.node_rows(found["nodes"], config)
    yield show.drawn(scoreboard_view.NODE_COLUMNS, nodes)
    yield scoreboard_view.NODE_RULE
