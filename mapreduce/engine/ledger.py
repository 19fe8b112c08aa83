"""What the scheduler knows: workers, jobs, their two stages, tasks and attempts.

Plain tables without policy: `mapreduce.engine.scheduler` changes them, `placement` and `retry` read
them. Times are whatever the driver hands to the scheduler as `now`, in seconds.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Literal

from mapreduce.engine.events import AttemptId, JobState, Locality, TaskId


class AttemptState(Enum):
    RUNNING = auto()
    SUCCEEDED = auto()
    FAILED = auto()
    LOST = auto()
    """Its worker is gone or knows nothing of it; should its result still come, it is welcome."""
    KILLED = auto()
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


@dataclass(slots=True)
class Task:
    """One task: waiting, running, or done by its `winner`, the first attempt that succeeded."""

    id: TaskId
    nodes: tuple[str, ...]
    waiting_since: float
    attempts: dict[int, Attempt] = field(default_factory=dict)
    """By number: those of an earlier leader have lower ones than this scheduler gives."""
    winner: Attempt | None = None
    result: Any = None
    failures: int = 0
    """Attempts that raised: the job's `max_attempts` bounds them."""
    losses: int = 0
    """Attempts that ended by no fault of their own."""

    given: int = 0
    """How many attempts this scheduler has given out."""

    @property
    def running(self) -> list[Attempt]:
        return [a for a in self.attempts.values() if a.state is AttemptState.RUNNING]


class Stage:
    """The map or the reduce tasks of a job, and which of them wait, by the nodes they wait for."""

    def __init__(
        self, job: str, kind: Literal["map", "reduce"], nodes: tuple[tuple[str, ...], ...]
    ) -> None:
        self.kind = kind
        self.tasks = [Task(TaskId(job, kind, i), beside, 0.0) for i, beside in enumerate(nodes)]
        self.waiting: dict[int, Task] = {}
        self.done = 0
        self.started_at: float | None = None
        self.ended_at: float | None = None
        self._beside: dict[str, dict[int, Task]] = {}

    @property
    def complete(self) -> bool:
        return self.done == len(self.tasks)

    def open(self, now: float) -> None:
        """Its tasks may run from now on: those without a winner wait."""
        self.started_at = now
        for task in self.tasks:
            if task.winner is None and not task.running:
                self.queue(task, now)

    def queue(self, task: Task, now: float) -> None:
        task.waiting_since = now
        self.waiting[task.id.index] = task
        for node in task.nodes:
            self._beside.setdefault(node, {})[task.id.index] = task

    def unqueue(self, task: Task) -> None:
        if self.waiting.pop(task.id.index, None):
            for node in task.nodes:
                self._beside[node].pop(task.id.index)

    def first_beside(self, node: str) -> Task | None:
        """The task that has waited longest among those whose data is on `node`."""
        return next(iter(self._beside.get(node, {}).values()), None)


@dataclass(slots=True)
class Job:
    """One run of a job."""

    id: str
    max_attempts: int
    maps: Stage
    reduces: Stage
    started_at: float
    first_attempt: int = 1
    """Lower numbers were given by earlier leaders, higher ones by this scheduler."""
    held_until: float | None = None
    """Nothing is given out before: workers may still tell that they run some of it."""
    paused: bool = False
    state: JobState = JobState.RUNNING
    committing: bool = False
    kill_wanted: bool = False
    """Killed while its output was being made visible: that is let finish, one way or the other."""
    error: str = ""
    ended_at: float | None = None

    @property
    def stages(self) -> tuple[Stage, Stage]:
        return self.maps, self.reduces

    @property
    def current(self) -> Stage:
        """The stage whose tasks may be given out: no reduce starts before all maps are done."""
        return self.reduces if self.maps.complete else self.maps

    @property
    def attempts(self) -> Iterator[Attempt]:
        tasks = (task for stage in self.stages for task in stage.tasks)
        return (a for task in tasks for a in task.attempts.values())

    def stage(self, kind: str) -> Stage:
        return self.maps if kind == "map" else self.reduces

    def task(self, task: TaskId) -> Task | None:
        tasks = self.stage(task.kind).tasks
        return tasks[task.index] if 0 <= task.index < len(tasks) else None


@dataclass(slots=True)
class Worker:
    """A living worker. `strays` are attempts it still works on that it should not: each holds a
    slot until the worker no longer reports it."""

    name: str
    node: str
    slots: int
    seen_at: float
    draining: bool = False
    ahead: int = 0
    """So many attempts may wait there beside those in its slots."""
    attempts: dict[AttemptId, Attempt] = field(default_factory=dict)
    strays: frozenset[AttemptId] = frozenset()

    @property
    def free(self) -> int:
        """How many attempts it may be given."""
        if self.draining:
            return 0
        return self.slots + self.ahead - len(self.attempts) - len(self.strays)
