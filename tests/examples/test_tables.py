"""Examples over tables and logs, beside the same in plain Python."""

import csv
import gzip
import json
import random
import statistics
from collections import Counter, defaultdict
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from mapreduce.errors import SourceError
from tests.examples.running import run

Row = dict[str, Any]


def write_csv(path: Path, rows: list[Row]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_json(path: Path, rows: list[Row]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


# Average and variance ----------------------------------------------------------------------------


@pytest.mark.parametrize("far", [0, 1e9])
def test_average_and_variance(tmp_path: Path, far: float) -> None:
    """Far from zero too, where a sum of squares would have no digits left."""
    chance = random.Random(3)
    rows = [
        {"id": n, "city": f"c{chance.randrange(5)}", "celsius": far + chance.gauss(20, 5)}
        for n in range(600)
    ]
    rows += [{"id": 0, "city": "alone", "celsius": 1.5}, {"id": 0, "city": "c1", "celsius": ""}]
    for number in range(4):
        write_csv(tmp_path / f"{number}.csv", rows[number::4])
    params = {"key": "city", "value": "celsius", "reducers": "2"}
    ran = run("average", tmp_path / "*.csv", output=tmp_path / "out", params=params)
    values = defaultdict(list)
    for row in rows:
        if row["celsius"] != "":
            values[row["city"]].append(row["celsius"])
    found = {row[0]: row[1:] for row in ran.rows("key,count,mean,variance")}
    assert found.keys() == values.keys()
    for city, (count, mean, variance) in found.items():
        assert int(count) == len(values[city])
        assert float(mean) == pytest.approx(statistics.fmean(values[city]), rel=1e-12)
        assert float(variance) == pytest.approx(statistics.pvariance(values[city]), rel=1e-6)
    assert ran.counters["rows without a value"] == 1


# Join --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("runner", ["inline", "local"])
def test_join(tmp_path: Path, runner: str) -> None:
    chance = random.Random(5)
    users = [{"id": n, "name": f"name {n}", "city": f"city {n % 7}"} for n in range(60)]
    users.append({"id": 3, "name": "another 3", "city": "city 0"})
    orders = [
        {"user": chance.randrange(40, 80), "item": f"item {n}", "price": chance.randrange(99)}
        for n in range(200)
    ]
    orders.append({"user": 3, "item": "last", "price": 1.25})
    params = {
        "users": str(write_csv(tmp_path / "users.csv", users)),
        "orders": str(write_json(tmp_path / "orders.jsonl", orders)),
        "reducers": "3",
    }
    ran = run("join", output=tmp_path / "out", runner=runner, params=params)
    expected = [
        [str(user["id"]), user["name"], user["city"], order["item"], str(order["price"])]
        for user in users
        for order in orders
        if user["id"] == order["user"]
    ]
    assert sorted(ran.rows("user,name,city,item,price")) == sorted(expected)
    known = {user["id"] for user in users}
    unknown = [order for order in orders if order["user"] not in known]
    found = [json.loads(line) for line in ran.named("unknown")]
    assert sorted(found, key=lambda order: order["item"]) == sorted(
        unknown, key=lambda order: order["item"]
    )
    silent = known - {order["user"] for order in orders}
    assert ran.counters["users without orders"] == len(silent)
    assert expected
    assert unknown
    assert silent


# Matrices ----------------------------------------------------------------------------------------


def test_matrix_product(tmp_path: Path) -> None:
    chance = random.Random(11)

    def matrix(rows: int, columns: int) -> dict[tuple[int, int], int]:
        places = [(i, j) for i in range(rows) for j in range(columns) if chance.random() < 0.2]
        return {place: chance.choice([-2, -1, 1, 2, 3]) for place in places}

    left, right = matrix(20, 15), matrix(15, 12)
    params = {"reducers": "3"}
    for name, entries in (("a", left), ("b", right)):
        lines = [f"{i}\t{j}\t{number}\n" for (i, j), number in entries.items()]
        chance.shuffle(lines)
        (tmp_path / name).write_text("".join(lines))
        params[name] = str(tmp_path / name)
    ran = run("matrix_product", output=tmp_path / "out", params=params, split_bytes=100)
    expected = {
        (i, k): total
        for i in range(20)
        for k in range(12)
        if (total := sum(left.get((i, j), 0) * right.get((j, k), 0) for j in range(15)))
    }
    rows = [line.split("\t") for line in ran.lines]
    found = {(int(i), int(k)): float(number) for i, k, number in rows}
    assert found == expected
    assert len(rows) == len(expected)


# Logs --------------------------------------------------------------------------------------------


def test_log_analysis(tmp_path: Path) -> None:
    chance = random.Random(13)
    begin = datetime(2000, 10, 10, 22, tzinfo=timezone(timedelta(hours=-7)))
    requests, lines = [], []
    for _ in range(400):
        moment = begin + timedelta(seconds=chance.randrange(4 * 3600))
        page, query = chance.choice(["/", "/a.html", "/b"]), chance.choice(["", "?q=1"])
        status, size = chance.choice([200, 200, 304, 404, 500, 503]), chance.choice([0, 10, 999])
        requests.append((page, f"{moment:%Y-%m-%dT%H}", status, size))
        lines.append(
            f"10.0.0.{chance.randrange(9)} - ann [{moment:%d/%b/%Y:%H:%M:%S %z}] "
            f'"GET {page}{query} HTTP/1.1" {status} {size or "-"}'
        )
    bad = ["", "no request", lines[0].replace("/Oct/", "/Okt/")]
    for line in bad:
        lines.insert(chance.randrange(len(lines)), line)
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "1.log").write_text("\n".join(lines[:150]))
    with gzip.open(tmp_path / "logs" / "2.log.gz", "wt") as file:
        file.write("\n".join(lines[150:]))

    ran = run("log_analysis", tmp_path / "logs", output=tmp_path / "out", params={"reducers": "2"})
    expected = [
        {
            "page": page,
            "hour": hour,
            "requests": len(its),
            "errors": sum(status >= 400 for status, _ in its),
            "bytes": sum(size for _, size in its),
        }
        for page, hour in {request[:2] for request in requests}
        if (its := [request[2:] for request in requests if request[:2] == (page, hour)])
    ]
    assert sorted(map(str, ran.values)) == sorted(map(str, expected))
    assert sorted(line.partition("\t")[2] for line in ran.named("bad")) == sorted(bad)
    failures = Counter(json.loads(line)["page"] for line in ran.named("failures"))
    assert failures == Counter(page for page, _, status, _ in requests if status >= 500)
    kinds = Counter(f"status {status // 100}xx" for _, _, status, _ in requests)
    assert {name: ran.counters[name] for name in kinds} == kinds


# Parameters --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("example", "params", "text"),
    [
        ("grep", {}, "missing a required argument: 'pattern'"),
        ("average", {"key": "city"}, "missing a required argument: 'value'"),
        ("top_k", {"k": "ten"}, "the parameter k of job(k: int = 10) -> .*Job is int, not 'ten'"),
        ("sort", {"descending": "maybe"}, "is yes or no, not 'maybe'"),
        ("sort", {"colour": "red"}, "unexpected keyword argument 'colour'"),
    ],
)
def test_parameters_that_are_missing_or_wrong(
    tmp_path: Path, example: str, params: dict[str, str], text: str
) -> None:
    with pytest.raises(SourceError, match=text.replace("(", r"\(").replace(")", r"\)")):
        run(example, tmp_path, output=tmp_path / "out", params=params)
