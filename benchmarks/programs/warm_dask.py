"""Dask's distributed scheduler on this machine, warm: tiny jobs and empty tasks. See
`benchmarks.warm`."""

import sys

from dask import bag
from distributed import Client

from benchmarks.warm import LINES, PROCESSES, say_seconds


def nothing(number: int) -> None:
    pass


def main(*arguments: str) -> None:
    with Client(n_workers=PROCESSES, threads_per_worker=1, dashboard_address=None) as client:

        def tiny() -> None:
            words = bag.from_sequence(LINES, npartitions=1).str.split().flatten()
            assert len(words.frequencies().compute()) > 1

        def tasks(number: int) -> None:
            client.gather(client.map(nothing, range(number), pure=False))

        say_seconds(tiny, tasks, *arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
