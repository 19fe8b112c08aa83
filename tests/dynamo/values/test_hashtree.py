"""Hash trees: equal contents and only these give equal roots, and a walk finds what differs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo.values.hashtree import (
    HashTree,
    KeyDifferences,
    differing_children,
    differing_keys,
    hash_of,
    segment_of,
)
from dynamo.values.ring import Ring, claim

SHAPES = ((4, 2), (16, 4), (27, 3), (8, 8), (1024, 32))
"""Segments and width: deep and flat, with many keys to a segment and with few."""

DIGESTS = st.binary(min_size=1, max_size=3)
KEYS = st.text("ab\0é\ud800", max_size=3)
CONTENTS = st.dictionaries(KEYS, DIGESTS, max_size=30)
CHANGES = st.lists(st.tuples(KEYS, st.none() | DIGESTS, st.booleans()), max_size=60)
"""Key, new digest or None to remove it, and whether the root is asked for in between."""


class Partition:
    """Keys and digests, and the tree over them: what a node's disk and memory hold."""

    def __init__(self, contents: Mapping[str, bytes], shape: tuple[int, int] = (16, 4)) -> None:
        self.tree = HashTree(*shape)
        self.contents: dict[str, bytes] = {}
        self.segments: dict[int, dict[str, bytes]] = {}
        for key, digest in contents.items():
            self.update(key, digest)

    def update(self, key: str, digest: bytes | None) -> None:
        index = segment_of(key, self.tree.segments)
        segment = self.segments.setdefault(index, {})
        for kept in (segment, self.contents):
            kept.pop(key, None)
            if digest is not None:
                kept[key] = digest
        encoded = ((k.encode("utf-8", "surrogatepass"), d) for k, d in segment.items())
        self.tree.put(index, hash_of(sorted(encoded)))


def root_of(contents: Mapping[str, bytes], shape: tuple[int, int] = (1024, 32)) -> bytes:
    return Partition(contents, shape).tree.root


@dataclass
class Walk:
    """One walk of `here` down to what differs from `there`, and what `there` had to send."""

    here: Partition
    there: Partition
    hashes: int = 0
    round_trips: int = 0
    segments: int = 0
    found: list[KeyDifferences] = field(default_factory=list)

    def __post_init__(self) -> None:
        differing = [0]
        for level in range(self.here.tree.depth):
            theirs = self.there.tree.children(level, differing)
            self.hashes += sum(map(len, theirs.values()))
            self.round_trips += bool(differing)
            differing = differing_children(self.here.tree.children(level, differing), theirs)
        for index in differing:
            self.segments += 1
            mine, other = (side.segments.get(index, {}) for side in (self.here, self.there))
            self.found.append(differing_keys(mine, other))

    def keys(self, kind: Callable[[KeyDifferences], tuple[str, ...]]) -> set[str]:
        return {key for differences in self.found for key in kind(differences)}


# Roots -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
@given(changes=CHANGES)
def test_a_tree_depends_on_what_it_holds_and_not_on_how_it_came_there(
    shape: tuple[int, int], changes: list[tuple[str, bytes | None, bool]]
) -> None:
    partition = Partition({}, shape)
    for key, digest, read in changes:
        partition.update(key, digest)
        if read:
            assert partition.tree.root
    fresh = Partition(partition.contents, shape)
    assert partition.tree.root == fresh.tree.root
    for level in range(fresh.tree.depth):
        nodes = range(fresh.tree.width**level)
        assert partition.tree.children(level, nodes) == fresh.tree.children(level, nodes)


@given(CONTENTS, CONTENTS, st.sampled_from(SHAPES))
def test_roots_are_equal_exactly_where_contents_are(
    mine: dict[str, bytes], theirs: dict[str, bytes], shape: tuple[int, int]
) -> None:
    roots = {Partition(contents, shape).tree.root for contents in (mine, theirs)}
    assert (len(roots) == 1) == (mine == theirs)


def in_one_segment(count: int) -> list[str]:
    keys = (f"key {number}" for number in range(10_000))
    return [key for key in keys if segment_of(key) == 0][:count]


def test_equal_digests_do_not_cancel_each_other_out() -> None:
    first, second, third = in_one_segment(3)
    sets: list[dict[str, bytes]] = [
        {},
        {first: b"d"},
        {first: b"d", second: b"d"},
        {first: b"d", third: b"d"},
        {first: b"d", second: b"d", third: b"d"},
    ]
    assert len({root_of(contents) for contents in sets}) == len(sets)


def test_digests_that_change_places_change_the_root() -> None:
    first, second = in_one_segment(2)
    assert root_of({first: b"1", second: b"2"}) != root_of({first: b"2", second: b"1"})


def test_a_key_and_its_digest_do_not_run_into_each_other() -> None:
    keys = [f"key {number}" for number in range(100)]
    together = [key for key in keys if segment_of(key, 4) == segment_of(key + "x", 4)]
    assert together
    for key in together:
        assert root_of({key: b"xd"}, (4, 2)) != root_of({key + "x": b"d"}, (4, 2))


def test_hashes_and_segments_are_the_same_on_every_machine() -> None:
    root = root_of({"colour": b"green", "größe": b"\x00", "": b"x"}, (16, 4))
    assert root.hex() == "dca795a6c1857d1dafaf42aa1ebcb9b1"
    assert [segment_of(key, 16) for key in ("colour", "größe", "")] == [12, 8, 3]


# Walks -------------------------------------------------------------------------------------------


@given(CONTENTS, CONTENTS, st.sampled_from(SHAPES))
def test_a_walk_finds_every_key_that_differs_and_no_other(
    mine: dict[str, bytes], theirs: dict[str, bytes], shape: tuple[int, int]
) -> None:
    walk = Walk(Partition(mine, shape), Partition(theirs, shape))
    assert walk.keys(lambda found: found.missing_here) == theirs.keys() - mine.keys()
    assert walk.keys(lambda found: found.missing_there) == mine.keys() - theirs.keys()
    assert walk.keys(lambda found: found.different) == {
        key for key in mine.keys() & theirs.keys() if mine[key] != theirs[key]
    }


@given(CONTENTS, CONTENTS)
def test_trees_agree_when_what_a_walk_found_has_been_made_good(
    mine: dict[str, bytes], theirs: dict[str, bytes]
) -> None:
    here, there = Partition(mine), Partition(theirs)
    for missing_here, missing_there, different in Walk(here, there).found:
        for key in missing_here + different:
            here.update(key, theirs[key])
        for key in missing_there:
            there.update(key, mine[key])
    assert here.tree.root == there.tree.root
    assert Walk(here, there).found == []


@pytest.mark.parametrize("shape", [(1024, 32), (1024, 4), (256, 16), (4096, 2)])
@pytest.mark.parametrize("differing", [0, 1, 7, 50])
def test_a_walk_costs_hashes_for_what_differs_and_not_for_what_there_is(
    shape: tuple[int, int], differing: int
) -> None:
    """The paper's section 4.7: nodes that agree are never asked about."""
    keys = [f"key {number}" for number in range(5000)]
    here, there = (
        Partition(dict.fromkeys(keys, b"d"), shape),
        Partition(dict.fromkeys(keys, b"d"), shape),
    )
    for key in Random(1).sample(keys, differing):
        there.update(key, b"newer")
    walk = Walk(here, there)
    width, depth = here.tree.width, here.tree.depth
    assert width**depth == here.tree.segments
    assert walk.hashes <= max(width, differing * width * depth)
    assert walk.segments <= differing
    assert walk.round_trips == (depth if differing else 1)
    assert sum(len(found.different) for found in walk.found) == differing


def test_a_change_of_one_key_changes_one_path() -> None:
    partition = Partition({f"key {number}": b"d" for number in range(500)}, (64, 4))
    tree = partition.tree
    before = [tree.children(level, range(4**level)) for level in range(tree.depth)]
    partition.update("key 7", b"newer")
    path = []
    for level in range(tree.depth):
        changed = differing_children(before[level], tree.children(level, range(4**level)))
        assert len(changed) == 1
        path += changed
    segment = segment_of("key 7", 64)
    assert path == [segment // 16, segment // 4, segment]


def test_trees_of_different_shapes_are_not_compared() -> None:
    mine, theirs = HashTree(16, 4).children(0, [0]), HashTree(16, 2).children(0, [0])
    with pytest.raises(ValueError, match="node 0 has 4 children here and 2 there"):
        differing_children(mine, theirs)


def test_an_answer_to_another_question_is_refused() -> None:
    tree = HashTree(16, 4)
    with pytest.raises(ValueError, match="other nodes"):
        differing_children(tree.children(1, [0, 1]), tree.children(1, [0, 2]))


# Segments ----------------------------------------------------------------------------------------


def used_segments(keys: list[str]) -> int:
    return len({segment_of(key) for key in keys})


def test_the_keys_of_one_partition_spread_over_all_segments() -> None:
    ring = Ring(claim(["a"], partitions=64, n=1))
    keys = [key for n in range(40_000) if ring.partition_of(key := f"key {n}") == 5]
    assert len(keys) > 500
    assert used_segments(keys) > len(keys) * 0.6


def test_the_chunks_of_one_extent_spread_although_they_share_a_routing_part() -> None:
    assert used_segments([f"file:{{4f2a:00000}}:{number:05d}" for number in range(500)]) > 350


# Wrong use ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape", [(0, 2), (1, 2), (12, 4), (16, 1), (16, 0), (16, -4), (1 << 21, 2), (-4, 2)]
)
def test_a_shape_that_makes_no_tree_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="a power of its width"):
        HashTree(*shape)


def test_what_a_tree_does_not_have_is_refused() -> None:
    tree = HashTree(16, 4)
    for level in (-1, 2):
        with pytest.raises(ValueError, match=f"levels from 0 to 1, not {level}"):
            tree.children(level, [0])
    for index in (-1, 4):
        with pytest.raises(ValueError, match=f"numbers from 0 to 3, not {index}"):
            tree.children(1, [0, index])
    for index in (-1, 16):
        with pytest.raises(ValueError, match=f"numbers from 0 to 15, not {index}"):
            tree.put(index, b"")
