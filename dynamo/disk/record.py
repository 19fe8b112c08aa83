"""The byte format of a stored copy.

record := CRC-32 of body, 4 bytes big-endian | body
body   := msgpack array [life, [context, [version, ...]]]
version := msgpack array [[actor, counter], value, written_at, expires_at]
"""

import zlib

import msgspec

from dynamo.errors import CorruptData
from dynamo.values.versions import Siblings


class Copy(msgspec.Struct, frozen=True, array_like=True):
    """What a node keeps for one key."""

    life: str
    """The actor under which this node coordinates writes of this copy; "" until it first does.
    It is kept with the copy and ends with it: see `dynamo.protocol.replica`."""
    siblings: Siblings


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Copy)


def encode(copy: Copy) -> bytes:
    """The record for `copy`."""
    return seal(_encoder.encode(copy))


def decode(record: bytes) -> Copy:
    """The copy in `record`; raises `CorruptData` if the record was damaged."""
    try:
        return _decoder.decode(unseal(record))
    except msgspec.MsgspecError as error:
        raise CorruptData(f"a stored copy of {len(record):,} bytes has no known format") from error


def siblings_in(record: bytes) -> Siblings | None:
    """What the copy in `record` holds; None if the record was damaged."""
    try:
        return decode(record).siblings
    except CorruptData:
        return None


def seal(body: bytes) -> bytes:
    """`body` behind its checksum."""
    return zlib.crc32(body).to_bytes(4, "big") + body


def unseal(sealed: bytes) -> memoryview:
    """The body of what was sealed; raises `CorruptData` if it was damaged."""
    body = memoryview(sealed)[4:]
    if zlib.crc32(body) != int.from_bytes(sealed[:4], "big"):
        raise CorruptData(f"a stored copy of {len(sealed):,} bytes fails its checksum")
    return body
