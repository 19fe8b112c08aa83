"""What one writes by hand to count words on all cores: multiprocessing.Pool and Counter.

Each process reads its own slices of the file, counts lines into a Counter, and sends it back; the
counters are added up, split by a hash into sorted files.
"""

import multiprocessing
import os
import zlib
from collections import Counter
from pathlib import Path

SLICE_BYTES = 16 << 20


def count_slice(job: tuple[Path, int, int]) -> Counter[str]:
    """Count the words of the lines that begin between two positions of a file."""
    path, start, stop = job
    with path.open("rb") as file:
        if start:
            file.seek(start - 1)
            file.readline()
        text = file.read(max(0, stop - file.tell()))
        if text and not text.endswith(b"\n"):
            text += file.readline()
    counts: Counter[str] = Counter()
    # Line by line is faster than all at once: a list of all words is more than the caches hold.
    for line in text.decode().split("\n"):
        counts.update(line.split())
    return counts


def run(path: Path, output: Path, partitions: int, processes: int) -> None:
    """Count the words of `path` into sorted files in the folder `output`."""
    size = path.stat().st_size
    jobs = [(path, at, min(at + SLICE_BYTES, size)) for at in range(0, size, SLICE_BYTES)]
    total: Counter[str] = Counter()
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for counts in pool.imap_unordered(count_slice, jobs):
            total.update(counts)
    parts: list[list[str]] = [[] for _ in range(partitions)]
    for word in total:
        parts[zlib.crc32(word.encode()) % partitions].append(word)
    output.mkdir(parents=True)
    for number, words in enumerate(parts):
        lines = [f"{word}\t{total[word]}\n" for word in sorted(words)]
        (output / f"part-{number:05d}").write_text("".join(lines))


if __name__ == "__main__":
    import sys

    run(Path(sys.argv[1]), Path(sys.argv[2]), 4, os.cpu_count() or 1)
