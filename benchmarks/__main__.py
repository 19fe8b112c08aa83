"""`make bench`: every benchmark in order; `python -m benchmarks NAME...` runs those named.

Each is a module of this package with a function `main()` that prints its own table.
"""

import importlib
import signal
import sys
import time

BENCHMARKS = {
    "store": "puts and gets a second and latency, beside a bare zerorpc echo and etcd",
    "batches": "batch puts and gets, beside LevelDB alone",
    "files": "upload and download of a file, beside LevelDB alone",
    "failures": "latency while a node is down and catches up; the time until it agrees again",
    "scale": "10, 100 and 1,000 nodes in the simulation: messages, and the time to agree",
    "scheduler": "the scheduler alone: events a second, and memory, up to 100,000 tasks",
    "tasks": "10,000 empty tasks on a warm cluster, and what each process does for them",
    "tiny": "a tiny job on a warm cluster, beside PySpark, Dask and Ray",
    "jobs": "word count and sort on a cluster of three nodes, beside the local runner",
    "deaths": "a word count in whose middle a worker, a node or the leading master is killed",
    "straggler": "a job with one worker ten times slower than the others, with backups and without",
    "sandbox": "what limits and a sandbox cost a task, and whether a share of processors holds",
    "words": "word count in three styles, beside a program by hand, a Unix pipeline and others",
    "sort": "a million records in order, beside the same",
    "streaming": "executables in one map and one reduce task, beside cat | map | sort | reduce",
    "index": "an inverted index, beside the same",
    "join": "a join of two tables, beside the same",
}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        known = "".join(f"\n  {name:12} {what}" for name, what in BENCHMARKS.items())
        print(f"no benchmark {', '.join(unknown)}; there are:{known}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))  # nothing is left running
    for name in names or BENCHMARKS:
        print(f"\n== {name}: {BENCHMARKS[name]}\n", flush=True)
        began = time.monotonic()
        importlib.import_module(f"benchmarks.{name}").main()
        print(f"\n({time.monotonic() - began:.0f} s)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
