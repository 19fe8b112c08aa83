"""Hash trees: equal contents and only these give equal roots, and a walk finds what differs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from random import Random
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo.values.hashtree import (
    HASH_BYTES,
    HashTree,
    KeyDifferences,
    differing_children,
    differing_keys,
)
from dynamo.values.ring import Ring, claim

SHAPES = ((4, 2), (16, 4), (27, 3), (8, 8), (1024, 32))
"""Segments and width: deep and flat, with many keys to a segment and with few."""

DIGESTS = st.binary(min_size=1, max_size=3)
KEYS = st.text("ab\0é\ud800", max_size=3)
CONTENTS = st.dictionaries(KEYS, DIGESTS, max_size=30)
CHANGES = st.lists(st.tuples(KEYS, st.none() | DIGESTS, st.booleans()), max_size=60)
"""Key, new digest or None to remove it, and whether the root is asked for in between."""


def tree_of(contents: Mapping[str, bytes], shape: tuple[int, int] = (16, 4)) -> HashTree:
    tree = HashTree(*shape)
    for key, digest in contents.items():
        tree.update(key, digest)
    return tree


@dataclass
class Walk:
    """One walk of `here` down to what differs from `there`, and what `there` had to send."""

    here: HashTree
    there: HashTree
    hashes: int = 0
    round_trips: int = 0
    segments: int = 0
    found: list[KeyDifferences] = field(default_factory=list)

    def __post_init__(self) -> None:
        differing = [0]
        for level in range(self.here.depth):
            theirs = self.there.children(level, differing)
            self.hashes += sum(map(len, theirs.values()))
            self.round_trips += bool(differing)
            differing = differing_children(self.here.children(level, differing), theirs)
        for index in differing:
            self.segments += 1
            self.found.append(differing_keys(self.here.segment(index), self.there.segment(index)))

    def keys(self, kind: Callable[[KeyDifferences], tuple[str, ...]]) -> set[str]:
        return {key for differences in self.found for key in kind(differences)}


# Roots -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
@given(changes=CHANGES)
def test_a_tree_depends_on_what_it_holds_and_not_on_how_it_came_there(
    shape: tuple[int, int], changes: list[tuple[str, bytes | None, bool]]
) -> None:
    tree = HashTree(*shape)
    contents: dict[str, bytes] = {}
    for key, digest, read in changes:
        if digest is None:
            tree.remove(key)
            contents.pop(key, None)
        else:
            tree.update(key, digest)
            contents[key] = digest
        if read:
            assert tree.root
    fresh = tree_of(dict(sorted(contents.items())), shape)
    assert tree.root == fresh.root
    assert tree == fresh
    assert dict(tree.items()) == contents
    assert len(tree) == len(contents)
    for level in range(tree.depth):
        nodes = range(tree.width**level)
        assert tree.children(level, nodes) == fresh.children(level, nodes)


@given(CONTENTS, CONTENTS, st.sampled_from(SHAPES))
def test_roots_are_equal_exactly_where_contents_are(
    mine: dict[str, bytes], theirs: dict[str, bytes], shape: tuple[int, int]
) -> None:
    equal = mine == theirs
    assert (tree_of(mine, shape).root == tree_of(theirs, shape).root) == equal
    assert (tree_of(mine, shape) == tree_of(theirs, shape)) == equal


def in_one_segment(tree: HashTree, count: int) -> list[str]:
    keys = (f"key {number}" for number in range(10_000))
    return [key for key in keys if tree.segment_of(key) == 0][:count]


def test_equal_digests_do_not_cancel_each_other_out() -> None:
    first, second, third = in_one_segment(HashTree(), 3)
    sets: list[dict[str, bytes]] = [
        {},
        {first: b"d"},
        {first: b"d", second: b"d"},
        {first: b"d", third: b"d"},
        {first: b"d", second: b"d", third: b"d"},
    ]
    assert len({tree_of(contents, (1024, 32)).root for contents in sets}) == len(sets)


def test_digests_that_change_places_change_the_root() -> None:
    first, second = in_one_segment(HashTree(), 2)
    one = tree_of({first: b"1", second: b"2"}, (1024, 32))
    other = tree_of({first: b"2", second: b"1"}, (1024, 32))
    assert one.root != other.root


def test_a_key_and_its_digest_do_not_run_into_each_other() -> None:
    tree = HashTree(4, 2)
    keys = [f"key {number}" for number in range(100)]
    together = [key for key in keys if tree.segment_of(key) == tree.segment_of(key + "x")]
    assert together
    for key in together:
        assert tree_of({key: b"xd"}, (4, 2)).root != tree_of({key + "x": b"d"}, (4, 2)).root


def test_the_same_digest_again_and_a_removal_of_nothing_change_nothing() -> None:
    tree = tree_of({"a": b"1"})
    before = tree.to_bytes(), tree.root
    tree.update("a", b"1")
    tree.remove("b")
    assert (tree.to_bytes(), tree.root) == before
    tree.remove("a")
    assert tree.root == HashTree(16, 4).root
    assert tree.digest("a") is None


def test_hashes_and_segments_are_the_same_on_every_machine() -> None:
    tree = tree_of({"colour": b"green", "größe": b"\x00", "": b"x"})
    assert tree.root.hex() == "c966884157313e01fbff1a2930fb1228"
    assert [tree.segment_of(key) for key in ("colour", "größe", "")] == [12, 8, 3]


def test_hashes_are_made_once_and_again_only_where_something_changed() -> None:
    """Ratios of this process' own time: a full hashing takes hundreds of times a reading."""
    tree = tree_of({f"key {number}": b"d" for number in range(20_000)}, (1024, 32))

    def changed_and_read() -> None:
        tree.update("key 7", tree.root)
        assert tree.root

    everything = seconds_for(lambda: tree.root, times=1)
    assert seconds_for(lambda: tree.root, times=50) < everything
    assert seconds_for(changed_and_read, times=20) < everything


def seconds_for(action: Callable[[], object], times: int) -> float:
    start = process_time()
    for _ in range(times):
        action()
    return process_time() - start


# Walks -------------------------------------------------------------------------------------------


@given(CONTENTS, CONTENTS, st.sampled_from(SHAPES))
def test_a_walk_finds_every_key_that_differs_and_no_other(
    mine: dict[str, bytes], theirs: dict[str, bytes], shape: tuple[int, int]
) -> None:
    walk = Walk(tree_of(mine, shape), tree_of(theirs, shape))
    assert walk.keys(lambda found: found.missing_here) == theirs.keys() - mine.keys()
    assert walk.keys(lambda found: found.missing_there) == mine.keys() - theirs.keys()
    assert walk.keys(lambda found: found.different) == {
        key for key in mine.keys() & theirs.keys() if mine[key] != theirs[key]
    }


@given(CONTENTS, CONTENTS)
def test_trees_agree_when_what_a_walk_found_has_been_made_good(
    mine: dict[str, bytes], theirs: dict[str, bytes]
) -> None:
    here, there = tree_of(mine), tree_of(theirs)
    for missing_here, missing_there, different in Walk(here, there).found:
        for key in missing_here + different:
            here.update(key, theirs[key])
        for key in missing_there:
            there.update(key, mine[key])
    assert here.root == there.root
    assert Walk(here, there).found == []


@pytest.mark.parametrize("shape", [(1024, 32), (1024, 4), (256, 16), (4096, 2)])
@pytest.mark.parametrize("differing", [0, 1, 7, 50])
def test_a_walk_costs_hashes_for_what_differs_and_not_for_what_there_is(
    shape: tuple[int, int], differing: int
) -> None:
    """The paper's section 4.7: nodes that agree are never asked about."""
    keys = [f"key {number}" for number in range(5000)]
    here, there = (
        tree_of(dict.fromkeys(keys, b"d"), shape),
        tree_of(dict.fromkeys(keys, b"d"), shape),
    )
    for key in Random(1).sample(keys, differing):
        there.update(key, b"newer")
    walk = Walk(here, there)
    width, depth = here.width, here.depth
    assert width**depth == here.segments
    assert walk.hashes <= max(width, differing * width * depth)
    assert walk.segments <= differing
    assert walk.round_trips == (depth if differing else 1)
    assert sum(len(found.different) for found in walk.found) == differing


def test_a_change_of_one_key_changes_one_path() -> None:
    tree = tree_of({f"key {number}": b"d" for number in range(500)}, (64, 4))
    before = [tree.children(level, range(4**level)) for level in range(tree.depth)]
    tree.update("key 7", b"newer")
    path = []
    for level in range(tree.depth):
        changed = differing_children(before[level], tree.children(level, range(4**level)))
        assert len(changed) == 1
        path += changed
    segment = tree.segment_of("key 7")
    assert path == [segment // 16, segment // 4, segment]


def test_what_a_tree_has_handed_out_stays_as_it_was() -> None:
    tree = tree_of({"a": b"1"})
    segment = tree.segment(tree.segment_of("a"))
    tree.update("a", b"2")
    assert segment == {"a": b"1"}
    segment["a"] = b"3"
    assert tree.digest("a") == b"2"


def test_trees_of_different_shapes_are_not_compared() -> None:
    mine, theirs = HashTree(16, 4).children(0, [0]), HashTree(16, 2).children(0, [0])
    with pytest.raises(ValueError, match="node 0 has 4 children here and 2 there"):
        differing_children(mine, theirs)
    assert HashTree(16, 4) != HashTree(16, 2)


def test_an_answer_to_another_question_is_refused() -> None:
    tree = HashTree(16, 4)
    with pytest.raises(ValueError, match="other nodes"):
        differing_children(tree.children(1, [0, 1]), tree.children(1, [0, 2]))


# Segments ----------------------------------------------------------------------------------------


def used_segments(keys: list[str]) -> int:
    tree = HashTree()
    return len({tree.segment_of(key) for key in keys})


def test_the_keys_of_one_partition_spread_over_all_segments() -> None:
    ring = Ring(claim(["a"], partitions=64, n=1))
    keys = [key for n in range(40_000) if ring.partition_of(key := f"key {n}") == 5]
    assert len(keys) > 500
    assert used_segments(keys) > len(keys) * 0.6


def test_the_chunks_of_one_extent_spread_although_they_share_a_routing_part() -> None:
    assert used_segments([f"file:{{4f2a:00000}}:{number:05d}" for number in range(500)]) > 350


# Snapshots ---------------------------------------------------------------------------------------


@given(CONTENTS, st.sampled_from(SHAPES))
def test_a_snapshot_gives_the_tree_back(contents: dict[str, bytes], shape: tuple[int, int]) -> None:
    tree = tree_of(contents, shape)
    loaded = HashTree.from_bytes(tree.to_bytes())
    assert loaded == tree
    assert loaded.root == tree.root
    backwards = tree_of(dict(reversed(contents.items())), shape)
    assert backwards.to_bytes() == tree.to_bytes()


SNAPSHOT = tree_of({f"key {number}": bytes([number]) * 16 for number in range(20)}).to_bytes()


@given(st.integers(0, len(SNAPSHOT) - 1), st.integers(0, 7))
def test_a_snapshot_with_a_flipped_bit_is_refused(place: int, bit: int) -> None:
    damaged = bytearray(SNAPSHOT)
    damaged[place] ^= 1 << bit
    with pytest.raises(ValueError, match="fails its checksum"):
        HashTree.from_bytes(bytes(damaged))


@given(st.integers(0, len(SNAPSHOT) - 1))
def test_a_snapshot_that_was_cut_off_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="fails its checksum"):
        HashTree.from_bytes(SNAPSHOT[:size])


def test_a_snapshot_of_another_format_is_refused() -> None:
    body = b"HT99" + SNAPSHOT[HASH_BYTES + 4 :]
    checksum = blake2b(body, digest_size=HASH_BYTES).digest()
    with pytest.raises(ValueError, match=r"begins with b'HT01', not b'HT99'"):
        HashTree.from_bytes(checksum + body)


# Wrong use ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape", [(0, 2), (1, 2), (12, 4), (16, 1), (16, 0), (16, -4), (1 << 21, 2), (-4, 2)]
)
def test_a_shape_that_makes_no_tree_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="a power of its width"):
        HashTree(*shape)


@pytest.mark.parametrize("digest", [b"", b"d" * 256])
def test_a_digest_of_a_wrong_length_changes_nothing(digest: bytes) -> None:
    tree = HashTree(16, 4)
    with pytest.raises(ValueError, match="1 to 255 bytes"):
        tree.update("a", digest)
    assert tree == HashTree(16, 4)
    assert tree.to_bytes() == HashTree(16, 4).to_bytes()


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
            tree.segment(index)
