"""How the copies of one key differ: which replicas are behind, and by which writes.

A copy is judged by the versions that stand when all copies are merged (`versions.reconcile`). It
*lacks* those it has never seen, and what it holds beside them is *replaced*: another copy has seen
its end. Where every other copy lacks something too, none of them is simply older: they are
concurrent, and a merge keeps siblings.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from dynamo.values.versions import EMPTY, Siblings, Version, reconcile


class State(StrEnum):
    """How one copy stands beside the others."""

    CURRENT = "current"
    """It holds every version that stands."""
    BEHIND = "behind"
    """Another copy holds all that it holds, and more or newer."""
    CONCURRENT = "concurrent"
    """It holds a version, and lacks a version, that stand beside each other."""
    EMPTY = "empty"
    """It has never seen the key, and others have."""


class Comparison(NamedTuple):
    """One copy beside the merge of all of them."""

    state: State
    lacks: tuple[Version, ...]
    """Versions that stand and that this copy has never seen."""
    replaced: tuple[Version, ...]
    """Versions this copy still holds, though a write that has seen them took their place."""
    knows_all: bool
    """False if its context is smaller than that of all copies together."""
    contradicts: tuple[Version, ...]
    """Versions with the dot of another copy's version and not its content. A dot names one write,
    so this must never be: a copy was damaged unseen, or an actor used a count twice."""


def compare(copies: Mapping[str, Siblings]) -> dict[str, Comparison]:
    """Each copy, by the name of its replica, beside the merge of all of them.

    >>> from dynamo.values.versions import update
    >>> old = update(EMPTY, None, "a", b"1", written_at=1.0)
    >>> new = update(old, old.context, "b", b"2", written_at=2.0)
    >>> found = compare({"n1": new, "n2": old, "n3": EMPTY})
    >>> [comparison.state.value for comparison in found.values()]
    ['current', 'behind', 'empty']
    """
    merged = reconcile(copies.values())
    return {node: _beside(copy, merged, copies) for node, copy in copies.items()}


def _beside(copy: Siblings, merged: Siblings, copies: Mapping[str, Siblings]) -> Comparison:
    held = {version.dot for version in copy.versions}
    standing = {version.dot for version in merged.versions}
    lacks = tuple(v for v in merged.versions if v.dot not in held)
    replaced = tuple(v for v in copy.versions if v.dot not in standing)
    own = copy.versions
    elsewhere = {v.dot for other in copies.values() for v in other.versions if v not in own}
    contradicts = tuple(v for v in own if v.dot in elsewhere)
    state = _state(copy, bool(lacks or replaced), copies)
    return Comparison(state, lacks, replaced, copy.context == merged.context, contradicts)


def _state(copy: Siblings, differs: bool, copies: Mapping[str, Siblings]) -> State:
    if not differs:
        return State.CURRENT
    if copy == EMPTY:
        return State.EMPTY
    if any(_covers(other, copy) for other in copies.values()):
        return State.BEHIND
    return State.CONCURRENT


def _covers(other: Siblings, copy: Siblings) -> bool:
    """True if `other` has seen all that `copy` has, and holds something else."""
    merged = reconcile([other, copy])
    return _dots(merged) == _dots(other) != _dots(copy)


def _dots(copy: Siblings) -> set[tuple[str, int]]:
    return {version.dot for version in copy.versions}
