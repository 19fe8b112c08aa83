"""Waiting for something that other threads or processes do, with a deadline and no fixed sleeps."""

import time
from collections.abc import Callable

SELDOM_S = 0.25


def wait_until(
    condition: Callable[[], object], timeout_s: float, what: str, *, look_s: float = 0.01
) -> None:
    """Return as soon as `condition()` is true; AssertionError naming `what` after `timeout_s`.

    It is looked at every `look_s` seconds at first, and the longer it takes the less often: who
    asks all servers for their status all the time keeps them from getting on.
    """
    began_at = time.monotonic()
    while not condition():
        waited_s = time.monotonic() - began_at
        if waited_s > timeout_s:
            raise AssertionError(f"waited {timeout_s} s in vain for: {what}")
        time.sleep(max(look_s, min(waited_s / 10, SELDOM_S)))
