"""The numbers of the protocol, each with its unit and default."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Replication and patience of one cluster; a request may ask for other n, r, w, timeout_s."""

    n: int = 3
    """Replicas of each key."""
    r: int = 2
    """Copies a get needs before it answers."""
    w: int = 2
    """Acknowledgements a put needs before it answers."""
    timeout_s: float = 10.0
    """How long a request may take."""
    resend_s: float = 0.5
    """How long a replica may be silent before it is asked again."""
    repair_wait_s: float = 1.0
    """How long an answered get waits for late copies before it repairs what it has seen."""
    pending_limit: int = 20_000
    """Requests one node coordinates at a time; past it the answer is `Overloaded`."""
