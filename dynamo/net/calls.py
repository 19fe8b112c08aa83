"""What a program's thread waits for: a call of one or many operations, each one request."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from dynamo.errors import DynamoError
from dynamo.net.failures import failure
from dynamo.protocol.messages import ClientRequest, Failed, Message

Result = TypeVar("Result")


class Operation:
    """One request on its way; it is to end within `timeout_s` of now."""

    __slots__ = ("call", "deadline", "key", "name", "request", "timeout_s", "tried")

    def __init__(self, name: str, key: str, request: ClientRequest, timeout_s: float) -> None:
        self.name = name
        self.key = key
        self.request = request
        self.timeout_s = timeout_s
        self.deadline = time.monotonic() + timeout_s
        self.tried: set[str] = set()
        """Nodes that did not answer it."""
        self.call: Call[Any]


class Call(Generic[Result]):
    """Operations that a thread has asked for together.

    `future` gives what `finish` makes of their replies, which are in the order of the operations.
    """

    def __init__(
        self, operations: Sequence[Operation], finish: Callable[[Sequence[Message]], Result]
    ) -> None:
        self.operations = operations
        self.future: Future[Result] = Future()
        self._finish = finish
        self._replies: dict[int, Message] = {}
        self._left = len(operations)
        self._error: DynamoError | None = None
        for operation in operations:
            operation.call = self

    def settle(self, operation: Operation, outcome: Message | DynamoError) -> None:
        """Take in the end of one operation; the last one completes the future."""
        if isinstance(outcome, Failed):
            outcome = failure(outcome, operation.name, operation.key)
        if isinstance(outcome, DynamoError):
            self._error = self._error or outcome
        else:
            self._replies[operation.request.id] = outcome
        self._left -= 1
        if self._left == 0:
            self._complete()

    def _complete(self) -> None:
        if self._error is not None:
            self.future.set_exception(self._error)
        else:
            replies = self._replies
            self.future.set_result(self._finish([replies[op.request.id] for op in self.operations]))
