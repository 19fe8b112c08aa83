"""`dynamo status` and `dynamo stats`: what they make of what the nodes say."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli import node_view
from cli.dynamo import main
from cli.local_cluster import write_config
from cli.stats_commands import tables, total_of
from dynamo.config import ClusterConfig
from dynamo.net.measures import REQUESTS, durations
from dynamo.values.histogram import Histogram

MEMBERS = ("n1", "n2", "n3")


def status(
    name: str,
    *,
    down: Sequence[str] = (),
    epoch: int = 1,
    puts_s: Sequence[float] = (),
    **sections: Any,
) -> dict[str, Any]:
    """What a node says that has answered puts in these times, all within the last ten seconds."""
    quiet = {"per_s_10s": 0.0, "per_s_60s": 0.0, **durations(Histogram())}
    puts = {
        "per_s_10s": len(puts_s) / 10,
        "per_s_60s": len(puts_s) / 60,
        **durations(Histogram.of(puts_s)),
    }
    return {
        "name": name,
        "ring": {"epoch": epoch, "partitions": 64, "owned": 21},
        "members": {member: member not in down for member in MEMBERS if member != name},
        "down_s": dict.fromkeys(down, 12.0),
        "requests_in_flight": 3,
        "hints": {},
        "anti_entropy": {"peers": {}, "filling": {}},
        "transfer": {"stray_partitions": 0, "hints_without_owner": 0},
        "corrupt_reads": 0,
        "refused": {},
        "uptime_s": 75.0,
        "requests": {**dict.fromkeys(REQUESTS, quiet), "put": puts},
        "commits": {**quiet, "writes": dict.fromkeys(("p50", "p95", "p99", "p99_9"), 1.0)},
        "queues": {"inbox_requests": 2},
        "disk": {"used_bytes": 5 << 20, "free_bytes": 7 << 30},
        "process": {"version": "0.1.0", "memory_bytes": 60 << 20},
        **sections,
    }


class Answers:
    """A store whose nodes answer what they are told to."""

    def __init__(self, config: ClusterConfig, found: dict[str, Any]) -> None:
        self._found = {config.node_addresses[name]: told for name, told in found.items()}

    def status(self) -> dict[str, Any]:
        return self._found


@pytest.fixture
def config(tmp_path: Any) -> ClusterConfig:
    return write_config(tmp_path, nodes=3, masters=0, workers=0)


def run(config: ClusterConfig, found: dict[str, Any], *arguments: str) -> Result:
    store = Answers(config, found)
    return CliRunner().invoke(
        main, [*arguments, "--config", str(config.path)], obj=lambda config: store
    )


def at_peace() -> dict[str, Any]:
    return {name: status(name) for name in MEMBERS}


# dynamo status -----------------------------------------------------------------------------------


def test_a_cluster_at_peace_is_a_table_and_nothing_else(config: ClusterConfig) -> None:
    result = run(config, at_peace(), "status")
    assert result.exit_code == 0, result.output
    head, *rows = result.stdout.splitlines()
    assert head.split() == " ".join(node_view.COLUMNS).split()
    assert [row.split()[0] for row in rows] == list(MEMBERS)


def test_the_table_fits_in_a_hundred_columns(config: ClusterConfig) -> None:
    hints = {"n2": {"copies": 123456, "age_s": 10.0, "waits_for": "n2 to answer"}}
    busy = status("n1", down=("n2", "n3"), puts_s=[10.0] * 123456, hints=hints)
    busy["disk"]["used_bytes"] = 1023 << 30
    found = {**at_peace(), "n1": busy, "n2": "no answer: " + "x" * 200}
    for command in ("status", "stats"):
        result = run(config, found, command)
        tables_only = [line for line in result.stdout.splitlines() if " keeps " not in line]
        widths = [len(line.rstrip()) for line in tables_only if not line.startswith("warning")]
        assert max(widths) <= 100, result.stdout


def test_a_silent_node_is_named_with_the_reason_and_fails_the_command(
    config: ClusterConfig,
) -> None:
    result = run(config, {**at_peace(), "n2": "no answer: nothing listens"}, "status")
    assert result.exit_code == 1
    assert "warning: n2: no answer: nothing listens" in result.stdout
    assert "no answer from n2; start nodes" in result.stderr


def test_who_sees_whom_as_down_and_who_does_not() -> None:
    found = {**at_peace(), "n1": status("n1", down=("n2",))}
    assert list(node_view.warnings(found)) == ["n1 takes n2 to be down, for 12.00 s; n3 does not"]
    found["n3"] = status("n3", down=("n2",))
    found["n2"] = "no answer: nothing listens"
    assert list(node_view.warnings(found)) == [
        "n2: no answer: nothing listens",
        "n1 and n3 take n2 to be down, for 12.00 s",
    ]


def test_nodes_that_know_different_rings_are_told() -> None:
    found = {**at_peace(), "n3": status("n3", epoch=2)}
    assert list(node_view.warnings(found)) == [
        "the nodes know different rings: n1, n2 epoch 1; n3 epoch 2"
    ]


def test_hints_are_told_with_their_age_and_why_they_wait(config: ClusterConfig) -> None:
    hints = {"n2": {"copies": 1, "age_s": 75.0, "waits_for": "n2 to answer"}}
    result = run(config, {**at_peace(), "n1": status("n1", hints=hints)}, "status")
    assert "n1 keeps 1 copy for n2, the oldest for 1 min 15 s; waits for n2 to answer" in (
        result.stdout
    )


def test_what_is_compared_filled_and_handed_over_is_told(config: ClusterConfig) -> None:
    peers = {
        "n2": {"age_s": 75.0, "waits_for": "n2 has not answered for 7.5 s"},
        "n3": {"age_s": None, "waits_for": "n3 to answer"},
    }
    busy = status(
        "n1",
        anti_entropy={"peers": peers, "filling": {"3": ["n2"]}},
        transfer={"stray_partitions": 2, "hints_without_owner": 0},
    )
    lines = run(config, {**at_peace(), "n1": busy}, "status").stdout.splitlines()
    assert lines[-4:] == [
        "all replicas compared: n1 not yet",
        "n1 fills 1 partition from other replicas, and answers no read of them till then",
        "n1 last agreed with n2: 1 min 15 s ago; n2 has not answered for 7.5 s",
        "n1 has yet to hand over what it has of 2 partitions; see `dynamo transfers`",
    ]


def test_the_json_has_all_that_the_nodes_said(config: ClusterConfig) -> None:
    found = {**at_peace(), "n2": "no answer: nothing listens"}
    result = run(config, found, "status", "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert told["nodes"] == found
    assert told["warnings"] == ["n2: no answer: nothing listens"]


# dynamo stats ------------------------------------------------------------------------------------


def test_totals_are_of_all_requests_and_no_mean_of_percentiles() -> None:
    told = {"n1": status("n1", puts_s=[0.125] * 99), "n2": status("n2", puts_s=[4.0])}
    total = total_of("put", told)
    assert total["per_s_10s"] == 10.0
    assert (total["p50_ms"], total["p99_ms"], total["p99_9_ms"]) == (125.0, 125.0, 4000.0)


def test_kinds_without_a_request_have_no_row() -> None:
    (_, requests), _ = tables({"n1": status("n1", puts_s=[0.5]), "n2": status("n2")})
    assert [row[:2] for row in requests] == [("n1", "put"), ("all", "put")]


def test_that_nothing_was_asked_is_said(config: ClusterConfig) -> None:
    assert (
        "no request of a client within the last minute" in run(config, at_peace(), "stats").stdout
    )


def test_one_node_alone(config: ClusterConfig) -> None:
    found = {**at_peace(), "n1": status("n1", puts_s=[0.5]), "n3": "no answer"}
    told = json.loads(run(config, found, "stats", "n1", "--json").stdout)
    assert list(told["nodes"]) == ["n1"]
    assert told["total"]["put"]["p50_ms"] == 500.0
    assert run(config, found, "stats", "n1").exit_code == 0
    assert run(config, found, "stats", "n3").exit_code == 1
    assert "n9" in run(config, found, "stats", "n9").stderr
