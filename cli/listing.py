"""`dynamo ls`: keys by prefix, all of them as a stream or a page at a time."""

import itertools
import shlex
from collections.abc import Iterator
from typing import Any

import click

from cli import show
from cli.options import config_option, json_option, open_store
from cli.request_options import n_option, r_option, request_options, timeout_option
from dynamo.config import ClusterConfig
from dynamo.store import Store

LISTED_AT_ONCE = 200
"""Keys whose values `ls -l` reads in one call."""


@click.command(short_help="List keys and files.")
@click.argument("prefix", default="/")
@click.option("-l", "--long", "long", is_flag=True, help="With sizes and times.")
@click.option("--after", default="", metavar="KEY", help="Begin behind KEY.")
@click.option("--limit", type=click.IntRange(min=1), help="List so many keys at most.")
@request_options(n_option, r_option, timeout_option)
@json_option
@config_option
def ls(
    prefix: str,
    long: bool,
    after: str,
    limit: int | None,
    as_json: bool,
    config: ClusterConfig,
    request: dict[str, Any],
) -> None:
    """List the keys that begin with PREFIX, in order; without PREFIX, all files.

    If --limit leaves keys out, stderr says how to go on. With --json and --limit the output is an
    object: `entries`, and `after`, the key for the next --after, null at the end.

    \b
    Examples:
      dynamo ls
      dynamo ls -l /books
      dynamo ls user: --json
      dynamo ls user: --limit 1000 --after user:ann
    """
    with open_store(config) as store:
        keys = store.list(prefix, after=after, **request)
        if limit is None:
            _print(store, keys, long, as_json)
            return
        page = list(itertools.islice(keys, limit + 1))
        last = page[limit - 1] if len(page) > limit else None
        if as_json:
            show.as_json({"entries": list(_entries(store, iter(page[:limit]))), "after": last})
            return
        _print(store, iter(page[:limit]), long, as_json)
    if last is not None:
        again = shlex.join(["dynamo", "ls", prefix, "--after", last, "--limit", str(limit)])
        click.echo(f"there are more: {again}", err=True)


def _print(store: Store, keys: Iterator[str], long: bool, as_json: bool) -> None:
    if as_json:
        show.as_json(list(_entries(store, keys)))
    elif long:
        show.table(("size", "modified", "key"), map(_long_row, _entries(store, keys)))
    else:
        for key in keys:
            click.echo(key)


def _entries(store: Store, keys: Iterator[str]) -> Iterator[dict[str, Any]]:
    """Key, size and, for files, time of each key; read in few calls."""
    while batch := list(itertools.islice(keys, LISTED_AT_ONCE)):
        for key, reading in store.multi_get(batch).items():
            if reading.values:
                yield {"key": key, **_entry(key, reading.values[0])}


def _entry(key: str, value: bytes) -> dict[str, Any]:
    import msgspec

    from dynamo.files import Manifest

    if key.startswith("/"):
        try:
            manifest = msgspec.msgpack.decode(value, type=Manifest)
            return {"size_bytes": manifest.size_bytes, "modified_at": manifest.modified_at}
        except msgspec.MsgspecError:
            pass  # a plain value under a path: shown as such
    return {"size_bytes": len(value), "modified_at": None}


def _long_row(entry: dict[str, Any]) -> tuple[str, str, str]:
    modified = entry["modified_at"]
    return show.size(entry["size_bytes"]), show.moment(modified) if modified else "", entry["key"]
