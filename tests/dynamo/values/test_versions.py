"""Dotted version vectors: the laws of merging, checked against plain sets of events."""

import math
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
        expires_at = float(number) if number % 3 == 0 else 0.0
        self.copies[actor] = update(
            self.copies[actor], context, actor, event.encode(), float(self.events), expires_at
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


@dataclass
class EphemeralCluster:
    """Three copies of one key under ephemeral writes: what is written, merged and, by each copy for
    itself, dropped once it may be; `wall` is the clock of all."""

    copies: dict[str, Siblings] = field(default_factory=lambda: dict.fromkeys(ACTORS, EMPTY))
    wall: float = 0.0
    lives: int = 0
    replaced: set[Dot] = field(default_factory=set)

    def put(self, actor: str, _: str, number: int) -> None:
        copy = self.copies[actor]
        mine = [known for known in copy.context if known.startswith(actor)]
        self.lives += 1
        life = mine[0] if mine else f"{actor}{self.lives}~"
        value = None if number % 4 == 0 and copy.versions else b"%d" % number
        expires_at = 0.0 if value is None else self.wall + number + 1
        self.replaced.update(v.dot for v in copy.versions if v.written_at <= self.wall)
        self.copies[actor] = update(copy, None, life, value, self.wall, expires_at)
        self.wall += 1.0

    def merge(self, actor: str, other: str, _: int) -> None:
        if versions.forget_at(self.copies[other]) > self.wall:
            self.copies[actor] = reconcile([self.copies[actor], self.copies[other]])

    def read(self, actor: str, _: str, number: int) -> None:
        """Time passes, and what may be dropped is."""
        self.wall += number
        for name, copy in self.copies.items():
            if versions.forget_at(copy) <= self.wall:
                self.copies[name] = EMPTY


@given(ACTIONS)
def test_what_an_ephemeral_write_has_replaced_never_comes_back(
    actions: list[tuple[str, str, str, int]],
) -> None:
    """Whoever missed the write, and however soon it expired and was dropped elsewhere."""
    cluster = EphemeralCluster()
    for name, actor, other, number in actions:
        getattr(cluster, name)(actor, other, number)
        everything = versions.as_of(reconcile(cluster.copies.values()), cluster.wall)
        live = {v.dot for v in everything.versions if v.value is not None}
        assert not live & cluster.replaced


@given(ACTIONS)
def test_a_copy_is_dropped_only_when_nothing_in_it_is_live(
    actions: list[tuple[str, str, str, int]],
) -> None:
    cluster = EphemeralCluster()
    for name, actor, other, number in actions:
        getattr(cluster, name)(actor, other, number)
        for copy in cluster.copies.values():
            assert versions.ephemeral(copy) == bool(copy.context)
            assert versions.is_dead(copy, versions.forget_at(copy))


@given(ACTIONS, st.floats(0, 60))
def test_to_merge_and_then_look_is_to_look_and_then_merge(
    actions: list[tuple[str, str, str, int]], wall: float
) -> None:
    a, b, c = played(actions).copies.values()
    for copy in (a, b, c):
        assert versions.as_of(copy, wall).context == copy.context
    merged = versions.as_of(reconcile([a, b, c]), wall)
    assert merged == reconcile([versions.as_of(copy, wall) for copy in (a, b, c)])
    assert versions.is_dead(merged, wall) == (not merged.values)


def test_a_value_reads_as_absent_from_the_moment_it_expires() -> None:
    copy = update(EMPTY, None, "a", b"1", written_at=1.0, expires_at=5.0)
    assert versions.as_of(copy, 4.9) is copy
    assert versions.as_of(copy, 5.0).values == ()
    assert (versions.is_dead(copy, 4.9), versions.is_dead(copy, 5.0)) == (False, True)
    beside = update(copy, NOTHING_SEEN, "b", b"2", written_at=2.0)
    assert versions.as_of(beside, 9.0).values == (b"2",)


def test_a_put_does_not_inherit_the_time_to_live_of_what_it_replaces() -> None:
    short = update(EMPTY, None, "a", b"1", written_at=1.0, expires_at=5.0)
    assert versions.as_of(update(short, None, "a", b"2", 2.0), 1e9).values == (b"2",)


def test_only_copies_without_lasting_history_are_forgotten() -> None:
    passing = update(EMPTY, None, "a~", b"1", written_at=1.0, expires_at=5.0)
    assert versions.forget_at(passing) == 5.0
    assert versions.forget_at(EMPTY) == math.inf
    lasting = update(EMPTY, None, "a", b"1", written_at=1.0, expires_at=5.0)
    assert versions.forget_at(lasting) == math.inf
    assert versions.forget_at(reconcile([passing, lasting])) == math.inf
    deleted = update(passing, None, "a~", None, written_at=2.0)
    assert (versions.is_dead(deleted, 2.0), versions.forget_at(deleted)) == (True, 5.0)


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
