"""Word count over 128 MB of Zipf-distributed text: the `local` runner beside a program by hand.

Both run in the same minute on the same processes, write the same files, and are compared byte for
byte. What counts is the ratio of their times.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import handwritten_wordcount, zipf
from examples.wordcount import MyCombiner, MyMapper, MyReducer
from mapreduce import Job

SIZE_BYTES = 128 << 20
PARTITIONS = 4
ROUNDS = 5
AIM = 1.7


def main() -> None:
    text = zipf.text(SIZE_BYTES)
    processes = os.cpu_count() or 1
    job = Job(
        "wordcount",
        mapper=MyMapper,
        reducer=MyReducer,
        combiner=MyCombiner,
        reducers=PARTITIONS,
    )
    text.read_bytes()  # so that the first round finds it in memory, as the others do
    size_mb = text.stat().st_size / 1e6
    print(f"word count, {size_mb:.0f} MB, {processes} processes, {PARTITIONS} partitions")
    with tempfile.TemporaryDirectory() as folder:
        ratios = []
        for number in range(ROUNDS):
            by_hand, ours = Path(folder, f"hand-{number}"), Path(folder, f"job-{number}")
            hand_s = timed(
                lambda to=by_hand: handwritten_wordcount.run(text, to, PARTITIONS, processes)
            )
            job_s = timed(lambda to=ours: job.run(text, output=to, processes=processes))
            compare(by_hand, ours)
            ratios.append(job_s / hand_s)
            print(
                f"  by hand {hand_s:5.1f} s   local runner {job_s:5.1f} s   "
                f"ratio {ratios[-1]:.2f}   output identical"
            )
    print(f"  ratio, median of {ROUNDS}: {statistics.median(ratios):.2f} (aim: at most {AIM})")


def timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def compare(one: Path, other: Path) -> None:
    """Stop the benchmark if the two folders hold different parts."""
    parts = [sorted(path.name for path in folder.glob("part-*")) for folder in (one, other)]
    same = parts[0] == parts[1] and all(
        (one / name).read_bytes() == (other / name).read_bytes() for name in parts[0]
    )
    if not same:
        raise SystemExit(f"the outputs in {one} and {other} differ")


if __name__ == "__main__":
    main()
