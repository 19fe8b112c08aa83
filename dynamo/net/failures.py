"""From a failed reply to the exception that the caller sees."""

from dynamo.errors import (
    Conflict,
    CorruptData,
    DynamoError,
    Overloaded,
    QuorumFailed,
    ReadOnly,
    RequestError,
    Unreachable,
)
from dynamo.protocol.messages import Failed, Failure, Message


def failure(failed: Failed, operation: str, key: str) -> DynamoError:
    """The error of `dynamo.errors` that says what `failed` says."""
    what = f"{operation} of {key!r}"
    match failed.reason:
        case Failure.QUORUM:
            return QuorumFailed(
                operation,
                key,
                failed.needed,
                failed.answered,
                failed.silent,
                failed.after_s,
                failed.detail,
            )
        case Failure.OVERLOADED:
            return Overloaded(f"{what} was refused: {failed.detail}")
        case Failure.READ_ONLY:
            return ReadOnly(f"{what} was refused: {failed.detail}")
        case Failure.CONFLICT:
            return Conflict(key, failed.context or {}, failed.values)
        case Failure.CORRUPT:
            return CorruptData(
                f"{what}: the copy is damaged, and no other replica has healed it yet; "
                "`dynamo explain` shows them, and where no copy is whole `dynamo give-up` drops it"
            )
        case Failure.REQUEST:
            return RequestError(f"{what} can't be done: {failed.detail}")
        case Failure.FILLING:
            return Unreachable(f"{what}: the node asked has yet to get its data from the others")


def raise_failure(reply: Message, operation: str, key: str) -> Message:
    """`reply`, or the exception it stands for."""
    if isinstance(reply, Failed):
        raise failure(reply, operation, key)
    return reply
