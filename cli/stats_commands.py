"""The commands `dynamo status` and `dynamo stats`: how the nodes are, and what they do."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from cli import node_view, show, watching
from cli.errors import Failure
from cli.node_view import Told, milliseconds, rate
from cli.options import config_option, json_option, open_store
from dynamo.config import ClusterConfig

if TYPE_CHECKING:  # slow to import: not before it is needed
    from rich.console import RenderableType

KINDS = ("put", "get", "delete", "list")
REQUEST_COLUMNS = ("node", "kind", "/s 10 s", "/s 1 min", "p50 ms", "p95 ms", "p99 ms", "p99.9 ms")
NODE_COLUMNS = (
    "node",
    "up for",
    "memory",
    "disk",
    "free",
    "in flight",
    "inbox",
    "commits/s",
    "commit ms",
    "writes each",
)

Read = Callable[[], dict[str, Any]]
"""Asks the nodes: name -> status, or a text where a node does not answer."""


@click.command(short_help="Say how the nodes are, and who sees whom as down.")
@json_option
@config_option
def status(as_json: bool, config: ClusterConfig) -> None:
    """Say how each node is, and what needs looking after; exits with 1 if one does not answer.

    "share" is of the partitions, "p99" the time within which 99 of 100 of the last minute's client
    requests were answered, "hints" the copies kept for others that are down. Rates are those of the
    last ten seconds; `dynamo stats` has more of them, and all percentiles. Nodes compare what they
    hold in the background: the line below says when each was last through with all others.

    \b
    Examples:
      dynamo status
      dynamo status --json
    """
    with _asking(config) as read:
        found = read()
    warnings = list(node_view.warnings(found))
    if as_json:
        show.as_json({"nodes": found, "warnings": warnings})
    else:
        rows = (
            node_view.row(name, address, found[name])
            for name, address in config.node_addresses.items()
        )
        show.table(node_view.COLUMNS, rows)
        for line in node_view.detail_lines(node_view.answered(found)):
            click.echo(line)
        for line in warnings:
            click.echo(f"warning: {line}")
    _fail_for_silent(found)


@click.command(short_help="Show rates, latencies, commits and queues.")
@click.argument("node", required=False)
@click.option("--watch", is_flag=True, help="Look again every second, until Ctrl-C.")
@json_option
@config_option
def stats(node: str | None, watch: bool, as_json: bool, config: ClusterConfig) -> None:
    """Show what the nodes do, or what NODE does: requests, commits, queues.

    Percentiles are those of the last minute, of clients' requests from their arrival at the node
    until their answer was ready. Of commits to disk, and of how many writes each took, the median
    and the 99th percentile are shown. With --watch --json, each second prints a line.

    \b
    Examples:
      dynamo stats
      dynamo stats n2 --watch
      dynamo stats --json
    """
    names = [config.node(node).name] if node else list(config.node_addresses)
    with _asking(config, names) as read:
        if watch:
            watching.watch(read, _drawn, figures if as_json else None)
            return
        found = read()
    if as_json:
        show.as_json(figures(found))
    else:
        for columns, rows in tables(node_view.answered(found)):
            show.table(columns, rows)
            click.echo()
    _fail_for_silent(found)


def figures(found: Mapping[str, Any]) -> dict[str, Any]:
    """What --json prints: the nodes' own figures, and those of all requests together."""
    told = node_view.answered(found)
    return {
        "nodes": found,
        "total": {kind: total_of(kind, told) for kind in KINDS},
    }


def total_of(kind: str, told: Told) -> dict[str, float]:
    """Rates and percentiles of all nodes' requests of one kind, as if one had taken them all."""
    sections = [status["requests"][kind] for status in told.values()]
    seconds = node_view.histogram_of(sections)
    rates = {key: sum(section[key] for section in sections) for key in ("per_s_10s", "per_s_60s")}
    shares = {"p50_ms": 50.0, "p95_ms": 95.0, "p99_ms": 99.0, "p99_9_ms": 99.9}
    return {**rates, **{key: 1000 * seconds.percentile(share) for key, share in shares.items()}}


Tables = list[tuple[tuple[str, ...], list[tuple[str, ...]]]]


def tables(told: Told) -> Tables:
    """Columns and rows of what `dynamo stats` shows."""
    requests = list(_request_rows(told)) or [("no request of a client within the last minute",)]
    return [
        (REQUEST_COLUMNS if len(requests[0]) > 1 else ("requests",), requests),
        (NODE_COLUMNS, [_node_row(name, status) for name, status in told.items()]),
    ]


def _request_rows(told: Told) -> Iterator[tuple[str, ...]]:
    """A row for each kind that a node has had within the last minute, and the totals."""
    for name, status in told.items():
        for kind in KINDS:
            yield from _request_row(name, kind, status["requests"][kind])
    if len(told) > 1:
        for kind in KINDS:
            yield from _request_row("all", kind, total_of(kind, told))


def _request_row(name: str, kind: str, section: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    if section["per_s_60s"]:
        rates = (rate(section[key]) for key in ("per_s_10s", "per_s_60s"))
        times = (milliseconds(section[key]) for key in ("p50_ms", "p95_ms", "p99_ms", "p99_9_ms"))
        yield (name, kind, *rates, *times)


def _node_row(name: str, status: Mapping[str, Any]) -> tuple[str, ...]:
    commits, disk, queues = status["commits"], status["disk"], status["queues"]
    memory_bytes = status["process"]["memory_bytes"]
    return (
        name,
        show.duration(status["uptime_s"]),
        show.size(memory_bytes) if memory_bytes is not None else "",
        show.size(disk["used_bytes"]),
        show.size(disk["free_bytes"]) if disk["free_bytes"] is not None else "",
        f"{status['requests_in_flight']:,}",
        f"{queues['inbox_requests']:,}",
        rate(commits["per_s_10s"]),
        f"{milliseconds(commits['p50_ms'])} / {milliseconds(commits['p99_ms'])}",
        f"{rate(commits['writes']['p50'])} / {rate(commits['writes']['p99'])}",
    )


# Asking, again and again -------------------------------------------------------------------------


@contextlib.contextmanager
def _asking(config: ClusterConfig, names: list[str] | None = None) -> Iterator[Read]:
    """A way to ask the nodes `names`, or all, as often as one likes."""
    with open_store(config, may_be_down=True) as store:

        def read() -> dict[str, Any]:
            told: dict[str, Any] = store.status()  # type: ignore[attr-defined]
            addresses = config.node_addresses
            return {name: told[addresses[name]] for name in names or addresses}

        yield read


def _drawn(found: dict[str, Any]) -> Iterator["RenderableType"]:
    for columns, rows in tables(node_view.answered(found)):
        yield show.drawn(columns, rows)
    for name in _silent(found):
        yield f"warning: no answer from {name}"


def _silent(found: Mapping[str, Any]) -> list[str]:
    return [name for name, status in found.items() if not isinstance(status, dict)]


def _fail_for_silent(found: Mapping[str, Any]) -> None:
    if silent := _silent(found):
        raise Failure(f"no answer from {', '.join(silent)}; start nodes with `mapreduce up`")
