"""`dynamo join`, `leave`, `replace`, `remove`, `plan`, `commit`, `transfers`, on real nodes."""

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.errors import Failure
from cli.local_cluster import free_ports
from dynamo.net import inspect, operate
from dynamo.net.client import Client
from dynamo.protocol.messages import Get, GetDone, Put, PutDone
from dynamo.values.cluster import Rank
from tests.cli.growing import Growing
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Growing]:
    """n1, n2 and n3 are members, n4 runs and is none, n5 does not run."""
    growing = Growing(tmp_path_factory.mktemp("growing"))
    try:
        growing.up()
        growing.add("n4")
        growing.up()
        growing.add("n5")
        yield growing
    finally:
        growing.down()


@pytest.fixture
def cluster(shared: Growing) -> Iterator[Growing]:
    yield shared
    shared.run("plan", "--clear")


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Growing]:
    """n1, n2 and n3, which a test may change."""
    growing = Growing(tmp_path)
    try:
        growing.up()
        yield growing
    finally:
        growing.down()


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Growing]:
    growing = Growing(tmp_path_factory.mktemp("three"))
    try:
        growing.up()
        yield growing
    finally:
        growing.down()


@pytest.fixture
def restarting(three: Growing) -> Iterator[Growing]:
    """n1, n2 and n3, which a test may start again after it has changed what the file says."""
    text = three.path.read_text()
    yield three
    three.path.write_text(text)


# A node that is no member ------------------------------------------------------------------------


def test_a_new_node_learns_that_it_is_no_member_and_says_so(cluster: Growing) -> None:
    status = cluster.call("status").stdout
    assert re.search(r"n4 +127\.0\.0\.1:\d+ +no member ", status)
    assert "n4 is no member, and passes requests on; `dynamo join n4` makes it one" in status
    assert "n4: is no member of the cluster of n1, n2, n3" in cluster.log("n4")
    assert "n5 of cluster.ini is no member" in cluster.run("ring")
    assert cluster.found("ring")["no_members"] == ["n4", "n5"]


def test_a_node_that_is_no_member_passes_requests_on(cluster: Growing) -> None:
    n4 = {"n4": cluster.config.node_addresses["n4"]}
    put = Put(inspect.REQUEST_ID, "passed on", b"value", None, written_at=1.0)
    done = inspect.ask_each(n4, put)["n4"]
    assert isinstance(done, PutDone)
    assert "n4" not in done.nodes
    got = inspect.ask_each(n4, Get(inspect.REQUEST_ID, "passed on"))["n4"]
    assert isinstance(got, GetDone)
    assert got.siblings.values == (b"value",)


def test_a_client_that_knows_no_member_finds_them(cluster: Growing) -> None:
    with Client([cluster.config.node_addresses["n4"]]) as client:
        client.put("found", b"1")
        assert set(client.locate("found")) == {"n1", "n2", "n3"}


# Planning ----------------------------------------------------------------------------------------


def test_a_plan_says_what_would_move_and_nothing_does(cluster: Growing) -> None:
    assert "planned: join n4" in cluster.run("join", "n4")
    plan = cluster.found("plan")
    assert plan["changes"] == ["join n4"]
    nodes = {node["name"]: node for node in plan["nodes"]}
    assert (nodes["n4"]["owned"], nodes["n4"]["held"]) == ([0, 16], [0, 48])
    assert (nodes["n4"]["gets"], nodes["n4"]["gives"]) == (48, 0)
    assert [nodes[name]["gives"] for name in ("n1", "n2", "n3")] == [16, 16, 16]
    assert plan["copies"] == len([taker for move in plan["moves"] for taker in move["takers"]])
    assert plan["warnings"] == [], cluster.log("n4")
    assert cluster.run("plan").startswith(f"plan {plan['plan']}: join n4; 48 copies")
    assert cluster.found("transfers")["planned"] == ["join n4"]
    assert cluster.found("transfers")["phase"] == "stable"
    assert "planned: join n4" in cluster.run("ring")
    assert "forgot: join n4" in cluster.run("plan", "--clear")
    assert "nothing is planned" in cluster.run("plan")
    assert cluster.found("plan")["plan"] is None


def test_a_plan_counts_the_bytes_that_a_node_would_get(cluster: Growing) -> None:
    with Client(list(cluster.config.node_addresses.values())) as client:
        client.multi_put({f"some/{number}": bytes(10_000) for number in range(300)}, w=3)
    cluster.run("join", "n4")

    def gets_bytes() -> int:
        return cluster.found("plan")["nodes"][3]["gets_bytes"]  # type: ignore[no-any-return]

    # LevelDB compresses what it puts into its files; the figures are looked at now and then.
    fits = "an estimate that fits"
    wait_until(lambda: 100_000 < gets_bytes() < 10_000_000, 20, fits, look_s=0.3)


def test_a_plan_warns_of_replicas_that_there_will_not_be(cluster: Growing) -> None:
    cluster.run("leave", "n2")
    warnings = "\n".join(cluster.found("plan")["warnings"])
    assert "every key has 2 replicas, not 3: only 2 members own partitions" in warnings
    assert "below 3 members they leave one at a time" in cluster.call("leave", "n3").output


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["join", "n9"], 2, "no [node n9] in the file"),
        (["join", "n5"], 1, "n5 does not answer: nothing listens at"),
        (["join", "n1"], 2, "n1 is a member already; members: n1, n2, n3"),
        (["leave", "n4"], 2, "n4 is no member; members: n1, n2, n3"),
        (["leave", "n9"], 2, "n9 is no member; members: n1, n2, n3"),
        (["replace", "n9", "n4"], 2, "n9 is no member"),
        (["replace", "n1", "n2"], 2, "n2 is a member already"),
        (["replace", "n1", "n5"], 1, "n5 does not answer"),
        (["remove", "n3"], 2, "what only n3 holds will be lost"),
        (["remove", "n3", "--yes"], 2, "n3 answers, so it is not dead"),
        (["commit"], 2, "nothing is planned"),
        (["commit", "1.1-n1"], 2, "nothing is planned"),
    ],
)
def test_a_mistake_is_told_and_nothing_is_planned(
    cluster: Growing, arguments: list[str], code: int, complaint: str
) -> None:
    result = cluster.call(*arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert complaint in result.stderr
    assert cluster.found("plan")["plan"] is None


def test_a_node_is_in_one_planned_change_only(cluster: Growing) -> None:
    cluster.run("join", "n4")
    result = cluster.call("replace", "n1", "n4")
    assert result.exit_code == 2
    assert "join n4 is staged already; `dynamo plan --clear` forgets it" in result.stderr


def test_only_the_plan_that_was_shown_is_committed(cluster: Growing) -> None:
    cluster.run("join", "n4")
    shown = cluster.found("plan")["plan"]
    cluster.run("leave", "n2")
    result = cluster.call("commit", shown)
    assert result.exit_code == 2
    assert f"{shown} has been overtaken by " in result.stderr
    assert cluster.found("transfers")["phase"] == "stable"
    with pytest.raises(ValueError, match="the plan has changed since it was shown"):
        operate.commit(operate.look(cluster.config.node_addresses), Rank(1, 1, "nobody"))


def test_a_plan_names_who_is_down_and_would_hold_it_up(own: Growing) -> None:
    own.signal("n3", signal.SIGKILL)
    own.run("leave", "n2")
    warnings = own.found("plan")["warnings"]
    assert "n3 does not answer, and the change waits for it; or `dynamo remove n3`" in warnings
    result = own.call("commit", "--timeout", "0")
    assert result.exit_code == 0
    assert "warning: n3 has not heard of it yet, and it waits for that" in result.stdout
    told = own.found("transfers")
    assert told["summary"] == (
        "leave n2 waits for n3, which does not answer: start it, or if it will never come back "
        "`dynamo remove n3`"
    )
    assert [node["answers"] for node in told["nodes"]] == [True, True, False]
    assert "filling for leave n2" in own.run("ring")
    assert "is under way: see `dynamo transfers`" in own.call("leave", "n1").stderr


# Who can't join ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("partitions", "complaint"),
    [
        (64, "n6 belongs to another cluster, of n1, n6; take it out there (`dynamo leave n6`)"),
        (32, "n6 is configured for 32 partitions, and the cluster has 64, which never changes"),
    ],
)
def test_a_member_of_another_cluster_can_not_join(
    cluster: Growing, tmp_path: Path, partitions: int, complaint: str
) -> None:
    other = Growing(tmp_path, f"partitions = {partitions}\nreplicas = 2", nodes=2)
    other.path.write_text(other.path.read_text().replace("node n2", "node n6"))
    other.up()
    try:
        with Client(list(other.config.node_addresses.values())) as client:
            client.put("theirs", b"1", w=2)
        cluster.add("n6", int(other.config.node_addresses["n6"].rpartition(":")[2]))
        for arguments in (["join", "n6"], ["replace", "n1", "n6"]):
            result = cluster.call(*arguments)
            assert (result.exit_code, result.stdout) == (2, "")
            assert complaint in result.stderr
            assert "move its data folder" in result.stderr
        assert cluster.found("plan")["plan"] is None
        assert [m["name"] for m in cluster.found("ring")["members"]] == ["n1", "n2", "n3"]
    finally:
        cluster.take_out("n6")
        other.down()


def test_a_node_that_was_removed_as_dead_joins_without_what_it_held_only(own: Growing) -> None:
    own.add("n4")
    own.up()
    own.run("join", "n4")
    own.run("commit")
    own.settle()
    with Client(list(own.config.node_addresses.values())) as client:
        client.multi_put({f"key/{number}": b"1" for number in range(100)}, w=3)
    own.signal("n4", signal.SIGKILL)
    own.run("remove", "n4", "--yes")
    own.run("commit")
    own.settle()
    own.up()
    n4 = own.config.node("n4")

    def refusal() -> str:
        return own.call("join", "n4").stderr

    wait_until(lambda: "n4 was removed from this cluster" in refusal(), 20, "n4 to hear of it")
    assert f"move its data folder {n4.data} away" in refusal()
    assert own.found("plan")["plan"] is None
    own.signal("n4", signal.SIGTERM)
    n4.data.rename(n4.data.with_name("before"))
    own.up()
    own.run("join", "n4")
    own.run("commit")
    own.settle()
    assert own.found("ring")["members"][3]["name"] == "n4"


# What cluster.ini says ---------------------------------------------------------------------------


def test_the_number_of_partitions_can_not_be_changed_by_a_new_node(restarting: Growing) -> None:
    text = restarting.path.read_text()
    restarting.path.write_text(text.replace("[cluster]", "[cluster]\npartitions = 128"))
    restarting.add("n4")
    with pytest.raises(Failure, match="64 partitions, and n4 is configured for 128"):
        restarting.up()


def test_the_numbers_of_the_cluster_hold_and_a_difference_is_told(restarting: Growing) -> None:
    text = restarting.path.read_text()
    restarting.path.write_text(text.replace("[cluster]", "[cluster]\nreplicas = 2"))
    restarting.signal("n3", signal.SIGTERM)
    restarting.up()
    expected = "replicas is 2 in n3's configuration, and 3 in the cluster; the cluster's hold"
    assert f"warning: {expected}" in restarting.call("status").stdout
    assert f"n3: {expected}" in restarting.log("n3")
    assert restarting.found("ring")["replicas"] == 3
    n3 = {"n3": restarting.config.node_addresses["n3"]}
    put = Put(inspect.REQUEST_ID, "by n3", b"", None, written_at=1.0, w=3)
    assert isinstance(inspect.ask_each(n3, put)["n3"], PutDone)


def test_a_node_that_moves_to_another_address_is_found_there(restarting: Growing) -> None:
    with Client([restarting.config.node_addresses["n1"]]) as client:
        client.put("before", b"1", w=3)
        restarting.signal("n2", signal.SIGTERM)
        (port,) = free_ports(1)
        restarting.take_out("n2")
        restarting.add("n2", port)
        restarting.up()
        wait_until(lambda: client.put("after", b"2", w=3, timeout_s=5), 20, "n2 at its new address")
    for cluster in operate.look(restarting.config.node_addresses).told.values():
        assert cluster.members["n2"].address == f"127.0.0.1:{port}"
