"""Examples in several steps over graphs and points, beside the same in plain Python."""

import itertools
import math
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.examples.running import only_once, run

# PageRank ----------------------------------------------------------------------------------------

GRAPHS = {
    "a circle with a tail": {"a": ["b"], "b": ["c"], "c": ["a"], "d": ["a", "d"]},
    "nothing but targets at its end": {"a": ["b", "c"], "b": ["c"]},
    "two pages, one without links": {"a": ["b"], "b": []},
    "no links at all": {"a": [], "b": [], "c": []},
}


def random_links(pages: int) -> dict[str, list[str]]:
    chance = random.Random(17)
    names = [f"page {n}" for n in range(pages)]
    return {
        name: sorted(set(chance.choices(names, k=chance.choice([0, 1, 2, 5]))))
        for name in names[: pages * 3 // 4]
    }


def page_ranks(links: dict[str, list[str]], rounds: int, damping: float) -> dict[str, float]:
    """By repeated multiplication with the full matrix of the random reader."""
    pages = sorted({*links, *itertools.chain.from_iterable(links.values())})
    share = 1 / len(pages)
    matrix = [
        [
            (1 - damping) * share
            + damping * ((target in links[page]) / len(links[page]) if links.get(page) else share)
            for target in pages
        ]
        for page in pages
    ]
    ranks = [share] * len(pages)
    for _ in range(rounds):
        ranks = [sum(map(math.prod, zip(ranks, column))) for column in zip(*matrix)]
    return {page: rank * len(pages) for page, rank in zip(pages, ranks)}


@pytest.mark.parametrize("damping", [0.85, 0.5])
@pytest.mark.parametrize("links", [*GRAPHS.values(), random_links(40)], ids=[*GRAPHS, "random"])
def test_page_rank(tmp_path: Path, links: dict[str, list[str]], damping: float) -> None:
    check_page_rank(tmp_path, links, "inline", rounds=6, damping=damping)


def test_page_rank_in_processes(tmp_path: Path) -> None:
    check_page_rank(tmp_path, random_links(30), "local", rounds=2, damping=0.85)


def check_page_rank(
    tmp_path: Path, links: dict[str, list[str]], runner: str, rounds: int, damping: float
) -> None:
    path = tmp_path / "links.tsv"
    path.write_text("".join("\t".join([page, *its]) + "\n" for page, its in links.items()))
    params = {"rounds": str(rounds), "damping": str(damping), "reducers": "3"}
    ran = run("pagerank", path, output=tmp_path / "o", runner=runner, params=params, split_bytes=50)
    expected = page_ranks(links, rounds, damping)
    found = {page: float(rank) for page, rank in ran.pairs.items()}
    assert found == pytest.approx(expected, abs=1e-12)
    assert sum(found.values()) == pytest.approx(len(found))
    assert list(found.values()) == sorted(found.values(), reverse=True)
    for number in (1, rounds):
        before, after = (page_ranks(links, n, damping) for n in (number - 1, number))
        moved = sum(abs(after[page] - before[page]) for page in after) / len(after)
        counted = ran.counters[f"moved in round {number:2}, ppm"]
        assert counted == pytest.approx(moved * 1e6, abs=3)  # each reducer rounds


def test_page_rank_settles(tmp_path: Path) -> None:
    links = random_links(20)
    path = tmp_path / "links.tsv"
    path.write_text("".join("\t".join([page, *its]) + "\n" for page, its in links.items()))
    ran = run("pagerank", path, output=tmp_path / "out", params={"rounds": "40"})
    moved = [ran.counters[f"moved in round {number:2}, ppm"] for number in range(1, 41)]
    assert moved[0] > 100_000
    assert moved[-1] < 100
    settled = page_ranks(links, 300, 0.85)
    assert {p: float(r) for p, r in ran.pairs.items()} == pytest.approx(settled, abs=1e-3)


# K-means -----------------------------------------------------------------------------------------


def lloyd(points: list[Any], centres: list[Any], rounds: int) -> tuple[list[Any], list[int]]:
    """The points of each group after some rounds, and how many changed in each of them."""

    def assigned(centres: dict[int, Any]) -> list[int]:
        return [
            min(centres, key=lambda g: (sum((a - b) ** 2 for a, b in zip(centres[g], point)), g))
            for point in points
        ]

    groups, changes = assigned(dict(enumerate(centres))), []
    for _ in range(rounds):
        middles = {
            group: [
                sum(places) / len(places)
                for places in zip(*(point for point, its in zip(points, groups) if its == group))
            ]
            for group in set(groups)
        }
        before, groups = groups, assigned(middles)
        changes.append(sum(one != other for one, other in zip(before, groups)))
    return [[p for p, its in zip(points, groups) if its == g] for g in sorted(set(groups))], changes


def test_k_means_of_points_that_are_equally_near(tmp_path: Path) -> None:
    """The group with the lower number has them."""
    (tmp_path / "points.csv").write_text("1\n1\n0\n2\n")
    (tmp_path / "start.csv").write_text("2\n0\n")
    params = {"start": str(tmp_path / "start.csv"), "rounds": "1"}
    ran = run("kmeans", tmp_path / "points.csv", output=tmp_path / "out", params=params)
    assert only_once(ran.values) == {
        0: {"points": 3, "centre": [pytest.approx(4 / 3)]},
        1: {"points": 1, "centre": [0.0]},
    }


@pytest.mark.parametrize(("start", "groups"), [(4, 4), (1, 1), ("far", 3)])
def test_k_means(tmp_path: Path, start: int | str, groups: int) -> None:
    chance = random.Random(19)
    middles = [(0, 0, 5), (6, 1, 0), (3, 7, 2), (-4, 4, 4)]
    points = [
        tuple(round(chance.gauss(at, 2), 3) for at in chance.choice(middles)) for _ in range(200)
    ]
    centres = points[:start] if isinstance(start, int) else [*points[:3], (900, 900, 900)]
    for name, rows in (("points.csv", points), ("start.csv", centres)):
        (tmp_path / name).write_text("".join(",".join(map(str, row)) + "\n" for row in rows))
    ran = run(
        "kmeans",
        tmp_path / "points.csv",
        output=tmp_path / "out",
        input_format="csv:multiline=no",
        params={"start": str(tmp_path / "start.csv"), "rounds": "5", "reducers": "2"},
    )
    expected, changes = lloyd(points, centres, 5)
    found = only_once(ran.values)
    assert [found[group]["points"] for group in sorted(found)] == list(map(len, expected))
    assert len(found) == groups
    for group, its in zip(sorted(found), expected):
        middle = [sum(places) / len(places) for places in zip(*its)]
        assert found[group]["centre"] == pytest.approx(middle)
    counted = [ran.counters[f"points that changed in round {n + 1:2}"] for n in range(5)]
    assert counted == changes
    assert ran.counters["map_input_records"] > 6 * len(points)  # all rounds have run


# Triangles ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("edges", [0, 40, 150, "star"])
def test_triangles(tmp_path: Path, edges: int | str) -> None:
    chance = random.Random(23)
    names = [f"n{n}" for n in range(25)]
    if edges == "star":
        pairs = [("n0", name) for name in names[1:]] + [("n1", "n2"), ("n3", "n2")]
    else:
        pairs = [tuple(chance.choices(names, k=2)) for _ in range(int(edges))]
        pairs += [(other, one) for one, other in pairs[:5]] + [("n1", "n1")]
    (tmp_path / "edges.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in pairs))
    ran = run(
        "triangles",
        tmp_path / "edges.tsv",
        output=tmp_path / "out",
        params={"reducers": "3"},
        split_bytes=100,
    )
    joined = {frozenset(pair) for pair in pairs}
    expected = [
        "\t".join(three)
        for three in itertools.combinations(sorted(names), 3)
        if all(frozenset(two) in joined for two in itertools.combinations(three, 2))
    ]
    assert Counter(ran.lines) == Counter(expected)
    assert ran.counters.get("triangles", 0) == len(expected)
    assert bool(expected) == bool(edges)
