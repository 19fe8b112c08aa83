"""What `dynamo transfers` and `dynamo plan` say of states that are given."""

from pathlib import Path
from typing import Any

import pytest

from cli import plan_view, transfers_view
from cli.local_cluster import write_config
from dynamo.config import ClusterConfig
from dynamo.net.operate import Found
from dynamo.values.cluster import (
    Change,
    Cluster,
    Kind,
    Phase,
    Rank,
    Seen,
    advance,
    commit,
    found,
    stage,
)

NAMES = ("n1", "n2", "n3")


@pytest.fixture
def config(tmp_path: Path) -> ClusterConfig:
    return write_config(tmp_path)


def seen_by(cluster: Cluster, *names: str, ready: bool = True) -> Cluster:
    said = {name: Seen(cluster.table.rank, ready) for name in names}
    return cluster._replace(seen={**cluster.seen, **said})


def at_rest() -> Cluster:
    cluster = found({name: f"10.0.0.{name[1:]}:7400" for name in NAMES}, 8, 3)
    return seen_by(advance(seen_by(cluster, *NAMES)), *NAMES)


def changing(kind: Kind, node: str, address: str = "") -> Cluster:
    return commit(stage(at_rest(), Change(kind, node, address=address), "n1"), "n1")


def status(**sections: Any) -> dict[str, Any]:
    return {"members": dict.fromkeys(NAMES, True), **sections}


def described(cluster: Cluster, **statuses: dict[str, Any] | str) -> dict[str, Any]:
    told = {name: cluster for name, status in statuses.items() if isinstance(status, dict)}
    silent = {name: status for name, status in statuses.items() if isinstance(status, str)}
    return transfers_view.describe(Found(cluster, told, silent, {}), statuses)


def row(told: dict[str, Any], name: str) -> tuple[str, ...]:
    return next(row for row in transfers_view.rows(told) if row[0] == name)


def test_nothing_is_under_way() -> None:
    told = described(at_rest(), n1=status(), n2=status(), n3=status())
    assert told["done"]
    assert told["summary"] == "done: no change is under way"
    assert transfers_view.heading(told) == "epoch 1, no partition changes its owners"


def test_a_node_that_fills_shows_how_much_is_left_and_what_it_waits_for() -> None:
    cluster = seen_by(changing(Kind.JOIN, "n4", "10.0.0.4:7400"), *NAMES)
    entropy = {
        "filling": {"1": [], "2": ["n1"]},
        "peers": {"n1": {"waits_for": ""}, "n2": {"waits_for": "n2 to answer"}},
        "repaired": 100,
    }
    statuses = {"n1": status(), "n2": status(), "n3": status()}
    told = described(cluster, **statuses, n4=status(anti_entropy=entropy))
    assert not told["done"]
    assert transfers_view.heading(told).startswith("epoch 2, filling for join n4: ")
    assert told["summary"] == "join n4: 2 partitions still to be filled"
    assert row(told, "n4") == ("n4", "up", "no", "2 of 6 partitions", "", "-", "n2 to answer")
    assert row(told, "n1")[2] == "yes"
    before = described(cluster, **statuses, n4=status(anti_entropy={**entropy, "repaired": 40}))
    assert row(transfers_view.with_rates(told, before, 2.0), "n4")[5] == "30"


def test_a_member_that_is_down_is_named_with_the_way_out() -> None:
    told = described(changing(Kind.LEAVE, "n2"), n1=status(), n2=status(), n3="no answer")
    assert told["summary"] == (
        "leave n2 waits for n3, which does not answer: start it, or if it will never come back "
        "`dynamo remove n3`"
    )
    assert row(told, "n3")[1] == "no answer"
    assert row(told, "n3")[-1] == "an answer: no answer"


def test_those_who_can_not_reach_a_member_are_named() -> None:
    sees_down = {"members": {**dict.fromkeys(NAMES, True), "n3": False}, "down_s": {"n3": 7.0}}
    told = described(at_rest(), n1=sees_down, n2=status(), n3=status())
    assert row(told, "n3")[-1] == "n1 to reach it"
    (n3,) = [node for node in told["nodes"] if node["name"] == "n3"]
    assert (n3["down_s"], n3["seen_as_down_by"]) == (7.0, ["n1"])


def test_a_member_that_leaves_may_be_stopped_when_it_is_none_any_more() -> None:
    cluster = at_rest()
    for _ in range(2):
        cluster = advance(seen_by(cluster, *NAMES))
    cluster = commit(stage(cluster, Change(Kind.LEAVE, "n2"), "n1"), "n1")
    for _ in range(2):
        cluster = advance(seen_by(cluster, *NAMES))
    assert cluster.table.phase is Phase.STABLE
    transfer = {"stray_partitions": 3, "hints_without_owner": 1, "dropped": 20}
    told = described(cluster, n1=status(), n2=status(transfer=transfer), n3=status())
    assert not told["done"]
    assert told["summary"] == "n2 hands over what it still has; don't stop it yet"
    assert row(told, "n2")[1:5] == ("leaving", "no", "", "3 partitions, 1 hint")
    left = cluster._replace(
        table=cluster.table._replace(rank=Rank(9), members=("n1", "n3"), leaving=())
    )
    told = described(left, n1=status(), n2=status(), n3=status())
    assert told["done"]
    assert "n2 is no member and may be stopped now" in told["summary"]


@pytest.mark.parametrize("hosts", [("10.0.0.1", True), ("10.0.0.9", False)])
def test_a_plan_warns_of_two_replicas_on_one_host(
    hosts: tuple[str, bool], config: ClusterConfig
) -> None:
    host, warned = hosts
    cluster = found({f"n{k}": f"10.0.0.{k}:7400" for k in range(1, 5)}, 8, 2)
    cluster = advance(seen_by(cluster, "n1", "n2", "n3", "n4"))
    cluster = stage(cluster, Change(Kind.JOIN, "n5", address=f"{host}:7500"), "n1")
    statuses = {name: {**STATUS, "members": {}} for name in (*cluster.members, "n5")}
    plan = plan_view.describe(cluster, statuses, config)
    assert any("two or more replicas on one host" in line for line in plan["warnings"]) is warned


def test_a_plan_warns_of_quorums_that_can_not_be_met(config: ClusterConfig) -> None:
    cluster = found({f"n{k}": f"10.0.0.{k}:7400" for k in (1, 2)}, 8, 3)
    cluster = advance(seen_by(cluster, "n1", "n2"))
    cluster = stage(cluster, Change(Kind.LEAVE, "n2"), "n1")
    statuses = {name: {**STATUS, "members": {}} for name in cluster.members}
    warnings = "\n".join(plan_view.describe(cluster, statuses, config)["warnings"])
    assert "every key has 1 replica, not 3: only 1 member owns partitions" in warnings
    assert "gets will fail: R=2 can't be met by 1 members" in warnings


def test_bytes_are_those_of_the_partitions_that_a_node_gets(config: ClusterConfig) -> None:
    cluster = stage(at_rest(), Change(Kind.JOIN, "n4", address="10.0.0.4:7400"), "n1")
    sizes = [1000 * (partition + 1) for partition in range(8)]
    known = {"disk": {"partition_bytes": sizes, "used_bytes": sum(sizes)}}
    statuses: dict[str, Any] = {name: {**known, "members": {}} for name in NAMES}
    plan = plan_view.describe(cluster, statuses, config)
    taken = [move["partition"] for move in plan["moves"] if "n4" in move["takers"]]
    assert len(taken) == 6
    assert plan["bytes"] == sum(sizes[partition] for partition in taken)
    assert plan["copies"] == 6
    assert [w for w in plan["warnings"] if "n4" in w] == [
        "n4 does not answer, and the change waits for it; or `dynamo remove n4`"
    ]


STATUS: dict[str, Any] = {"disk": {"partition_bytes": [0] * 8, "used_bytes": 0}}
