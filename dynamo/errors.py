"""Every public error of the store.

Each says what happened, whose fault it is and what to do, and carries its numbers as
attributes, so that a program can decide without reading the text:

    DynamoError
    ├── RequestError      the caller's: the request can never succeed as it is
    │   ├── TooLarge          a key or value over its limit
    │   ├── Conflict          the condition of a put does not hold: somebody else was faster
    │   ├── FileMissing       no file of that path in the store
    │   └── ConfigError       cluster.ini can't be used
    ├── QuorumFailed      the cluster's: too few replicas answered in time; retry later
    ├── BatchFailed       some keys of a call with many: says which, and each one's error
    ├── Overloaded        the cluster's: a bounded queue is full; retry with fewer callers
    ├── ReadOnly          the disk's: it is full or refuses writes; reads go on
    ├── Unreachable       the cluster's or the network's: no node answered at all
    ├── CorruptData       the disk's: bytes that fail their checksum, never returned as data
    └── NodeFailed        the node's own: it can't serve (its port is taken, its disk refuses)
"""

from collections.abc import Mapping, Sequence


class DynamoError(Exception):
    """What every error of the store has in common."""


class RequestError(DynamoError, ValueError):
    """The request itself is wrong; repeating it can't help."""


class TooLarge(RequestError):
    """A key or a value is over its limit. `what` is "key" or "value"."""

    def __init__(self, what: str, size_bytes: int, limit_bytes: int) -> None:
        remedy = (
            "shorten the key" if what == "key" else "store it as a file: `dynamo put PATH /name`"
        )
        super().__init__(
            f"{what} of {size_bytes:,} bytes is over the limit of {limit_bytes:,}; {remedy}"
        )
        self.what = what
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


class Conflict(RequestError):
    """A conditional put found something else than it asked for; nothing was written.

    `context` is that of what is there, `values` how many live values that is.
    """

    def __init__(self, key: str, context: Mapping[str, int], values: int) -> None:
        there = f"{values} live value{'' if values == 1 else 's'}" if values else "a newer delete"
        super().__init__(
            f"{key!r} was not put: its condition does not hold, {there} is there; "
            "get the key and decide again"
        )
        self.key = key
        self.context = context
        self.values = values


class FileMissing(RequestError, FileNotFoundError):
    """The store holds no file of this path."""

    def __init__(self, path: str) -> None:
        super().__init__(f"no file {path!r} in the store; `dynamo ls /` lists what there is")
        self.path = path

    def __str__(self) -> str:
        return str(self.args[0])


class ConfigError(RequestError):
    """cluster.ini can't be used; the message names the file, the line and the key."""


class QuorumFailed(DynamoError):
    """Too few replicas answered before the deadline.

    A put that fails so may still have been stored on the nodes in `answered`: reading it back
    later can show it. Repeating the put is safe.
    """

    def __init__(
        self,
        operation: str,
        key: str,
        needed: int,
        answered: Sequence[str],
        silent: Sequence[str],
        after_s: float,
        reason: str = "",
    ) -> None:
        got = f"{len(answered)} ({', '.join(answered)})" if answered else "0"
        super().__init__(
            f"{operation} of {key!r} needed {needed} replicas and got {got} after {after_s:.2f} s; "
            f"no answer from {', '.join(silent) or 'nobody else'}: "
            f"{reason and reason + '; '}see `dynamo status`, then try again"
        )
        self.operation = operation
        self.key = key
        self.needed = needed
        self.answered = tuple(answered)
        self.silent = tuple(silent)
        self.after_s = after_s
        self.reason = reason


class BatchFailed(DynamoError):
    """Some keys of a call with many failed; the others are done.

    `done` has what the call would have returned for each key that succeeded, `failed` the error of
    each that did not.
    """

    SHOWN = 3

    def __init__(
        self, operation: str, done: Mapping[str, object], failed: Mapping[str, DynamoError]
    ) -> None:
        first = ", ".join(map(repr, list(failed)[: self.SHOWN]))
        more = f" and {len(failed) - self.SHOWN:,} more" if len(failed) > self.SHOWN else ""
        reasons = list(dict.fromkeys(map(str, dict.fromkeys(failed.values()))))
        super().__init__(
            f"{operation}: {len(failed):,} of {len(done) + len(failed):,} keys failed "
            f"({first}{more}), {len(done):,} are done: " + "; ".join(reasons[: self.SHOWN])
        )
        self.operation = operation
        self.done = done
        self.failed = failed


class Overloaded(DynamoError):
    """A bounded queue is full; nothing was done."""


class ReadOnly(DynamoError):
    """A disk takes no writes now: it is full, or was made read-only; nothing was done.

    The message names the node, its folder, and what is free and what is needed there. Reads go on,
    and writes do as soon as there is room.
    """


class Unreachable(DynamoError):
    """No node answered before the deadline; a put may or may not have been stored."""


class CorruptData(DynamoError):
    """Stored or received bytes fail their checksum or don't have their format."""


class NodeFailed(DynamoError):
    """A node can't start or go on serving; the message says why."""
