"""Counting replies: accumulators that read like a table (add, enough, answer)."""

from collections.abc import Iterable

from dynamo.values.versions import Siblings, reconcile


class WriteQuorum:
    """Counts who has stored a write.

    >>> quorum = WriteQuorum(asked=["a", "b", "c"], needed=2)
    >>> quorum.add("a"), quorum.add("a"), quorum.enough
    (None, None, False)
    >>> quorum.add("c"); quorum.enough, quorum.answered, quorum.silent
    (True, ('a', 'c'), ('b',))
    """

    def __init__(self, asked: Iterable[str], needed: int) -> None:
        self.needed = needed
        self._stored = dict.fromkeys(asked, False)

    def add(self, node: str) -> None:
        """Count `node`'s acknowledgement, once; others than those asked don't count."""
        if node in self._stored:
            self._stored[node] = True

    @property
    def answered(self) -> tuple[str, ...]:
        return tuple(node for node, stored in self._stored.items() if stored)

    @property
    def silent(self) -> tuple[str, ...]:
        return tuple(node for node, stored in self._stored.items() if not stored)

    @property
    def enough(self) -> bool:
        return sum(self._stored.values()) >= self.needed


class ReadQuorum:
    """Collects copies of a key until there are enough, then says which replicas are stale."""

    def __init__(self, asked: Iterable[str], needed: int) -> None:
        self.needed = needed
        self._copies: dict[str, Siblings | None] = dict.fromkeys(asked)

    def add(self, node: str, siblings: Siblings) -> None:
        """Count `node`'s copy, its latest if it sends several; others than those asked don't
        count."""
        if node in self._copies:
            self._copies[node] = siblings

    @property
    def answered(self) -> tuple[str, ...]:
        return tuple(node for node, copy in self._copies.items() if copy is not None)

    @property
    def silent(self) -> tuple[str, ...]:
        return tuple(node for node, copy in self._copies.items() if copy is None)

    @property
    def enough(self) -> bool:
        return len(self.answered) >= self.needed

    def answer(self) -> Siblings:
        """The merged state of all copies that came."""
        return reconcile(copy for copy in self._copies.values() if copy is not None)

    def repairs(self) -> dict[str, Siblings]:
        """What each replica that answered with less than the merged state should be sent."""
        merged = self.answer()
        return {
            node: merged
            for node, copy in self._copies.items()
            if copy is not None and copy != merged
        }
