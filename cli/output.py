"""The command `mapreduce output`: the result of a job as it is, or merged, printed or in a file."""

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from uuid import uuid4

import click

from cli.job_control import open_master
from cli.options import config_option, open_store
from cli.progress import bytes_bar
from dynamo.config import ClusterConfig
from dynamo.errors import RequestError

if TYPE_CHECKING:
    from mapreduce.engine.orders import JobSpec

Moved = Callable[[int], None]
"""Is told of bytes that have been read."""


@click.command(short_help="Print the result of a job.")
@click.argument("name")
@click.option("--named", metavar="OUTPUT", default="", help="Print this named output instead.")
@click.option("--merged", is_flag=True,
              help="Lines of key TAB value, in order of the keys of all reducers.")  # fmt: skip
@click.option("-o", "--output", "to", type=click.Path(path_type=Path), metavar="FILE",
              help="Write it to this local file, which appears when it is whole.")  # fmt: skip
@config_option
def output(name: str, named: str, merged: bool, to: Path | None, config: ClusterConfig) -> None:
    """Print the whole result of the job NAME: its output files, one behind the other.

    Each file holds one reducer's keys in order. With --merged the files are merged: all keys come
    in order, as lines of key, tab and value, whatever the job's output format. That needs no more
    memory for more output. A job with a sort_key or group_key of its own can't be merged so, as
    its code does not run here.

    \b
    Examples:
      mapreduce output wc | sort -k2 -n -r | head
      mapreduce output wc --merged -o wc.tsv
      mapreduce output visits --named bad
      dynamo get /out/wc -r -o wc/        fetches the files instead
    """
    from mapreduce.data import outputs

    if merged and named:
        raise RequestError("--merged is for the job's own output; leave out --named, or --merged")
    if to and to.is_dir():
        raise RequestError(f"{to} is a folder; name a file for the output")
    master = open_master(config)
    told = master.output(name)
    sizes = {file["path"].rpartition("/")[2]: file["size_bytes"] for file in told["files"]}
    chosen = _chosen(name, sizes, named)
    with open_store(config) as store:
        folder = outputs.open_output("store", told["path"], store)
        blocks: Callable[[Moved], Iterator[bytes]] = partial(_plain, folder, chosen)
        if merged:
            from mapreduce.cluster.records import read_spec

            spec, _ = read_spec(store, name)
            check_mergeable(spec)
            blocks = partial(_merged, folder, chosen, spec)
        if to is None:
            sys.stdout.buffer.writelines(blocks(lambda moved: None))
            sys.stdout.buffer.flush()
            return
        with _whole_file(to) as file, bytes_bar(name, sum(chosen.values())) as moved:
            file.writelines(blocks(moved))
    click.echo(f"{to} has the output of job {name}", err=True)


def _chosen(name: str, files: Mapping[str, int], named: str) -> dict[str, int]:
    """The files of the job's own output, or of a named one, with their sizes."""
    from mapreduce.data import outputs

    of = outputs.named_output_of
    if named and named not in map(of, files):
        has = ", ".join(dict.fromkeys(filter(None, map(of, files)))) or "none"
        raise RequestError(f"job {name} has nothing in an output {named!r}; named outputs: {has}")
    return {
        part: size
        for part, size in files.items()
        if (of(part) == named if named else outputs.holds_output(part))
    }


def _plain(folder: Any, parts: Iterable[str], moved: Moved) -> Iterator[bytes]:
    for part in parts:
        yield from _read(folder, part, moved)


def _read(folder: Any, part: str, moved: Moved) -> Iterator[bytes]:
    for block in folder.read(part):
        yield block
        moved(len(block))


# Merged ------------------------------------------------------------------------------------------


def check_mergeable(spec: "JobSpec") -> None:
    """Raise for a job whose output files are not in an order that can be told from them."""
    from mapreduce.data import formats

    step = spec.steps[-1]
    if step.reducers == 0:
        raise RequestError(
            f"job {spec.name} has no reducers, so nothing has sorted its pairs: print it without "
            "--merged"
        )
    if not getattr(formats.writing(spec.output_format), "keys", True):
        raise RequestError(f"the output of job {spec.name}, {spec.output_format}, has no keys")
    if step.total_order or step.reducers == 1:
        return
    own = "sort_key" if step.sort_key else "group_key" if step.group_key else ""
    if own:
        raise RequestError(
            f"the keys of job {spec.name} are in order of its own {own}, "
            f"{getattr(step, own)}, and that does not run here: give the job total_order or one "
            "reducer to have them in one order"
        )
    if spec.merged:
        raise RequestError(
            f"job {spec.name} has put the files of its {step.reducers} reducers one behind the "
            "other itself: run it without `merged`, or with total_order too"
        )


def _merged(
    folder: Any, parts: Mapping[str, int], spec: "JobSpec", moved: Moved
) -> Iterator[bytes]:
    """Lines of all pairs, in order of their keys."""
    from mapreduce.data import formats, merging

    def files(moved: Moved) -> list[merging.Sorted]:
        return [merging.Sorted(part, partial(pairs, part, moved)) for part in parts]

    def pairs(part: str, moved: Moved) -> Iterator[tuple[Any, Any]]:
        return formats.decode_output(spec.output_format, _read(folder, part, moved), part)

    step = spec.steps[-1]
    if step.total_order or step.reducers == 1:
        found = (pair for part in parts for pair in pairs(part, moved))
    else:
        texts = spec.output_format.partition(":")[0] in merging.TEXTS
        with bytes_bar("how keys are sorted", sum(parts.values())) as looked:
            way = merging.way_of(files(looked), step.descending, texts=texts)
        found = merging.merged(files(moved), way, step.descending)
    for block, _ in formats.encode("text", found):
        yield block


@contextlib.contextmanager
def _whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file that gets its name at the end of the block, and is gone if that fails."""
    partial = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    try:
        file = partial.open("wb")
    except OSError as error:
        raise RequestError(f"{path} can't be written: {error.strerror}") from None
    try:
        with file:
            yield file
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
