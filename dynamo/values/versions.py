"""Dotted version vectors: which write has seen which, without clocks.

Every write of a key is one event, named by a *dot*: the actor that coordinated it and that actor's
count. A *context* (a version vector) says of each actor up to which count its events are known.
What a replica holds for a key is `Siblings`: the versions nothing has replaced yet, each with its
dot, and the context of all events that ever reached this copy, replaced ones included. Two copies
are merged by `reconcile`; it is commutative, associative and idempotent, so replicas that have
exchanged their copies in any order hold the same.

An actor must never use a count twice, and must have its own earlier events in the copy it adds
to. So an actor is one life of one local copy, not a machine: see `dynamo.protocol.replica`.

About time. A version may carry the time at which it expires; from then on it reads as absent and
stands like a tombstone. *Ephemeral* actors are for data that everybody may forget: a copy whose
context knows only such actors is *purely ephemeral*, and each replica drops it by itself once all
its versions have expired. So that nothing comes back from a replica that missed a write, such a
copy is never dropped before what it has replaced would have been: see `update`.

Source: Preguiça, Baquero, Almeida, Fonte and Gonçalves, "Dotted Version Vectors: Logical Clocks
for Optimistic Replication" (2010); the set form is the one Riak KV uses.
"""

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

Context = Mapping[str, int]
"""Actor -> count: a client hands the context of its get to the put that follows it."""

NOTHING_SEEN: Context = {}
"""The context of a writer that has read nothing: its put is kept beside all others."""

EPHEMERAL = "~"
"""How the names of ephemeral actors end."""


class Dot(NamedTuple):
    """The name of one write: the `counter`-th event of `actor`."""

    actor: str
    counter: int


class Version(NamedTuple):
    """One write that nothing has replaced yet. `value` is None for a tombstone (a delete)."""

    dot: Dot
    value: bytes | None
    written_at: float
    """Seconds since 1970 by the writer's clock: orders siblings for display, decides nothing
    else except what a put without a context replaces."""
    expires_at: float = 0.0
    """Seconds since 1970 from which on it reads as absent; 0 for never."""


class Siblings(NamedTuple):
    """What one replica holds for a key: the context it has seen, and the versions that stand."""

    context: Context
    versions: tuple[Version, ...]

    @property
    def values(self) -> tuple[bytes, ...]:
        """The live values, newest write first; tombstones and repeated values are left out."""
        newest_first = sorted(self.versions, key=lambda v: (v.written_at, v.dot), reverse=True)
        return tuple(dict.fromkeys(v.value for v in newest_first if v.value is not None))


EMPTY = Siblings({}, ())


def seen(context: Context, dot: Dot) -> bool:
    """True if `context` knows the event `dot`.

    >>> seen({"a": 2}, Dot("a", 2)), seen({"a": 2}, Dot("a", 3))
    (True, False)
    """
    return dot.counter <= context.get(dot.actor, 0)


def join(contexts: Iterable[Context]) -> Context:
    """The least context that knows all that any of `contexts` knows.

    >>> join([{"a": 2, "b": 1}, {"b": 3}])
    {'a': 2, 'b': 3}
    """
    joined: dict[str, int] = {}
    for context in contexts:
        for actor, count in context.items():
            if count > joined.get(actor, 0):
                joined[actor] = count
    return joined


def update(
    siblings: Siblings,
    context: Context | None,
    actor: str,
    value: bytes | None,
    written_at: float,
    expires_at: float = 0.0,
) -> Siblings:
    """`siblings` after one more write, coordinated by `actor`.

    With a context the write replaces exactly what that context has seen; the rest stay beside it
    as siblings. With `context=None` the writer has not read: its write replaces the versions
    written before `written_at`, and never one written later, so a put that arrives again after a
    newer one undoes nothing. `value=None` writes a tombstone.

    What an ephemeral actor replaces must not come back when this write has expired and is
    forgotten: a tombstone stands at least as long as what it replaces would have, and a value that
    expires sooner has such a tombstone beside it.

    >>> one = update(EMPTY, None, "a", b"1", written_at=1.0)
    >>> two = update(one, one.context, "a", b"2", written_at=2.0)
    >>> beside = update(two, NOTHING_SEEN, "b", b"3", written_at=3.0)
    >>> two.values, beside.values
    ((b'2',), (b'3', b'2'))
    """
    if context is None:
        kept = [v for v in siblings.versions if v.written_at > written_at]
        known = siblings.context
    else:
        kept = [v for v in siblings.versions if not seen(context, v.dot)]
        known = join([siblings.context, context])
    count = known.get(actor, 0) + 1
    if actor.endswith(EPHEMERAL):
        owed = max((v.expires_at for v in siblings.versions), default=0.0)
        if value is None:
            expires_at = max(expires_at, owed)
        elif owed > max([expires_at, *(v.expires_at for v in kept)]):
            kept.append(Version(Dot(actor, count), None, written_at, owed))
            count += 1
    kept.append(Version(Dot(actor, count), value, written_at, expires_at))
    return Siblings({**known, actor: count}, tuple(sorted(kept, key=_by_dot)))


def reconcile(copies: Iterable[Siblings]) -> Siblings:
    """The merged state of several copies of a key.

    A version stands if each copy either holds it or has never seen it; a copy that has seen it and
    holds it no longer has seen it replaced.

    >>> old = update(EMPTY, None, "a", b"1", written_at=1.0)
    >>> new = update(old, old.context, "b", b"2", written_at=2.0)
    >>> reconcile([old, new]) == reconcile([new, old]) == new
    True
    """
    copies = list(copies)
    if not copies:
        return EMPTY
    if copies.count(copies[0]) == len(copies):  # as replicas nearly always are
        return copies[0]
    held = [{v.dot for v in copy.versions} for copy in copies]
    standing = {
        v.dot: v
        for copy in copies
        for v in copy.versions
        if all(v.dot in dots or not seen(other.context, v.dot) for other, dots in zip(copies, held))
    }
    context = join(copy.context for copy in copies)
    return Siblings(context, tuple(sorted(standing.values(), key=_by_dot)))


def as_of(siblings: Siblings, wall: float) -> Siblings:
    """`siblings` as a reader sees them at `wall` (seconds since 1970): expired values are gone.

    >>> copy = update(EMPTY, None, "a", b"1", written_at=1.0, expires_at=5.0)
    >>> as_of(copy, 4.9).values, as_of(copy, 5.0).values
    ((b'1',), ())
    """
    if not any(_expired(v, wall) for v in siblings.versions):
        return siblings
    seen_now = (v._replace(value=None) if _expired(v, wall) else v for v in siblings.versions)
    return siblings._replace(versions=tuple(seen_now))


def is_dead(siblings: Siblings, wall: float) -> bool:
    """True if there is nothing live in it at `wall`: only tombstones and expired versions."""
    return all(v.value is None or _expired(v, wall) for v in siblings.versions)


def ephemeral(siblings: Siblings) -> bool:
    """True if a copy is purely ephemeral: there is something, and nothing in its history is meant
    to last."""
    for actor in siblings.context:
        if not actor.endswith(EPHEMERAL):
            return False
    return bool(siblings.context)


def forget_at(siblings: Siblings) -> float:
    """When a purely ephemeral copy has expired whole and may be dropped; infinite for others.

    >>> copy = update(EMPTY, None, "a~", b"1", written_at=1.0, expires_at=5.0)
    >>> forget_at(copy), forget_at(update(copy, None, "b", b"2", written_at=2.0, expires_at=5.0))
    (5.0, inf)
    """
    if not ephemeral(siblings) or not all(v.expires_at for v in siblings.versions):
        return math.inf
    return max((v.expires_at for v in siblings.versions), default=math.inf)


def _expired(version: Version, wall: float) -> bool:
    return 0 < version.expires_at <= wall


def values_bytes(siblings: Siblings) -> int:
    """What the values of a copy weigh.

    >>> values_bytes(update(EMPTY, None, "a", b"12345", written_at=1.0))
    5
    """
    return sum([len(version.value or b"") for version in siblings.versions])


def _by_dot(version: Version) -> Dot:
    return version.dot
