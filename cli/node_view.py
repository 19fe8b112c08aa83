"""What a node says of itself, for people: a line of `dynamo status`."""

from collections.abc import Iterator
from typing import Any


def row(name: str, address: str, status: Any) -> tuple[str, str, str, str]:
    """Name, address, state and details; `status` is a text where the node did not answer."""
    if not isinstance(status, dict):
        return name, address, "no answer", str(status or "")
    return name, address, "up", "; ".join(_details(status))


def _details(status: dict[str, Any]) -> Iterator[str]:
    """
    >>> print(*_details({"members": {"n2": False, "n3": True}, "requests_in_flight": 4}))
    4 requests under way takes n2 for down
    """
    requests = status["requests_in_flight"]
    yield f"{requests} {'request' if requests == 1 else 'requests'} under way"
    if down := [member for member, up in status["members"].items() if not up]:
        yield f"takes {', '.join(down)} for down"
    for owner, kept in status.get("hints", {}).items():
        waits = f"oldest {kept['age_s']:.0f} s, waits for {kept['waits_for']}"
        yield f"keeps {kept['copies']:,} copies for {owner} ({waits})"
    if damaged := status.get("corrupt_reads"):
        yield f"has met {damaged:,} damaged copies"
