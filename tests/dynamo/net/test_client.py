"""The client against real nodes: many threads, siblings, limits, and nodes that die."""

import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from cli.cluster_processes import ClusterProcesses, servers
from cli.local_cluster import free_ports
from dynamo.config import ClusterConfig
from dynamo.errors import BatchFailed, Conflict, QuorumFailed, RequestError, TooLarge, Unreachable
from dynamo.net.client import Client
from dynamo.store import Written
from dynamo.values.versions import NOTHING_SEEN
from tests.dynamo.net.conftest import addresses
from tests.waiting import wait_until


def kill(config: ClusterConfig, *names: str, with_signal: int = signal.SIGKILL) -> None:
    """Send a signal to nodes, and for SIGKILL wait until they have ended."""
    processes = ClusterProcesses(config)
    found = [processes.process(s) for s in servers(config) if s.name in names]
    for process in found:
        assert process is not None
        os.kill(process.pid, with_signal)
        if with_signal == signal.SIGKILL:
            wait_until(lambda process=process: not process.alive, 10, f"end of {process}")


def test_what_is_put_can_be_read_by_another_client(client: Client, cluster: ClusterConfig) -> None:
    written = client.put("seen by others", b"yes")
    assert len(written.nodes) >= cluster.write_quorum
    with Client(addresses(cluster)[::-1]) as other:
        reading = other.get("seen by others")
    assert reading.values == (b"yes",)
    assert len(reading.nodes) >= cluster.read_quorum


def test_a_hundred_threads_share_one_client(client: Client) -> None:
    def use(number: int) -> None:
        for turn in range(20):
            key = f"thread {number} turn {turn}"
            client.put(key, key.encode())
            assert client.get(key).value == key.encode()

    with ThreadPoolExecutor(100) as pool:
        for future in [pool.submit(use, number) for number in range(100)]:
            future.result()


def test_writers_that_have_not_seen_each_other_leave_siblings(client: Client) -> None:
    client.put("cart", b"book", context=NOTHING_SEEN)
    client.put("cart", b"lamp", context=NOTHING_SEEN)
    both = client.get("cart")
    assert sorted(both.values) == [b"book", b"lamp"]
    client.put("cart", b"book and lamp", context=both.context)
    assert client.get("cart", r=3).values == (b"book and lamp",)


def test_a_put_without_a_context_replaces_what_was_there(client: Client) -> None:
    client.put("plain", b"1")
    client.put("plain", b"2")
    assert client.get("plain").values == (b"2",)
    client.delete("plain")
    assert client.get("plain").values == ()


def test_batches_of_thousands_and_pages_of_a_listing(client: Client) -> None:
    items = {f"page/{number:05d}": b"%d" % number for number in range(3500)}
    client.multi_put(items)
    assert {k: r.value for k, r in client.multi_get(items).items()} == items
    assert list(client.list("page/")) == list(items)
    assert list(client.list("page/", after="page/03497")) == ["page/03498", "page/03499"]
    client.multi_delete(items)
    assert list(client.list("page/")) == []


def test_large_values_travel_in_several_frames(client: Client) -> None:
    items = {f"large {number}": os.urandom(2 << 20) for number in range(12)}
    client.multi_put(items)
    assert {k: r.value for k, r in client.multi_get(items).items()} == items
    client.multi_delete(items)


def test_locate_gives_the_nodes_that_store(client: Client, cluster: ClusterConfig) -> None:
    nodes = client.locate("some key")
    assert sorted(nodes) == [node.name for node in cluster.nodes]
    assert set(client.put("some key", b"", w=3).nodes) == set(nodes)
    assert client.locate("{route}a") == client.locate("{route}b")
    assert len(client.locate("some key", n=1)) == 1
    assert client.put("some other key", b"", n=1).nodes == client.locate("some other key", n=1)


@pytest.mark.parametrize(
    ("call", "error", "complaint"),
    [
        (lambda c: c.put("k" * 1025, b""), TooLarge, "key of 1,025 bytes is over the limit"),
        (lambda c: c.put("k", bytes((8 << 20) + 1)), TooLarge, "value of 8,388,609 bytes"),
        (lambda c: c.put("", b""), RequestError, "a key is a text"),
        (lambda c: c.put("k", "text"), RequestError, "a value is bytes, not str"),
        (lambda c: c.put("k", b"", w=4), RequestError, "w=4 of n=3 can't be met"),
        (lambda c: c.get("k", n=2, r=3), RequestError, "r=3 of n=2 can't be met"),
        (lambda c: c.multi_get(["ok", "k" * 2000]), TooLarge, "key"),
    ],
)
def test_bad_input_is_refused_with_its_reason(client, call, error, complaint) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=complaint):
        call(client)


def test_a_batch_that_fails_in_part_says_what_is_done_and_what_is_not(client: Client) -> None:
    client.put("part/0500", b"to last", w=3)
    items = {f"part/{number:04d}": b"%d" % number for number in range(1000)}
    with pytest.raises(
        BatchFailed, match=r"keys failed \('part/.*and .* more\), .* are done"
    ) as caught:
        client.multi_put(items, ttl_s=60.0, ephemeral=True)
    done, failed = caught.value.done, caught.value.failed
    assert "part/0500" in failed
    assert isinstance(failed["part/0500"], RequestError)
    assert done.keys() | failed.keys() == items.keys()
    assert not done.keys() & failed.keys()
    found = {key: reading.value for key, reading in client.multi_get(items).items()}
    assert found == {
        **{key: items[key] for key in done},
        **dict.fromkeys(failed),
        "part/0500": b"to last",
    }


def test_tens_of_thousands_of_keys_in_one_call_that_nobody_can_serve(
    own_cluster: ClusterConfig,
) -> None:
    with Client(addresses(own_cluster)) as client:
        client.locate("many/0")  # from now on the client knows the ring
        kill(own_cluster, "n2", "n3")
        items = {f"many/{number}": b"" for number in range(20_000)}
        with pytest.raises(BatchFailed, match="20,000 of 20,000 keys failed") as caught:
            client.multi_put(items, timeout_s=2.0)
        assert caught.value.failed.keys() == items.keys()
        assert {type(error) for error in caught.value.failed.values()} <= {
            QuorumFailed,
            Unreachable,
        }


def test_of_clients_that_put_if_absent_at_once_one_wins(
    client: Client, cluster: ClusterConfig
) -> None:
    def attempt(number: int) -> bool:
        with Client(addresses(cluster)) as other:
            try:
                other.put("leader", b"%d" % number, if_absent=True)
            except Conflict:
                return False
            return True

    with ThreadPoolExecutor(6) as pool:
        won = [number for number, did in enumerate(pool.map(attempt, range(6))) if did]
    assert len(won) == 1
    assert client.get("leader").values == (b"%d" % won[0],)


def test_futures_are_there_for_programs_without_threads(client: Client) -> None:
    futures: list[Future[Written]] = [
        client.put_async(f"later {number}", b"x") for number in range(50)
    ]
    assert all(future.result().nodes for future in futures)
    assert client.get_async("later 7", r=1).result().value == b"x"


def test_nobody_there_is_an_error_at_the_deadline() -> None:
    (port,) = free_ports(1)
    with Client([f"127.0.0.1:{port}"]) as client:
        began = time.monotonic()
        with pytest.raises(Unreachable, match=f"no answer after 0.5 s from any node of .*{port}"):
            client.get("anything", timeout_s=0.5)
        assert time.monotonic() - began < 5


def test_closing_ends_the_calls_that_wait() -> None:
    (port,) = free_ports(1)
    client = Client([f"127.0.0.1:{port}"])
    waiting = client.put_async("k", b"v")
    client.close()
    with pytest.raises(Unreachable, match="closed"):
        waiting.result(timeout=5)


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.get("k"),
        lambda client: client.put_async("k", b"v"),
        lambda client: list(client.list("")),
        lambda client: client.status(),
    ],
    ids=["get", "put_async", "list", "status"],
)
def test_a_closed_client_says_so(call: Callable[[Client], object]) -> None:
    client = Client(["127.0.0.1:1"])
    client.close()
    client.close()
    with pytest.raises(Unreachable, match="this client is closed: make a new one"):
        call(client)


def test_status_tells_of_every_node(client: Client, cluster: ClusterConfig) -> None:
    status = client.status()
    assert sorted(status) == sorted(addresses(cluster))
    names = {entry["name"] for entry in status.values() if isinstance(entry, dict)}
    assert names == {"n1", "n2", "n3"}


def test_one_dead_node_is_survived_and_two_are_reported(own_cluster: ClusterConfig) -> None:
    with Client(addresses(own_cluster)) as client:
        client.multi_put({f"k{number}": b"before" for number in range(100)})
        kill(own_cluster, "n1")
        client.multi_put({f"k{number}": b"after" for number in range(100)})
        readings = client.multi_get([f"k{number}" for number in range(100)])
        assert {reading.value for reading in readings.values()} == {b"after"}
        assert len(list(client.list("k"))) == 100
        kill(own_cluster, "n2")
        with pytest.raises(QuorumFailed, match=r"needed 2 replicas and got 1 \(n3\)") as caught:
            client.put("k0", b"lonely", timeout_s=8)
        assert caught.value.silent == ("n1", "n2") or caught.value.silent == ("n2", "n1")
        assert client.get("k1", r=1).value == b"after"


def test_acknowledged_puts_survive_kill_9_of_all_nodes(own_cluster: ClusterConfig) -> None:
    with Client(addresses(own_cluster)) as client:
        client.multi_put({f"k{number}": b"%d" % number for number in range(500)})
        kill(own_cluster, "n1", "n2", "n3")
        ClusterProcesses(own_cluster).up(say=lambda line: None)
        readings = client.multi_get([f"k{number}" for number in range(500)])
        assert [r.value for r in readings.values()] == [b"%d" % number for number in range(500)]
        client.put("k1", b"newer", context=readings["k1"].context)
        assert client.get("k1", r=3).values == (b"newer",)


def test_a_stopped_node_delays_nobody_past_the_deadline(own_cluster: ClusterConfig) -> None:
    with Client(addresses(own_cluster), prefer="n1") as client:
        client.put("k", b"1")
        kill(own_cluster, "n1", with_signal=signal.SIGSTOP)
        try:
            began = time.monotonic()
            client.put("k", b"2", timeout_s=8)
            assert client.get("k", timeout_s=8).value == b"2"
            assert time.monotonic() - began < 8
        finally:
            kill(own_cluster, "n1", with_signal=signal.SIGCONT)
        assert client.get("k", r=3).value == b"2"


def test_puts_go_on_from_many_threads_while_a_node_dies(own_cluster: ClusterConfig) -> None:
    stop = threading.Event()
    acknowledged: dict[str, bytes] = {}

    def write(number: int, client: Client) -> None:
        turn = 0
        while not stop.is_set():
            key = f"{number}/{turn}"
            client.put(key, key.encode())
            acknowledged[key] = key.encode()
            turn += 1

    with Client(addresses(own_cluster)) as client, ThreadPoolExecutor(8) as pool:
        writers = [pool.submit(write, number, client) for number in range(8)]
        wait_until(lambda: len(acknowledged) > 100, 20, "the first puts")
        kill(own_cluster, "n2")
        before = len(acknowledged)
        wait_until(lambda: len(acknowledged) > before + 500, 30, "puts after the death")
        stop.set()
        for writer in writers:
            writer.result()
        readings = client.multi_get(acknowledged)
    assert {key: reading.value for key, reading in readings.items()} == acknowledged


def test_two_nodes_cannot_share_a_disk(own_cluster: ClusterConfig, tmp_path: Path) -> None:
    from dynamo.disk.leveldb import LevelDisk
    from dynamo.errors import NodeFailed

    with pytest.raises(NodeFailed, match="if another process uses this folder"):
        LevelDisk(own_cluster.nodes[0].data)


def test_a_batch_of_large_values_is_read_whole_though_one_answer_has_no_room(
    client: Client,
) -> None:
    items = {f"{{large}}{number}": bytes([number]) * (1 << 20) for number in range(12)}
    client.multi_put(items)
    readings = client.multi_get(items)
    assert {key: reading.value for key, reading in readings.items()} == items
    assert list(readings) == list(items)
