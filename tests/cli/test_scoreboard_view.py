"""What `mapreduce scoreboard` says of what the master and the nodes have told."""

import io
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from cli import scoreboard
from cli.local_cluster import write_config
from cli.scoreboard_view import concerns, node_rows, rule, worker_rows
from dynamo.config import ClusterConfig
from mapreduce.engine.status import Scoreboard, WorkerStatus

BOARD = msgspec.to_builtins(
    Scoreboard(
        strikes=2,
        strike_s=2.5,
        workers=[
            WorkerStatus("w1", "n1", 2, 1, 0.4, host="h1", state="mapping", done=1200, failed=1),
            WorkerStatus("w3", "n3", 2, 0, 2.75, draining=True, state="idle", strikes=1),
        ],
        gone=[WorkerStatus("w4", "n1", 2, 0, 75.0, state="lost", strikes=2)],
    )
)


@pytest.fixture
def config(tmp_path: Path) -> ClusterConfig:
    return write_config(tmp_path)


def test_each_worker_that_is_or_should_be_there_has_a_row(config: ClusterConfig) -> None:
    assert worker_rows(BOARD, config) == [
        ("w1", "n1", "h1", "mapping", "1 of 2", "0.40 s ago", "0", "1,200", "1"),
        ("w2", config.worker("w2").node, "", "never heard", "1", "", "", "", ""),
        ("w3", "n3", "", "draining", "0 of 2", "2.75 s ago", "1 of 2", "0", "0"),
        ("w4", "n1", "", "lost", "0 of 2", "1 min 15 s ago", "2 of 2", "0", "0"),
    ]
    assert rule(BOARD).startswith(
        "a strike for each 2.5 s of silence: with the first a worker gets"
    )
    assert list(concerns(BOARD)) == ["worker w4 is lost, silent for 1 min 15 s"]


def test_of_a_node_it_is_told_when_it_was_heard_and_who_takes_it_to_be_down(
    config: ClusterConfig,
) -> None:
    told = {
        "n1": {"members": {"n2": True, "n3": False}, "silent_s": {"n2": 0.1, "n3": 80.0}},
        "n2": {"members": {"n1": True, "n3": False}, "silent_s": {"n1": 0.2, "n3": 75.0}},
    }
    rows = node_rows({**told, "n3": "no answer: nothing listens"}, config)
    assert [(name, *seen) for name, _, *seen in rows] == [
        ("n1", "up", "now", "0", ""),
        ("n2", "up", "now", "0", ""),
        ("n3", "no answer", "1 min 15 s ago", "2 of 2", "n1, n2"),
    ]
    one = {"n1": {"members": {"n2": False}, "silent_s": {}}, "n2": "no answer", "n3": "no answer"}
    assert node_rows(one, config)[1][2:] == ("no answer", "", "1 of 1", "n1")


def test_while_no_master_leads_a_live_board_says_so_and_still_shows_nodes(
    config: ClusterConfig,
) -> None:
    console = Console(record=True, width=200, file=io.StringIO())
    found = {"workers": None, "error": "none of the masters leads", "nodes": {}}
    for drawn in scoreboard._drawn(found, config):
        console.print(drawn)
    shown = console.export_text()
    assert "no scoreboard: none of the masters leads" in shown
    assert shown.count("no answer") == 3
