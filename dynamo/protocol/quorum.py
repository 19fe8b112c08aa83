"""Counting replies: accumulators that read like a table (add, enough, answer).

A write's quorum is strict while it can be: acknowledgements of the key's owners count. Only when
too few owners are left to be waited for do substitutes count too (a sloppy quorum; the Dynamo
paper, section 4.6). A read's quorum is always strict: a substitute knows nothing of what was
written before it came in, and its "nothing" would hide what was acknowledged.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Generic, TypeVar

from dynamo.values.versions import Siblings, reconcile

Held = TypeVar("Held")


class WriteQuorum:
    """Counts who has stored a write: `needed` of each preference list that it goes by.

    There is one list, except while partitions move to other nodes.

    >>> quorum = WriteQuorum([["a", "b", "c"]], needed=2)
    >>> quorum.add("a"), quorum.add("a"), quorum.enough(up=["a", "b", "c"])
    (None, None, False)
    >>> quorum.add("c"); quorum.enough(up=["a", "b", "c"]), quorum.answered, quorum.silent
    (True, ('a', 'c'), ('b',))
    >>> alone = WriteQuorum([["a", "b", "c"]], needed=2)
    >>> alone.add("a"); alone.add("d", hint_for="b")
    >>> alone.enough(up=["a", "c", "d"]), alone.enough(up=["a", "d"])
    (False, True)
    """

    def __init__(self, lists: Sequence[Sequence[str]], needed: int) -> None:
        self.needed = needed
        self._stored: set[str] = set()
        self._substitutes: dict[str, str] = {}
        self.go_by(lists)

    def go_by(self, lists: Sequence[Sequence[str]]) -> None:
        """From now on these are the owners; what has been counted stays counted."""
        self._lists = lists
        if len(lists) == 1:
            self._owners = tuple(lists[0])
        else:
            self._owners = tuple(dict.fromkeys(owner for owners in lists for owner in owners))

    def add(self, node: str, hint_for: str = "") -> None:
        """Count `node`'s acknowledgement, once: as an owner, or as a substitute for one."""
        if hint_for:
            self._substitutes[hint_for] = node
        else:
            self._stored.add(node)

    @property
    def answered(self) -> tuple[str, ...]:
        """Who has stored it, owners first."""
        owners = [node for node in self._owners if node in self._stored]
        return tuple(dict.fromkeys((*owners, *self._substitutes.values())))

    @property
    def silent(self) -> tuple[str, ...]:
        """The owners that have not."""
        return tuple([node for node in self._owners if node not in self._stored])

    def enough(self, up: Collection[str]) -> bool:
        """True if the write may be acknowledged while the nodes in `up` answer."""
        return all(self._enough_of(owners, up) for owners in self._lists)

    def _enough_of(self, owners: Sequence[str], up: Collection[str]) -> bool:
        needed = min(self.needed, len(owners))
        silent = [node for node in owners if node not in self._stored]
        stored = len(owners) - len(silent)
        if stored >= needed:
            return True
        awaited = sum(node in up for node in silent)
        substitutes = sum(node in self._substitutes for node in silent)
        return stored + awaited < needed <= stored + substitutes


def reconcile_lots(lots: Iterable[tuple[Siblings, ...]]) -> tuple[Siblings, ...]:
    """`reconcile` key by key; as far as the shortest of `lots` goes."""
    return tuple(map(reconcile, zip(*lots)))


class ReadQuorum(Generic[Held]):
    """Collects what replicas hold until there is enough, then says which of them are stale.

    What they hold is the siblings of a key, merged by `reconcile`, or those of all keys of a lot.
    """

    def __init__(
        self,
        asked: Iterable[str],
        needed: int,
        merge: Callable[[Iterable[Held]], Held] = reconcile,  # type: ignore[assignment]
    ) -> None:
        self.needed = needed
        self._merge = merge
        self._copies: dict[str, Held | None] = dict.fromkeys(asked)

    def go_by(self, asked: Iterable[str]) -> None:
        """From now on these are the owners; the copies of those that still are one count."""
        self._copies = {node: self._copies.get(node) for node in asked}

    def add(self, node: str, copy: Held) -> None:
        """Count `node`'s copy, its latest if it sends several; others than those asked don't
        count."""
        if node in self._copies:
            self._copies[node] = copy

    def copy_of(self, node: str) -> Held | None:
        return self._copies[node]

    @property
    def answered(self) -> tuple[str, ...]:
        return tuple([node for node, copy in self._copies.items() if copy is not None])

    @property
    def silent(self) -> tuple[str, ...]:
        return tuple([node for node, copy in self._copies.items() if copy is None])

    @property
    def enough(self) -> bool:
        return len(self.answered) >= self.needed

    def answer(self) -> Held:
        """The merged state of all copies that came."""
        return self._merge(copy for copy in self._copies.values() if copy is not None)

    def repairs(self) -> dict[str, Held]:
        """What each replica that answered with less than the merged state should be sent."""
        merged = self.answer()
        return {
            node: merged
            for node, copy in self._copies.items()
            if copy is not None and copy != merged
        }
