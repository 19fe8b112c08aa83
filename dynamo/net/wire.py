"""The bytes on the network, and their limits.

    frame := version, 1 byte | msgpack array [address, open, [envelope, ...], [life, number]]

`address` is who sends the frame; `open` is how many requests it has yet to answer, or to send the
answer of; the last is the sender's connection (see `Connection`). One frame is the argument, and
one the result, of zerorpc's `exchange` call. zerorpc itself packs arguments with msgpack and loses
its peer over some of what that allows (maps with integer keys, messages over 100 MiB), so it never
sees more than one bytes value, within limits kept here.
"""

from typing import NamedTuple

import msgspec

from dynamo.errors import CorruptData
from dynamo.protocol.messages import (
    CopiesFetched,
    CopyFetched,
    Envelope,
    FetchCopies,
    GetDone,
    GetMany,
    GotMany,
    HintsFetched,
    Message,
    Put,
    PutMany,
    StoreCopies,
    StoreCopy,
)
from dynamo.values.versions import Siblings

VERSION = b"\x01"
FRAME_LIMIT_BYTES = 8 << 20
"""A frame is cut before it grows over this; one envelope alone may be larger."""
REFUSED_BYTES = 64 << 20
"""A frame over this is refused unread."""
ENVELOPE_BYTES = 2048
"""What an envelope is taken to weigh beside its values: more than it has, because handling it takes
as long as a value of about that size. It bounds a frame, and a step, to some thousand envelopes."""
KEY_BYTES = 1024
"""What one key of a lot is taken to weigh beside its value, for the same reason."""

_encoder = msgspec.msgpack.Encoder()


class Connection(NamedTuple):
    """Which of its connections a link uses; one at a time."""

    life: int
    """Random: a link in a process that has started again counts from the beginning."""
    number: int


NO_CONNECTION = Connection(0, 0)
"""Of a caller that asks once and goes."""


class Frame(NamedTuple):
    """What one side says in an exchange."""

    address: str
    open: int
    envelopes: list[Envelope]
    connection: Connection = NO_CONNECTION


_decoder = msgspec.msgpack.Decoder(Frame)


def encode(frame: Frame) -> bytearray:
    """The bytes of `frame`, in the buffer they were made in: a frame may be large."""
    encoded = bytearray(VERSION)
    _encoder.encode_into(frame, encoded, len(VERSION))
    return encoded


def decode(frame: object) -> Frame:
    """The frame in bytes that came; raises `CorruptData` for anything that is no frame."""
    if not isinstance(frame, bytes | bytearray):
        raise CorruptData(f"exchange takes one frame of bytes, not {type(frame).__name__}")
    if len(frame) > REFUSED_BYTES:
        raise CorruptData(f"a frame of {len(frame):,} bytes is over the limit of {REFUSED_BYTES:,}")
    if frame[:1] != VERSION:
        raise CorruptData(f"a frame of version {frame[:1]!r}; this node speaks {VERSION!r}")
    try:
        return _decoder.decode(memoryview(frame)[1:])
    except msgspec.MsgspecError as error:
        raise CorruptData(f"a frame of {len(frame):,} bytes can't be read: {error}") from error


_ONE_KEY = frozenset({StoreCopy, CopyFetched, GetDone})


def weight(envelope: Envelope) -> int:
    """About how many bytes the envelope takes on the wire and in a queue."""
    message = envelope.message
    kind = type(message)
    if kind is Put:
        return ENVELOPE_BYTES + len(message.value or b"")  # type: ignore[union-attr]
    if kind in _ONE_KEY:
        return ENVELOPE_BYTES + _values_bytes(message.siblings)  # type: ignore[union-attr, arg-type]
    return ENVELOPE_BYTES + _lot_bytes(message)


def _lot_bytes(message: Message) -> int:
    """What the keys of a message for many keys weigh; none for any other message."""
    match message:
        case PutMany():
            return sum([KEY_BYTES + len(value or b"") for _, value in message.items])
        case StoreCopies():
            return sum([KEY_BYTES + len(record) for _, record in message.copies])
        case GotMany() | CopiesFetched():
            return sum([KEY_BYTES + _values_bytes(siblings) for siblings in message.siblings])
        case GetMany() | FetchCopies():
            return KEY_BYTES * len(message.keys)
        case HintsFetched():
            return sum([KEY_BYTES + _values_bytes(kept) for kept in message.hints.values()])
    return 0


def _values_bytes(siblings: Siblings) -> int:
    return sum([len(version.value or b"") for version in siblings.versions])
