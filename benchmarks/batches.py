"""Batch puts and gets of tens of thousands of keys, beside what LevelDB alone takes for them.

Three nodes, N=3, W=2, R=2, fsync on, values of 100 bytes, new keys. Beside it LevelDB writes the
same keys and values to three databases in turn, 1,000 keys and one fsync at a time, and reads each
from two of them: the work of the disks without versions, network and other processes.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from benchmarks.cluster import cluster
from dynamo.disk.contract import Write
from dynamo.disk.leveldb import LevelDisk

KEYS = 30_000
ROUNDS = 3
VALUE = b"x" * 100
COMMIT_KEYS = 1000


def main() -> None:
    print(f"batches of {KEYS:,} keys: thousands of keys a second")
    print(f"{'':8} {'put':>8} {'LevelDB':>8} {'ratio':>6} {'get':>10} {'LevelDB':>8} {'ratio':>6}")
    with cluster() as running, tempfile.TemporaryDirectory() as folder:
        disks = [LevelDisk(Path(folder, str(number))) for number in range(3)]
        for number in range(1, ROUNDS + 1):
            items = {f"{number}/{key:06d}": VALUE for key in range(KEYS)}
            keys = list(items)
            put = _rate(partial(running.client.multi_put, items))
            disk_put = _rate(partial(_write, disks, keys))
            get = _rate(partial(running.client.multi_get, keys))
            disk_get = _rate(partial(_read, disks[:2], keys))
            print(
                f"round {number:2} {put:8.1f} {disk_put:8.1f} {put / disk_put:6.2f} "
                f"{get:10.1f} {disk_get:8.1f} {get / disk_get:6.2f}",
                flush=True,
            )
        for disk in disks:
            disk.close()


def _rate(action: Callable[[], object]) -> float:
    """Thousands of keys a second."""
    began = time.perf_counter()
    action()
    return KEYS / (time.perf_counter() - began) / 1000


def _write(disks: Sequence[LevelDisk], keys: Sequence[str]) -> None:
    for start in range(0, KEYS, COMMIT_KEYS):
        writes = [Write(key.encode(), VALUE) for key in keys[start : start + COMMIT_KEYS]]
        for disk in disks:
            disk.commit(writes, sync=True)


def _read(disks: Sequence[LevelDisk], keys: Sequence[str]) -> None:
    for key in keys:
        for disk in disks:
            assert disk.get(key.encode()) == VALUE


if __name__ == "__main__":
    main()
