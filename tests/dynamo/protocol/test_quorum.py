"""Counting: who counts, when it is enough, which replicas are stale."""

from hypothesis import given
from hypothesis import strategies as st

from dynamo.protocol.quorum import ReadQuorum, WriteQuorum
from dynamo.values.versions import EMPTY, NOTHING_SEEN, reconcile, update

NODES = ("a", "b", "c")
OLD = update(EMPTY, None, "a-1", b"old", 1.0)
NEW = update(OLD, OLD.context, "a-1", b"new", 2.0)
BESIDE = update(EMPTY, NOTHING_SEEN, "b-1", b"beside", 3.0)


@given(st.lists(st.sampled_from((*NODES, "stranger"))), st.integers(1, 3))
def test_a_write_is_counted_once_for_each_node_that_was_asked(acks: list[str], w: int) -> None:
    quorum = WriteQuorum([NODES], w)
    for node in acks:
        quorum.add(node)
    assert set(quorum.answered) == set(acks) & set(NODES)
    assert set(quorum.answered) | set(quorum.silent) == set(NODES)
    assert quorum.enough(up=NODES) == (len(set(acks) & set(NODES)) >= w)


def test_a_substitute_counts_only_when_too_few_owners_are_left_to_wait_for() -> None:
    quorum = WriteQuorum([NODES], 2)
    quorum.add("a")
    quorum.add("d", hint_for="b")
    assert not quorum.enough(up=("a", "c", "d"))  # c may yet answer
    assert quorum.enough(up=("a", "d"))
    assert quorum.answered == ("a", "d")
    assert quorum.silent == ("b", "c")


def test_two_substitutes_for_one_owner_count_as_one() -> None:
    quorum = WriteQuorum([NODES], 2)
    quorum.add("d", hint_for="b")
    quorum.add("e", hint_for="b")
    assert not quorum.enough(up=("d", "e"))
    quorum.add("d", hint_for="c")
    assert quorum.enough(up=("d", "e"))


def test_an_owner_that_has_answered_makes_its_substitute_superfluous() -> None:
    quorum = WriteQuorum([NODES], 3)
    for node, hint_for in (("a", ""), ("d", "b"), ("b", "")):
        quorum.add(node, hint_for)
    assert not quorum.enough(up=("a", "b", "d"))  # a and b, and d only again for b


def test_a_read_merges_all_copies_that_came() -> None:
    quorum = ReadQuorum(NODES, 2)
    quorum.add("a", OLD)
    assert not quorum.enough
    quorum.add("b", BESIDE)
    assert quorum.enough
    assert quorum.answer() == reconcile([OLD, BESIDE])
    assert quorum.silent == ("c",)


def test_an_empty_copy_is_an_answer() -> None:
    quorum = ReadQuorum(NODES, 2)
    quorum.add("a", EMPTY)
    quorum.add("b", EMPTY)
    assert quorum.enough
    assert quorum.answer() == EMPTY
    assert quorum.repairs() == {}


def test_only_stale_replicas_that_answered_are_repaired() -> None:
    quorum = ReadQuorum((*NODES, "d"), 2)
    quorum.add("a", OLD)
    quorum.add("b", NEW)
    quorum.add("c", EMPTY)
    assert quorum.repairs() == {"a": NEW, "c": NEW}


def test_replicas_that_hold_parts_are_all_repaired() -> None:
    quorum = ReadQuorum(NODES, 2)
    quorum.add("a", NEW)
    quorum.add("b", BESIDE)
    merged = reconcile([NEW, BESIDE])
    assert quorum.repairs() == {"a": merged, "b": merged}


def test_strangers_and_second_copies() -> None:
    quorum = ReadQuorum(NODES, 2)
    quorum.add("stranger", NEW)
    quorum.add("a", OLD)
    quorum.add("a", NEW)
    assert quorum.answered == ("a",)
    assert quorum.answer() == NEW


def test_while_partitions_move_a_write_needs_a_quorum_of_both_tables() -> None:
    quorum = WriteQuorum([("a", "b", "c"), ("b", "c", "d")], 2)
    up = ("a", "b", "c", "d")
    quorum.add("a")
    quorum.add("b")
    assert not quorum.enough(up)  # enough of the old owners, one of the new
    quorum.add("d")
    assert quorum.enough(up)
    assert quorum.answered == ("a", "b", "d")
    assert quorum.silent == ("c",)


def test_what_was_counted_stays_counted_when_other_nodes_become_owners() -> None:
    write, read = WriteQuorum([("a", "b", "c")], 2), ReadQuorum(("a", "b", "c"), 2)
    write.add("a")
    write.add("c")
    read.add("a", OLD)
    read.add("c", NEW)
    write.go_by([("a", "b", "d")])
    read.go_by(("a", "b", "d"))
    assert not write.enough(up=("a", "b", "c", "d")) and write.answered == ("a",)
    assert not read.enough and read.answered == ("a",)
