"""Lines of executables come grouped and sorted like the pairs that they are, in whatever way."""

import functools
import random
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapreduce.data import shuffle
from mapreduce.data.portable_hash import partition_of
from mapreduce.data.shuffle import (
    Collector,
    LineCollector,
    LineForm,
    LineGroups,
    LinePairs,
    Lines,
    Piece,
    Same,
    can_be_sorted,
    linecollector,
    sort,
    whole_lines,
)
from mapreduce.data.shuffle import blocks as blocks_module
from mapreduce.errors import BadPair, PieceLost, ScratchFailed

Pairs = list[tuple[bytes, bytes | None]]
TABS = LineForm()


def plain(text: bytes, separator: bytes = b"\t", count: int = 1) -> Pairs:
    """The rule itself, line by line."""
    lines = text.split(b"\n")
    found: Pairs = []
    for line in lines if lines[-1] else lines[:-1]:
        parts = line.split(separator)
        has_value = len(parts) > count
        rest = separator.join(parts[count:]) if has_value else None
        found.append((separator.join(parts[:count]), rest))
    return found


def blocks(text: bytes, seed: int) -> list[bytes]:
    draw = random.Random(seed)
    at, some = 0, []
    while at < len(text):
        size = draw.choice([1, 2, 5, 40])
        some.append(text[at : at + size])
        at += size
    return some


# Lines and pairs ---------------------------------------------------------------------------------

TEXTS = {
    "one value": b"to\t1\nbe\t1\n\t1\n",
    "one value but for a line": b"to\t1\nbe\t1\nor\t11\n",
    "a value that ends as another": b"to\t11\nbe\t1\n",
    "a tab in a key's place": b"a\tb\t1\nc\n",
    "as many tabs as lines": b"a\tb\tc\nd\ne\tf\n",
    "no tabs": b"to\nbe\n\nor",
    "tabs in values": b"a\t1\t2\nb\t\t\n",
    "a value in every line": b"a\t1\nb\t2\nc\t\n",
    "no last newline": b"a\t1\nb\t2",
    "bytes that are no text": b"\xff\xfe\t\x80\n\x00\t\r\n",
    "nothing": b"",
    "one empty line": b"\n",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize(("separator", "count"), [(b"\t", 1), (b"\t", 2), (b"::", 1), (b"1", 1)])
def test_lines_become_pairs(text: bytes, separator: bytes, count: int) -> None:
    text = text.replace(b"\t", separator) if separator == b"::" else text
    for seed in range(5):
        pairs = LinePairs(whole_lines(blocks(text, seed)), LineForm(separator, count))
        assert list(pairs) == plain(text, separator, count)
    if text:
        lines = Lines(text.removesuffix(b"\n") + b"\n", LineForm(separator, count))
        assert lines.keys() == [key for key, _ in plain(lines.text, separator, count)]


def test_values_that_are_all_the_same_are_one_object() -> None:
    keys, values = Lines(b"to\tx y\nbe\tx y\n", TABS).columns()
    assert keys == [b"to", b"be"]
    assert isinstance(values, Same)


# Map and reduce ----------------------------------------------------------------------------------


class Blocks:
    """A place for blocks in memory."""

    def __init__(self) -> None:
        self.stored: dict[tuple[int, int, int, int], bytes] = {}

    def collect(
        self, map_index: int, partitions: int, text: bytes, how: type, **options: Any
    ) -> tuple[Piece, ...]:
        """What a map task makes of lines that come in blocks of 40 bytes and so."""
        pairs = LinePairs(whole_lines(blocks(text, map_index)))

        def put(partition: int, run: int, block: int, data: bytes) -> None:
            self.stored[map_index, partition, run, block] = data

        if how is Collector:
            collector = Collector(map_index, 1, partitions, put, **options)
            collector.collect(pairs)
            return collector.finish()
        scratch = Path(tempfile.gettempdir())
        into = {"form": pairs.form, "scratch": scratch, **options}
        with closing(LineCollector(map_index, 1, partitions, put, **into)) as sorting:
            sorting.collect(pairs)
            return sorting.finish()

    def fetch(self, wanted: Sequence[tuple[Piece, int]]) -> list[bytes | None]:
        return [self.stored.get((p.map_index, p.partition, p.run, block)) for p, block in wanted]

    def grouped(self, pieces: Sequence[Piece], partition: int = 0) -> Iterator[shuffle.Group]:
        some = [piece for piece in pieces if piece.partition == partition]
        random.Random(1).shuffle(some)
        return shuffle.grouped(some, self.fetch, scratch=Path(tempfile.gettempdir()))


def expected(texts: Sequence[bytes], partitions: int) -> list[list[Any]]:
    groups: defaultdict[bytes, list[bytes | None]] = defaultdict(list)
    for text in texts:
        for key, value in plain(text):
            groups[key].append(value)
    parts: list[list[Any]] = [[] for _ in range(partitions)]
    for key in sorted(groups):
        parts[partition_of(key, partitions)].append((key, groups[key]))
    return parts


some_fields = st.sampled_from([b"", b"a", b"ab", b"a b", b"a\0", b"\0", b"\b", b"\xff", b"\r"])
some_lines = st.lists(st.lists(some_fields, min_size=1, max_size=3).map(b"\t".join), max_size=20)
some_texts = st.lists(
    some_lines.map(lambda lines: b"".join(line + b"\n" for line in lines)), max_size=4
)
ways = st.lists(st.sampled_from([Collector, LineCollector]), min_size=4, max_size=4)


@settings(max_examples=60)
@given(some_texts, st.integers(1, 3), ways, st.sampled_from([80, 1 << 20]))
def test_values_come_grouped_sorted_and_in_order_of_map_and_emission(
    texts: list[bytes], partitions: int, how: list[type], memory_bytes: int
) -> None:
    stored = Blocks()
    pieces = [
        piece
        for index, (text, way) in enumerate(zip(texts, how))
        for piece in stored.collect(index, partitions, text, way, memory_bytes=memory_bytes)
    ]
    found = [
        [(key, list(values)) for key, values in stored.grouped(pieces, partition)]
        for partition in range(partitions)
    ]
    assert found == expected(texts, partitions)


def numbered(count: int, keys: int = 50) -> bytes:
    return b"".join(b"key%d\t%d\n" % (number * 7 % keys, number) for number in range(count))


def test_many_lines_are_written_in_runs_that_are_merged() -> None:
    stored, text = Blocks(), numbered(3000)
    pieces = stored.collect(0, 1, text, LineCollector, memory_bytes=16_000)
    assert len(pieces) > 10
    assert sum(piece.records for piece in pieces) == 3000
    groups = stored.grouped(pieces)
    assert isinstance(groups, LineGroups)
    counters: Counter[str] = Counter()
    lines = b"".join(groups.texts(counters)).splitlines()
    assert lines == sorted(text.splitlines(), key=lambda line: line.partition(b"\t")[0])
    assert counters["reduce_input_groups"] == 50


def test_the_lines_of_a_job_may_be_in_order_by_several_fields() -> None:
    form = LineForm(b".", fields=2)
    text = b"b.1.x\na.10.y\na.9.z\na\na.1\n"
    stored: dict[int, bytes] = {}
    into = {"form": form, "scratch": Path(tempfile.gettempdir())}
    put = lambda *block: stored.update({0: block[3]})  # noqa: E731
    with closing(LineCollector(0, 1, 1, put, **into)) as collector:
        collector.collect(LinePairs([text], form))
        pieces = collector.finish()
    groups = shuffle.grouped(pieces, lambda _: [stored[0]], scratch=Path(tempfile.gettempdir()))
    assert [key for key, _ in groups] == [b"a", b"a.1", b"a.10", b"a.9", b"b.1"]


def test_only_what_sort_knows_is_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def can(text: bytes, separator: bytes = b"\t") -> bool:
        return can_be_sorted(LinePairs([text], LineForm(separator)))

    assert can(b"a\t1\nb\t2\n")
    assert can(b"a,1\nb,2\n", b",")
    assert not can(b"a\t1\nb\t1\n")  # to be counted
    assert not can(b"")
    assert not can(b"a::1\nb::2\n", b"::")
    assert not can(b"a\x001\nb\x002\n", b"\0")
    assert not can_be_sorted([(b"a", b"1"), (b"b", b"2")])
    monkeypatch.setenv("PATH", "")
    assert not can(b"a\t1\nb\t2\n")


def test_to_look_at_the_first_lines_takes_none() -> None:
    pairs = LinePairs([b"a\t1\nb\t2\n", b"c\t3\n"])
    assert pairs.first().records == 2
    assert [lines.text for lines in pairs.lines()] == [b"a\t1\nb\t2\n", b"c\t3\n"]


# Failures ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [None, b"damaged"])
def test_a_block_that_is_gone_or_damaged_is_lost(data: bytes | None) -> None:
    pieces = Blocks().collect(0, 1, numbered(10), LineCollector)
    with pytest.raises(PieceLost):
        next(shuffle.grouped(pieces, lambda _: [data], scratch=Path(tempfile.gettempdir())))


def test_large_lines_are_parted_and_one_that_is_too_large_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(blocks_module, "MAX_BLOCK_BYTES", 2000)
    monkeypatch.setattr(blocks_module, "VALUE_LIMIT_BYTES", 4000)
    draw = random.Random(1)
    line = b"large\t" + bytes(draw.choices(range(32, 127), k=3000)) + b"\n"
    stored = Blocks()
    pieces = stored.collect(0, 1, line * 3, LineCollector)
    assert [(piece.blocks, piece.records) for piece in pieces] == [(3, 3)]
    key, values = next(stored.grouped(pieces))
    assert (key, list(values)) == (b"large", [line[6:-1]] * 3)
    with pytest.raises(BadPair, match=r"a single pair of .* its key is \"b'large'\""):
        stored.collect(0, 1, line[:-1] + line[-2:5:-1] + b"\n", LineCollector)


def test_a_failure_that_user_code_does_not_tell_of_is_raised_at_the_end() -> None:
    def failing() -> Iterator[bytes]:
        yield b"a\t1\n"
        raise ScratchFailed(Path("run"), "no")

    groups = LineGroups(failing(), TABS)
    _, values = next(groups)
    with pytest.raises(ScratchFailed):
        list(values)
    with pytest.raises(ScratchFailed):
        next(groups)


def test_sort_says_why_it_failed(tmp_path: Path) -> None:
    unsorted = tmp_path / "run"
    unsorted.write_bytes(b"b\na\n")
    unsorted.with_suffix(".sorted").mkdir()
    with pytest.raises(ScratchFailed, match=r"`sort` failed with .*[Ii]s a directory"):
        sort.Sorting(unsorted, TABS, 1 << 20).finish()
    with pytest.raises(ScratchFailed, match="`sort` failed with"):
        list(sort.merged([tmp_path / "run", tmp_path / "gone"], TABS))


def test_many_files_are_merged_by_a_process_that_may_open_few(tmp_path: Path) -> None:
    for number in range(100):
        (tmp_path / str(number)).write_bytes(b"key\t%d\n" % number)
    merge = (
        "import sys; from pathlib import Path\n"
        "from mapreduce.data.pieces import LineForm\n"
        "from mapreduce.data.shuffle.sort import merged\n"
        "files = [Path(sys.argv[1], str(number)) for number in range(100)]\n"
        "sys.stdout.buffer.writelines(merged(files, LineForm()))"
    )
    command = ["bash", "-c", 'ulimit -n 64; exec "$@"', "few", sys.executable, "-c", merge]
    found = subprocess.run([*command, str(tmp_path)], check=True, capture_output=True)
    assert found.stdout == b"".join(b"key\t%d\n" % number for number in range(100))


def test_no_files_and_no_sort_are_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linecollector, "RUN_BYTES", 4096)
    started = []
    popen = functools.partial(sort.subprocess.Popen)
    monkeypatch.setattr(
        sort.subprocess, "Popen", lambda *a, **k: started.append(popen(*a, **k)) or started[-1]
    )

    def failing() -> Iterator[bytes]:
        yield numbered(5000)
        yield numbered(10)
        assert list(tmp_path.iterdir())
        raise InterruptedError

    with (
        pytest.raises(InterruptedError),
        closing(LineCollector(0, 1, 1, lambda *_: None, form=TABS, scratch=tmp_path)) as collector,
    ):
        collector.collect(LinePairs(failing()))
    assert started
    assert all(process.returncode is not None for process in started)
    assert not list(tmp_path.iterdir())
