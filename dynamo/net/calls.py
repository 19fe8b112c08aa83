"""What a program's thread waits for: a call of one or many operations, each one request."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from dynamo.errors import DynamoError
from dynamo.net import wire
from dynamo.net.failures import failure
from dynamo.protocol.messages import ClientRequest, Envelope, Failed, Message

Outcome = Message | DynamoError
"""How one operation ends."""

Result = TypeVar("Result")


class Operation:
    """One request on its way; it is to end within `timeout_s` of now."""

    __slots__ = (
        "again_at",
        "call",
        "deadline",
        "failed",
        "key",
        "name",
        "request",
        "sent_as",
        "timeout_s",
        "tried",
        "weight",
    )

    def __init__(self, name: str, key: str, request: ClientRequest, timeout_s: float) -> None:
        self.name = name
        self.key = key
        self.request = request
        self.timeout_s = timeout_s
        self.deadline = time.monotonic() + timeout_s
        self.tried: set[str] = set()
        """Nodes that did not answer it, or could not reach enough others."""
        self.failed: Failed | None = None
        """What those said that could not."""
        self.sent_as = request.id
        """The id of the request that it travels in: its own, or its lot's."""
        self.again_at = 0.0
        """When all of them may be tried anew."""
        self.weight = wire.weight(Envelope("", "", request))
        self.call: Call[Any]


class Call(Generic[Result]):
    """Operations that a thread has asked for together.

    `future` gives what `finish` makes of their outcomes, which are in the order of the operations:
    replies, and errors for those that failed. It may raise a `DynamoError`.
    """

    def __init__(
        self, operations: Sequence[Operation], finish: Callable[[Sequence[Outcome]], Result]
    ) -> None:
        self.operations = operations
        self.future: Future[Result] = Future()
        self._finish = finish
        self._outcomes: dict[int, Outcome] = {}
        for operation in operations:
            operation.call = self

    def settle(self, operation: Operation, outcome: Outcome) -> None:
        """Take in the end of one operation; the last one completes the future."""
        if isinstance(outcome, Failed):
            outcome = failure(outcome, operation.name, operation.key)
        self._outcomes[operation.request.id] = outcome
        if len(self._outcomes) == len(self.operations):
            self._complete()

    def _complete(self) -> None:
        try:
            result = self._finish([self._outcomes[op.request.id] for op in self.operations])
        except DynamoError as error:
            self.future.set_exception(error)
        else:
            self.future.set_result(result)
