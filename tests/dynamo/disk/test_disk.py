"""One battery over both disks, and what each promises beyond it."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from dynamo.disk.contract import (
    Disk,
    MemoryDisk,
    Write,
    copy_key,
    copy_range,
    key_of_copy,
)
from dynamo.disk.leveldb import LevelDisk
from dynamo.errors import NodeFailed

Reopen = Callable[[], Disk]
"""Closes the disk, if it is open, and opens it again as it was left."""


@pytest.fixture(params=["memory", "leveldb"])
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Reopen:
    if request.param == "memory":
        memory = MemoryDisk()

        def open_memory() -> Disk:
            memory.close()
            return memory

        return open_memory
    opened: list[LevelDisk] = []

    def close_level() -> None:
        while opened:
            opened.pop().close()

    def open_level() -> Disk:
        close_level()
        opened.append(LevelDisk(tmp_path / "disk"))
        return opened[0]

    request.addfinalizer(close_level)
    return open_level


@pytest.fixture
def disk(reopen: Reopen) -> Disk:
    return reopen()


def everything(disk: Disk) -> list[tuple[bytes, bytes]]:
    return list(disk.scan(b"", b"\xff"))


def test_a_new_disk_is_empty(disk: Disk) -> None:
    assert disk.get(b"a") is None
    assert everything(disk) == []


def test_a_commit_puts_and_deletes(disk: Disk) -> None:
    disk.commit([Write(b"a", b"1"), Write(b"b", b"2")], sync=True)
    disk.commit([Write(b"a", None), Write(b"b", b"3"), Write(b"c", b"")], sync=False)
    assert disk.get(b"a") is None
    assert disk.get(b"b") == b"3"
    assert disk.get(b"c") == b""


def test_the_last_write_of_a_key_in_a_batch_counts(disk: Disk) -> None:
    disk.commit([Write(b"a", b"1"), Write(b"a", None), Write(b"b", None)], sync=True)
    disk.commit([Write(b"b", b"1"), Write(b"b", b"2")], sync=True)
    assert everything(disk) == [(b"b", b"2")]


def test_the_size_of_a_range_is_about_what_it_holds(reopen: Reopen) -> None:
    disk = reopen()
    chance = Random(1)  # nothing that could be compressed
    small = [Write(b"a%03d" % number, chance.randbytes(1_000)) for number in range(100)]
    large = [Write(b"b%03d" % number, chance.randbytes(10_000)) for number in range(100)]
    disk.commit(small + large, sync=True)
    disk = reopen()  # LevelDB moves its log into a sorted file
    assert disk.size(b"a", b"b") == pytest.approx(100_000, rel=0.2)
    assert disk.size(b"b", b"c") == pytest.approx(1_000_000, rel=0.1)
    assert disk.size(b"c", b"d") == 0


def test_usage_grows_with_what_is_kept(disk: Disk) -> None:
    before = disk.usage()
    disk.commit([Write(b"a", Random(1).randbytes(100_000))], sync=True)
    assert disk.usage().used_bytes - before.used_bytes >= 100_000
    assert before.free_bytes is None or before.free_bytes > 0


def test_an_empty_commit_is_allowed(disk: Disk) -> None:
    disk.commit([], sync=True)
    disk.commit([], sync=False)
    assert everything(disk) == []


def test_a_scan_goes_in_order_of_bytes_from_start_up_to_stop(disk: Disk) -> None:
    keys = [b"b", b"a", b"a\x00", b"a\xff", b"\x80", b"aa"]
    disk.commit([Write(key, key) for key in keys], sync=True)
    assert [key for key, _ in everything(disk)] == sorted(keys)
    assert list(disk.scan(b"a\x00", b"b")) == [(key, key) for key in (b"a\x00", b"aa", b"a\xff")]
    assert list(disk.scan(b"b", b"a")) == []
    assert list(disk.scan(b"a", b"a")) == []


def test_a_scan_shows_the_disk_as_it_was_when_it_began(disk: Disk) -> None:
    disk.commit([Write(b"a", b"1"), Write(b"b", b"2")], sync=True)
    scan = disk.scan(b"a", b"z")
    assert next(scan) == (b"a", b"1")
    disk.commit([Write(b"b", None), Write(b"c", b"3")], sync=True)
    assert list(scan) == [(b"b", b"2")]


def test_what_was_committed_is_there_after_close_and_reopen(reopen: Reopen) -> None:
    disk = reopen()
    disk.commit([Write(b"a", b"1"), Write(b"b", b"2")], sync=True)
    disk.commit([Write(b"b", None), Write(b"c", bytes(1 << 20))], sync=False)
    disk = reopen()
    assert everything(disk) == [(b"a", b"1"), (b"c", bytes(1 << 20))]


# MemoryDisk: a loss of power ---------------------------------------------------------------------


def test_a_crash_loses_all_that_was_not_synced_and_nothing_else() -> None:
    disk = MemoryDisk()
    disk.commit([Write(b"a", b"1"), Write(b"b", b"1")], sync=True)
    disk.commit([Write(b"a", b"2")], sync=False)
    disk.commit([Write(b"a", b"3"), Write(b"b", None), Write(b"c", b"1")], sync=False)
    disk.crash()
    assert everything(disk) == [(b"a", b"1"), (b"b", b"1")]


def test_a_sync_keeps_the_commits_before_it_too() -> None:
    disk = MemoryDisk()
    disk.commit([Write(b"a", b"1")], sync=False)
    disk.commit([Write(b"b", b"1")], sync=True)
    disk.crash()
    assert everything(disk) == [(b"a", b"1"), (b"b", b"1")]


def test_an_empty_sync_keeps_the_commits_before_it() -> None:
    disk = MemoryDisk()
    disk.commit([Write(b"a", b"1")], sync=False)
    disk.commit([], sync=True)
    disk.crash()
    assert everything(disk) == [(b"a", b"1")]


# LevelDisk: processes that die -------------------------------------------------------------------

WRITER = """\
import sys
from pathlib import Path
from dynamo.disk.contract import Write
from dynamo.disk.leveldb import LevelDisk

disk = LevelDisk(Path(sys.argv[1]))
number = 0
while True:
    pair = [Write(b"left %06d" % number, b"x" * 500), Write(b"right %06d" % number, b"y" * 500)]
    disk.commit(pair, sync=number % 10 == 0)
    print(number, flush=True)
    number += 1
"""


def test_kill_9_of_the_writer_loses_nothing_committed_and_halves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    committed = -1
    while committed < 300:
        committed = int(writer.stdout.readline())
    writer.send_signal(signal.SIGKILL)
    told = writer.stdout.read().splitlines()
    writer.stdout.close()
    writer.wait(timeout=10)
    committed = int(told[-1]) if told else committed
    disk = LevelDisk(folder)
    left = [key.split()[1] for key, _ in disk.scan(b"left", b"lefu")]
    right = [key.split()[1] for key, _ in disk.scan(b"right", b"righu")]
    disk.close()
    assert left == right
    assert [int(number) for number in left] == list(range(len(left)))
    assert len(left) in (committed + 1, committed + 2)


def test_a_folder_in_use_is_one_clear_error(tmp_path: Path) -> None:
    disk = LevelDisk(tmp_path / "disk")
    with pytest.raises(NodeFailed, match=r"can't be opened: .*stop it first"):
        LevelDisk(tmp_path / "disk")
    disk.close()


def test_a_folder_that_can_t_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NodeFailed, match="can't be opened"):
        LevelDisk(tmp_path / "file" / "disk")


def test_a_batch_that_breaks_off_changes_nothing(tmp_path: Path) -> None:
    disk = LevelDisk(tmp_path / "disk")
    disk.commit([Write(b"a", b"1")], sync=True)
    with pytest.raises(TypeError):
        disk.commit([Write(b"a", b"2"), Write(b"b", "text")], sync=True)  # type: ignore[arg-type]
    assert everything(disk) == [(b"a", b"1")]
    disk.close()


FILLER = """\
import resource, sys
from pathlib import Path
from dynamo.disk.contract import Write
from dynamo.disk.leveldb import LevelDisk
from dynamo.errors import ReadOnly

disk = LevelDisk(Path(sys.argv[1]))
disk.commit([Write(b"before", b"1")], sync=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    disk.commit([Write(b"%d" % number, bytes(1000)) for number in range(1000)], sync=True)
except ReadOnly as error:
    print(error)
"""


def test_a_disk_that_is_full_is_one_clear_error(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    done = subprocess.run(
        [sys.executable, "-c", FILLER, str(folder)], capture_output=True, text=True, timeout=30
    )
    assert "can't write 1,000 changes: " in done.stdout
    disk = LevelDisk(folder)
    assert everything(disk) == [(b"before", b"1")]
    disk.close()


def test_without_fsync_everything_else_is_the_same(tmp_path: Path) -> None:
    disk = LevelDisk(tmp_path / "disk", fsync=False)
    disk.commit([Write(b"a", b"1")], sync=True)
    disk.close()
    disk = LevelDisk(tmp_path / "disk")
    assert disk.get(b"a") == b"1"
    disk.close()


# Names of keys on disk ---------------------------------------------------------------------------

KEYS = ["a", "a{b}", "ab", "b", "ключ", "😀", "\uffff"]


def test_keys_come_back_and_lie_in_order_of_code_points(disk: Disk) -> None:
    disk.commit([Write(copy_key(3, key), b"") for key in reversed(KEYS)], sync=True)
    disk.commit([Write(copy_key(partition, "a"), b"") for partition in (2, 4, 515)], sync=True)
    found = [key_of_copy(key) for key, _ in disk.scan(*copy_range(3, "", ""))]
    assert found == sorted(KEYS)


@pytest.mark.parametrize(
    ("prefix", "after", "expected"),
    [
        ("a", "", ["a", "a{b}", "ab"]),
        ("a", "a", ["ab", "a{b}"]),
        ("a", "ab", ["a{b}"]),
        ("a", "b", []),
        ("b", "a", ["b"]),
        ("", "b", ["ключ", "\uffff", "😀"]),
        ("ключ", "", ["ключ"]),
        ("x", "", []),
    ],
)
def test_a_range_holds_a_prefix_behind_a_key(
    disk: Disk, prefix: str, after: str, expected: list[str]
) -> None:
    disk.commit([Write(copy_key(3, key), b"") for key in KEYS], sync=True)
    found = [key_of_copy(key) for key, _ in disk.scan(*copy_range(3, prefix, after))]
    assert found == sorted(expected)
