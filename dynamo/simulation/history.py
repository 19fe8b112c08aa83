"""What the clients of a run asked for and were told, and what the clocks said meanwhile."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from dynamo.protocol.messages import Condition, Failure, Put, PutMany
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
    ttl_s: float = 0.0
    """After so long it expires, by the client's clock; 0 for never."""
    ephemeral: bool = False
    condition: Condition = Condition.NONE
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
    refusal: Failure | None = None
    """Why a node answered that it failed."""
    nodes: tuple[str, ...] = ()
    """Who had stored a write when it was acknowledged."""
    lists: tuple[tuple[str, ...], ...] = ()
    """The preference lists that members went by then; none: those of the end."""
    siblings: Siblings | None = None
    """What a get returned."""
    listed: list[str] = field(default_factory=list)
    """What a list returned, page after page."""

    @property
    def expires_at(self) -> float:
        """By the client's clock; 0 for never."""
        return self.written_at + self.ttl_s if self.ttl_s else 0.0

    def __str__(self) -> str:
        what = (self.value or b"").decode()
        when = f"{self.began_at:.4f} to " + (f"{self.ended_at:.4f}" if self.ended_at else "never")
        return (
            f"{self.client}'s {self.kind} {self.number} {self.key} {what}".rstrip() + f" ({when})"
        )


@dataclass
class Clocks:
    """The wall clocks of all machines. Those nobody sets are right."""

    epoch_s: float = 0.0
    """What they said when the world began."""
    _settings: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """Of each machine whose clock was set: when, and how far off it was from then on."""

    def set(self, name: str, at: float, error_s: float) -> None:
        self._settings.setdefault(name, [(-math.inf, 0.0)]).append((at, error_s))

    def earliest(self, began: float, ended: float) -> float:
        """The least that any of them said in this time.

        >>> clocks = Clocks(epoch_s=100.0)
        >>> clocks.set("n1", 5.0, -60.0)
        >>> clocks.earliest(2.0, 4.0), clocks.earliest(2.0, 6.0), clocks.latest(2.0, 6.0)
        (102.0, 45.0, 106.0)
        """
        said = [max(began, since) + error_s for since, _, error_s in self._errors(began, ended)]
        return self.epoch_s + min(said, default=began)

    def latest(self, began: float, ended: float) -> float:
        """The most that any of them said in this time."""
        said = [min(ended, until) + error_s for _, until, error_s in self._errors(began, ended)]
        return self.epoch_s + max(said, default=ended)

    def _errors(self, began: float, ended: float) -> Iterator[tuple[float, float, float]]:
        """From when until when a clock was how far off, of all times that touch this one."""
        yield -math.inf, math.inf, 0.0
        for settings in self._settings.values():
            ends = [at for at, _ in settings[1:]] + [math.inf]
            for (since, error_s), until in zip(settings, ends):
                if since <= ended and began <= until:
                    yield since, until, error_s


@dataclass
class History:
    """All operations in the order in which they began."""

    operations: list[Operation] = field(default_factory=list)
    deliveries: Counter[tuple[str, float]] = field(default_factory=Counter)
    """How often each write, named by key and `written_at`, reached a node that coordinates it."""
    coordinators: dict[tuple[str, float], set[str]] = field(
        default_factory=lambda: defaultdict(set)
    )
    """Which nodes these were."""
    crashed_at: list[float] = field(default_factory=list)
    changed_at: list[float] = field(default_factory=list)
    """When changes of the ring were committed."""
    clocks: Clocks = field(default_factory=Clocks)
    _stamps: set[float] = field(default_factory=set)

    def begin(self, operation: Operation, now: float, skew_s: float) -> None:
        operation.number = len(self.operations) + 1
        operation.began_at = now
        operation.written_at = now + skew_s
        while operation.written_at in self._stamps:
            operation.written_at += 1e-6
        self._stamps.add(operation.written_at)
        self.operations.append(operation)

    def count_delivery(self, node: str, put: Put | PutMany) -> None:
        self.deliveries[put.key, put.written_at] += 1
        self.coordinators[put.key, put.written_at].add(node)

    def of_kind(self, *kinds: Kind) -> Iterable[Operation]:
        return (operation for operation in self.operations if operation.kind in kinds)
