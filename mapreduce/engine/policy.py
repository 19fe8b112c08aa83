"""The scheduler's times and bounds, with their defaults; docs/scheduling.md tells what they do."""

import msgspec


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Times are in seconds."""

    # Placement
    locality_wait_s: float = 1.0
    """How long a task waits for a worker beside its data."""
    host_wait_s: float = 1.0
    """How long it then waits for one on a machine that has its data."""

    # Loss
    worker_timeout_s: float = 5.0
    """A worker that has not reported for so long is lost."""
    strikes: int = 2
    """That time is cut into so many parts: a worker has a strike for each, one after the other, in
    which it was expected to report and did not. With the last it is lost."""
    order_timeout_s: float = 3.0
    """An attempt given so long ago that its worker doesn't report as running is lost."""
    takeover_wait_s: float = 2.0
    """How long nothing of a job is given out that an earlier leader has begun: workers have to tell
    what they run of it."""
    max_losses: int = 20
    """How often a task may be lost, with its worker or its output, before its job fails. A reduce
    may besides wait once for each of its maps."""

    # Failure
    backoff_s: float = 1.0
    """The wait after a task's second failure; it doubles with each one after. None after the
    first."""
    longest_backoff_s: float = 30.0
    other_worker_wait_s: float = 1.0
    """How long a task that has failed waits for a worker on which it has not."""
    unread_wait_s: float = 30.0
    """How long a reduce that could not read its pieces waits for a worker that may reach them."""
    set_aside_after: int = 3
    """A worker on which so many tasks of a job have failed gets no more of it."""

    # Backups
    backup_after_medians: float = 1.5
    """No task has a backup before it has run so many times as long as others of its stage did."""
    backup_after_s: float = 7.5
    """Nor before it has run for so long: what takes five seconds runs once if nothing fails, on a
    busy machine too. Tasks may have effects elsewhere, and of short ones a copy gains little."""
    backup_share: float = 0.1
    """At most this part of a stage's tasks, but one at least, have backups at the same time."""
