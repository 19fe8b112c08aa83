"""One battery over every place that output goes to: all parts or none, none of the losers."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from dynamo import files
from dynamo.errors import RequestError
from dynamo.store import MemoryStore
from mapreduce.data import formats, inputs
from mapreduce.data.inputs import InputSpec
from mapreduce.data.outputs import Output, Part
from mapreduce.data.outputs.folder import FolderOutput
from mapreduce.data.outputs.store import StoreOutput
from mapreduce.errors import JobError, OutputExists
from tests.mapreduce.data.outputs.places import KINDS, Place, StorePlace, place_of


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return place_of(request.param, tmp_path)


def blocks(*texts: bytes) -> Iterator[tuple[bytes, int]]:
    return ((text, text.count(b"\n")) for text in texts)


def test_parts_are_seen_after_the_commit_and_not_before(place: Place) -> None:
    output = place.output
    output.check_absent()
    parts = [
        output.write("part-00000", "reduce-00000.1", blocks(b"a\t1\n", b"b\t2\n")),
        output.write("part-00001", "reduce-00001.1", blocks()),
    ]
    assert [(part.size_bytes, part.records) for part in parts] == [(8, 2), (0, 0)]
    assert place.visible() == {}
    output.commit(parts, {"records": 2})
    seen = place.visible()
    assert json.loads(seen.pop("_SUCCESS")) == {"records": 2}
    assert seen == {"part-00000": b"a\t1\nb\t2\n", "part-00001": b""}


def test_of_two_attempts_only_the_winner_is_seen_and_nothing_else_is_left(place: Place) -> None:
    loser = place.output.write("part-00000", "reduce-00000.1", blocks(b"x\n"))
    winner = place.output.write("part-00000", "reduce-00000.2", blocks(b"x\n"))
    place.output.discard(loser)
    place.output.discard(loser)
    place.output.commit([winner], {})
    assert place.visible().keys() == {"part-00000", "_SUCCESS"}
    assert place.held() == (4 if place.kind == "store" else 2)  # manifests and chunks


def test_an_attempt_that_fails_in_the_middle_leaves_nothing(place: Place) -> None:
    def failing() -> Iterator[tuple[bytes, int]]:
        yield b"x" * (9 << 20), 1
        raise RuntimeError("reducer")

    with pytest.raises(RuntimeError, match="reducer"):
        place.output.write("part-00000", "reduce-00000.1", failing())
    assert place.held() == 0


def test_output_that_is_there_already_is_an_error_and_stays(place: Place) -> None:
    place.occupy()
    with pytest.raises(OutputExists, match="exists already"):
        place.output.check_absent()
    assert place.visible() == {"old": b"old"}


def test_a_commit_may_be_repeated(place: Place) -> None:
    part = place.output.write("part-00000", "map-00000.1", blocks(b"a\n"))
    place.output.commit([part], {"try": 1})
    place.output.commit([part], {"try": 2})
    assert place.visible()["part-00000"] == b"a\n"
    assert json.loads(place.visible()["_SUCCESS"]) == {"try": 2}


def test_an_abandoned_folder_is_removed(tmp_path: Path) -> None:
    output = FolderOutput(tmp_path / "out")
    output.write("part-00000", "map-00000.1", blocks(b"a\n"))
    output.abandon()
    assert list(tmp_path.iterdir()) == []


def test_a_part_that_somebody_has_removed_is_told(tmp_path: Path) -> None:
    output = FolderOutput(tmp_path / "out")
    part = output.write("part-00000", "map-00000.1", blocks(b"a\n"))
    output.discard(part)
    with pytest.raises(JobError, match="is gone"):
        output.commit([part], {})


def test_a_file_where_the_folder_should_be_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputExists):
        FolderOutput(tmp_path / "out").check_absent()


def test_a_wrong_path_in_the_store_is_refused() -> None:
    with pytest.raises(RequestError, match="can't name a file"):
        StoreOutput(MemoryStore(), "out")


def test_of_a_commit_that_fails_nothing_is_seen_and_it_can_be_repeated(tmp_path: Path) -> None:
    place = place_of("folder", tmp_path)
    good = place.output.write("part-00000", "reduce-00000.1", blocks(b"a\n"))
    other = place.output.write("part-00001", "reduce-00001.1", blocks(b"b\n"))
    bad = Part("no/folder", b"bad", 2, 1)
    with pytest.raises(JobError, match="is gone"):
        place.output.commit([good, other, bad], {})
    assert place.visible() == {}
    place.output.commit([good, other], {})
    assert place.visible().keys() == {"part-00000", "part-00001", "_SUCCESS"}


NAMES = ["part-00000", "part-00001", "part-00002", "errors-m-00000.csv"]


def stored(output: Output, contents: Sequence[bytes], number: int = 1) -> list[Part]:
    """Parts of those contents, the last one of a named output."""
    return [
        output.write(name, f"reduce-{index}.{number}", blocks(content))
        for index, (name, content) in enumerate(zip(NAMES, contents))
    ]


def test_merged_parts_are_one_file_in_order_and_named_outputs_stay_apart(place: Place) -> None:
    parts = stored(place.output, [b"a\nb\n", b"", b"c", b"bad\n"])
    place.output.commit(parts, {"records": 4}, merged="merged.txt")
    assert place.output.files().keys() == {"_SUCCESS", "errors-m-00000.csv", "merged.txt"}
    assert place.visible()["merged.txt"] == b"a\nb\nc"
    assert b"".join(place.output.read("errors-m-00000.csv")) == b"bad\n"
    assert place.output.summary() == {"records": 4}
    place.output.commit(parts, {"records": 4}, merged="merged.txt")
    assert place.visible()["merged.txt"] == b"a\nb\nc"


def test_merging_copies_nothing_in_the_store_and_its_extents_are_still_read_record_by_record() -> (
    None
):
    place = StorePlace()
    parts = stored(place.output, [b"one li", b"ne\ntwo\n", b"three", b""])
    keys = place.held()
    place.output.commit(parts, {}, merged="merged")
    # Three manifests: of the merged file, of the named output and of _SUCCESS, whose chunk is new.
    assert place.held() == keys + 4
    splits = inputs.plan("store", [InputSpec("/out/merged")], place.store, split_bytes=1)
    reader = inputs.open_reader(place.store)
    lines = []
    for split in splits:
        reader.prepare(split.slices)
        for part in split.slices:
            for batch in formats.reading("text").read(part, reader):
                lines += [line for _, line in batch.pairs]
    assert lines == ["one line", "two", "three"]
    files.remove(place.store, "/out/merged")
    assert sum(key.startswith("file:") for key in place.store.list("")) == 1


@pytest.mark.parametrize("merged", ["", "merged"])
def test_what_a_commit_has_made_is_retracted_and_nothing_else(place: Place, merged: str) -> None:
    parts = stored(place.output, [b"a\n", b"b\n", b"c\n", b"bad\n"])
    place.output.commit(parts, {}, merged=merged)
    place.occupy()
    assert place.output.summary() == {}
    place.output.retract()
    assert place.visible() == {"old": b"old"}
    assert place.output.summary() is None


def test_a_part_that_is_aborted_leaves_nothing(place: Place) -> None:
    writer = place.output.open("part-00000", "map-00000.1")
    writer.write(b"x" * (9 << 20), 1)
    writer.abort()
    place.output.abandon()
    assert place.held() == 0
    writer = place.output.open("part-00000", "map-00000.2")
    writer.write(b"x\n", 1)
    writer.close()
    writer.abort()
    assert place.held() == 0
