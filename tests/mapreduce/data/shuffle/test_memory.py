"""A task stays within its memory, whatever it is given: measured from outside, in a process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mapreduce.data.ordering import Ordering
from mapreduce.data.shuffle.runs import Runs
from mapreduce.data.shuffle.sizes import deep_size
from mapreduce.errors import ScratchFailed

MIB = 1 << 20
BUDGET = 8 * MIB
SPARE = 100 * MIB
"""What a process may take beside its budget: Python itself, and blocks on their way."""

PROGRAM = """
import json, operator, re, sys
from collections import Counter
from pathlib import Path
from mapreduce.data.ordering import Ordering
from mapreduce.data.shuffle import Collector, Fold, grouped

pairs, combine, ordering = eval(sys.argv[1])
folder, budget = Path(sys.argv[2]), int(sys.argv[3])
put = lambda *name_and_data: (folder / repr(name_and_data[:3])).write_bytes(name_and_data[3])
fetch = lambda wanted: [(folder / repr((p.partition, p.run, b))).read_bytes() for p, b in wanted]
collector = Collector(0, 1, 1, put, combine=combine, memory_bytes=budget)
collector.collect(pairs)
pieces = collector.finish()
counters = Counter()
groups = grouped(
    pieces, fetch, scratch=folder, memory_bytes=budget, ordering=ordering, counters=counters
)
count = total = 0
for _, values in groups:
    count += 1
    for value in values:
        total += 1
# Not ru_maxrss: that counts what the parent held when it started this process.
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
print(json.dumps([peak, collector.spills, counters["spills"], count, total]))
"""

GIVEN = {
    "one key of a million values": "(('k', n) for n in range(1_000_000)), None, Ordering()",
    "and they are sorted": "(('k', -n) for n in range(250_000)), None, Ordering(sort_values=True)",
    "distinct keys": "((f'key{n * 7919 % 100_000}', n) for n in range(100_000)), None, Ordering()",
    "that are folded": "((f'key{n}', n) for n in range(100_000)), Fold(operator.add), Ordering()",
    "that are counted": "((f'key{n}', 1) for n in range(100_000)), None, Ordering()",
    "large values": "((n % 50, bytes([n % 256]) * 200_000) for n in range(300)), None, Ordering()",
    "large keys": "((f'{n:0200000}', n) for n in range(300)), None, Ordering()",
}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")
@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN.keys())
def test_both_sides_stay_within_their_budget(given: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, given, str(tmp_path), str(BUDGET)],
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "1"},
    )
    peak, map_spills, reduce_spills, _, values = json.loads(done.stdout)
    assert map_spills > 0
    assert reduce_spills > 1
    assert values == int(given.split("range(")[1].split(")")[0].replace("_", ""))
    assert peak < BUDGET + SPARE, f"{peak / MIB:.0f} MiB"
    assert [path.name for path in tmp_path.glob("runs-*")] == []


def test_a_full_disk_names_the_folder_the_bytes_and_the_remedy(tmp_path: Path) -> None:
    runs = Runs(tmp_path, Ordering(), BUDGET)
    runs.write({"a": [1]})
    [folder] = tmp_path.iterdir()
    (folder / "run-00001").symlink_to("/dev/full")
    with pytest.raises(
        ScratchFailed, match=r"No space left on device after [\d,]+ bytes"
    ) as caught:
        runs.write({"b": [os.urandom(1000)]})
    assert str(folder) in str(caught.value)
    assert "TMPDIR" in str(caught.value)
    assert "memory_bytes" in str(caught.value)


def test_a_damaged_run_is_told_and_not_read_as_less(tmp_path: Path) -> None:
    runs = Runs(tmp_path, Ordering(), BUDGET)
    runs.write({"a": [1], "b": [2]})
    [path] = tmp_path.glob("*/run-00000")
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(ScratchFailed, match="can't be read again"):
        list(runs.merged())


def test_sizes_are_those_of_the_objects() -> None:
    class Slotted:
        __slots__ = ("held",)

    slotted = Slotted()
    slotted.held = "x" * 10_000
    assert deep_size(slotted) > 10_000
    assert deep_size({"key": ["x" * 1000] * 5}) > 5000
    assert 7_000_000 < deep_size([1000 + n for n in range(200_000)]) < 9_000_000
    assert deep_size(("to", 1)) > 100
