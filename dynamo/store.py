"""The contract that users of the store see, and its twin in memory.

`Store` is the one door between the store and everything built on it: files, MapReduce, commands.
`dynamo.net.client.Client` is the store of a running cluster; `MemoryStore` is the same contract in
one process, for tests and for jobs that run without a cluster. One battery of tests runs over both.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count
from threading import Lock
from typing import Protocol

import msgspec

from dynamo.errors import Conflict, RequestError, TooLarge
from dynamo.options import PutOptions, Resolver, check_resolver
from dynamo.values import versions
from dynamo.values.versions import Context, Siblings

KEY_LIMIT_BYTES = 1024
VALUE_LIMIT_BYTES = 8 << 20


class Reading(msgspec.Struct, frozen=True):
    """What a get found: the live values newest first, their context, the nodes that answered.

    No values means that the key was never written or has been deleted. More than one are
    siblings: writes that did not know of each other. Put a value with `context` to replace them.
    """

    values: tuple[bytes, ...]
    context: Context
    nodes: tuple[str, ...] = ()

    @property
    def value(self) -> bytes | None:
        """The newest value, or None where there is none."""
        return self.values[0] if self.values else None


class Written(msgspec.Struct, frozen=True):
    """What a put or delete did: the nodes known to have stored it.

    It gives no context: what stands beside the write, and its writer has not seen, would be covered
    by it. To write on, get first.
    """

    nodes: tuple[str, ...]


class Store(Protocol):
    """A replicated key-value store. Every method may be called from many threads at once.

    `n`, `r` and `w` default to the cluster's replicas, read quorum and write quorum (to `n` where
    that is less), `timeout_s` to the cluster's timeout. Every call may raise the errors of
    `dynamo.errors`.
    """

    def get(
        self,
        key: str,
        *,
        n: int | None = None,
        r: int | None = None,
        timeout_s: float | None = None,
        resolver: Resolver = "siblings",
    ) -> Reading:
        """Read one key. A key that is not there gives a reading without values.

        `resolver` says what becomes of siblings. The context covers all of them in any case, so a
        put of the resolved value with it replaces them all.
        """

    def put(
        self,
        key: str,
        value: bytes,
        *,
        context: Context | None = None,
        n: int | None = None,
        w: int | None = None,
        timeout_s: float | None = None,
        durable: bool | None = None,
        ttl_s: float | None = None,
        ephemeral: bool = False,
        if_absent: bool = False,
        if_context: Context | None = None,
    ) -> Written:
        """Write one key and return when `w` replicas have it.

        With the context of a get, the put replaces what that get saw, and a write it did not see
        stays beside it as a sibling. Without one it replaces what was written before it, by the
        writers' clocks. `durable=False` does not wait for fsync: for data that can be made again.

        `ttl_s` seconds after it was written, by the writer's clock, the value reads as absent.
        With `ephemeral=True` as well it then leaves no trace on the nodes, nor need anybody delete
        it; such a put waits for no fsync unless `durable` says so, and is refused for a key that
        holds, or held, what is meant to last. A key put with an `n` of its own is to be read and
        deleted with the same `n`, and may be missing from lists.

        `if_absent=True` puts only if nothing is stored under the key, `if_context` only if nothing
        has been stored since the get of that context, which the put then carries. Otherwise
        `Conflict` is raised. This is best effort: see docs/consistency.md.
        """

    def delete(
        self,
        key: str,
        *,
        context: Context | None = None,
        n: int | None = None,
        w: int | None = None,
        timeout_s: float | None = None,
        durable: bool = True,
    ) -> Written:
        """Delete one key: a put of a tombstone. Deleting what is not there is no error."""

    def multi_get(
        self,
        keys: Iterable[str],
        *,
        n: int | None = None,
        r: int | None = None,
        timeout_s: float | None = None,
        resolver: Resolver = "siblings",
    ) -> dict[str, Reading]:
        """Read many keys in as few round trips as they allow.

        If some can't be read, `BatchFailed` carries those that can and the errors of the others;
        `timeout_s` is for each round trip.
        """

    def multi_put(
        self,
        items: Mapping[str, bytes],
        *,
        n: int | None = None,
        w: int | None = None,
        timeout_s: float | None = None,
        durable: bool | None = None,
        ttl_s: float | None = None,
        ephemeral: bool = False,
    ) -> dict[str, Written]:
        """Write many keys, each like `put` without a context.

        The keys are independent: if some can't be written, the others are, and `BatchFailed` says
        which. What could never be written is refused before anything is.
        """

    def multi_delete(
        self,
        keys: Iterable[str],
        *,
        n: int | None = None,
        w: int | None = None,
        timeout_s: float | None = None,
        durable: bool = True,
    ) -> dict[str, Written]:
        """Delete many keys, each like `delete` without a context; see `multi_put`."""

    def list(
        self,
        prefix: str,
        *,
        after: str = "",
        n: int | None = None,
        r: int | None = None,
        timeout_s: float | None = None,
    ) -> Iterator[str]:
        """The live keys that begin with `prefix` and sort behind `after`, in order of code points.

        A stream: keys are fetched page by page. A key that is written or deleted meanwhile may or
        may not be seen.
        """

    def locate(
        self, key: str, *, n: int | None = None, timeout_s: float | None = None
    ) -> tuple[str, ...]:
        """The names of the nodes on `key`'s preference list, the owner of its partition first."""


def check_key(key: str) -> None:
    """Raise the error that says what is wrong with `key`, if anything is."""
    if not isinstance(key, str) or not key:
        raise RequestError(f"a key is a text of 1 to {KEY_LIMIT_BYTES:,} bytes, not {key!r}")
    try:
        size_bytes = len(key) if key.isascii() else len(key.encode())
    except UnicodeEncodeError as error:
        raise RequestError(f"the key {key!r} can't be written as UTF-8: {error.reason}") from None
    if size_bytes > KEY_LIMIT_BYTES:
        raise TooLarge("key", size_bytes, KEY_LIMIT_BYTES)


def check_value(value: bytes) -> None:
    """Raise the error that says what is wrong with `value`, if anything is."""
    if not isinstance(value, bytes):
        raise RequestError(f"a value is bytes, not {type(value).__name__}; encode it first")
    if len(value) > VALUE_LIMIT_BYTES:
        raise TooLarge("value", len(value), VALUE_LIMIT_BYTES)


def resolved(reading: Reading, resolver: Resolver) -> Reading:
    """`reading` with its siblings resolved; its context still covers them all.

    >>> both = Reading((b"milk", b"eggs"), {"a": 2})
    >>> resolved(both, lambda values: b" ".join(sorted(values))).values
    (b'eggs milk',)
    """
    if len(reading.values) < 2 or resolver == "siblings":
        return reading
    one = reading.values[0] if resolver == "last_write" else resolver(reading.values)
    check_value(one)
    return Reading((one,), reading.context, reading.nodes)


class OneByOne(ABC):
    """The batch forms of a `Store` that gains nothing by batches; a bad batch is refused whole."""

    @abstractmethod
    def get(self, key: str, *, resolver: Resolver = "siblings") -> Reading: ...

    @abstractmethod
    def put(
        self, key: str, value: bytes, *, ttl_s: float | None = None, ephemeral: bool = False
    ) -> Written: ...

    @abstractmethod
    def delete(self, key: str) -> Written: ...

    def multi_get(
        self,
        keys: Iterable[str],
        *,
        n: int | None = None,
        r: int | None = None,
        timeout_s: float | None = None,
        resolver: Resolver = "siblings",
    ) -> dict[str, Reading]:
        return {key: self.get(key, resolver=resolver) for key in keys}

    def multi_put(
        self,
        items: Mapping[str, bytes],
        *,
        n: int | None = None,
        w: int | None = None,
        timeout_s: float | None = None,
        durable: bool | None = None,
        ttl_s: float | None = None,
        ephemeral: bool = False,
    ) -> dict[str, Written]:
        for key, value in items.items():
            check_key(key)
            check_value(value)
        return {
            key: self.put(key, value, ttl_s=ttl_s, ephemeral=ephemeral)
            for key, value in items.items()
        }

    def multi_delete(
        self,
        keys: Iterable[str],
        *,
        n: int | None = None,
        w: int | None = None,
        timeout_s: float | None = None,
        durable: bool = True,
    ) -> dict[str, Written]:
        keys = list(keys)
        for key in keys:
            check_key(key)
        return {key: self.delete(key) for key in keys}


class MemoryStore(OneByOne):
    """A `Store` in the memory of one process: one replica, the same versions and the same errors.

    >>> store = MemoryStore()
    >>> written = store.put("colour", b"green")
    >>> store.get("colour").value
    b'green'
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._copies: dict[str, Siblings] = {}
        self._lock = Lock()
        self._clock = clock
        self._lives = count(1)

    def get(
        self,
        key: str,
        *,
        n: int | None = None,
        r: int | None = None,
        timeout_s: float | None = None,
        resolver: Resolver = "siblings",
    ) -> Reading:
        check_key(key)
        check_resolver(resolver)
        with self._lock:
            now = self._clock()
            copy = versions.as_of(self._copy(key, now), now)
        return resolved(Reading(copy.values, copy.context, ("memory",)), resolver)

    def put(
        self,
        key: str,
        value: bytes,
        *,
        context: Context | None = None,
        n: int | None = None,
        w: int | None = None,
        timeout_s: float | None = None,
        durable: bool | None = None,
        ttl_s: float | None = None,
        ephemeral: bool = False,
        if_absent: bool = False,
        if_context: Context | None = None,
    ) -> Written:
        check_value(value)
        options = PutOptions(
            context, n, w, timeout_s, durable, ttl_s, ephemeral, if_absent, if_context
        )
        return self._write(key, value, options)

    def delete(
        self,
        key: str,
        *,
        context: Context | None = None,
        n: int | None = None,
        w: int | None = None,
        timeout_s: float | None = None,
        durable: bool = True,
    ) -> Written:
        return self._write(key, None, PutOptions(context))

    def list(
        self,
        prefix: str,
        *,
        after: str = "",
        n: int | None = None,
        r: int | None = None,
        timeout_s: float | None = None,
    ) -> Iterator[str]:
        with self._lock:
            now = self._clock()
            live = [key for key, copy in self._copies.items() if not versions.is_dead(copy, now)]
        return iter(sorted(key for key in live if key.startswith(prefix) and key > after))

    def locate(
        self, key: str, *, n: int | None = None, timeout_s: float | None = None
    ) -> tuple[str, ...]:
        check_key(key)
        return ("memory",)

    def _write(self, key: str, value: bytes | None, options: PutOptions) -> Written:
        check_key(key)
        with self._lock:
            now = self._clock()
            copy = self._copy(key, now)
            self._check_condition(key, copy, options, now)
            actor = self._actor(copy, options.ephemeral, value)
            context = copy.context if options.if_absent else options.seen
            self._copies[key] = versions.update(
                copy, context, actor, value, now, options.expires_at(now)
            )
        return Written(("memory",))

    def _copy(self, key: str, now: float) -> Siblings:
        copy = self._copies.get(key, versions.EMPTY)
        if versions.forget_at(copy) > now:
            return copy
        del self._copies[key]
        return versions.EMPTY

    def _actor(self, copy: Siblings, ephemeral: bool, value: bytes | None) -> str:
        """An ephemeral copy has an actor of its own, because the next one of its key starts
        counting again; to delete it leaves it one."""
        if versions.ephemeral(copy) and (ephemeral or value is None):
            return next(iter(copy.context))
        return f"memory-{next(self._lives)}{versions.EPHEMERAL}" if ephemeral else "memory"

    def _check_condition(self, key: str, copy: Siblings, options: PutOptions, now: float) -> None:
        if options.ephemeral and copy.context and not versions.ephemeral(copy):
            raise RequestError(
                f"ephemeral put of {key!r} can't be done: the key holds, or held, what is to last"
            )
        live = versions.as_of(copy, now)
        unseen = [v for v in live.versions if not versions.seen(options.if_context or {}, v.dot)]
        if (options.if_absent and live.values) or (options.if_context is not None and unseen):
            raise Conflict(key, copy.context, len(live.values))
