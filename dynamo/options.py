"""What a put or get may ask for beside its key and value, checked."""

from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from dynamo.errors import RequestError
from dynamo.values.versions import Context

FOREVER_S = 1e10
"""Some three hundred years: a time to live is less."""

Resolver = Literal["siblings", "last_write"] | Callable[[Sequence[bytes]], bytes]
"""What a get does with siblings: hands them all over, keeps the newest by the writers' clocks, or
makes one value of them (a function of the values, newest first)."""


class PutOptions(msgspec.Struct, frozen=True):
    """What a put asks for beside its key and value, checked; see `dynamo.store.Store.put`."""

    context: Context | None = None
    n: int | None = None
    w: int | None = None
    timeout_s: float | None = None
    durable: bool | None = None
    ttl_s: float | None = None
    ephemeral: bool = False
    if_absent: bool = False
    if_context: Context | None = None

    def __post_init__(self) -> None:
        number = isinstance(self.ttl_s, int | float)
        if self.ttl_s is not None and not (number and 0 < self.ttl_s < FOREVER_S):
            raise RequestError(f"ttl_s is a number of seconds over 0, not {self.ttl_s!r}")
        if self.ephemeral and self.ttl_s is None:
            raise RequestError("an ephemeral put needs ttl_s: the seconds after which it is gone")
        given = (self.context is not None, self.if_absent, self.if_context is not None)
        if sum(given) > 1:
            raise RequestError("give one of context, if_absent and if_context, not several")

    @property
    def seen(self) -> Context | None:
        """The context that goes with the put."""
        return self.context if self.if_context is None else self.if_context

    @property
    def fsync(self) -> bool:
        """Unless told otherwise, all but ephemeral puts wait for the disk."""
        return not self.ephemeral if self.durable is None else self.durable

    def expires_at(self, written_at: float) -> float:
        """Seconds since 1970, or 0 for never, for a put written at that time."""
        return 0.0 if self.ttl_s is None else written_at + self.ttl_s


def check_resolver(resolver: Resolver) -> None:
    """Raise the error that says what is wrong with `resolver`, if anything is."""
    if resolver not in ("siblings", "last_write") and not callable(resolver):
        raise RequestError(
            f'a resolver is "siblings", "last_write" or a function of the values, not {resolver!r}'
        )
