"""The commands `dynamo ring` and `dynamo explain`: where keys belong, and what is there."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli import show
from cli.node_view import in_natural_order
from cli.options import check_listening, config_option, json_option
from dynamo.config import ClusterConfig
from dynamo.errors import CorruptData, DynamoError, RequestError, Unreachable
from dynamo.store import check_key
from dynamo.values.ring import Ring

if TYPE_CHECKING:  # slow to import: not before it is needed
    from dynamo.protocol.messages import RingDone

LINE_CHARACTERS = 80
"""The sequence of owners is folded to lines of about this length."""


@click.command(short_help="Show who owns which part of the hash space.")
@click.option("--svg", type=click.Path(path_type=Path, dir_okay=False), help="Draw it, as SVG.")
@json_option
@config_option
def ring(svg: Path | None, as_json: bool, config: ClusterConfig) -> None:
    """Show the ring: the partitions of the hash space and the members that own them.

    A key is held by the owner of its partition and the next distinct members around the ring, N in
    all. "owned" counts partitions, "held" those of which a member keeps a copy.

    \b
    Examples:
      dynamo ring
      dynamo ring --svg ring.svg
    """
    done, views = _newest_ring(config)
    table = {**describe(done), **describe_change(config)}
    if svg:
        from cli.ring_picture import draw

        svg.write_text(draw(table), encoding="utf-8")
        click.echo(f"drew the ring into {svg}", err=True)
    if as_json:
        show.as_json({**table, "views": views})
    elif not svg:
        _print_ring(table)
    _warn_of_views(done.epoch, views)


@click.command(short_help="Say what each replica of a key holds, and why they differ.")
@click.argument("key")
@json_option
@config_option
def explain(key: str, as_json: bool, config: ClusterConfig) -> None:
    """Say where KEY belongs, what each of its replicas holds, and why they differ.

    Each replica is asked by itself, and nothing is repaired; of all other nodes it is asked what
    they keep for a replica that was down. One is behind if it was down, cut off
    or slow at a write, or if the write asked for fewer replicas; copies are concurrent if writers
    did not know of each other. A dot such as n1-2f-1:3 names one write: who counted it, and its
    count; the context of a copy has the last count it has heard of from each. A key that begins
    with / holds the manifest of a file.

    \b
    Examples:
      dynamo explain colour
      dynamo explain /books/emma.txt --json
    """
    check_key(key)
    done, views = _newest_ring(config)
    from cli import explanation
    from dynamo.net import inspect

    owners = Ring(done.owners, done.epoch).preference_list(key, done.n)
    found = inspect.copies(key, {node: done.addresses[node] for node in owners})
    silent = {node for node, got in found.items() if isinstance(got, Unreachable)}
    others = {node: at for node, at in done.addresses.items() if node not in silent}
    explained = explanation.explain(key, done, found, inspect.hints(key, others))
    if as_json:
        show.as_json(explained)
    else:
        explanation.print_text(explained)
    _warn_of_views(done.epoch, [view for view in views if not view["error"]])


@click.command("give-up", short_help="Drop a value of which every copy is damaged.")
@click.argument("key")
@config_option
def give_up(key: str, config: ClusterConfig) -> None:
    """Drop the value of KEY, of which every copy is damaged, so that KEY can be used again.

    A damaged copy is never returned, and heals by itself from another replica. Where none is whole,
    as may be with one replica, reads and writes of KEY are refused until its value is given up.
    Where one is, or may be, nothing is dropped; `dynamo explain` shows them all.

    \b
    Example:
      dynamo give-up colour
    """
    check_key(key)
    done, _ = _newest_ring(config)
    from dynamo.net import inspect, operate

    names = Ring(done.owners, done.epoch).preference_list(key, done.n)
    owners = {node: done.addresses[node] for node in names}
    found = inspect.copies(key, owners)
    damaged = {n: at for n, at in owners.items() if isinstance(found[n], CorruptData)}
    if not damaged:
        raise RequestError(f"no replica that answers has a damaged copy of {key!r}: nothing to do")
    node = operate.give_up(key, damaged)
    click.echo(f"{node} has dropped its damaged copy of {key!r}; nothing is stored there any more")


def describe(done: "RingDone") -> dict[str, Any]:
    """The ring with what follows from it, in plain values: what --json prints."""
    table = Ring(done.owners, done.epoch)
    owned = Counter(done.owners)
    held = Counter(
        node
        for partition in range(len(done.owners))
        for node in table.partition_owners(partition, done.n)
    )
    members = sorted({*done.addresses, *done.owners}, key=in_natural_order)
    return {
        "epoch": done.epoch,
        "partitions": len(done.owners),
        "replicas": done.n,
        "read_quorum": done.r,
        "write_quorum": done.w,
        "members": [
            {
                "name": member,
                "address": done.addresses.get(member),
                "owned": owned[member],
                "share_percent": round(100 * owned[member] / len(done.owners), 2),
                "held": held[member],
            }
            for member in members
        ],
        "balance": {
            "least": min(owned[member] for member in members),
            "most": max(owned[member] for member in members),
            "even": round(len(done.owners) / len(members), 2),
        },
        "owners": list(done.owners),
    }


def describe_change(config: ClusterConfig) -> dict[str, Any]:
    """The change of members under way, if any, and who of cluster.ini is no member."""
    from dynamo.net import operate

    found = operate.look(config.node_addresses)
    table = found.cluster.table
    return {
        "phase": str(table.phase),
        "change": table.change,
        "target": list(table.target),
        "planned": [str(change) for change in table.staged],
        "no_members": [name for name in config.node_addresses if name not in table.members],
    }


def change_lines(table: dict[str, Any]) -> Iterator[str]:
    """
    >>> told = {"phase": "filling", "change": "join n4", "planned": [], "no_members": ["n5"]}
    >>> print("\\n".join(change_lines(told)))
    filling for join n4; see `dynamo transfers`
    n5 of cluster.ini is no member; `dynamo join n5`
    """
    if table["change"]:
        yield f"{table['phase']} for {table['change']}; see `dynamo transfers`"
    if table["planned"]:
        yield f"planned: {', '.join(table['planned'])}; see `dynamo plan`"
    for name in table["no_members"]:
        yield f"{name} of cluster.ini is no member; `dynamo join {name}`"


def owner_lines(owners: Sequence[str]) -> Iterator[str]:
    """The owners in the order of the partitions; each line begins with its first partition.

    >>> print("\\n".join(owner_lines(["n1", "n2", "n10", "n1"])))
       0  n1  n2  n10 n1
    """
    width = max(map(len, owners)) + 1
    per_line = max(1, (LINE_CHARACTERS - 6) // width)
    per_line = 1 << per_line.bit_length() - 1  # a power of two: the ring's own quarters and eighths
    for start in range(0, len(owners), per_line):
        names = "".join(owner.ljust(width) for owner in owners[start : start + per_line])
        yield f"{start:4}  {names}".rstrip()


def balance_line(table: dict[str, Any]) -> str:
    least, most, even = (table["balance"][name] for name in ("least", "most", "even"))
    owned = f"{least}" if least == most else f"{least} to {most}"
    verdict = "balanced" if most - least <= 1 else "out of balance"
    return f"{verdict}: each member owns {owned} partitions, {even:g} would be even"


def _print_ring(table: dict[str, Any]) -> None:
    click.echo(
        f"{table['partitions']} partitions, epoch {table['epoch']}, N={table['replicas']} "
        f"R={table['read_quorum']} W={table['write_quorum']}\n"
    )
    rows = (
        (m["name"], m["owned"], f"{m['share_percent']:.1f} %", m["held"], m["address"])
        for m in table["members"]
    )
    show.table(("member", "owned", "share", "held", "address"), rows)
    click.echo(f"\n{balance_line(table)}")
    for line in change_lines(table):
        click.echo(line)
    click.echo("\nowners by partition:")
    for line in owner_lines(table["owners"]):
        click.echo(line)
    if table["target"] and table["target"] != table["owners"]:
        click.echo("\nowners to come:")
        for line in owner_lines(table["target"]):
            click.echo(line)


def _newest_ring(config: ClusterConfig) -> tuple["RingDone", list[dict[str, Any]]]:
    """The ring with the highest epoch, and what each node of cluster.ini says of its own."""
    check_listening(config)
    from dynamo.net import inspect

    found = inspect.rings(list(config.node_addresses.values()))
    views = []
    for name, address in config.node_addresses.items():
        told = found[address]
        error = str(told) if isinstance(told, DynamoError) else None
        views.append({"node": name, "epoch": getattr(told, "epoch", None), "error": error})
    told_rings = [told for told in found.values() if not isinstance(told, DynamoError)]
    if not told_rings:
        reasons = "; ".join(f"{view['node']}: {view['error']}" for view in views)
        raise Unreachable(f"no node tells the ring ({reasons}); see `dynamo status`")
    return max(told_rings, key=lambda told: told.epoch), views


def _warn_of_views(epoch: int, views: Sequence[dict[str, Any]]) -> None:
    for view in views:
        if view["error"]:
            click.echo(f"warning: {view['node']} does not answer: {view['error']}", err=True)
        elif view["epoch"] != epoch:
            click.echo(f"warning: {view['node']} still knows epoch {view['epoch']}", err=True)
