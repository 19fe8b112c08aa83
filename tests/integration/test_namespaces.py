"""The network that tests make does to packets what it says, and goes without a trace."""

import contextlib
import socket
import subprocess
from collections.abc import Iterator

import pytest

from tests.integration.namespaces import Network, why_not
from tests.waiting import wait_until

PORT = 7401


@pytest.fixture(autouse=True)
def allowed() -> None:
    if reason := why_not():
        pytest.skip(reason)


@pytest.fixture
def network() -> Iterator[Network]:
    with Network(["a", "b", "c"]) as network:
        yield network


def arrives(network: Network, sender: str, receiver: str) -> bool:
    """True if a datagram gets through, False if none of several does."""
    with (
        on(network, receiver) as receiving,
        on(network, sender) as sending,
        contextlib.suppress(TimeoutError),
    ):
        receiving.bind((network.address(receiver), PORT))
        receiving.settimeout(0.1)
        for _ in range(5):
            with contextlib.suppress(OSError):  # the sender may know that there is no way
                sending.sendto(b"hello", (network.address(receiver), PORT))
            with contextlib.suppress(TimeoutError):
                return receiving.recv(16) == b"hello"
    return False


def on(network: Network, host: str) -> socket.socket:
    with network.entered(host):
        return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def test_what_is_dropped_one_way_gets_through_the_other_way(network: Network) -> None:
    assert arrives(network, "a", "b")
    network.drop("a", "b")
    assert not arrives(network, "a", "b")
    assert arrives(network, "b", "a")
    assert arrives(network, "a", "c")
    network.heal()
    assert arrives(network, "a", "b")


def test_hosts_that_are_separated_reach_only_their_own_side(network: Network) -> None:
    network.separate(["a", "c"], ["b"])
    ways = [(one, other) for one in "abc" for other in "abc" if one != other]
    assert [way for way in ways if arrives(network, *way)] == [("a", "c"), ("c", "a")]


def test_an_unplugged_host_reaches_nobody_until_all_is_healed(network: Network) -> None:
    network.unplug("b")
    assert not arrives(network, "a", "b") and not arrives(network, "b", "c")
    assert arrives(network, "a", "c")
    network.heal()
    wait_until(lambda: arrives(network, "b", "c"), 10, "the way to an unplugged host")


def test_nothing_is_left_of_a_network_whose_test_fails() -> None:
    with pytest.raises(RuntimeError, match="the test"), Network(["a"]) as network:
        names = [word for word in network.command("a", []) if word.startswith("dynamo-")]
        assert names and names[0] in namespaces()
        raise RuntimeError("the test")
    assert not any(name.startswith(names[0].rpartition("-")[0]) for name in namespaces())


def test_a_thread_is_back_in_its_own_network_afterwards(network: Network) -> None:
    before = addresses()
    with network.entered("a"):
        assert network.address("a") in addresses()
    assert addresses() == before


def namespaces() -> list[str]:
    return run("ip", "netns", "list").split()


def addresses() -> str:
    return run("ip", "-oneline", "address")


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
