"""What the clients of a run asked for and what they were told."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from dynamo.protocol.messages import Put, PutMany
from dynamo.values.versions import Context, Siblings

Kind = Literal["get", "put", "delete", "list"]


@dataclass
class Operation:
    """One call of one client; the times are the world's, not the client's clock."""

    kind: Kind
    key: str = ""
    """For a list, the prefix."""
    value: bytes | None = None
    """What a put wrote, unique in the run."""
    context: Context | None = None
    saw: tuple[float, ...] = ()
    """`written_at` of the versions in the reading whose context this write carries."""
    durable: bool = True
    r: int = 0
    """The read quorum asked for; 0 for the cluster's."""
    limit: int = 1000
    """Keys in a page of a list."""
    as_lot: bool = False
    """True if it is asked for in the form for many keys."""
    at_node: str = ""
    """The one node to ask; "" for any."""
    client: str = ""
    number: int = 0
    written_at: float = 0.0
    """By the client's clock; unique in the run, so it names the write."""
    began_at: float = 0.0
    ended_at: float | None = None
    succeeded: bool = False
    nodes: tuple[str, ...] = ()
    """Who had stored a write when it was acknowledged."""
    lists: tuple[tuple[str, ...], ...] = ()
    """The preference lists that members went by then; none: those of the end."""
    siblings: Siblings | None = None
    """What a get returned."""
    listed: list[str] = field(default_factory=list)
    """What a list returned, page after page."""

    def __str__(self) -> str:
        what = (self.value or b"").decode()
        when = f"{self.began_at:.4f} to " + (f"{self.ended_at:.4f}" if self.ended_at else "never")
        return (
            f"{self.client}'s {self.kind} {self.number} {self.key} {what}".rstrip() + f" ({when})"
        )


@dataclass
class History:
    """All operations in the order in which they began."""

    operations: list[Operation] = field(default_factory=list)
    deliveries: Counter[tuple[str, float]] = field(default_factory=Counter)
    """How often each write, named by key and `written_at`, reached a node that coordinates it."""
    crashed_at: list[float] = field(default_factory=list)
    _stamps: set[float] = field(default_factory=set)

    def begin(self, operation: Operation, now: float, skew_s: float) -> None:
        operation.number = len(self.operations) + 1
        operation.began_at = now
        operation.written_at = now + skew_s
        while operation.written_at in self._stamps:
            operation.written_at += 1e-6
        self._stamps.add(operation.written_at)
        self.operations.append(operation)

    def count_delivery(self, put: Put | PutMany) -> None:
        self.deliveries[put.key, put.written_at] += 1

    def of_kind(self, *kinds: Kind) -> Iterable[Operation]:
        return (operation for operation in self.operations if operation.kind in kinds)
