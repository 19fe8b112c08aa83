"""Waiting for something that other threads or processes do, with a deadline and no fixed sleeps."""

import time
from collections.abc import Callable


def wait_until(
    condition: Callable[[], object], timeout_s: float, what: str, *, look_s: float = 0.01
) -> None:
    """Return as soon as `condition()`, looked at every `look_s` seconds, is true; AssertionError
    naming `what` after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s} s in vain for: {what}")
        time.sleep(look_s)
