"""Upload and download of one file, beside what LevelDB alone takes for three copies of its chunks.

Three nodes, N=3, W=2, fsync on; random bytes, which can't be compressed. Beside it LevelDB writes
the same chunks of 1 MiB to three databases in turn, eight chunks and one fsync at a time.
"""

import io
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.cluster import cluster
from dynamo import files
from dynamo.disk.contract import Write
from dynamo.disk.leveldb import LevelDisk
from dynamo.files import CHUNK_BYTES
from dynamo.store import Store

SIZE_BYTES = 128 << 20
ROUNDS = 3
COMMIT_CHUNKS = 8


def main() -> None:
    print(f"a file of {SIZE_BYTES >> 20} MiB: MB a second")
    print(f"{'':8} {'upload':>7} {'LevelDB x3':>11} {'ratio':>6} {'download':>9}")
    data = os.urandom(SIZE_BYTES)
    with cluster() as running, tempfile.TemporaryDirectory() as folder:
        disks = [LevelDisk(Path(folder, str(number))) for number in range(3)]
        for number in range(1, ROUNDS + 1):
            path = f"/file {number}"
            up = _rate(partial(files.write, running.client, path, io.BytesIO(data)))
            alone = _rate(partial(_write, disks, data, number))
            down = _rate(partial(_read, running.client, path, data))
            print(f"round {number:2} {up:7.0f} {alone:11.0f} {up / alone:6.2f} {down:9.0f}")
        for disk in disks:
            disk.close()


def _rate(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return SIZE_BYTES / (time.perf_counter() - began) / 1e6


def _write(disks: list[LevelDisk], data: bytes, number: int) -> None:
    for start in range(0, SIZE_BYTES, COMMIT_CHUNKS * CHUNK_BYTES):
        offsets = range(start, start + COMMIT_CHUNKS * CHUNK_BYTES, CHUNK_BYTES)
        writes = [Write(b"%d/%d" % (number, at), data[at : at + CHUNK_BYTES]) for at in offsets]
        for disk in disks:
            disk.commit(writes, sync=True)


def _read(store: Store, path: str, data: bytes) -> None:
    position = 0
    for block in files.read(store, path):
        assert block == data[position : position + len(block)]
        position += len(block)


if __name__ == "__main__":
    main()
