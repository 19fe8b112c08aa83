"""Dotted version vectors: the laws of merging, checked against plain sets of events."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from dynamo.values import versions
from dynamo.values.versions import EMPTY, NOTHING_SEEN, Dot, Siblings, join, reconcile, seen, update

ACTORS = ("a", "b", "c")

Event = str
"""A write, named by its value."""


@dataclass
class Model:
    """What a copy must be: every event that reached it, and which of them stand."""

    known: frozenset[Event] = frozenset()
    standing: frozenset[Event] = frozenset()

    def merged(self, other: "Model") -> "Model":
        both = self.standing & other.standing
        mine = self.standing - other.known
        theirs = other.standing - self.known
        return Model(self.known | other.known, both | mine | theirs)


@dataclass
class Cluster:
    """Three copies of one key, each beside its model, and the readings clients have taken."""

    copies: dict[str, Siblings] = field(default_factory=lambda: dict.fromkeys(ACTORS, EMPTY))
    models: dict[str, Model] = field(default_factory=lambda: dict.fromkeys(ACTORS, Model()))
    readings: list[tuple[versions.Context, Model]] = field(
        default_factory=lambda: [(NOTHING_SEEN, Model())]
    )
    events: int = 0

    def read(self, actor: str, _: str, __: int) -> None:
        self.readings.append((self.copies[actor].context, self.models[actor]))

    def put(self, actor: str, _: str, number: int) -> None:
        context, seen_model = self.readings[number % len(self.readings)]
        self.events += 1
        event = f"e{self.events}"
        self.copies[actor] = update(
            self.copies[actor], context, actor, event.encode(), float(self.events)
        )
        before = self.models[actor]
        self.models[actor] = Model(
            before.known | seen_model.known | {event},
            before.standing - seen_model.known | {event},
        )

    def merge(self, actor: str, other: str, _: int) -> None:
        self.copies[actor] = reconcile([self.copies[actor], self.copies[other]])
        self.models[actor] = self.models[actor].merged(self.models[other])


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(("read", "put", "merge")),
        st.sampled_from(ACTORS),
        st.sampled_from(ACTORS),
        st.integers(0, 50),
    ),
    max_size=30,
)


def played(actions: list[tuple[str, str, str, int]]) -> Cluster:
    cluster = Cluster()
    for name, actor, other, number in actions:
        getattr(cluster, name)(actor, other, number)
    return cluster


@given(ACTIONS)
def test_copies_hold_what_sets_of_events_say(actions: list[tuple[str, str, str, int]]) -> None:
    cluster = played(actions)
    for actor in ACTORS:
        standing = {(version.value or b"").decode() for version in cluster.copies[actor].versions}
        assert standing == cluster.models[actor].standing


@given(ACTIONS)
def test_merging_is_commutative_associative_and_idempotent(
    actions: list[tuple[str, str, str, int]],
) -> None:
    a, b, c = played(actions).copies.values()
    assert reconcile([a, a]) == a
    assert reconcile([a, EMPTY]) == a
    assert reconcile([a, b]) == reconcile([b, a])
    assert reconcile([reconcile([a, b]), c]) == reconcile([a, reconcile([b, c])])
    assert reconcile([a, b, c]) == reconcile([reconcile([c, a]), b])


@given(ACTIONS)
def test_a_dot_is_never_used_twice(actions: list[tuple[str, str, str, int]]) -> None:
    cluster = Cluster()
    names: dict[Dot, bytes | None] = {}
    for name, actor, other, number in actions:
        getattr(cluster, name)(actor, other, number)
        for copy in cluster.copies.values():
            for version in copy.versions:
                assert names.setdefault(version.dot, version.value) == version.value
                assert seen(copy.context, version.dot)


@given(st.lists(st.dictionaries(st.sampled_from(ACTORS), st.integers(1, 9)), max_size=4))
def test_a_joined_context_knows_what_any_knows_and_no_more(contexts: list[dict[str, int]]) -> None:
    joined = join(contexts)
    for actor in ACTORS:
        for counter in range(1, 10):
            dot = Dot(actor, counter)
            assert seen(joined, dot) == any(seen(context, dot) for context in contexts)


def test_nothing_merged_is_nothing() -> None:
    assert reconcile([]) == EMPTY


def test_writers_that_have_read_nothing_stay_side_by_side() -> None:
    copy = EMPTY
    for place, value in enumerate((b"1", b"2", b"3")):
        copy = update(copy, NOTHING_SEEN, "a", value, float(place))
    assert copy.values == (b"3", b"2", b"1")
    assert update(copy, copy.context, "b", b"4", 9.0).values == (b"4",)


def test_a_put_without_a_context_replaces_what_was_written_before_it() -> None:
    early = update(EMPTY, None, "a", b"early", 1.0)
    assert update(early, None, "b", b"late", 2.0).values == (b"late",)
    assert update(early, None, "b", b"at once", 1.0).values == (b"at once",)


def test_a_late_put_without_a_context_undoes_nothing_newer() -> None:
    new = update(EMPTY, None, "a", b"new", 2.0)
    assert update(new, None, "a", b"old", 1.0).values == (b"new", b"old")


def test_a_context_of_another_replica_is_kept_although_its_writes_are_not_here() -> None:
    there = update(EMPTY, None, "b", b"there", 1.0)
    here = update(EMPTY, there.context, "a", b"after it", 2.0)
    assert reconcile([here, there]).values == (b"after it",)


def test_a_tombstone_has_no_value_and_stands_like_any_write() -> None:
    one = update(EMPTY, None, "a", b"1", 1.0)
    deleted = update(one, one.context, "a", None, 2.0)
    assert deleted.values == ()
    assert reconcile([deleted, one]) == deleted
    beside = update(deleted, one.context, "b", b"2", 3.0)
    assert beside.values == (b"2",)
    assert len(beside.versions) == 2


def test_values_are_shown_newest_first_and_once() -> None:
    copy = update(EMPTY, NOTHING_SEEN, "a", b"same", 3.0)
    copy = update(copy, NOTHING_SEEN, "b", b"other", 2.0)
    copy = update(copy, NOTHING_SEEN, "c", b"same", 1.0)
    assert copy.values == (b"same", b"other")
