"""`dynamo ring` and `dynamo explain`: what they say of rings and replicas that are given."""

import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from cli import explanation
from cli.dynamo import main
from cli.local_cluster import write_config
from cli.ring_commands import balance_line, describe, owner_lines
from cli.ring_picture import colour, draw
from dynamo.errors import CorruptData, DynamoError, Unreachable
from dynamo.protocol.messages import RingDone
from dynamo.values.ring import claim
from dynamo.values.versions import EMPTY, Siblings, update

SVG = "{http://www.w3.org/2000/svg}"


def ring_of(owners: Sequence[str], n: int = 3, r: int = 2) -> RingDone:
    found = {name: f"127.0.0.1:{7400 + place}" for place, name in enumerate(sorted(set(owners)))}
    return RingDone(1, tuple(owners), 5, found, n, r, 2, 10.0)


def members(count: int) -> list[str]:
    return [f"n{number}" for number in range(1, count + 1)]


# The ring ----------------------------------------------------------------------------------------


def test_shares_and_copies_are_counted() -> None:
    table = describe(ring_of(["n1", "n2", "n1", "n3"], n=2))
    counted = {m["name"]: (m["owned"], m["share_percent"], m["held"]) for m in table["members"]}
    assert counted == {"n1": (2, 50.0, 4), "n2": (1, 25.0, 2), "n3": (1, 25.0, 2)}
    assert balance_line(table) == "balanced: each member owns 1 to 2 partitions, 1.33 would be even"


def test_a_ring_out_of_balance_is_called_so() -> None:
    table = describe(ring_of(["n1", "n1", "n1", "n2"]))
    assert balance_line(table).startswith("out of balance: each member owns 1 to 3 partitions")


def test_a_member_that_owns_nothing_is_listed() -> None:
    done = ring_of(["n1", "n2", "n1", "n2"])
    done.addresses["n3"] = "127.0.0.1:7403"
    table = describe(done)
    assert [m["owned"] for m in table["members"]] == [2, 2, 0]
    assert table["balance"]["least"] == 0


def test_members_are_in_the_order_in_which_people_count() -> None:
    table = describe(ring_of(claim(members(12), 64, 3)))
    assert [m["name"] for m in table["members"]] == members(12)


@pytest.mark.parametrize("count", [3, 12, 100])
def test_every_owner_is_written_in_its_place(count: int) -> None:
    owners = claim(members(count), 128, 3)
    written = {}
    for line in owner_lines(owners):
        assert len(line) <= 80
        start, *names = line.split()
        written.update({int(start) + step: name for step, name in enumerate(names)})
    assert [written[partition] for partition in range(128)] == list(owners)


# The picture -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "partitions"), [(1, 1), (1, 2), (3, 64), (60, 1024)])
def test_the_picture_has_a_piece_for_each_partition(count: int, partitions: int) -> None:
    owners = claim(members(count), partitions, 3)
    root = ElementTree.fromstring(draw(describe(ring_of(owners, n=min(3, count)))))
    pieces = [path for path in root.iter(f"{SVG}path") if path.find(f"{SVG}title") is not None]
    fills = [colour(int(owner[1:]) - 1) for owner in owners]
    assert [piece.get("fill") for piece in pieces] == fills
    titles = [piece.findtext(f"{SVG}title") or "" for piece in pieces]
    assert [title.split()[2].rstrip(",") for title in titles] == list(owners)


def test_the_legend_names_every_member() -> None:
    table = describe(ring_of(claim(members(30), 64, 3)))
    root = ElementTree.fromstring(draw(table))
    texts = {"".join(text.itertext()).split(" owned")[0] for text in root.iter(f"{SVG}text")}
    assert {f"{m['address']}{m['name']}{m['owned']}" for m in table["members"]} <= texts


def test_names_cannot_break_the_picture() -> None:
    root = ElementTree.fromstring(draw(describe(ring_of(["<a&b>", '"c"'], n=2))))
    assert any("<a&b>" in "".join(text.itertext()) for text in root.iter(f"{SVG}text"))


def test_no_two_of_forty_members_have_one_colour() -> None:
    assert len({colour(place) for place in range(40)}) == 40


# The explanation ---------------------------------------------------------------------------------

FIRST = update(EMPTY, None, "n1-a-1", b"first", written_at=1.0)
SECOND = update(FIRST, FIRST.context, "n2-b-1", b"second one", written_at=2.0)
DELETED = update(FIRST, FIRST.context, "n1-a-1", None, written_at=2.0)


def explain(
    *answers: Siblings | DynamoError,
    r: int = 2,
    hints: Mapping[str, Mapping[str, Siblings] | DynamoError] | None = None,
) -> dict[str, Any]:
    ring = ring_of(claim(members(3), 8, 3), r=r)
    return explanation.explain("my key", ring, dict(zip(members(3), answers)), hints or {})


def lines(explained: dict[str, Any]) -> list[str]:
    return [*explanation.reason_lines(explained), *explanation.verdict_lines(explained)]


def test_replicas_that_agree_need_one_line() -> None:
    assert lines(explain(SECOND, SECOND, SECOND)) == ["all 3 replicas agree: one value of 10 B"]
    assert lines(explain(EMPTY, EMPTY, EMPTY)) == [
        "all 3 replicas agree: the key was never written"
    ]
    assert lines(explain(DELETED, DELETED, DELETED)) == ["all 3 replicas agree: the key is deleted"]


def test_replicas_with_the_same_reason_share_a_line() -> None:
    assert lines(explain(SECOND, FIRST, FIRST)) == [
        "n2, n3 (behind): lacks n2-b-1:1; still holds n1-a-1:1, which was replaced",
        "together the copies come to this: one value of 10 B",
        "will be repaired by anti-entropy, or at once by `dynamo get 'my key'`",
    ]


def test_a_missed_delete_is_called_a_delete() -> None:
    assert "n3 (behind): lacks the delete n1-a-1:2; still holds n1-a-1:1, which was replaced" in (
        lines(explain(DELETED, DELETED, FIRST))
    )


def test_a_get_that_asks_one_replica_repairs_nothing_and_is_not_recommended() -> None:
    assert not any("dynamo get" in line for line in lines(explain(SECOND, FIRST, FIRST, r=1)))


def test_copies_that_substitutes_keep_are_named() -> None:
    silent = Unreachable("nothing listens at 127.0.0.1:1")
    explained = explain(
        SECOND, SECOND, silent, hints={"n4": {"n3": SECOND}, "n5": {"n3": DELETED}, "n6": silent}
    )
    assert list(explanation.hint_lines(explained)) == [
        "n4 keeps n2-b-1:1 for n3, with a hint, until n3 has it",
        "n5 keeps the delete n1-a-1:2 for n3, with a hint, until n3 has it",
    ]
    assert [(hint["node"], hint["for"]) for hint in explained["hints"]] == [
        ("n4", "n3"),
        ("n5", "n3"),
    ]


def test_replicas_without_an_answer() -> None:
    silent, damaged = Unreachable("nothing listens at 127.0.0.1:1"), CorruptData("checksum")
    explained = explain(SECOND, silent, damaged)
    assert not explained["agree"]
    assert lines(explained) == [
        "n2 (no answer): nothing listens at 127.0.0.1:1",
        "n3 (damaged): its copy fails its checksum; it is neither read nor written",
        "together the copies come to this: one value of 10 B",
        "`dynamo status` shows who answers; `mapreduce up` starts what is down",
        "a node heals its damaged copy from the other replicas, once enough of them answer",
    ]
    assert any("no other copy is left" in line for line in lines(explain(damaged)))
    assert "no replica tells what it holds" in lines(explain(silent, damaged, silent))


def test_a_contradiction_is_said() -> None:
    (version,) = SECOND.versions
    other = SECOND._replace(versions=(version._replace(value=b"another"),))
    explained = explain(SECOND, other, SECOND)
    assert not explained["agree"]
    assert any("holds something else than another replica" in line for line in lines(explained))


def test_contexts_that_are_the_same_are_said_once() -> None:
    assert list(explanation.context_lines(explain(SECOND, FIRST, FIRST))) == [
        "context of n1: n1-a-1:1, n2-b-1:1",
        "context of n2, n3: n1-a-1:1",
    ]


def test_the_table_has_a_row_for_each_version(capsys: pytest.CaptureFixture[str]) -> None:
    both = update(FIRST, {}, "n2-b-1", b"beside", written_at=2.0)
    explanation.print_text(explain(both, DELETED, EMPTY))
    output = capsys.readouterr().out
    assert output.startswith("'my key' is in partition ")
    assert re.search(r"n1 +\w+ +value +5 B .*n1-a-1:1\s*\n +value +6 B .*n2-b-1:1", output)
    assert re.search(r"n2 +\w+ +tombstone +- .*n1-a-1:2", output)
    assert re.search(r"n3 +empty +nothing ", output)


# Mistakes, and no cluster ------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["ring"], ["ring", "--json"], ["explain", "colour"]])
def test_a_cluster_that_is_down_answers_at_once(tmp_path: Path, arguments: list[str]) -> None:
    config = write_config(tmp_path)
    began = time.monotonic()
    result = CliRunner().invoke(main, [*arguments, "--config", str(config.path)])
    assert (result.exit_code, result.stdout) == (1, "")
    assert re.fullmatch(
        r"Error: no store node listens at .*; start them with `mapreduce up`\n", result.stderr
    )
    assert time.monotonic() - began < config.timeout_s / 2


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["explain", "k" * 1025], "key of 1,025 bytes is over the limit"),
        (["explain", ""], "a key is a text"),
        (["explain"], "Missing argument 'KEY'"),
        (["ring", "--svg", "."], "is a directory"),
    ],
)
def test_a_mistake_is_told_before_any_node_is_asked(
    tmp_path: Path, arguments: list[str], complaint: str
) -> None:
    config = write_config(tmp_path)
    result = CliRunner().invoke(main, [*arguments, "--config", str(config.path)])
    assert result.exit_code == 2
    assert complaint in result.stderr
