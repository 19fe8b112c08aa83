"""Hinted handoff between real processes: a node that was killed gets what it has missed."""

import re

from click.testing import CliRunner

from cli.cluster_processes import ClusterProcesses
from cli.dynamo import main
from dynamo.config import ClusterConfig
from dynamo.net.client import Client
from tests.dynamo.net.conftest import addresses
from tests.dynamo.net.test_client import kill
from tests.waiting import wait_until


def hints(client: Client) -> dict[str, int]:
    """Hinted copies in the whole cluster, by owner."""
    found: dict[str, int] = {}
    for status in client.status().values():
        for owner, kept in status["hints"].items() if isinstance(status, dict) else ():
            assert kept["age_s"] < 120
            found[owner] = found.get(owner, 0) + kept["copies"]
    return found


def test_a_node_that_was_dead_is_given_what_it_missed_with_no_read(
    four_nodes: ClusterConfig,
) -> None:
    keys = [f"key {number}" for number in range(300)]
    with Client(addresses(four_nodes), prefer="n1") as client:
        client.multi_put(dict.fromkeys(keys, b"before"))
        kill(four_nodes, "n2")
        client.put("to notice", b"", timeout_s=20)
        missed = [key for key in keys if "n2" in client.locate(key)]

        def all_are_kept() -> bool:
            """On a busy machine the only substitute may be taken to be down for a moment."""
            client.multi_put(dict.fromkeys(keys, b"after"))
            return hints(client).get("n2", 0) >= len(missed)

        wait_until(all_are_kept, 20, "hints for all it missed")
        ClusterProcesses(four_nodes).up(say=lambda line: None)
        wait_until(lambda: hints(client) == {}, 30, "all hints delivered")
    with Client(addresses(four_nodes), prefer="n2") as client:
        readings = [client.get(key, r=1) for key in missed]
    assert {reading.nodes for reading in readings} == {("n2",)}
    assert {reading.value for reading in readings} == {b"after"}


def test_hints_survive_kill_9_of_the_node_that_keeps_them(four_nodes: ClusterConfig) -> None:
    keys = [f"key {number}" for number in range(100)]
    with Client(addresses(four_nodes), prefer="n1") as client:
        kill(four_nodes, "n2")
        client.multi_put(dict.fromkeys(keys, b"v"), timeout_s=20)
        wait_until(lambda: hints(client).get("n2", 0) > 0, 20, "hints")
        kill(four_nodes, "n1", "n3", "n4")
        ClusterProcesses(four_nodes).up(say=lambda line: None)
        wait_until(lambda: hints(client) == {}, 30, "all hints delivered")
        assert {r.value for r in client.multi_get(keys).values()} == {b"v"}


def test_explain_names_who_keeps_a_copy_for_whom(four_nodes: ClusterConfig) -> None:
    with Client(addresses(four_nodes)) as client:
        client.put("kept", b"before", w=3)
        *_, absent = owners = client.locate("kept")
        kill(four_nodes, absent)
        client.put("kept", b"after", timeout_s=20)
        (substitute,) = four_nodes.node_addresses.keys() - set(owners)
        wait_until(lambda: hints(client).get(absent), 20, "the hint")
    result = CliRunner().invoke(main, ["explain", "kept", "--config", str(four_nodes.path)])
    assert f"{absent} (no answer): nothing listens at" in result.stdout
    assert re.search(
        rf"^{substitute} keeps \S+ for {absent}, with a hint, until {absent} has it$",
        result.stdout,
        re.MULTILINE,
    )
