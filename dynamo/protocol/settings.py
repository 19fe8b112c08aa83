"""The numbers of the protocol, each with its unit and default."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Replication and patience of one cluster; a request may ask for other n, r, w, timeout_s."""

    n: int = 3
    """Replicas of each key where the cluster is founded; later the cluster's table says it."""
    r: int = 2
    """Copies a get needs before it answers."""
    w: int = 2
    """Acknowledgements a put needs before it answers."""
    timeout_s: float = 10.0
    """How long a request may take."""
    resend_s: float = 0.5
    """How long a replica may be silent before it is asked again."""
    suspect_s: float = 1.0
    """How long a member may leave a request unanswered before it is taken to be down."""
    ping_s: float = 1.0
    """How often a member that is taken to be down is asked whether it is back."""
    gossip_s: float = 1.0
    """How often a node compares what it knows of the cluster with another one; 0 for never."""
    handoff_batch: int = 64
    """Hinted copies on their way to one owner at a time."""
    handoff_bytes: int = 8 << 20
    """What such a batch weighs at most; a copy that is larger goes alone."""
    refused_s: float = 5.0
    """How long an owner that refused a hinted copy, say because its disk is full, is left alone."""
    hints_limit: int = 1_000_000
    """Hinted copies one node keeps; past it the answer is `Overloaded`."""
    repair_wait_s: float = 1.0
    """How long an answered get waits for late copies before it repairs what it has seen."""
    pending_limit: int = 20_000
    """Requests one node coordinates at a time; past it the answer is `Overloaded`."""
    clock_slack_s: float = 60.0
    """How much the clocks of machines may differ: so much later than its time an ephemeral copy is
    dropped."""
    sweep_batch: int = 256
    """Ephemeral copies dropped in one step, at most."""
    pending_bytes: int = 256 << 20
    """What the values of these requests may weigh together; past it the answer is the same."""
    reap_after_s: float = 3600.0
    """What no envelope outlives: a tombstone is dropped when all nodes have agreed about it twice,
    so far apart, and as much later; 0 for never."""
    anti_entropy_s: float = 10.0
    """How often a node compares what it holds with each other owner of it; 0 for never."""
    exchange_window: int = 128
    """Copies on their way between two owners that make good what differs."""
    rebuild_s: float = 7 * 86400.0
    """How often all copies are read, their checksums tried and their index entries made good; 0 for
    never."""
