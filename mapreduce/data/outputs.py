"""Output: formats, and commit by attempt."""

import msgspec


class Part(msgspec.Struct, frozen=True, array_like=True):
    """One attempt's output, stored but not yet visible under its final name."""

    name: str
    """The final name inside the output folder, such as part-00003."""
    token: bytes
    """What the output's store needs to make it visible or delete it; opaque elsewhere."""
    size_bytes: int
    records: int
