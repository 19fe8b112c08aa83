"""The command `dynamo`: a store node, and everything one does with keys and files."""

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from cli import membership_commands, show
from cli.errors import CommandGroup
from cli.listing import ls
from cli.options import (
    CONTEXT_SETTINGS,
    config_option,
    json_option,
    open_store,
    ready_option,
    say_ready,
)
from cli.request_options import (
    ephemeral_option,
    if_absent_option,
    n_option,
    r_option,
    refuse_for_files,
    request_options,
    timeout_option,
    ttl_option,
    w_option,
)
from cli.resolver_option import resolve_option
from cli.ring_commands import explain, give_up, ring
from cli.stats_commands import stats, status
from dynamo.config import ClusterConfig
from dynamo.errors import CorruptData, RequestError
from dynamo.store import Reading, Store


@click.group(cls=CommandGroup, context_settings=CONTEXT_SETTINGS)
@click.version_option(package_name="dynamo-mapreduce")
def main() -> None:
    """A replicated key-value store.

    A key that begins with / is a file of any size; any other key holds a value of up to 8 MiB.
    Every command reads cluster.ini to learn where the nodes are. Start them with `mapreduce up`,
    or each with `dynamo serve`.

    \b
    Try:
      dynamo put colour green
      dynamo get colour
      dynamo put -r books/ /books
      dynamo ls -l /books

    Exit codes: 0 done, 1 the cluster failed, 2 the command can't work as it is.
    """


@main.command(short_help="Run a store node.")
@click.argument("node")
@config_option
@ready_option
def serve(node: str, config: ClusterConfig, ready_fd: int | None) -> None:
    """Run the store node NODE of cluster.ini until it is stopped (Ctrl-C or SIGTERM).

    \b
    Example:
      dynamo serve n1
    """
    address = config.node(node).address
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    from dynamo.net import server

    server.serve(config, node, say_ready(f"node {node} answers on {address}", ready_fd))


@main.command(short_help="Store a value, files or folders.")
@click.argument("arguments", nargs=-1, required=True, metavar="KEY VALUE | PATH... /NAME")
@click.option("-r", "--recursive", is_flag=True, help="Store folders with all they hold.")
@request_options(ttl_option, ephemeral_option, if_absent_option, n_option, w_option, timeout_option)
@config_option
def put(
    arguments: tuple[str, ...], recursive: bool, config: ClusterConfig, request: dict[str, Any]
) -> None:
    """Store VALUE under KEY, or local files under /NAME.

    VALUE is a text, - for standard input, or @FILE for the bytes of a file. If the last argument
    begins with /, the others are local files (or - for standard input), and with -r folders. One
    file becomes /NAME, or /NAME/FILE if you write /NAME/; several keep their names below /NAME.

    \b
    Examples:
      dynamo put colour green
      dynamo put logo @logo.png
      dynamo put session:7 ann --ttl 1h
      dynamo put leader n1 --if-absent --w 3 --timeout 2s
      dynamo put emma.txt /books/emma.txt
      dynamo put -r books/ /books
      gunzip -c log.gz | dynamo put - /logs/today
    """
    *sources, last = arguments
    if not sources:
        raise click.UsageError("give a KEY and a VALUE, or a PATH and the /NAME it will have")
    if last.startswith("/") and last != "/":
        refuse_for_files(request)
        _put_files(config, sources, last, recursive)
    elif len(sources) == 1:
        _put_value(config, sources[0], last, request)
    else:
        raise click.UsageError(f"{last!r} can't name files in the store: it must begin with /")


@main.command(short_help="Print or fetch a value, a file or a folder.")
@click.argument("key")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Local file, -r: folder.")
@click.option("-r", "--recursive", is_flag=True, help="Fetch a folder into the one at -o.")
@click.option("--all", "all_siblings", is_flag=True, help="Print all siblings, a line each.")
@click.option("--raw", is_flag=True, help="Print the plain value under a path, not the file.")
@request_options(resolve_option, n_option, r_option, timeout_option)
@config_option
def get(
    key: str,
    output: Path | None,
    recursive: bool,
    all_siblings: bool,
    raw: bool,
    config: ClusterConfig,
    request: dict[str, Any],
) -> None:
    """Print the value of KEY, or fetch the file or folder KEY where it begins with /.

    Writes that did not know of each other leave siblings: the newest is printed, with a warning.
    With --resolve there is no warning; FUNCTION is called with their values (bytes), newest first,
    and returns one. Either way the siblings stay until a new put replaces them.

    \b
    Examples:
      dynamo get colour
      dynamo get cart --resolve last-write
      dynamo get cart --resolve carts.py:union
      dynamo get cart --all
      dynamo get /books/emma.txt -o emma.txt
      dynamo get /books -r -o books/
    """
    if all_siblings and "resolver" in request:
        raise click.UsageError("give --all or --resolve, not both")
    if recursive and (output is None or not key.startswith("/")):
        raise click.UsageError("-r fetches a folder, as in: dynamo get /books -r -o books/")
    if key.startswith("/") and not raw:
        refuse_for_files(request)
    with open_store(config) as store:
        if recursive and output:
            _get_folder(store, key, output)
        elif key.startswith("/") and not raw:
            _get_file(store, key, output)
        else:
            _get_value(store, key, output, all_siblings, request)


@main.command(short_help="Delete a key, a file or a folder.")
@click.argument("key")
@click.option("-r", "--recursive", is_flag=True, help="Delete a folder with all it holds.")
@request_options(n_option, w_option, timeout_option)
@config_option
def delete(key: str, recursive: bool, config: ClusterConfig, request: dict[str, Any]) -> None:
    """Delete KEY, or the file KEY where it begins with /.

    Deleting a plain key that is not there is no error; a file that is not there is one.

    \b
    Examples:
      dynamo delete colour
      dynamo delete -r /out/wc
    """
    if recursive and not key.startswith("/"):
        raise click.UsageError("-r deletes a folder, as in: dynamo delete -r /out/wc")
    if key.startswith("/"):
        refuse_for_files(request)
    from dynamo import files

    with open_store(config) as store:
        if recursive:
            _delete_folder(store, key)
        elif key.startswith("/"):
            files.remove(store, key)
        else:
            store.delete(key, **request)


main.add_command(ls)


@main.command(short_help="Say which nodes hold a key or file.")
@click.argument("key")
@request_options(n_option, timeout_option)
@json_option
@config_option
def locate(key: str, as_json: bool, config: ClusterConfig, request: dict[str, Any]) -> None:
    """Say which nodes hold KEY, the owner of its partition first; of a file, each extent.

    \b
    Examples:
      dynamo locate colour
      dynamo locate /books/emma.txt
    """
    with open_store(config) as store:
        places = list(_places(store, key, request))
    if as_json:
        show.as_json(places)
    elif len(places) == 1:
        click.echo(" ".join(places[0]["nodes"]))
    else:
        rows = ((place["what"], " ".join(place["nodes"])) for place in places)
        show.table(("what", "nodes"), rows)


main.add_command(status)
main.add_command(stats)
main.add_command(ring)
main.add_command(explain)
main.add_command(give_up)
for command in membership_commands.COMMANDS:
    main.add_command(command)


# put ---------------------------------------------------------------------------------------------


def _put_value(config: ClusterConfig, key: str, text: str, request: dict[str, Any]) -> None:
    if key.startswith("/"):
        raise RequestError(
            f"{key!r} begins with / and so names a file: dynamo put PATH {key}, or for standard "
            f"input dynamo put - {key}"
        )
    if text == "-":
        value = sys.stdin.buffer.read()
    elif text.startswith("@"):
        value = Path(text[1:]).read_bytes()
    else:
        value = text.encode("utf-8", "surrogateescape")
    with open_store(config) as store:
        store.put(key, value, **request)


def _put_files(config: ClusterConfig, sources: list[str], target: str, recursive: bool) -> None:
    from cli import transfer
    from dynamo import files

    if sources == ["-"]:
        files.check_path(target)
        with open_store(config) as store:
            files.write(store, target, sys.stdin.buffer)
        return
    if len(sources) == 1 and not Path(sources[0]).exists():
        raise RequestError(
            f"no such file or folder: {sources[0]}; to store a text that begins with / as a "
            f"value, pipe it: echo {target} | dynamo put {sources[0]} -"
        )
    uploads = transfer.plan_uploads(sources, target, recursive=recursive)
    with open_store(config) as store:
        transfer.upload(store, uploads)
    total = sum(one.size_bytes for one in uploads)
    click.echo(f"stored {show.number_of(len(uploads), 'file')}, {show.size(total)}", err=True)


# get ---------------------------------------------------------------------------------------------


def _get_value(
    store: Store, key: str, output: Path | None, all_siblings: bool, request: dict[str, Any]
) -> None:
    reading = store.get(key, **request)
    if reading.value is None:
        raise RequestError(f"nothing is stored under {key!r}; `dynamo ls ''` lists all keys")
    if all_siblings:
        data = b"".join(value + b"\n" for value in reading.values)
    else:
        _warn_of_siblings(key, reading)
        data = reading.value
    if output:
        output.write_bytes(data)
        return
    sys.stdout.buffer.write(data)
    if sys.stdout.isatty() and not data.endswith(b"\n"):
        sys.stdout.buffer.write(b"\n")
    sys.stdout.buffer.flush()


def _warn_of_siblings(key: str, reading: Reading) -> None:
    if len(reading.values) > 1:
        click.echo(
            f"warning: {key!r} has {len(reading.values)} siblings, written without knowing of "
            "each other; this is the newest, --all prints all, --resolve makes one of them, a new "
            "put replaces them",
            err=True,
        )


def _get_file(store: Store, path: str, output: Path | None) -> None:
    from cli import transfer
    from dynamo import files

    manifest = files.stat(store, path)
    if output is None:
        transfer.copy_to(store, manifest, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    target = output / path.rpartition("/")[2] if output.is_dir() else output
    transfer.download(store, [transfer.Download(path, manifest, target)])


def _get_folder(store: Store, folder: str, target: Path) -> None:
    from cli import transfer

    downloads = transfer.plan_downloads(store, folder, target)
    transfer.download(store, downloads)
    click.echo(f"fetched {show.number_of(len(downloads), 'file')} into {target}", err=True)


# delete, ls, locate ------------------------------------------------------------------------------


def _delete_folder(store: Store, folder: str) -> None:
    from cli import transfer
    from dynamo import files
    from dynamo.errors import FileMissing

    paths = files.under(store, folder)
    if not paths:
        raise FileMissing(folder)
    transfer.for_each(lambda path: files.remove(store, path), paths)
    click.echo(f"deleted {show.number_of(len(paths), 'file')}", err=True)


def _places(store: Store, key: str, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Where the key is, and where each extent of the file is if it is one."""
    from dynamo import files
    from dynamo.errors import FileMissing

    yield {"what": key, "nodes": list(store.locate(key, **request))}
    if not key.startswith("/"):
        return
    try:
        extents = files.stat(store, key).extents
    except (FileMissing, CorruptData):
        return  # locate answers for keys that hold no file too
    for extent in extents:
        end = extent.offset + extent.size_bytes
        nodes = list(store.locate(extent.chunk_key(0)))
        yield {"what": f"bytes {extent.offset:,} to {end:,}", "nodes": nodes}


if __name__ == "__main__":
    main(prog_name="dynamo")
