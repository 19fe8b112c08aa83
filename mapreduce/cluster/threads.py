"""Calls that block, made in threads, so that the hub always answers."""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from gevent.threadpool import ThreadPool

P = ParamSpec("P")
T = TypeVar("T")


class Threads:
    """A few threads for whatever talks to the store."""

    def __init__(self, count: int) -> None:
        self._pool = ThreadPool(count)

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `function` gives; the other greenlets go on meanwhile."""
        result, error = self._pool.apply(_caught, (function, *args), kwargs)
        if error is not None:
            raise error
        return result  # type: ignore[no-any-return]


def _caught(call: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[Any, Exception | None]:
    """An error as a value: gevent prints those that leave a thread."""
    try:
        return call(*args, **kwargs), None
    except Exception as error:
        return None, error
