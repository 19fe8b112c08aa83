"""What `compare` says of copies that differ, each case made by writes as they happen."""

from hypothesis import given
from hypothesis import strategies as st

from dynamo.values.compare import State, compare
from dynamo.values.versions import (
    EMPTY,
    NOTHING_SEEN,
    Context,
    Dot,
    Siblings,
    Version,
    reconcile,
    update,
)


def put(
    copy: Siblings, actor: str, value: bytes | None, context: Context | None = None
) -> Siblings:
    """`copy` after a put that has read it, or has read what `context` says."""
    known = copy.context if context is None else context
    return update(copy, known, actor, value, written_at=float(len(copy.context)))


FIRST = put(EMPTY, "a", b"first")
SECOND = put(FIRST, "b", b"second")
BESIDE = put(FIRST, "c", b"beside")


def states(*copies: Siblings) -> list[State]:
    return [c.state for c in compare({str(n): copy for n, copy in enumerate(copies)}).values()]


def test_equal_copies_are_current() -> None:
    assert states(SECOND, SECOND, SECOND) == [State.CURRENT] * 3
    assert states(EMPTY, EMPTY) == [State.CURRENT] * 2
    assert compare({}) == {}


def test_a_copy_that_missed_a_write_is_behind_by_that_write() -> None:
    found = compare({"n1": SECOND, "n2": FIRST, "n3": EMPTY})
    assert [found[n].state for n in found] == [State.CURRENT, State.BEHIND, State.EMPTY]
    assert found["n2"].lacks == found["n3"].lacks == SECOND.versions
    assert found["n2"].replaced == FIRST.versions
    assert found["n1"].lacks == found["n1"].replaced == found["n3"].replaced == ()
    assert [found[n].knows_all for n in found] == [True, False, False]


def test_a_copy_that_missed_a_delete_is_behind() -> None:
    gone = put(FIRST, "a", None)
    assert states(FIRST, gone) == [State.BEHIND, State.CURRENT]


def test_copies_that_each_lack_the_others_write_are_concurrent() -> None:
    assert states(SECOND, BESIDE) == [State.CONCURRENT] * 2
    assert states(SECOND, BESIDE, FIRST) == [State.CONCURRENT, State.CONCURRENT, State.BEHIND]


def test_a_copy_that_lacks_one_sibling_of_another_is_behind_it() -> None:
    both = put(FIRST, "b", b"beside", NOTHING_SEEN)
    assert len(both.versions) == 2
    assert states(both, FIRST) == [State.CURRENT, State.BEHIND]
    merged = reconcile([SECOND, BESIDE])
    assert states(merged, SECOND, BESIDE) == [State.CURRENT, State.BEHIND, State.BEHIND]


def test_a_smaller_context_alone_is_not_behind() -> None:
    knowing = SECOND._replace(context={**SECOND.context, "z": 4})
    found = compare({"n1": knowing, "n2": SECOND})
    assert [c.state for c in found.values()] == [State.CURRENT] * 2
    assert [c.knows_all for c in found.values()] == [True, False]


def test_one_dot_with_two_contents_is_a_contradiction() -> None:
    (version,) = SECOND.versions
    other = SECOND._replace(versions=(version._replace(value=b"something else"),))
    found = compare({"n1": SECOND, "n2": other, "n3": FIRST})
    assert found["n1"].contradicts == SECOND.versions
    assert found["n2"].contradicts == other.versions
    assert found["n3"].contradicts == ()


def _copies() -> st.SearchStrategy[list[Siblings]]:
    """Three replicas after any sequence of writes at one of them and merges between two."""
    step = st.tuples(st.integers(0, 2), st.integers(0, 2), st.booleans())

    def run(steps: list[tuple[int, int, bool]]) -> list[Siblings]:
        copies = [EMPTY] * 3
        for at, other, blind in steps:
            if at == other:
                context = NOTHING_SEEN if blind else copies[at].context
                copies[at] = update(copies[at], context, f"n{at}", b"", written_at=0.0)
            else:
                copies[at] = reconcile([copies[at], copies[other]])
        return copies

    return st.lists(step, max_size=12).map(run)


@given(_copies())
def test_a_copy_is_current_exactly_if_a_merge_of_all_changes_none_of_its_versions(
    copies: list[Siblings],
) -> None:
    merged = reconcile(copies)
    for copy, comparison in zip(copies, compare(dict(zip("abc", copies))).values()):
        assert (comparison.state == State.CURRENT) == (copy.versions == merged.versions)
        assert set(comparison.lacks) == set(merged.versions) - set(copy.versions)
        assert set(comparison.replaced) == set(copy.versions) - set(merged.versions)
        assert comparison.contradicts == ()


@given(_copies())
def test_no_copy_is_concurrent_alone(copies: list[Siblings]) -> None:
    assert states(*copies).count(State.CONCURRENT) != 1


def test_versions_are_told_by_dot_and_not_by_value() -> None:
    left = Siblings({"a": 1}, (Version(Dot("a", 1), b"same", 1.0),))
    right = Siblings({"b": 1}, (Version(Dot("b", 1), b"same", 1.0),))
    assert states(left, right) == [State.CONCURRENT] * 2
