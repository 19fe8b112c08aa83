"""What the scheduler knows of a job and its two stages: which tasks wait, rest, run or are done.

Everything that is asked often is counted as it changes, so no question goes over all tasks.
"""

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from mapreduce.engine.events import AttemptId, JobStarted, JobState, TaskId
from mapreduce.engine.ledger import Attempt, AttemptState, Task
from mapreduce.engine.waiting import Waiting

REMEMBERED = 200
"""So many tasks that were done last speak for how long one takes and how many end in a second."""

LEAST_PRIORITY = 1e-3


class Stage:
    """The map or the reduce tasks of a job."""

    def __init__(
        self, job: str, kind: Literal["map", "reduce"], nodes: tuple[tuple[str, ...], ...]
    ) -> None:
        self.kind = kind
        self.tasks = [Task(TaskId(job, kind, i), beside) for i, beside in enumerate(nodes)]
        self.waiting = Waiting()
        self.resting: dict[int, float] = {}
        """Tasks that are not given out before a moment, as they have failed."""
        self.running: dict[AttemptId, Attempt] = {}
        self.busy = 0
        """How many tasks run: fewer than attempts if there are backups."""
        self.done = 0
        self.started_at: float | None = None
        self.ended_at: float | None = None
        self.ended: Counter[AttemptState] = Counter()
        """The attempts that run no longer."""
        self.localities: Counter[str] = Counter()
        """Where the winners ran."""
        self.durations: deque[float] = deque(maxlen=REMEMBERED)
        """How many seconds each of the last winners took."""
        self.won_at: deque[float] = deque(maxlen=REMEMBERED)

    @property
    def complete(self) -> bool:
        return self.done == len(self.tasks)

    @property
    def has_unstarted(self) -> bool:
        """True if a task waits or rests."""
        return bool(len(self.waiting) or self.resting)

    def clear(self) -> None:
        """Nothing of it will run any more."""
        self.waiting = Waiting()
        self.resting.clear()

    def unqueue(self, task: Task) -> None:
        """`task` neither waits nor rests any longer."""
        self.waiting.remove(task)
        self.resting.pop(task.id.index, None)

    def begin(self, task: Task, attempt: Attempt) -> None:
        """`attempt` runs."""
        self.unqueue(task)
        if not task.running:
            self.busy += 1
        task.attempts[attempt.id.number] = attempt
        self.running[attempt.id] = attempt

    def end(self, attempt: Attempt, state: AttemptState) -> None:
        """`attempt` runs no longer; or its end is now seen in another light."""
        task = self.tasks[attempt.id.task.index]
        before, attempt.state = attempt.state, state
        self.ended[state] += 1
        if before is not AttemptState.RUNNING:
            self.ended[before] -= 1
            return
        del self.running[attempt.id]
        if not task.running:
            self.busy -= 1

    def win(self, task: Task, attempt: Attempt, result: Any) -> None:
        """`task` is done."""
        self.unqueue(task)
        task.winner, task.result = attempt, result
        self.done += 1
        self.localities[attempt.locality.value] += 1

    def spoil(self, task: Task) -> None:
        """`task` is done no longer."""
        if task.winner:
            self.end(task.winner, AttemptState.SPOILED)
            self.localities[task.winner.locality.value] -= 1
            self.done -= 1
            self.ended_at = None
        task.winner, task.result = None, None


@dataclass(slots=True)
class Job:
    """One run of a job."""

    id: str
    maps: Stage
    reduces: Stage
    started_at: float
    max_attempts: int
    priority: float
    max_running: int
    slow_start: float
    backups: bool
    first_attempt: int
    """Lower numbers were given by earlier leaders, higher ones by this scheduler."""
    held: bool = False
    """Nothing is given out yet: workers may still tell that they run some of it."""
    paused: bool = False
    state: JobState = JobState.RUNNING
    committing: bool = False
    kill_wanted: bool = False
    """Killed while its output was being made visible: that is let finish, one way or the other."""
    error: str = ""
    first_error: str = ""
    """What the first attempt that raised has said, and who and where it was."""
    ended_at: float | None = None
    backups_started: int = 0
    failed_on: dict[str, set[TaskId]] = field(default_factory=dict)
    """The tasks that have failed on a worker."""
    set_aside: dict[str, None] = field(default_factory=dict)
    """The workers that get nothing of this job any more; who was set aside first is first."""

    @classmethod
    def of(cls, event: JobStarted, now: float) -> "Job":
        return cls(
            id=event.job,
            maps=Stage(event.job, "map", event.map_nodes),
            reduces=Stage(event.job, "reduce", event.reduce_nodes),
            started_at=now,
            max_attempts=event.max_attempts,
            priority=max(event.priority, LEAST_PRIORITY),
            max_running=event.max_running,
            slow_start=event.slow_start,
            backups=event.backups,
            first_attempt=event.first_attempt,
            paused=event.paused,
        )

    @property
    def stages(self) -> tuple[Stage, Stage]:
        return self.maps, self.reduces

    @property
    def current(self) -> Stage:
        """The stage whose tasks have a right to slots."""
        return self.reduces if self.maps.complete else self.maps

    @property
    def running(self) -> int:
        """How many slots it holds."""
        return len(self.maps.running) + len(self.reduces.running)

    @property
    def has_room(self) -> bool:
        """True if it may have another slot."""
        if self.paused or self.held:
            return False
        return not self.max_running or self.running < self.max_running

    @property
    def early_reduces(self) -> Iterator[Attempt]:
        """Reduces that run and may wait for maps that are not done."""
        if not self.maps.complete:
            for attempt in self.reduces.running.values():
                if attempt.early:
                    yield attempt

    def stage(self, kind: str) -> Stage:
        return self.maps if kind == "map" else self.reduces

    def task(self, task: TaskId) -> Task | None:
        tasks = self.stage(task.kind).tasks
        return tasks[task.index] if 0 <= task.index < len(tasks) else None
