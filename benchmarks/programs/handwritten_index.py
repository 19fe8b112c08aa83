"""What one writes by hand to index documents on all cores: two rounds of a multiprocessing.Pool.

In the first each process gathers the documents of each word in its slices, and keeps them in a
file for each partition of the words; in the second each reads the files of its partitions.
"""

import marshal
import multiprocessing
import sys
import tempfile
import zlib
from collections import defaultdict
from functools import partial
from pathlib import Path

from benchmarks.programs.slices import Slice, slices, text_of

PARTITIONS = 4


def index_slice(folder: Path, job: tuple[int, Slice]) -> None:
    """Write what a slice holds: for each partition a dict from word to names of documents."""
    number, part = job
    found: defaultdict[str, list[str]] = defaultdict(list)
    for line in text_of(part).split("\n"):
        document, _, text = line.partition("\t")
        for word in set(text.split()):
            found[word].append(document)
    partitions: list[dict[str, str]] = [{} for _ in range(PARTITIONS)]
    for word, documents in found.items():
        partitions[zlib.crc32(word.encode()) % PARTITIONS][word] = " ".join(documents)
    for partition, words in enumerate(partitions):
        (folder / f"{partition}-{number}").write_bytes(marshal.dumps(words))


def merge_partition(folder: Path, output: Path, partition: int) -> None:
    """Write the words of a partition, each with all of its documents."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for path in folder.glob(f"{partition}-*"):
        for word, documents in marshal.loads(path.read_bytes()).items():
            found[word].append(documents)
    with (output / f"part-{partition:05d}").open("w", encoding="utf-8") as file:
        for word in sorted(found):
            documents = sorted(" ".join(found[word]).split(" "))
            file.write(f"{word}\t{' '.join(documents)}\n")


def run(output: Path, path: Path, processes: int = 2) -> None:
    """Index the documents of `path` into files in the folder `output`."""
    output.mkdir()
    with (
        tempfile.TemporaryDirectory() as name,
        multiprocessing.get_context("spawn").Pool(processes) as pool,
    ):
        folder = Path(name)
        jobs = enumerate(slices(path, processes))
        pool.map(partial(index_slice, folder), jobs, chunksize=1)
        pool.map(partial(merge_partition, folder, output), range(PARTITIONS), chunksize=1)


if __name__ == "__main__":
    run(*map(Path, sys.argv[1:]))
