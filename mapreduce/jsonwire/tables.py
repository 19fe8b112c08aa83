"""What the JSON master keeps of workers and of the job that runs: rows that `master` changes."""

import posixpath
from dataclasses import dataclass, field
from enum import StrEnum

from mapreduce.engine.events import AttemptId
from mapreduce.jsonwire.jobs import Job
from mapreduce.jsonwire.messages import FINISHED, Order, Status


class WorkerState(StrEnum):
    READY = "ready"
    BUSY = "busy"
    DEAD = "dead"


class Phase(StrEnum):
    """What is being done of a job. `split` and `copy` are the master's own work."""

    LIST = "list"
    MAP = "map"
    GROUP = "group"
    SPLIT = "split"
    REDUCE = "reduce"
    COPY = "copy"


@dataclass
class KnownWorker:
    """A worker that has registered; it stays in the table when it is dead."""

    pid: int
    host: str
    port: int
    tasks: dict[AttemptId, Order] = field(default_factory=dict)
    dead: bool = False
    unreachable: bool = False
    """Dead though it may send heartbeats."""

    @property
    def state(self) -> WorkerState:
        if self.dead:
            return WorkerState.DEAD
        return WorkerState.BUSY if self.tasks else WorkerState.READY

    def answered(self, told: Status) -> AttemptId | None:
        """Its task that an answer is about; None if it has no such task."""
        if told.status != FINISHED:
            return None
        for attempt, order in self.tasks.items():
            if _same_files(told.outputs, order.outputs):
                return attempt
        return None

    def __str__(self) -> str:
        return f"worker {self.pid} at {self.host}:{self.port}"


@dataclass
class RunningJob:
    """The job that is being done."""

    job: Job
    began: float
    phase: Phase = Phase.LIST
    orders: list[Order] = field(default_factory=list)
    """The tasks of the present phase."""
    missing: list[str] = field(default_factory=list)
    """Files that a worker has finished and not written."""

    @property
    def outputs(self) -> list[str]:
        return [output for order in self.orders for output in order.outputs]


def _same_files(told: list[str], wanted: list[str]) -> bool:
    """Also where the worker has written the paths in another way, or made all of them absolute.

    >>> _same_files(["/me/var/job-0//b", "/me/var/job-0/a"], ["var/job-0/b", "var/job-0/a"])
    True
    >>> _same_files(["var/job-0/a"], ["var/job-1/a"])
    False
    """
    pairs = zip(sorted(map(posixpath.normpath, told)), sorted(map(posixpath.normpath, wanted)))
    return len(told) == len(wanted) and all(n == w or n.endswith(f"/{w}") for n, w in pairs)
