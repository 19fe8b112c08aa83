"""Parquet: what others read is what was written."""

import importlib.util
import io
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from mapreduce.data import formats
from mapreduce.data.formats import parquet
from mapreduce.errors import BadRecord, JobError
from tests.mapreduce.data.formats.reads import decoded, encoded, read


def table(content: bytes) -> Any:
    return pyarrow.parquet.read_table(io.BytesIO(content))


def test_keys_and_values_are_columns() -> None:
    pairs = [(f"é{number}", number) for number in range(10_000)]
    content = encoded("parquet", pairs)
    assert table(content).to_pydict() == {
        "key": [key for key, _ in pairs],
        "value": list(range(10_000)),
    }
    assert decoded("parquet", content) == pairs
    assert read("parquet", content)[4999:5001] == [
        (4999, {"key": "é4999", "value": 4999}),
        (5000, {"key": "é5000", "value": 5000}),
    ]


@pytest.mark.parametrize(
    ("name", "pairs", "columns"),
    [
        ("parquet:columns=a,b,c", [("x", (1, 2.5))], {"a": ["x"], "b": [1], "c": [2.5]}),
        ("parquet:columns=w,n", [("x", [1, 2])], {"w": ["x"], "n": [[1, 2]]}),
        ("parquet:keys=no", [("x", 1), ("y", None)], {"value": [1, None]}),
        ("parquet:keys=no:columns=a,b", [("x", {"b": 1, "a": 2})], {"a": [2], "b": [1]}),
        ("parquet:types=string,double", [("x", 1)], {"key": ["x"], "value": [1.0]}),
        ("parquet:types=string,double", [], {"key": [], "value": []}),
        ("parquet:compress=zstd", [], {"key": [], "value": []}),
    ],
)
def test_columns_can_be_named_and_typed(name: str, pairs: Any, columns: Any) -> None:
    content = encoded(name, pairs)
    assert table(content).to_pydict() == columns
    if "double" in name:
        assert table(content).schema.types == [pyarrow.string(), pyarrow.float64()]


def test_three_columns_come_back_as_key_and_list() -> None:
    name = "parquet:columns=a,b,c"
    assert decoded(name, encoded(name, [("x", (1, 2.5))])) == [("x", [1, 2.5])]


def test_row_groups_leave_before_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP_BYTES", 100_000)
    encoder = formats.writing("parquet:compress=no").encoder()
    pairs = [("x" * 100, number) for number in range(4000)]
    blocks = [encoder.add(pairs), encoder.add(pairs), encoder.finish()]
    assert len(blocks[0]) > 4 and len(blocks[1]) > 4
    content = b"".join(blocks)
    assert pyarrow.parquet.ParquetFile(io.BytesIO(content)).num_row_groups == 2
    assert decoded("parquet", content) == pairs * 2


@pytest.mark.parametrize(
    ("name", "pairs", "says"),
    [
        ("parquet", [("a", 1), ("b", "x")], r"value of the pair \('b', 'x'\)|several types"),
        ("parquet:types=string,int64", [("a", 1), ("b", "x")], r"value of the pair \('b', 'x'\)"),
        ("parquet", [("a", 1)] * 4096 + [("b", 1.5)], r"value of the pair \('b', 1.5\)"),
        ("parquet", [("a", object())], r"value of the pair \('a', <object"),
        ("parquet:columns=a,b,c", [("a", (1,))], "gives 2 fields, and there are the columns a, b"),
        ("parquet", [("a",)], "is no pair"),
    ],
)
def test_what_fits_no_column_is_refused_with_its_pair(name: str, pairs: Any, says: str) -> None:
    with pytest.raises(BadRecord, match=says):
        encoded(name, pairs)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("parquet:columns=a,a", "each column has a name of its own"),
        ("parquet:types=string", "one type for each of the columns key, value"),
    ],
)
def test_wrong_columns_are_refused_with_the_job(name: str, says: str) -> None:
    with pytest.raises(JobError, match=says):
        formats.writing(name)


def test_so_are_unknown_types() -> None:
    with pytest.raises(JobError, match="a type of types=string,number does not exist"):
        encoded("parquet:types=string,number", [])


def test_what_is_no_parquet_file_is_refused() -> None:
    content = encoded("parquet", [("a", 1)])
    for damaged in (b"PAR1 nonsense", content[:-9], b""):
        with pytest.raises(BadRecord, match="'file' is not in the format parquet, or is damaged"):
            read("parquet", damaged)


def test_without_pyarrow_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for make in (formats.reading, formats.writing):
        with pytest.raises(JobError, match=r"pip install 'dynamo-mapreduce\[parquet\]'"):
            make("parquet")


def test_parts_are_not_put_together() -> None:
    assert not formats.writing("parquet").mergeable
    assert formats.writing("parquet:compress=zstd").extension == ".parquet"
