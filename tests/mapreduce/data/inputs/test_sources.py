"""One battery over every place that input comes from."""

import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from mapreduce.data import formats, inputs
from mapreduce.data.inputs import InputSpec, Split
from mapreduce.errors import InputMissing, JobError
from tests.mapreduce.data.inputs.places import KINDS, StorePlace, place_of


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StorePlace]:
    with place_of(request.param, tmp_path) as place:
        yield place


def plan(place: StorePlace, *names: str, split_bytes: int = 1 << 20) -> list[Split]:
    named = [InputSpec(place.path(name)) for name in names]
    return inputs.plan(place.plain, named, place.store, split_bytes=split_bytes)


def lines(place: StorePlace, splits: Sequence[Split]) -> list[tuple[str, int, str]]:
    """(the file's name, position, line) of all records, read split by split as tasks do."""
    found = []
    for split in splits:
        reader = inputs.open_reader(place.store)
        reader.prepare(split.slices)
        for part in split.slices:
            for batch in formats.reading("text").read(part, reader):
                found += [(name_of(part.path), *record) for record in batch.pairs]
    return found


def name_of(path: str) -> str:
    return path.partition("::")[0].rpartition("/")[2].removeprefix("book-")


def expected(name: str, content: bytes) -> list[tuple[str, int, str]]:
    found, position = [], 0
    for line in content.splitlines(keepends=True):
        found.append((name, position, line.decode().rstrip("\n")))
        position += len(line)
    return found


CONTENTS = {
    "a.txt": b"to be\nor not\n",
    "b.txt": b"",
    "c.txt": b"".join(
        b"%05d is a line of any length%s\n" % (n, b"!" * (n % 90)) for n in range(300)
    ),
    "d.txt": b"x" * 5000 + b"\nno end",
}


@pytest.mark.parametrize("split_bytes", [1 << 20, 7001, 1500])
def test_every_line_is_read_once_whatever_the_size_of_splits(
    place: StorePlace, split_bytes: int
) -> None:
    for name, content in CONTENTS.items():
        place.put(name, content)
    splits = plan(place, "", split_bytes=split_bytes)
    wanted = [line for name, content in CONTENTS.items() for line in expected(name, content)]
    assert sorted(lines(place, splits)) == sorted(wanted)


def test_files_are_cut_only_where_they_can_be_read_from_their_middle(
    place: StorePlace, request: pytest.FixtureRequest
) -> None:
    place.put("d.txt", CONTENTS["d.txt"])
    slices = [part for split in plan(place, "d.txt", split_bytes=1000) for part in split.slices]
    in_one = {"zip", "http-whole", "http-endless"} & set(request.node.callspec.params.values())
    assert len(slices) == (1 if in_one else 6)
    assert {part.splittable for part in slices} == {not in_one}


def test_one_file_alone_is_read(place: StorePlace) -> None:
    place.put("a.txt", CONTENTS["a.txt"])
    place.put("b.txt", b"something else\n")
    assert lines(place, plan(place, "a.txt")) == expected("a.txt", CONTENTS["a.txt"])


def test_a_glob_names_files_below_but_not_the_marks_of_jobs(place: StorePlace) -> None:
    if place.path("").startswith("keys:"):
        pytest.skip("keys have prefixes")
    for name in ("a.txt", "c.txt", "c.csv", "_SUCCESS"):
        place.put(name, b"line\n")
    assert [name for name, _, _ in lines(place, plan(place, "*.txt"))] == ["a.txt", "c.txt"]
    assert {name for name, _, _ in lines(place, plan(place, "*"))} == {"a.txt", "c.csv", "c.txt"}


def test_a_file_that_is_named_twice_is_read_once(place: StorePlace) -> None:
    place.put("a.txt", b"line\n")
    assert len(lines(place, plan(place, "", "a.txt"))) == 1


@pytest.mark.parametrize("missing", ["nothing.txt", "no*.txt"])
def test_an_input_that_is_missing_is_told(place: StorePlace, missing: str) -> None:
    place.put("a.txt", b"line\n")
    with pytest.raises(InputMissing, match="no input"):
        plan(place, "a.txt", missing)


def test_a_file_that_has_changed_since_it_was_planned_is_noticed(place: StorePlace) -> None:
    place.put("a.txt", b"one\n")
    splits = plan(place, "a.txt")
    place.put("a.txt", b"another\n")
    with pytest.raises(JobError, match=r"a\.txt[^ ]*' was changed"):
        lines(place, splits)


def test_a_file_that_is_gone_since_it_was_planned_is_noticed(place: StorePlace) -> None:
    place.put("a.txt", b"one\n")
    splits = plan(place, "a.txt")
    place.remove("a.txt")
    with pytest.raises(JobError, match=r"a\.txt[^ ]*' was changed or removed"):
        lines(place, splits)


def test_a_compressed_file_is_one_slice_with_its_content(place: StorePlace) -> None:
    content = CONTENTS["c.txt"]
    place.put("c.txt.gz", gzip.compress(content, mtime=0))
    splits = plan(place, "c.txt.gz", split_bytes=100)
    assert sum(len(split.slices) for split in splits) == 1
    assert lines(place, splits) == expected("c.txt.gz", content)


def test_empty_files_are_no_missing_input_and_give_a_job_one_map(place: StorePlace) -> None:
    place.put("a.txt", b"")
    splits = plan(place, "")
    assert len(splits) == 1
    assert lines(place, splits) == []


def test_ranges_are_read_also_behind_the_end(place: StorePlace) -> None:
    content = bytes(range(256)) * 4000
    place.put("a.bin", content)
    [split] = plan(place, "a.bin", split_bytes=1 << 21)
    reader = inputs.open_reader(place.store)
    reader.prepare(split.slices)
    [part] = split.slices
    assert b"".join(reader.read(part, 0, part.stop)) == content
    assert b"".join(reader.read(part, len(content), len(content) + 10)) == b""
