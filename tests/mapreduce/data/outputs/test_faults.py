"""Whatever fails, and wherever: no attempt leaves a trace, no commit half an output."""

import resource
from itertools import count
from pathlib import Path

import pytest

from dynamo.errors import DynamoError
from mapreduce.data.outputs import Part
from tests.mapreduce.data.outputs.places import KINDS, Place, StorePlace, place_of

FAILURES = (OSError, DynamoError)
CONTENTS = {
    "part-00000.tsv": b"a\t1\n",
    "part-00001.tsv": b"",
    "part-00002.tsv": b"b\t2\n",
    "errors-m-00000": b"bad\n",
    "errors-2-r-00000": b"worse\n",
}
MERGED = {"merged.tsv": b"a\t1\nb\t2\n", "errors-m-00000": b"bad\n", "errors-2-r-00000": b"worse\n"}
EXPECTED = {"": CONTENTS, "merged.tsv": MERGED}


# Without S3: there each of thousands of operations takes milliseconds.
@pytest.fixture(params=[kind for kind in KINDS if kind != "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return place_of(request.param, tmp_path)


@pytest.fixture(params=EXPECTED)
def merged(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def stored(place: Place, attempt: int = 1) -> list[Part]:
    return [
        place.output.write(name, f"reduce-00000.{attempt}", [(content, 1)])
        for name, content in CONTENTS.items()
    ]


def without_success(seen: dict[str, bytes]) -> dict[str, bytes]:
    assert seen.pop("_SUCCESS")
    return seen


@pytest.mark.parametrize("forever", [False, True])
def test_an_attempt_that_fails_at_any_step_leaves_nothing(place: Place, forever: bool) -> None:
    for number in count():
        faults = place.faulty(number, forever=forever, full=True)
        try:
            place.output.write("part-00000", "reduce-00000.1", [(b"x" * (1 << 20), 1)] * 9)
        except FAILURES:
            place.healed()
            place.output.abandon()
            assert place.held() == 0
        if not faults.seen:
            break
    assert number >= 3


@pytest.mark.parametrize("full", [False, True])
def test_a_commit_that_fails_at_any_step_can_be_repeated(
    place: Place, merged: str, full: bool
) -> None:
    """With `full` no bytes are taken from that step on; else one operation fails, and only it."""
    for number in count():
        parts = stored(place)
        faults = place.faulty(number, forever=full, full=full)
        try:
            place.output.commit(parts, {"records": 2}, merged)
        except FAILURES:
            assert "_SUCCESS" not in place.visible()
            if not isinstance(place, StorePlace):
                assert full is False or place.visible() == {}
            place.healed()
            place.output.commit(parts, {"records": 2}, merged)
        place.healed()
        assert without_success(place.visible()) == EXPECTED[merged]
        place.output.retract()
        place.output.abandon()
        assert place.held() == 0
        if not faults.seen:
            break
    assert number >= 3


def test_a_commit_that_is_cut_off_at_any_step_can_be_retracted(place: Place, merged: str) -> None:
    """As when its process dies: nothing is done any more, and another process cleans up."""
    for number in count():
        parts = stored(place)
        faults = place.faulty(number, forever=True)
        try:
            place.output.commit(parts, {"records": 2}, merged)
        except FAILURES:
            whole = place.output.summary() is not None
            assert not whole or without_success(place.visible()) == EXPECTED[merged]
        place.healed()
        place.output.retract()
        place.output.abandon()
        for part in parts:
            place.output.discard(part)
        assert place.output.summary() is None
        assert place.visible() == {}
        if not faults.seen:
            break
    assert number >= 3


def test_of_many_attempts_nothing_is_left_but_the_winners(place: Place, merged: str) -> None:
    losers, winners, late = (stored(place, number) for number in (1, 2, 3))
    for part in losers:
        place.output.discard(part)
    place.output.commit(winners, {}, merged)
    for part in late:
        place.output.discard(part)
    place.output.abandon()
    expected = EXPECTED[merged]
    assert without_success(place.visible()) == expected
    chunks = sum(1 for content in CONTENTS.values() if content) + 1
    files = len(expected) + 1
    assert place.held() == (files + chunks if isinstance(place, StorePlace) else files)


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_file_system_that_takes_no_more_bytes_is_told_and_nothing_is_left(
    kind: str, tmp_path: Path
) -> None:
    """The system's own refusal: no file may become larger than a limit."""
    place = place_of(kind, tmp_path)
    parts = [place.output.write(f"part-0000{n}", "a", [(b"x" * 600_000, 1)]) for n in range(2)]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            place.output.write("part-00002", "a", [(b"x" * 600_000, 1)] * 2)
        with pytest.raises(OSError, match="File too large"):
            place.output.commit(parts, {}, "merged")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert place.visible() == {}
    place.output.commit(parts, {}, "merged")
    assert len(place.visible()["merged"]) == 1_200_000
    assert place.held() == 2
