"""A whole cluster, a job on it, and the proof that its answer is right: what `make demo` runs.

Three store nodes (N=3, R=2, W=2, fsync on), a master, and a worker beside each node, all on
loopback in a temporary folder. The source files of Python's own standard library go into the
store, `examples/wordcount.py` counts their words, and the whole output is compared with a plain
sequential count. Everything is stopped at the end, also after an error or Ctrl-C.
"""

import signal
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from cli import job_control, job_view, transfer, waiting
from cli.cluster_processes import ClusterProcesses
from cli.local_cluster import write_config
from cli.options import open_store
from cli.processes import uninterrupted
from dynamo import files
from dynamo.config import ClusterConfig
from dynamo.errors import DynamoError
from dynamo.store import Store

WORDCOUNT = Path(__file__).with_name("wordcount.py")
FILES = 600
NOT_READ = {"site-packages", "dist-packages", "test", "tests", "idle_test"}
JOB, INPUT, OUTPUT = "wordcount", "/python", "/out/wordcount"


def main() -> int:
    """Run the demo; 0 if the output is right, 1 if not or if something failed."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stopped from outside: tidy up too
    began = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="dynamo-demo-") as folder:
            config = write_config(Path(folder), slots=1)
            with running(config):
                right = count_words(config)
    except KeyboardInterrupt:
        return _failed("stopped by Ctrl-C")
    except (DynamoError, OSError, click.ClickException) as error:
        return _failed(error.message if isinstance(error, click.ClickException) else str(error))
    print(f"\n{time.monotonic() - began:.1f} s in all; every process is stopped")
    return 0 if right else 1


@contextmanager
def running(config: ClusterConfig) -> Iterator[ClusterProcesses]:
    """All servers of `config`, stopped behind the block whatever happens in it."""
    cluster = ClusterProcesses(config)
    try:
        cluster.up(lambda line: print(f"  {line}"))
        yield cluster
    finally:
        with uninterrupted():
            cluster.down(lambda line: None)


def count_words(config: ClusterConfig) -> bool:
    """Files into the store, the job, and the comparison; True if the output is right."""
    uploads = library_uploads()
    size_mib = sum(one.size_bytes for one in uploads) / (1 << 20)
    with open_store(config) as store:
        _timed(
            f"put {len(uploads)} files of Python's library, {size_mib:.1f} MiB, into the store",
            lambda: transfer.upload(store, uploads),
        )
        record = run_job(config)
        job_view.print_summary(record)
        if record["state"] != "succeeded":
            return False
        expected = sequential_count(one.source for one in uploads)
        return compare(output_lines(store), expected)


def library_uploads() -> list[transfer.Upload]:
    """About 600 source files of Python's own library, and their paths in the store."""
    library = Path(sysconfig.get_path("stdlib"))
    found = sorted(
        path
        for path in library.rglob("*.py")
        if not NOT_READ & set(path.relative_to(library).parts)
    )
    return [
        transfer.Upload(
            path, f"{INPUT}/{path.relative_to(library).as_posix()}", path.stat().st_size
        )
        for path in found[:FILES]
    ]


def run_job(config: ClusterConfig, during: Callable[[], None] = lambda: None) -> job_view.Record:
    """`new_job` and `run_job`, then wait; `during` is called once the job runs."""
    master = job_control.open_master(config)
    # Small splits: many tasks from little data.
    job_control.create(config, master, JOB, WORDCOUNT, (INPUT,), OUTPUT, reducers=4, split_mib=1)
    with waiting.ctrl_c() as pressed:
        master.run_job(JOB)
        during()
        record = waiting.wait_for_end(master, JOB, detached=pressed)
    if pressed():
        raise KeyboardInterrupt
    return record


def sequential_count(paths: Iterable[Path]) -> Counter[str]:
    """What the job has to find, in the plainest way."""
    counts: Counter[str] = Counter()
    for path in paths:
        counts.update(path.read_bytes().decode().split())
    return counts


def output_lines(store: Store) -> list[str]:
    """All lines of the job's output."""
    paths = [path for path in files.under(store, OUTPUT) if not path.endswith("/_SUCCESS")]
    data = b"".join(block for path in paths for block in files.read(store, path))
    return data.decode().split("\n")[:-1]


def compare(lines: Sequence[str], expected: Counter[str]) -> bool:
    """Compare the whole output with the sequential count, and say how it went."""
    wanted = sorted(f"{word}\t{count}" for word, count in expected.items())
    right = sorted(lines) == wanted
    total = sum(expected.values())
    if not right:
        differing = set(lines) ^ set(wanted)
        print(f"\nWRONG: {len(differing):,} lines differ from the sequential count, such as:")
        print("".join(f"  {line!r}\n" for line in sorted(differing)[:5]), end="")
        return False
    print(f"\nRIGHT: all {len(wanted):,} words and their {total:,} occurrences are as in a")
    print("sequential count. The ten commonest:")
    for word, count in expected.most_common(10):
        print(f"  {count:>8,}  {word}")
    return True


def _timed(what: str, action: Callable[[], object]) -> None:
    began = time.monotonic()
    action()
    print(f"{what}: {time.monotonic() - began:.1f} s")


def _failed(reason: str) -> int:
    print(f"demo: {reason}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
