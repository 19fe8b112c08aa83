"""The contract that users of the store see, and its twin in memory.

`Store` is the one door between the store and everything built on it: files, MapReduce, commands.
`dynamo.net.client.Client` is the store of a running cluster; `MemoryStore` is the same contract in
one process, for tests and for jobs that run without a cluster. One battery of tests runs over both.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Protocol

from dynamo.errors import RequestError, TooLarge
from dynamo.values import versions
from dynamo.values.versions import Context, Siblings

KEY_LIMIT_BYTES = 1024
VALUE_LIMIT_BYTES = 8 << 20


@dataclass(frozen=True)
class Reading:
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


@dataclass(frozen=True)
class Written:
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
    ) -> Reading:
        """Read one key. A key that is not there gives a reading without values."""

    def put(
        self,
        key: str,
        value: bytes,
        *,
        context: Context | None = None,
        n: int | None = None,
        w: int | None = None,
        timeout_s: float | None = None,
        durable: bool = True,
    ) -> Written:
        """Write one key and return when `w` replicas have it.

        With the context of a get, the put replaces what that get saw, and a write it did not see
        stays beside it as a sibling. Without one it replaces what was written before it, by the
        writers' clocks. `durable=False` does not wait for fsync: for data that can be made again.
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
    ) -> dict[str, Reading]:
        """Read many keys in as few round trips as they allow; raises if any can't be read."""

    def multi_put(
        self,
        items: Mapping[str, bytes],
        *,
        n: int | None = None,
        w: int | None = None,
        timeout_s: float | None = None,
        durable: bool = True,
    ) -> dict[str, Written]:
        """Write many keys, each like `put` without a context; raises if any can't be written.

        The keys are independent: when it raises, some may have been written.
        """

    def multi_delete(
        self, keys: Iterable[str], *, timeout_s: float | None = None, durable: bool = True
    ) -> dict[str, Written]:
        """Delete many keys, each like `delete` without a context."""

    def list(
        self, prefix: str, *, after: str = "", timeout_s: float | None = None
    ) -> Iterator[str]:
        """The live keys that begin with `prefix` and sort behind `after`, in order of code points.

        A stream: keys are fetched page by page. A key that is written or deleted meanwhile may or
        may not be seen.
        """

    def locate(self, key: str, *, n: int | None = None) -> tuple[str, ...]:
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


class OneByOne(ABC):
    """The batch forms of a `Store` that gains nothing by batches; a bad batch is refused whole."""

    @abstractmethod
    def get(self, key: str) -> Reading: ...

    @abstractmethod
    def put(self, key: str, value: bytes) -> Written: ...

    @abstractmethod
    def delete(self, key: str) -> Written: ...

    def multi_get(
        self,
        keys: Iterable[str],
        *,
        n: int | None = None,
        r: int | None = None,
        timeout_s: float | None = None,
    ) -> dict[str, Reading]:
        return {key: self.get(key) for key in keys}

    def multi_put(
        self,
        items: Mapping[str, bytes],
        *,
        n: int | None = None,
        w: int | None = None,
        timeout_s: float | None = None,
        durable: bool = True,
    ) -> dict[str, Written]:
        for key, value in items.items():
            check_key(key)
            check_value(value)
        return {key: self.put(key, value) for key, value in items.items()}

    def multi_delete(
        self, keys: Iterable[str], *, timeout_s: float | None = None, durable: bool = True
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

    def get(
        self,
        key: str,
        *,
        n: int | None = None,
        r: int | None = None,
        timeout_s: float | None = None,
    ) -> Reading:
        check_key(key)
        copy = self._copies.get(key, versions.EMPTY)
        return Reading(copy.values, copy.context, ("memory",))

    def put(
        self,
        key: str,
        value: bytes,
        *,
        context: Context | None = None,
        n: int | None = None,
        w: int | None = None,
        timeout_s: float | None = None,
        durable: bool = True,
    ) -> Written:
        check_value(value)
        return self._write(key, value, context)

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
        return self._write(key, None, context)

    def list(
        self, prefix: str, *, after: str = "", timeout_s: float | None = None
    ) -> Iterator[str]:
        with self._lock:
            live = [key for key, copy in self._copies.items() if copy.values]
        return iter(sorted(key for key in live if key.startswith(prefix) and key > after))

    def locate(self, key: str, *, n: int | None = None) -> tuple[str, ...]:
        check_key(key)
        return ("memory",)

    def _write(self, key: str, value: bytes | None, context: Context | None) -> Written:
        check_key(key)
        with self._lock:
            copy = self._copies.get(key, versions.EMPTY)
            changed = versions.update(copy, context, "memory", value, self._clock())
            self._copies[key] = changed
        return Written(("memory",))
