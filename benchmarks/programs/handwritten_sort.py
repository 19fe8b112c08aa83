"""What one writes by hand to sort a file on all cores: a range of the keys for each process.

A sample of the records gives the borders. Every process reads the file, keeps what lies between
its borders, sorts it and writes it, so that no record travels from one process to another. The
file has to fit in the memory of each.
"""

import multiprocessing
import sys
from pathlib import Path

SAMPLES = 1000
SAMPLE_BYTES = 1000
"""More than a record has."""
Range = tuple[Path, Path, bytes, bytes | None]


def borders(path: Path, ranges: int) -> list[bytes]:
    """Where one range ends and the next begins, so that all hold about as many records."""
    size = path.stat().st_size
    sample = []
    with path.open("rb") as file:
        for position in range(0, size, max(1, size // SAMPLES)):
            file.seek(position)
            lines = file.read(SAMPLE_BYTES).split(b"\n")
            sample.append(lines[1] if position and len(lines) > 1 else lines[0])
    sample.sort()
    return [sample[len(sample) * number // ranges] for number in range(1, ranges)]


def sort_range(job: Range) -> None:
    """Write the records from `low` on and before `high`, sorted."""
    path, part, low, high = job
    lines = path.read_bytes().splitlines(keepends=True)
    if high is None:
        mine = [line for line in lines if low <= line]
    else:
        mine = [line for line in lines if low <= line < high]
    del lines
    mine.sort()
    with part.open("wb") as file:
        file.writelines(mine)


def run(output: Path, path: Path, processes: int = 2) -> None:
    """Sort the lines of `path` into files in the folder `output`, one for each process."""
    output.mkdir()
    lows = [b"", *borders(path, processes)]
    highs = [*lows[1:], None]
    jobs = [
        (path, output / f"part-{number:05d}", low, high)
        for number, (low, high) in enumerate(zip(lows, highs))
    ]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        pool.map(sort_range, jobs, chunksize=1)


if __name__ == "__main__":
    run(*map(Path, sys.argv[1:]))
