"""A LevelDB whose files are damaged: what still opens, what is moved aside, what is never done."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from dynamo.disk.contract import Write
from dynamo.disk.leveldb import LevelDisk
from dynamo.errors import CorruptData, NodeFailed

KEYS = [b"%05d" % number for number in range(3000)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A LevelDB with two sorted files, and a log with the last thousand keys."""
    folder = tmp_path / "n1"
    for first in range(0, 3000, 1000):  # to open it again writes its log out into a sorted file
        disk = LevelDisk(folder)
        disk.commit([Write(key, key * 100) for key in KEYS[first : first + 500]], sync=True)
        disk.commit([Write(key, key * 100) for key in KEYS[first + 500 : first + 1000]], sync=True)
        disk.close()
    return folder


def one(folder: Path, pattern: str) -> Path:
    return sorted(folder.glob(pattern))[-1]


def cut(pattern: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = one(folder, pattern)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return damage


def garble(pattern: str, at: float) -> Callable[[Path], None]:
    """Change bytes at this share of a file's length."""

    def damage(folder: Path) -> None:
        path = one(folder, pattern)
        data = bytearray(path.read_bytes())
        place = int(len(data) * at)
        data[place : place + 60] = bytes(byte ^ 0x5A for byte in data[place : place + 60])
        path.write_bytes(data)

    return damage


def remove(pattern: str) -> Callable[[Path], None]:
    return lambda folder: one(folder, pattern).unlink()


def replace_current(folder: Path) -> None:
    (folder / "CURRENT").write_bytes(b"MANIFEST-009999\n")


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(cut("MANIFEST-*"), id="half of the MANIFEST"),
        pytest.param(garble("MANIFEST-*", 0.0), id="a garbled MANIFEST"),
        pytest.param(remove("MANIFEST-*"), id="no MANIFEST"),
        pytest.param(cut("CURRENT"), id="half of CURRENT"),
        pytest.param(replace_current, id="a CURRENT that names nothing"),
        pytest.param(remove("CURRENT"), id="no CURRENT"),
        pytest.param(remove("*.ldb"), id="a sorted file is missing"),
    ],
)
def test_what_does_not_open_is_moved_aside_and_kept(
    folder: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    damage(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    disk = LevelDisk(folder)
    assert list(disk.scan(b"", b"\xff")) == []
    disk.commit([Write(b"new", b"1")], sync=True)
    aside = disk.moved_aside
    assert aside is not None
    assert aside.name.startswith("n1.damaged-2")
    assert {name for name in before if not name.startswith(("LOG", "LOCK"))} <= {
        path.name for path in aside.iterdir()
    }
    assert all(
        (aside / name).read_bytes() == data
        for name, data in before.items()
        if name.endswith((".ldb", ".log")) or name.startswith(("MANIFEST", "CURRENT"))
    )
    [warning] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert str(folder) in warning.getMessage()
    assert str(aside) in warning.getMessage()
    disk.close()
    disk = LevelDisk(folder)
    assert (disk.get(b"new"), disk.moved_aside) == (b"1", None)
    disk.close()


def test_a_damaged_log_is_opened_with_what_can_be_read_and_said_so(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    garble("*.log", 0.75)(folder)
    disk = LevelDisk(folder)
    assert disk.records_lost
    assert disk.moved_aside is None
    assert disk.get(KEYS[0]) == KEYS[0] * 100
    assert "damaged records in its log" in caplog.text
    disk.close()


def test_a_log_that_is_torn_off_is_no_damage(folder: Path) -> None:
    """As after a loss of power; what was not written whole was not acknowledged."""
    path = one(folder, "*.log")
    path.write_bytes(path.read_bytes()[:-100])
    disk = LevelDisk(folder)
    assert not disk.records_lost
    assert disk.get(KEYS[2499]) == KEYS[2499] * 100
    assert disk.get(KEYS[2500]) is None
    disk.close()


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(garble("*.ldb", 0.3), id="a garbled block"),
        pytest.param(garble("*.ldb", 0.999), id="a garbled footer"),
        pytest.param(cut("*.ldb"), id="half of a sorted file"),
    ],
)
def test_what_can_t_be_read_is_an_error_and_never_missing_or_wrong(
    folder: Path, damage: Callable[[Path], None]
) -> None:
    damage(folder)
    disk = LevelDisk(folder)
    damaged = 0
    for key in KEYS:
        try:
            assert disk.get(key) == key * 100
        except CorruptData:
            damaged += 1
    assert 0 < damaged <= 2000
    with pytest.raises(CorruptData, match="can't read its data"):
        list(disk.scan(b"", b"\xff"))
    disk.commit([Write(b"new", b"1")], sync=True)
    assert disk.get(b"new") == b"1"
    disk.close()


def test_a_folder_that_another_process_uses_is_never_moved(folder: Path) -> None:
    disk = LevelDisk(folder)
    with pytest.raises(NodeFailed, match="stop it first"):
        LevelDisk(folder)
    assert [path.name for path in folder.parent.iterdir()] == ["n1"]
    disk.close()
