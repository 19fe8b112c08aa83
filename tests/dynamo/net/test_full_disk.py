"""Real nodes on a real file system that is full, or has become read-only."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.cluster_processes import ClusterProcesses
from cli.local_cluster import write_config
from dynamo.config import ClusterConfig, load
from dynamo.errors import DynamoError, QuorumFailed, ReadOnly
from dynamo.net.client import Client
from tests.dynamo.net.conftest import addresses
from tests.dynamo.net.test_client import kill
from tests.waiting import wait_until

MIB = 1 << 20


class Volume:
    """A small file system of its own at `folder`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.mount()

    def mount(self) -> None:
        self.run("mount", "-t", "tmpfs", "-o", "size=128m", "tmpfs", str(self.folder))

    def unmount(self) -> None:
        """The kernel may hold it for a moment after the last process that used it has ended."""
        wait_until(self._unmounted, 10, f"the unmounting of {self.folder}")

    def _unmounted(self) -> bool:
        return subprocess.run(["umount", str(self.folder)], capture_output=True).returncode == 0

    def fill(self, but_bytes: int) -> None:
        """Take all room but so much."""
        room = os.statvfs(self.folder)
        with self._ballast.open("ab") as file:
            if taken_bytes := room.f_bavail * room.f_frsize - but_bytes:
                os.posix_fallocate(file.fileno(), file.tell(), taken_bytes)

    def make_room(self) -> None:
        self._ballast.unlink()

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"

    def run(self, *command: str) -> None:
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise PermissionError(done.stderr.strip())


class Ext4Volume(Volume):
    """A file system that can fail as a disk does: it turns read-only under what is open on it.

    Each mount is one of a copy of the last image: a mount namespace that another test has made just
    then keeps the failed file system alive, and the same image would be that one again.
    """

    def mount(self) -> None:
        images = sorted(self.folder.parent.glob(f"{self.folder.name}.*.img"))
        image = self.folder.with_suffix(f".{len(images)}.img")
        if images:
            shutil.copyfile(images[-1], image)
        else:
            with image.open("wb") as file:
                file.truncate(128 * MIB)
            self.run("mkfs.ext4", "-q", str(image))
        self.run("mount", "-o", "loop,errors=remount-ro", str(image), str(self.folder))

    def fail(self) -> None:
        self.run("mount", "-o", "remount,abort", str(self.folder))


def mounted(kind: type[Volume], folder: Path) -> Iterator[Volume]:
    try:
        volume = kind(folder)
    except (PermissionError, FileNotFoundError) as error:
        pytest.skip(f"no file system can be mounted here: {error}")
    try:
        yield volume
    finally:
        volume.unmount()


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Volume]:
    """Where the disk of node n2 is."""
    yield from mounted(Volume, tmp_path / "var" / "n2")


@pytest.fixture
def ext4_volume(tmp_path: Path) -> Iterator[Volume]:
    yield from mounted(Ext4Volume, tmp_path / "var" / "n2")


def up(config: ClusterConfig) -> None:
    ClusterProcesses(config).up(say=lambda line: None)


@pytest.fixture
def cluster_of_three(tmp_path: Path, volume: Volume) -> Iterator[ClusterConfig]:
    yield from running(tmp_path, "reserve_mb = 16")


def running(folder: Path, settings: str) -> Iterator[ClusterConfig]:
    config = write_config(folder, nodes=3, masters=0, workers=0, settings=settings)
    up(config)
    try:
        yield config
    finally:
        ClusterProcesses(config).down(say=lambda line: None)


def why_read_only(client: Client, config: ClusterConfig, node: str) -> str:
    status = client.status()[config.node(node).address]
    return str(status["read_only"]) if isinstance(status, dict) else ""


def test_a_full_node_refuses_writes_goes_on_reading_and_recovers(
    cluster_of_three: ClusterConfig, volume: Volume
) -> None:
    config = cluster_of_three
    keys = [f"key {number}" for number in range(50)]
    with Client(addresses(config), prefer="n2") as client:
        assert {len(w.nodes) for w in client.multi_put(dict.fromkeys(keys, b"1"), w=3).values()}
        volume.fill(but_bytes=8 * MIB)
        written = client.multi_put(dict.fromkeys(keys, b"2"))
        assert {w.nodes for w in written.values()} <= {("n1", "n3"), ("n3", "n1")}
        wait_until(lambda: why_read_only(client, config, "n2"), 10, "n2 to know that it is full")
        assert "is full: 8.0 MiB are free, 16.0 MiB are needed" in why_read_only(
            client, config, "n2"
        )
        with pytest.raises(QuorumFailed, match=r"n2 takes no writes: the disk of .* is full"):
            client.put("key 1", b"all three", w=3)
        assert client.get("key 1", r=1).nodes == ("n2",)

        kill(config, "n2")
        up(config)
        wait_until(lambda: client.get("key 2", r=3).value == b"2", 20, "n2 to read again")
        assert client.put("key 2", b"3").nodes
        wait_until(lambda: why_read_only(client, config, "n2"), 10, "n2 to know that it is full")

        volume.make_room()
        wait_until(lambda: not why_read_only(client, config, "n2"), 10, "n2 to take writes again")
        assert set(client.put("key 3", b"3", w=3).nodes) == {"n1", "n2", "n3"}
        last = dict.fromkeys(keys, b"2") | {"key 1": b"all three", "key 2": b"3", "key 3": b"3"}
        assert {key: r.value for key, r in client.multi_get(keys).items()} == last
    log = (config.data / "log" / "node-n2.log").read_text()
    assert log.count("takes no writes, reads go on") == 2
    assert log.count("takes writes again") == 1


def fill_with_puts(client: Client) -> dict[str, bytes]:
    """Put until it is refused; what was acknowledged."""
    acknowledged: dict[str, bytes] = {}
    for number in range(200):
        value = os.urandom(MIB)
        try:
            client.put(f"large {number}", value, n=1, w=1)
        except ReadOnly:
            return acknowledged
        acknowledged[f"large {number}"] = value
    raise AssertionError("200 MiB on a disk of 128 MiB")


def only_node(folder: Path, settings: str) -> ClusterConfig:
    path = write_config(folder, nodes=2, masters=0, workers=0, settings=settings).path
    lines = path.read_text().splitlines()
    first = lines.index("[node n1]")
    path.write_text("\n".join(lines[:first] + lines[first + 2 :]))  # n2 alone is left
    return load(path)


@pytest.mark.parametrize("killed", [False, True])
def test_a_disk_that_is_full_to_the_last_byte_loses_nothing_acknowledged(
    tmp_path: Path, volume: Volume, killed: bool
) -> None:
    """With next to no reserve LevelDB itself meets the end of the disk, and takes no more writes
    until it is opened again."""
    config = only_node(tmp_path, "reserve_mb = 1")
    volume.fill(but_bytes=60 * MIB)
    up(config)
    try:
        with Client(addresses(config)) as client:
            acknowledged = fill_with_puts(client)
            volume.fill(but_bytes=0)
            with pytest.raises(ReadOnly, match="put of 'more' was refused: n2 takes no writes: "):
                client.put("more", b"")
            found = client.multi_get(acknowledged)
            assert {key: reading.value for key, reading in found.items()} == acknowledged
            if killed:
                kill(config, "n2")
            volume.make_room()
            up(config)
            wait_until(lambda: can_put(client), 20, "n2 to take writes again")
            found = client.multi_get(acknowledged)
            assert {key: reading.value for key, reading in found.items()} == acknowledged
            assert len(list(client.list("large"))) in (len(acknowledged), len(acknowledged) + 1)
    finally:
        ClusterProcesses(config).down(say=lambda line: None)


def can_put(client: Client) -> bool:
    try:
        client.put("more", b"", timeout_s=1)
    except DynamoError:
        return False
    return True


def test_a_disk_that_turns_read_only_refuses_writes_and_reads_go_on(
    tmp_path: Path, ext4_volume: Ext4Volume
) -> None:
    config = only_node(tmp_path, "reserve_mb = 1")
    up(config)
    try:
        with Client(addresses(config)) as client:
            client.put("key", b"before")
            ext4_volume.fail()
            with pytest.raises(ReadOnly, match=r"n2 takes no writes: .*[Rr]ead-only"):
                client.put("key", b"after")
            assert client.get("key").value == b"before"
            kill(config, "n2")
            ext4_volume.unmount()
            ext4_volume.mount()
            up(config)
            assert client.get("key", timeout_s=20).value == b"before"
            client.put("key", b"after", timeout_s=20)
    finally:
        ClusterProcesses(config).down(say=lambda line: None)
