"""From replies and errors to what a caller of the client gets."""

from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar, cast

from dynamo.errors import BatchFailed, DynamoError
from dynamo.net.calls import Outcome
from dynamo.net.lots import Lot
from dynamo.protocol.messages import GetDone, GotMany, Message, PutDone
from dynamo.store import Reading, Written

Result = TypeVar("Result")


class Tally(Generic[Result]):
    """What has become of the keys of a batch call."""

    def __init__(self, operation: str) -> None:
        self.done: dict[str, Result] = {}
        self.failed: dict[str, DynamoError] = {}
        self._operation = operation

    def fail(self, lot: Lot, error: DynamoError) -> None:
        self.failed.update(dict.fromkeys(lot, error))

    def result(self, keys: Iterable[str]) -> dict[str, Result]:
        """What became of each of `keys`, in their order; raises if any has failed.

        A call with one key raises that key's own error.
        """
        if not self.failed:
            return {key: self.done[key] for key in keys}
        if len(self.failed) == 1 and not self.done:
            raise next(iter(self.failed.values()))
        raise BatchFailed(self._operation, self.done, self.failed)


def unchanged(outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
    return outcomes


def only(outcomes: Sequence[Outcome]) -> Message:
    """The reply to a call of one operation; raises its error."""
    (outcome,) = outcomes
    if isinstance(outcome, DynamoError):
        raise outcome
    return outcome


def only_reading(outcomes: Sequence[Outcome]) -> Reading:
    return _reading(only(outcomes))


def only_written(outcomes: Sequence[Outcome]) -> Written:
    return written(only(outcomes))


def readings(reply: Message) -> Iterable[Reading]:
    """The readings in the answer to a get of one key or of a lot, in the order of its keys."""
    if isinstance(reply, GetDone):
        return [_reading(reply)]
    done = cast(GotMany, reply)
    return [Reading(copy.values, copy.context, done.nodes) for copy in done.siblings]


def written(reply: Message) -> Written:
    return Written(cast(PutDone, reply).nodes)


def if_all_failed(outcomes: Sequence[Outcome]) -> DynamoError | None:
    """The first error, if there is nothing but errors."""
    first: DynamoError | None = None
    for outcome in outcomes:
        if not isinstance(outcome, DynamoError):
            return None
        first = first or outcome
    return first


def _reading(reply: Message) -> Reading:
    done = cast(GetDone, reply)
    return Reading(done.siblings.values, done.siblings.context, done.nodes)
