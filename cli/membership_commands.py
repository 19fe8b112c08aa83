"""The commands that change who is a member: `dynamo join`, `leave`, `replace`, `remove`, `plan`,
`commit` and `transfers`.

The first four only add to a plan. `plan` shows what it would move, `commit` carries it out, and
`transfers` shows how that goes on.
"""

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from cli import plan_view, show
from cli.options import check_listening, config_option, json_option
from dynamo.config import ClusterConfig
from dynamo.errors import RequestError, Unreachable
from dynamo.values.cluster import Change, Kind, Rank

if TYPE_CHECKING:  # slow to import: not before it is needed
    from dynamo.net.operate import Found

POLL_S = 0.2
"""How often `commit` looks who has seen it."""
EVERY_S = 1.0
"""How often `transfers` looks."""


@click.command(short_help="Plan that a node becomes a member.")
@click.argument("node")
@config_option
def join(node: str, config: ClusterConfig) -> None:
    """Plan that NODE, which runs and is no member yet, becomes one.

    First it is looked at: it has to answer, to have as many partitions, to belong to no other
    cluster, and to hold nothing from before it was removed. Nothing moves before `dynamo commit`.

    \b
    Example:
      dynamo serve n4 &
      dynamo join n4
      dynamo plan
      dynamo commit
    """
    _stage(config, Change(Kind.JOIN, node, address=config.node(node).address))


@click.command(short_help="Plan that a member leaves.")
@click.argument("node")
@config_option
def leave(node: str, config: ClusterConfig) -> None:
    """Plan that the member NODE hands over what it holds and leaves.

    It has to run until `dynamo transfers` says that it may be stopped.

    \b
    Example:
      dynamo leave n2
    """
    _stage(config, Change(Kind.LEAVE, node))


@click.command(short_help="Plan that a node takes the place of a member.")
@click.argument("node")
@click.argument("by")
@config_option
def replace(node: str, by: str, config: ClusterConfig) -> None:
    """Plan that BY, which runs and is no member, takes over all that the member NODE owns.

    It moves less than a leave and a join. If NODE is dead: `dynamo remove`, and `dynamo join`.

    \b
    Example:
      dynamo replace n2 n5
    """
    _stage(config, Change(Kind.REPLACE, node, by, config.node(by).address))


@click.command(short_help="Plan that a dead member is given up for good.")
@click.argument("node")
@click.option("--yes", is_flag=True, help="Yes, it is dead and will not come back.")
@config_option
def remove(node: str, yes: bool, config: ClusterConfig) -> None:
    """Plan that NODE, which is dead, is given up: the others fill its place without it.

    What only NODE held is lost. Should it come back, nobody takes anything from it. It can be
    committed while another change waits for that node.

    \b
    Example:
      dynamo remove n3 --yes
    """
    if not yes:
        raise click.UsageError(
            f"what only {node} holds will be lost; if it is dead and will not come back: "
            f"dynamo remove {node} --yes"
        )
    _stage(config, Change(Kind.REMOVE, node))


@click.command(short_help="Show what the planned changes would do.")
@click.option("--clear", is_flag=True, help="Forget what is planned.")
@json_option
@config_option
def plan(clear: bool, as_json: bool, config: ClusterConfig) -> None:
    """Show what is planned: who would own and hold how many partitions, and what would move.

    "owned" and "held" are counts of partitions, before and after; "gets" and "gives" the copies of
    partitions that a node fetches from others, and has to hold no longer. Sizes are estimates.

    \b
    Examples:
      dynamo plan
      dynamo plan --clear
    """
    from dynamo.net import operate

    found = _look(config)
    table = found.cluster.table
    if clear:
        operate.clear(found)
        words = ", ".join(map(str, table.staged))
        click.echo(f"forgot: {words}" if words else "nothing was planned")
        return
    planned = _planned(found, config) if table.staged else None
    if as_json:
        show.as_json(planned or {"plan": None, "changes": []})
    elif planned:
        plan_view.print_text(planned)
    else:
        under_way = f"; {table.change} is under way, see `dynamo transfers`" if table.change else ""
        click.echo(f"nothing is planned; `dynamo join --help`{under_way}")


@click.command(short_help="Carry out what is planned.")
@click.argument("plan", required=False)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    help="Seconds to wait until all members know of it.",
)
@config_option
def commit(plan: str | None, timeout_s: float, config: ClusterConfig) -> None:
    """Carry out what is planned; with the name of a PLAN only if it is still that one.

    Returns when all members know of it, which begins the change; `dynamo transfers` shows how it
    goes on. Reads and writes go on all the while.

    \b
    Examples:
      dynamo commit
      dynamo commit 1.2-n1
    """
    from dynamo.net import operate

    found = _look(config)
    rank = found.cluster.table.rank
    if not found.cluster.table.staged:
        raise RequestError("nothing is planned; see `dynamo join --help` and `dynamo transfers`")
    if plan and plan != str(rank):
        raise RequestError(f"{plan} has been overtaken by {rank}; see `dynamo plan`")
    click.echo(plan_view.headline(_planned(found, config)))
    committed = operate.commit(found, rank)
    unaware = _wait_until_seen(config, committed.table.rank, timeout_s)
    for name, reason in unaware.items():
        click.echo(f"warning: {name} has not heard of it yet, and it waits for that: {reason}")
    if not unaware:
        click.echo("committed, all members know of it; `dynamo transfers` shows how it goes on")


@click.command(short_help="Show how a change of members goes on.")
@click.option("--watch", is_flag=True, help="Look every second, until it is done or Ctrl-C.")
@json_option
@config_option
def transfers(watch: bool, as_json: bool, config: ClusterConfig) -> None:
    """Show the change under way: how far each node is, how fast, and what it waits for.

    "seen" says whether the node knows of the present step of it, which all have to; "to fill" the
    partitions that the node is to hold and has not all of yet; "to hand over" what it has to give
    away before it may leave. With --watch --json, each second prints a line.

    \b
    Examples:
      dynamo transfers
      dynamo transfers --watch
    """
    looks = _looks(config)
    if watch:
        _watch(looks, as_json)
        return
    told = next(looks)
    if not told["done"]:
        time.sleep(EVERY_S)  # a rate needs two looks
        told = next(looks)
    if as_json:
        show.as_json(told)
        return
    from cli import transfers_view

    click.echo(f"{transfers_view.heading(told)}\n")
    show.table(transfers_view.COLUMNS, transfers_view.rows(told))
    click.echo(f"\n{told['summary']}")


COMMANDS = (join, leave, replace, remove, plan, commit, transfers)


# Planning ----------------------------------------------------------------------------------------


def _look(config: ClusterConfig, without: str = "") -> "Found":
    check_listening(config)
    from dynamo.net import operate

    return operate.look(config.node_addresses, without=[without])


def _stage(config: ClusterConfig, change: Change) -> None:
    from dynamo.net import operate

    found = _look(config, without=change.joins)
    if change.joins:
        _check_joins(found, change.joins, config)
    if change.kind is Kind.REMOVE and change.node in found.told:
        raise RequestError(
            f"{change.node} answers, so it is not dead; `dynamo leave {change.node}` loses nothing"
        )
    operate.stage(found, change)
    click.echo(f"planned: {change}; `dynamo plan` shows what it means, `dynamo commit` does it")


def _check_joins(found: "Found", name: str, config: ClusterConfig) -> None:
    """A node that joins has to run, to fit, to belong to no other cluster, and to be empty.

    All of that would show in the middle of the change otherwise, which then waits for ever.
    """
    if name not in found.told:
        raise Unreachable(
            f"{name} does not answer: {found.silent[name]}; start it (`dynamo serve {name}`, "
            "`mapreduce up`), then let it join"
        )
    own, table = found.told[name].table, found.cluster.table
    afresh = (
        f"stop it, move its data folder {config.node(name).data} away, start it again and let it "
        "join as a new node"
    )
    if len(own.owners) != len(table.owners):
        raise RequestError(
            f"{name} is configured for {len(own.owners)} partitions, and the cluster has "
            f"{len(table.owners)}, which never changes: write partitions = {len(table.owners)} in "
            f"its cluster.ini; {afresh}"
        )
    if own.rank.epoch > 0 and own.founding != table.founding:
        raise RequestError(
            f"{name} belongs to another cluster, of {', '.join(own.members)}; take it out there "
            f"(`dynamo leave {name}`), then {afresh}"
        )
    if _has_old_copies(found, name):
        raise RequestError(
            f"{name} was removed from this cluster, and still has what it held then: keys that "
            f"were deleted since would come back with it; {afresh}"
        )


def _has_old_copies(found: "Found", name: str) -> bool:
    from dynamo.net import operate

    status = operate.statuses({name: found.addresses[name]})[name]
    return isinstance(status, dict) and bool(status["transfer"]["has_old_copies"])


def _planned(found: "Found", config: ClusterConfig) -> dict[str, Any]:
    from dynamo.net import operate

    names = found.addresses.keys() & {*found.cluster.members, *found.told}
    statuses = operate.statuses({name: found.addresses[name] for name in names})
    try:
        return plan_view.describe(found.cluster, statuses, config)
    except ValueError as error:
        raise RequestError(str(error)) from error


def _wait_until_seen(config: ClusterConfig, rank: Rank, timeout_s: float) -> dict[str, str]:
    """Wait for all live members to know of a table; those that don't in time, and why."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = _look(config)
        told = {name: cluster.table.rank for name, cluster in found.told.items()}
        table = found.cluster.table
        unaware = [name for name in table.live if name not in told or told[name] < rank]
        if not unaware or time.monotonic() > deadline:
            return {name: found.silent.get(name, "it will in a moment") for name in unaware}
        time.sleep(POLL_S)


# Following ---------------------------------------------------------------------------------------


def _looks(config: ClusterConfig) -> Iterator[dict[str, Any]]:
    """What there is to tell, again and again; from the second time on with rates."""
    from cli import transfers_view
    from dynamo.net import operate

    before: dict[str, Any] | None = None
    looked_at = 0.0
    while True:
        found = _look(config)
        now = time.monotonic()
        told = transfers_view.describe(found, operate.statuses(found.addresses))
        if before:
            told = transfers_view.with_rates(told, before, now - looked_at)
        yield told
        before, looked_at = told, now


def _watch(looks: Iterator[dict[str, Any]], as_json: bool) -> None:
    with contextlib.suppress(KeyboardInterrupt):
        if as_json:
            for told in _until_done(looks):
                click.echo(json.dumps(told))
                sys.stdout.flush()
        else:
            _watch_table(looks)


def _until_done(looks: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for told in looks:
        yield told
        if told["done"]:
            return
        time.sleep(EVERY_S)


def _watch_table(looks: Iterator[dict[str, Any]]) -> None:
    from rich.console import Group
    from rich.live import Live

    from cli import transfers_view

    with Live(auto_refresh=False) as live:
        for told in _until_done(looks):
            table = show.drawn(transfers_view.COLUMNS, transfers_view.rows(told))
            texts = (transfers_view.heading(told), told["summary"])
            live.update(Group(f"{texts[0]}\n", table, f"\n{texts[1]}\n"), refresh=True)
