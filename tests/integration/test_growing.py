"""A cluster loses all its first nodes, one by one, under a client that goes on reading and writing.

The client is told of n1, n2 and n3, and at the end none of them is there.
"""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dynamo.errors import DynamoError
from dynamo.net.client import Client
from tests.cli.growing import Growing
from tests.waiting import wait_until

KEYS = 400
PAUSE_S = 0.03
"""Between two writes: the nodes shall have time to move what is to move."""


@pytest.fixture
def growing(tmp_path: Path) -> Iterator[Growing]:
    growing = Growing(tmp_path)
    try:
        growing.up()
        yield growing
    finally:
        growing.down()


class Writer:
    """A thread that counts up key after key, and looks each time at what it wrote before."""

    def __init__(self, client: Client) -> None:
        self.acknowledged: dict[str, int] = {}
        """Key -> the highest count whose put was acknowledged."""
        self.wrong: list[str] = []
        self.failed: list[DynamoError] = []
        self._client = client
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Writer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        count = 0
        while not self._ended.wait(PAUSE_S):
            count += 1
            key = f"counted/{count % 20}"
            try:
                self._look(key)
                self._client.put(key, b"%d" % count, timeout_s=20)
                self.acknowledged[key] = count
            except DynamoError as error:
                self.failed.append(error)

    def _look(self, key: str) -> None:
        least = self.acknowledged.get(key, 0)
        found = self._client.get(key, timeout_s=20).value
        if int(found or b"0") < least:
            self.wrong.append(f"{key}: {found!r}, and {least} was acknowledged")

    def goes_on(self) -> bool:
        """True once it has written some more."""
        before = sum(self.acknowledged.values())
        wait_until(lambda: sum(self.acknowledged.values()) > before, 30, "the writer to go on")
        return True


@pytest.mark.faults
def test_all_first_nodes_go_and_nothing_is_lost(growing: Growing) -> None:
    seeds = list(growing.config.node_addresses.values())
    kept = {f"kept/{number}": b"value %d" % number for number in range(KEYS)}
    with Client(seeds) as client, Writer(client) as writer:
        client.multi_put(kept)

        def all_is_there() -> None:
            found = client.multi_get(kept, timeout_s=30)
            assert {key: reading.value for key, reading in found.items()} == kept
            assert writer.goes_on()
            assert (writer.wrong, writer.failed) == ([], [])

        for name in ("n4", "n5"):
            growing.add(name)
            growing.up()
            growing.run("join", name)
            growing.run("commit")
            growing.settle()
            all_is_there()
        assert {member["owned"] for member in growing.found("ring")["members"]} == {12, 13}

        growing.run("leave", "n1")
        growing.run("commit")
        growing.settle()
        assert "n1 is no member and may be stopped now" in growing.run("transfers")
        growing.signal("n1", signal.SIGTERM)
        growing.take_out("n1")
        all_is_there()

        growing.add("n6")
        growing.up()
        growing.run("replace", "n2", "n6")
        growing.run("commit")
        growing.settle()
        growing.signal("n2", signal.SIGTERM)
        growing.take_out("n2")
        all_is_there()

        growing.signal("n3", signal.SIGKILL)
        growing.run("remove", "n3", "--yes")
        growing.run("commit")
        growing.settle()
        growing.take_out("n3")
        all_is_there()

        members = {member["name"] for member in growing.found("ring")["members"]}
        assert members == {"n4", "n5", "n6"}
        wait_until(lambda: set(client.locate("kept/1")) == members, 20, "the client to follow")


def test_a_node_that_is_removed_while_a_change_waits_for_it_lets_the_change_go_on(
    growing: Growing,
) -> None:
    growing.add("n4")
    growing.up()
    with Client(list(growing.config.node_addresses.values())) as client:
        client.put("key", b"value", w=3)
        growing.signal("n3", signal.SIGKILL)
        growing.run("join", "n4")
        growing.run("commit", "--timeout", "0")
        assert "waits for n3" in growing.run("transfers")
        growing.run("remove", "n3", "--yes")
        growing.run("commit")
        growing.settle()
        assert client.get("key").value == b"value"
    told = {node["name"]: node["state"] for node in growing.found("transfers")["nodes"]}
    assert {name for name, state in told.items() if state == "up"} == {"n1", "n2", "n4"}
    growing.up()  # it comes back, and learns that nobody waits for it any more
    wait_until(lambda: "n3: is no member" in growing.log("n3"), 20, "n3 to hear that it is out")
