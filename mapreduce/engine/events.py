"""What can happen to jobs (events) and what is to be done about it (actions).

The scheduler's whole vocabulary: `Scheduler.handle(event, now) -> list[Action]`. Drivers (inline,
local, the zerorpc master, the test simulator) turn what they see into events and carry out the
actions; nothing else passes between them.
"""

from enum import StrEnum
from typing import Any, Literal

import msgspec


class TaskId(msgspec.Struct, frozen=True, array_like=True, order=True):
    """One piece of a job's work: the `index`-th map or reduce task of the run `job`."""

    job: str
    kind: Literal["map", "reduce"]
    index: int

    def __str__(self) -> str:
        return f"{self.kind}-{self.index:05d}"


class AttemptId(msgspec.Struct, frozen=True, array_like=True, order=True):
    """One try at a task; tries are numbered from 1 and a number is never used twice."""

    task: TaskId
    number: int

    def __str__(self) -> str:
        return f"{self.task}.{self.number}"


class Locality(StrEnum):
    """How near an attempt runs to its data."""

    NODE = "node"
    """Beside a store node that holds the data."""
    HOST = "host"
    """On the machine of a store node that holds the data."""
    REMOTE = "remote"
    """Elsewhere: the data crosses the network."""
    ANY = "any"
    """The task has no place it would rather run at."""


class JobState(StrEnum):
    NEW = "new"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    KILLED = "killed"

    @property
    def ended(self) -> bool:
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.KILLED)


# Events ------------------------------------------------------------------------------------------


class Event(msgspec.Struct, frozen=True, tag=True):
    """Something that happened."""


class Done(msgspec.Struct, frozen=True, array_like=True):
    """A task that was finished under an earlier leader, and by which attempt."""

    attempt: AttemptId
    worker: str
    locality: Locality
    result: Any


class Failure(msgspec.Struct, frozen=True, array_like=True):
    """An attempt that has failed under an earlier leader, by its own fault."""

    attempt: AttemptId
    worker: str


class JobStarted(Event, frozen=True):
    """A job is to run: for each of its tasks the store nodes that hold the task's data.

    An empty tuple of nodes means that the task may run anywhere. A job without reducers ends with
    its maps.
    """

    job: str
    map_nodes: tuple[tuple[str, ...], ...]
    reduce_nodes: tuple[tuple[str, ...], ...]
    max_attempts: int = 4
    hosts: dict[str, str] = {}
    """The machines of nodes, as far as they are known."""
    priority: float = 1.0
    """The weight of its fair share: a job of priority 2 gets twice the slots of one of 1."""
    max_running: int = 0
    """At most so many of its tasks run at once; 0 for no limit."""
    slow_start: float = 0.05
    """Reduces may start when this part of the maps is done, in slots that nothing else wants."""
    backups: bool = True
    """Slow tasks near the end of a stage are run twice, and the first that ends wins."""
    done: tuple[Done, ...] = ()
    """Tasks that need not run, as an earlier leader has seen them finish."""
    failed: tuple[Failure, ...] = ()
    """What counts against its tasks already."""
    first_attempt: int = 1
    """Attempts are numbered from here: an earlier leader may have used the numbers before."""
    resumed: bool = False
    """True if attempts of an earlier leader may still run: their workers will tell of them."""
    paused: bool = False
    """True: no task starts before `JobResumed`."""


class JobKilled(Event, frozen=True):
    """The user wants the job to stop."""

    job: str


class TaskKilled(Event, frozen=True):
    """The user wants what runs of this task to stop; it starts again."""

    task: TaskId


class JobPaused(Event, frozen=True):
    """The user wants no further task of the job to start; what runs goes on."""

    job: str


class JobResumed(Event, frozen=True):
    """The user wants a paused job to go on."""

    job: str


class WorkerReported(Event, frozen=True):
    """A worker is alive; sent at its start and again and again. `node` is the store node beside
    it, or "" where there is none. `running` is what it is working on by its own account."""

    worker: str
    node: str
    slots: int
    running: tuple[AttemptId, ...] = ()
    host: str = ""
    """The machine it is on, or "" if that is not known."""
    draining: bool = False
    """True: it is to get no further task."""
    progress: tuple[tuple[AttemptId, float], ...] = ()
    """How much of its work a running attempt has done, from 0 to 1, where that is known."""
    ahead: int = 0
    """So many attempts may wait there for a slot, as its tasks are short."""


class WorkerLost(Event, frozen=True):
    """A worker has not reported for too long, or said goodbye."""

    worker: str


class AttemptSucceeded(Event, frozen=True):
    """An attempt has finished; `result` is opaque to the scheduler and kept for the job's end."""

    attempt: AttemptId
    worker: str
    result: Any = None


class AttemptFailed(Event, frozen=True):
    """An attempt has failed. `error` is for people, the user's traceback included. `lost` names
    map tasks whose output this reduce attempt could not read: they run again, and the attempt does
    not count against its task."""

    attempt: AttemptId
    worker: str
    error: str
    lost: tuple[TaskId, ...] = ()


class AttemptReturned(Event, frozen=True):
    """The attempt has waited for a slot of its worker, and would have to wait too long: it has not
    begun, and its task may run elsewhere. It counts as nothing."""

    attempt: AttemptId
    worker: str


class JobCommitted(Event, frozen=True):
    """The driver has made the job's output visible."""

    job: str


class CommitFailed(Event, frozen=True):
    """The driver could not make the job's output visible."""

    job: str
    error: str


class StoodStill(Event, frozen=True):
    """The driver itself stood still for so long, and could hear nobody: no worker was silent."""

    seconds: float


class Tick(Event, frozen=True):
    """Time has passed; drivers send it a few times a second."""


# Actions -----------------------------------------------------------------------------------------


class Action(msgspec.Struct, frozen=True, tag=True):
    """Something the driver has to do."""


class RunAttempt(Action, frozen=True):
    """Start this attempt on this worker, in a slot the scheduler knows to be free."""

    worker: str
    attempt: AttemptId
    locality: Locality
    failures: int = 0
    """How often the task has failed before."""
    backup: bool = False
    """True if another attempt of the task runs already."""


class AttemptWon(Action, frozen=True):
    """The task is done by this attempt: to be remembered, should another master take over."""

    attempt: AttemptId
    worker: str
    locality: Locality
    result: Any


class FailureCounted(Action, frozen=True):
    """The attempt has failed, which counts against its task: to be remembered too."""

    attempt: AttemptId
    worker: str


class OutputLost(Action, frozen=True):
    """The map task's output can't be read any more, and it runs again: to be remembered too."""

    task: TaskId


class KillAttempt(Action, frozen=True):
    """Stop this attempt; no event is expected for it any more."""

    worker: str
    attempt: AttemptId


class DiscardResult(Action, frozen=True):
    """Delete what this attempt has stored: it came too late, or its job has ended without it."""

    attempt: AttemptId
    result: Any


class CommitJob(Action, frozen=True):
    """All tasks are done: make the output visible, then send `JobCommitted` or `CommitFailed`."""

    job: str


class JobEnded(Action, frozen=True):
    """The job is over; its intermediate data can go. `error` is "" unless it failed."""

    job: str
    state: JobState
    error: str = ""
