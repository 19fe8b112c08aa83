"""Far more than a node can take: refused at once, in bounded memory, and service goes on."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, wait
from contextlib import ExitStack
from pathlib import Path

import pytest

from cli.cluster_processes import ClusterProcesses, Server, servers
from dynamo.config import ClusterConfig
from dynamo.errors import DynamoError, Overloaded
from dynamo.net import router
from dynamo.net.client import Client
from dynamo.store import Written
from tests.dynamo.net.conftest import addresses, running
from tests.waiting import wait_until

MIB = 1 << 20
CALLERS = 2000
CLIENTS = 8
NODE_LIMIT_BYTES = 1024 * MIB
"""What ARCHITECTURE.md states. All values of the test together are twice as large."""


def can_put(client: Client) -> bool:
    try:
        client.put("after", b"it")
    except DynamoError:
        return False
    return True


@pytest.fixture
def one_node(tmp_path: Path) -> Iterator[ClusterConfig]:
    yield from running(tmp_path, nodes=1)


def peak_memory_bytes(config: ClusterConfig) -> dict[Server, int]:
    """The most memory that each node has ever had."""
    processes = ClusterProcesses(config)
    peaks = {}
    for server in servers(config):
        process = processes.process(server)
        assert process is not None
        status = Path(f"/proc/{process.pid}/status").read_text()
        [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
        peaks[server] = int(line.split()[1]) * 1024
    return peaks


def outcomes(futures: list["Future[Written]"]) -> Counter[str]:
    return Counter(
        type(future.exception()).__name__ if future.exception() else "done" for future in futures
    )


# One node answers everybody. With three each copy travels three times: on a busy machine some of
# what was let in is not stored by enough of them in time, and says which have stored it; an answer
# may come too late. What has not been sent when its time is over says so: `Overloaded`.
@pytest.mark.parametrize(
    ("cluster_of", "timeout_s", "allowed"),
    [
        ("one_node", 60, {"done", "Overloaded"}),
        pytest.param(
            "own_cluster",
            15,
            {"done", "Overloaded", "QuorumFailed", "Unreachable"},
            marks=pytest.mark.faults,
        ),
    ],
)
def test_2000_callers_with_a_mebibyte_each_are_served_or_refused_in_bounded_memory(
    cluster_of: str, timeout_s: float, allowed: set[str], request: pytest.FixtureRequest
) -> None:
    config: ClusterConfig = request.getfixturevalue(cluster_of)
    value = bytes(MIB)
    with ExitStack() as stack:
        clients = [
            stack.enter_context(Client(addresses(config), prefer="n1", timeout_s=timeout_s))
            for _ in range(CLIENTS)
        ]
        futures = [
            clients[caller % CLIENTS].put_async(f"key {caller}", value, durable=False)
            for caller in range(CALLERS)
        ]
        wait(futures)
        ended = outcomes(futures)
        assert ended["done"] > 0
        assert set(ended) <= allowed, ended
        assert ended["Overloaded"] > 0
        assert ended["Unreachable"] < CALLERS // 4, ended  # 1 in 100, on a machine that is not busy
        assert max(peak_memory_bytes(config).values()) < NODE_LIMIT_BYTES
        done = [number for number, future in enumerate(futures) if not future.exception()]
        wait_until(lambda: can_put(clients[0]), 60, "the queues to be worked off")
        for number in done[:: len(done) // 20 + 1]:
            assert clients[0].get(f"key {number}", timeout_s=60).value == value


def test_2000_readers_of_a_mebibyte_are_served_or_refused_in_bounded_memory(
    one_node: ClusterConfig,
) -> None:
    with ExitStack() as stack:
        clients = [
            stack.enter_context(Client(addresses(one_node), timeout_s=30)) for _ in range(CLIENTS)
        ]
        clients[0].put("key", bytes(MIB))
        futures = [clients[caller % CLIENTS].get_async("key") for caller in range(CALLERS)]
        wait(futures)
        errors = [future.exception() for future in futures]
        assert {type(error) for error in errors} <= {type(None), Overloaded}
        assert errors.count(None) > 0
        assert max(peak_memory_bytes(one_node).values()) < NODE_LIMIT_BYTES
        assert clients[0].get("key").value == bytes(MIB)


def test_a_client_refuses_more_than_it_may_hold_though_no_node_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(router, "OPEN_LIMIT_BYTES", 4 * MIB)
    with Client(["127.0.0.1:1"], timeout_s=30) as client:
        futures = [client.put_async(f"key {number}", bytes(MIB)) for number in range(10)]
        with pytest.raises(Overloaded, match="of this client are under way"):
            futures[-1].result(timeout=10)
        assert [future.done() for future in futures] == [False] * 3 + [True] * 7
    assert all(isinstance(future.exception(), DynamoError) for future in futures)
