"""What of a frame may pass from a caller that is not trusted to a node (`dynamo.net.relay`).

Whoever reaches a node's port is taken at its word: as a client, as an operator who removes members,
as another node that brings copies. A caller behind a gate is a client and nothing else: it reads
what it likes, and writes keys that begin with one of a few prefixes.
"""

from collections.abc import Iterable
from typing import NamedTuple

from dynamo.net.wire import Frame
from dynamo.protocol.messages import (
    Envelope,
    Failed,
    Failure,
    Get,
    GetMany,
    GetRing,
    ListKeys,
    Message,
    Put,
    PutMany,
)

CALLERS = ("client-", "asking-")
"""How those begin that are no nodes (`dynamo.net.client`, `dynamo.net.asking`)."""
_READS = (Get, GetMany, GetRing, ListKeys)


class Passage(NamedTuple):
    """A frame as it may go on, and the answers to what may not."""

    frame: Frame
    refused: list[Envelope]


def passage(frame: Frame, writable: Iterable[str]) -> Passage:
    """Divide a frame; `writable` are the prefixes of keys that may be written.

    >>> ours, others = (Put(n, key, b"", None, 0.0) for n, key in enumerate(["mine:1", "yours:1"]))
    >>> said = Frame("client-1", 0, [Envelope("client-1", "n1", put) for put in (ours, others)])
    >>> frame, refused = passage(said, ["mine:"])
    >>> [envelope.message.key for envelope in frame.envelopes]
    ['mine:1']
    >>> [(envelope.message.id, envelope.message.reason.value) for envelope in refused]
    [(1, 'request')]
    """
    prefixes = tuple(writable)
    passing, refused = [], []
    for envelope in frame.envelopes:
        if reason := _why_not(frame.address, envelope, prefixes):
            failed = Failed(envelope.message.id, Failure.REQUEST, reason)
            refused.append(Envelope(envelope.receiver, frame.address, failed))
        else:
            passing.append(envelope)
    return Passage(frame._replace(envelopes=passing), refused)


def _why_not(caller: str, envelope: Envelope, prefixes: tuple[str, ...]) -> str:
    message = envelope.message
    if not caller.startswith(CALLERS) or envelope.sender != caller:
        return "who is in a sandbox is no node, and speaks for nobody else"
    if isinstance(message, _READS):
        return ""
    outside = [key for key in _written(message) if not key.startswith(prefixes)]
    if outside:
        return f"who is in a sandbox writes only what is its own, and not {outside[0]!r}"
    return "" if isinstance(message, Put | PutMany) else "who is in a sandbox only reads and puts"


def _written(message: Message) -> Iterable[str]:
    match message:
        case Put():
            return [message.key]
        case PutMany():
            return [key for key, _ in message.items]
    return []
