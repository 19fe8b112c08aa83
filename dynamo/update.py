"""Reading a value, changing it, and writing it back as if nobody else did the same."""

from collections.abc import Callable

from dynamo.errors import Conflict
from dynamo.store import Reading, Store, Written


def update(
    store: Store, key: str, change: Callable[[Reading], bytes], *, attempts: int = 10
) -> Written:
    """Read `key`, put what `change` makes of the reading, and do so again where others were faster.

    `change` may be called several times. Raises the last `Conflict` after so many attempts. Best
    effort as every conditional put: writers through different nodes may still leave siblings.

    >>> from dynamo.store import MemoryStore
    >>> store = MemoryStore()
    >>> for _ in range(3):
    ...     written = update(store, "hits", lambda seen: b"%d" % (int(seen.value or 0) + 1))
    >>> store.get("hits").value
    b'3'
    """
    while True:
        attempts -= 1
        reading = store.get(key)
        try:
            return store.put(key, change(reading), if_context=reading.context)
        except Conflict:
            if attempts <= 0:
                raise
