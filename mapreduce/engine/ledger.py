"""What the scheduler knows of single things: attempts, tasks, workers.

Plain rows without policy: `mapreduce.engine.scheduler` changes them, the policies beside it read
them. Times are whatever the driver hands to the scheduler as `now`, in seconds.
"""

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from mapreduce.engine.events import AttemptId, Locality, TaskId


class AttemptState(Enum):
    RUNNING = auto()
    SUCCEEDED = auto()
    FAILED = auto()
    LOST = auto()
    """Its worker is gone or knows nothing of it; should its result still come, it is welcome."""
    KILLED = auto()
    RETURNED = auto()
    """It never began: its worker gave it back."""
    SPOILED = auto()
    """It had succeeded, and then its output could not be read."""


@dataclass(slots=True)
class Attempt:
    """One try. `began` and `ended` count the scheduler's events: they order what time can't."""

    id: AttemptId
    worker: str
    locality: Locality
    given_at: float
    began: int
    """0 for one of an earlier leader's."""
    ended: int = 0
    ended_at: float | None = None
    state: AttemptState = AttemptState.RUNNING
    backup: bool = False
    early: bool = False
    """A reduce that was given out before all maps were done, and may wait for them in its slot."""
    progress: float = 0.0
    progress_at: float = 0.0
    """When `progress`, a part of 1, was told."""


@dataclass(slots=True)
class Task:
    """One task: waiting, running, or done by its `winner`, the first attempt that succeeded."""

    id: TaskId
    nodes: tuple[str, ...]
    attempts: dict[int, Attempt] = field(default_factory=dict)
    """By number: those of an earlier leader have lower ones than this scheduler gives."""
    winner: Attempt | None = None
    result: Any = None
    failures: int = 0
    """Attempts that raised: the job's `max_attempts` bounds them."""
    failed_on: tuple[str, ...] = ()
    """The workers on which they did."""
    unread_on: tuple[str, ...] = ()
    """Of a reduce task: the workers on which it could not read all that the maps have made."""
    unread_by: tuple[str, ...] = ()
    """Of a map task that is done: the workers on which a reduce could not read what it made."""
    losses: int = 0
    """Attempts that ended by no fault of their own."""
    given: int = 0
    """How many attempts this scheduler has given out."""

    turn: int = 0
    """Its place among those that wait, or 0 (`mapreduce.engine.waiting`)."""
    waiting_since: float = 0.0
    hosts: tuple[str, ...] = ()
    """The machines on which it may run when it has waited until `host_from`."""
    host_from: float = 0.0

    @property
    def running(self) -> list[Attempt]:
        return [a for a in self.attempts.values() if a.state is AttemptState.RUNNING]


@dataclass(slots=True)
class Worker:
    """A living worker. `strays` are attempts it still works on that it should not: each holds a
    slot until the worker no longer reports it."""

    name: str
    node: str = ""
    host: str = ""
    slots: int = 0
    seen_at: float = 0.0
    strikes: int = 0
    """How often, one after the other, it was expected to report and did not."""
    draining: bool = False
    ahead: int = 0
    """So many attempts may wait there beside those in its slots."""
    attempts: dict[AttemptId, Attempt] = field(default_factory=dict)
    strays: frozenset[AttemptId] = frozenset()
    early: int = 0
    """How many of its attempts wait for maps; nothing may wait in turn behind them."""
    shelf: int | None = None
    """Under how many idle slots it is to be found (`mapreduce.engine.workers`)."""

    @property
    def idle(self) -> int:
        """Its slots less what it has; below 0 if attempts wait there."""
        return self.slots - len(self.attempts) - len(self.strays)

    @property
    def takes_tasks(self) -> bool:
        """True unless it is silent, which is a strike, or is to have no more."""
        return not self.draining and not self.strikes

    @property
    def is_free(self) -> bool:
        """True if it may be given an attempt."""
        if not self.takes_tasks:
            return False
        return self.idle + (0 if self.early else self.ahead) > 0
