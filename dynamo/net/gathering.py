"""Single puts and gets of many callers, gathered into lots on their way.

What hundreds of callers ask for at the same moment goes to the nodes as lots, keys of one partition
in one request (see `dynamo.net.lots`), and each caller gets its own answer. With 500 callers that
halves what a put takes of the nodes; one caller alone, or a few, notice nothing.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

from dynamo.errors import DynamoError
from dynamo.net.calls import Operation
from dynamo.net.lots import LOT_BYTES
from dynamo.protocol.messages import (
    Failed,
    Failure,
    Get,
    GetDone,
    GetMany,
    GotMany,
    Message,
    Put,
    PutMany,
)
from dynamo.values.ring import Ring

SMALL_BYTES = 4096
"""A larger value gains nothing by company."""
LOT_MEMBERS = LOT_BYTES // SMALL_BYTES
LATER_S = 0.1
"""How much later than its members' a lot's deadline is: they end by their own."""
ALONE = frozenset({Failure.CORRUPT, Failure.REQUEST})
"""Why a lot may fail through one of its keys; then each is asked for by itself."""


class Gathered(Operation):
    """A lot of puts, or of gets; its members wait for it."""

    __slots__ = ("members",)

    def __init__(self, id: int, members: Sequence[Operation]) -> None:
        first = members[0]
        super().__init__(first.name, first.key, _lot(id, members), first.timeout_s)
        self.members = members
        for member in members:
            member.sent_as = id
        self.deadline = max(member.deadline for member in members) + LATER_S

    def shares(
        self, outcome: Message | DynamoError
    ) -> Iterator[tuple[Operation, Message | DynamoError | None]]:
        """Each member with its own part of the outcome; with None it has to be asked for again."""
        if isinstance(outcome, GotMany):
            copies = list(outcome.siblings)
            for member, copy in zip(self.members, copies):
                yield member, GetDone(member.request.id, copy, outcome.nodes)
            for member in self.members[len(copies) :]:
                yield member, None
        else:
            again = isinstance(outcome, Failed) and outcome.reason in ALONE
            for member in self.members:
                yield member, None if again else outcome


def gather(
    operations: Iterable[Operation], ring: Ring, next_id: Callable[[], int]
) -> Iterator[Operation]:
    """The operations as they are to be sent: in lots, as far as they are alike, or as they are."""
    groups: dict[Hashable, list[Operation]] = {}
    for operation in operations:
        alike = _alike(operation, ring)
        if alike is None:
            yield operation
        else:
            groups.setdefault(alike, []).append(operation)
    for members in groups.values():
        for start in range(0, len(members), LOT_MEMBERS):
            some = members[start : start + LOT_MEMBERS]
            yield some[0] if len(some) == 1 else Gathered(next_id(), some)


def _alike(operation: Operation, ring: Ring) -> Hashable | None:
    """What operations of one lot have in common; None for one that goes alone."""
    request = operation.request
    if type(request) is Get:
        quorum = (request.n, request.r)
        return Get, ring.partition_of(request.key), operation.timeout_s, quorum
    if type(request) is not Put or request.context is not None or request.condition:
        return None
    if len(request.value or b"") > SMALL_BYTES:
        return None
    kind = (request.durable, request.expires_at, request.ephemeral)
    return (
        operation.name,
        ring.partition_of(request.key),
        operation.timeout_s,
        (request.n, request.w),
        kind,
    )


def _lot(id: int, members: Sequence[Operation]) -> PutMany | GetMany:
    requests = [member.request for member in members]
    first = requests[0]
    if isinstance(first, Get):
        keys = tuple([request.key for request in requests])  # type: ignore[union-attr]
        return GetMany(id, keys, first.n, first.r)
    assert isinstance(first, Put)
    puts: list[Put] = requests  # type: ignore[assignment]
    # None of them has ended before the last one was begun, so they may all be as late as that.
    return PutMany(
        id,
        tuple([(put.key, put.value) for put in puts]),
        max(put.written_at for put in puts),
        first.n,
        first.w,
        durable=first.durable,
        expires_at=first.expires_at,
        ephemeral=first.ephemeral,
    )
