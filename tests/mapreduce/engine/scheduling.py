"""What tests of the scheduler share: attempts by short names, schedulers with workers, and actions
without those that only a journal needs.
"""

from mapreduce.engine.events import (
    Action,
    AttemptId,
    AttemptWon,
    Event,
    FailureCounted,
    JobStarted,
    OutputLost,
    RunAttempt,
    TaskId,
    WorkerReported,
)
from mapreduce.engine.scheduler import Policy, Scheduler


def map_attempt(index: int, number: int = 1, job: str = "job") -> AttemptId:
    return AttemptId(TaskId(job, "map", index), number)


def reduce_attempt(index: int, number: int = 1, job: str = "job") -> AttemptId:
    return AttemptId(TaskId(job, "reduce", index), number)


def started(
    maps: int = 1,
    reduces: int = 0,
    job: str = "job",
    max_attempts: int = 4,
    slow_start: float = 1.0,
    priority: float = 1.0,
    max_running: int = 0,
) -> JobStarted:
    """A job whose tasks may run anywhere."""
    return JobStarted(
        job,
        ((),) * maps,
        ((),) * reduces,
        max_attempts,
        slow_start=slow_start,
        priority=priority,
        max_running=max_running,
    )


FOR_THE_JOURNAL = AttemptWon | OutputLost | FailureCounted


class Quiet(Scheduler):
    """Says nothing that is for the journal only: `TestJournal` looks at that."""

    def handle(self, event: Event, now: float) -> list[Action]:
        actions = super().handle(event, now)
        return [a for a in actions if not isinstance(a, FOR_THE_JOURNAL)]


def with_workers(*names: str, slots: int = 1, policy: Policy | None = None) -> Quiet:
    """A scheduler with living workers, each beside the store node of its own number; "w1@h1" is on
    the machine h1."""
    scheduler = Quiet(policy)
    for named in names:
        name, _, host = named.partition("@")
        scheduler.handle(WorkerReported(name, name.replace("w", "n"), slots, host=host), 0.0)
    return scheduler


def runs(actions: list) -> list[tuple[str, AttemptId]]:
    return [(a.worker, a.attempt) for a in actions if isinstance(a, RunAttempt)]
