"""The index of copies and the trees over it: always what is on disk, at a small price."""

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo.disk.contract import MemoryDisk
from dynamo.disk.staging import Staging
from dynamo.protocol.messages import Put
from dynamo.protocol.trees import PAUSE_S, TOO_MANY, Trees, digest_of
from dynamo.values.hashtree import HashTree, segment_of
from dynamo.values.versions import EMPTY, NOTHING_SEEN, Siblings, reconcile, update
from tests.dynamo.protocol.bench import Bench
from tests.dynamo.protocol.benches import version


class Index:
    """Trees over a disk, and the steps that commit to it."""

    def __init__(self, disk: MemoryDisk | None = None) -> None:
        self.disk = disk or MemoryDisk()
        self.staging = Staging(self.disk)
        self.trees = Trees(self.staging)
        self.now = 0.0

    def step(self) -> None:
        self.trees.tick(self.now)
        writes, sync = self.staging.take()
        self.disk.commit(writes, sync=sync)
        self.now += PAUSE_S

    def enter(self, *keys: str, copy: Siblings | None = None) -> None:
        for key in keys:
            self.trees.enter(0, key, copy or version("v"), durable=True)
        self.step()

    def tree(self) -> HashTree:
        """What is on disk now, hashed by as many steps as it takes."""
        for _ in range(1000):
            tree = self.trees.tree(0, self.now, 0.0)
            if tree is not None:
                return tree
            self.step()
        raise AssertionError("a tree that is never hashed")

    def root(self) -> bytes:
        return self.tree().root


def fresh_root(index: Index) -> bytes:
    """The root that is made of what is on disk from the beginning."""
    return Index(index.disk).root()


CHANGES = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(["v", "w", None]), st.booleans())
)


@given(CHANGES)
def test_a_tree_is_always_that_of_what_is_on_disk(
    changes: list[tuple[str, str | None, bool]],
) -> None:
    index = Index()
    for key, text, look in changes:
        if text is None:
            index.trees.remove(0, key)
        else:
            index.trees.enter(0, key, version(text, f"{text}-1-1"), durable=True)
        if look:  # in the very step that has staged it
            index.trees.tree(0, index.now, 0.0)
        index.step()
    assert index.root() == fresh_root(index)


@pytest.mark.parametrize("count", [1, TOO_MANY, 10_000])
def test_few_changes_and_many_give_the_same_tree_as_a_new_one(count: int) -> None:
    index = Index()
    index.enter(*(f"key {number}" for number in range(5000)))
    before = index.root()
    index.enter(*(f"key {number}" for number in range(4000, 4000 + count)), copy=version("w", "w"))
    for key in Random(1).sample(range(4000), count // 3):
        index.trees.remove(0, f"key {key}")
    index.step()
    assert index.root() == fresh_root(index) != before


def test_one_step_hashes_a_slice_only() -> None:
    index = Index()
    index.enter(*(f"key {number}" for number in range(10_000)))
    steps = 0
    while index.trees.tree(0, index.now, 0.0) is None:
        index.step()
        steps += 1
    assert 5 <= steps <= 20
    assert index.trees.next_wake() == math.inf


def test_what_is_staged_while_a_tree_is_hashed_is_in_the_next_one() -> None:
    index = Index()
    index.enter(*(f"key {number}" for number in range(10_000)))
    index.trees.tree(0, index.now, 0.0)
    for number in range(30):
        index.enter(f"key {number}", copy=version("w", "w"))
    assert index.root() == fresh_root(index)


def test_a_partition_that_nobody_compares_costs_no_hashing() -> None:
    index = Index()
    index.enter("a")
    assert index.trees.next_wake() == math.inf
    assert index.trees.known_tree(0) is None


def test_the_entries_of_a_segment_are_those_of_its_keys() -> None:
    index = Index()
    index.enter("größe", "colour")
    segment = segment_of("größe")
    assert dict(index.trees.entries(0, [segment])) == {segment: {"größe": digest_of(version("v"))}}
    assert dict(index.trees.entries(1, [segment])) == {segment: {}}


def test_a_digest_names_the_versions_of_a_copy_and_nothing_else() -> None:
    one, two = version("1", "a"), version("2", "b")
    both = reconcile([one, two])
    digests = {digest_of(copy) for copy in (EMPTY, one, two, both, both._replace(versions=()))}
    assert len(digests) == 5
    backwards = Siblings(dict(reversed(both.context.items())), both.versions)
    assert digest_of(backwards) == digest_of(both)
    assert digest_of(one).hex() == "e541cbcc30f6c571"  # the same on every machine


def test_an_entry_is_in_the_same_commit_as_its_copy() -> None:
    bench = Bench()
    bench.hears(Put(1, "colour", b"green", None, 1.0))
    partition = bench.ring.partition_of("colour")
    [(_, entries)] = bench.node.trees.entries(partition, [segment_of("colour")])
    assert entries == {"colour": digest_of(bench.copy("colour"))}


def test_purely_ephemeral_copies_are_in_no_index() -> None:
    index = Index()
    passing = update(EMPTY, NOTHING_SEEN, "n1-1-1~", b"v", 1.0)
    index.enter("colour", copy=passing)
    segment = segment_of("colour")
    assert dict(index.trees.entries(0, [segment])) == {segment: {}}
    index.enter("colour", copy=update(passing, passing.context, "n1-1-2", b"w", 2.0))
    assert dict(index.trees.entries(0, [segment])) != {segment: {}}
