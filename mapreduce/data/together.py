"""Calls that block and don't need each other, made at once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


def together(*calls: Callable[[], object]) -> None:
    """Make all calls, each in a thread; returns when all have ended, and raises what the first of
    them raises that fails, in the order in which they are given.

    >>> found = []
    >>> together(lambda: found.append(1), lambda: found.append(2))
    >>> sorted(found)
    [1, 2]
    """
    with ThreadPoolExecutor(len(calls), thread_name_prefix="together") as threads:
        futures = [threads.submit(call) for call in calls]
    for future in futures:
        future.result()
