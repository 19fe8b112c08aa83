"""What is kept of runs that have ended: of each its record, and when each of its tasks ran.

It is written when a run ends, at its key of `mapreduce.engine.paths`: the record as JSON, the tasks
as lines of JSON, one for each task, cut over several keys. It stays until the job is removed, also
when the job runs again. Everything here blocks on the store.
"""

import heapq
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from dynamo.store import Store
from mapreduce.cluster.records import JobRecord, TaskRecord
from mapreduce.engine import paths
from mapreduce.engine.status import AttemptStatus, TaskStatus

PART_BYTES = 1 << 20
SLOWEST_TOLD = 5


class PastAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt at a task. Times are seconds since 1970; `ended_at` is None if it still ran when
    its job ended. `locality` as in `mapreduce.engine.events.Locality`, `state` is "succeeded",
    "failed", "lost", "killed" or "spoiled"."""

    number: int
    worker: str
    locality: str
    state: str
    started_at: float
    ended_at: float | None
    backup: bool = False

    @property
    def seconds(self) -> float:
        return (self.ended_at or self.started_at) - self.started_at


class PastTask(msgspec.Struct, frozen=True, kw_only=True):
    """A task of a run that has ended. `step` counts from "1"; "2.sample" took a sample for the
    second one."""

    step: str
    task: str
    state: str
    attempts: tuple[PastAttempt, ...]


def of_phase(phase: str, run: str, tasks: Iterable[TaskStatus], began: float) -> list[PastTask]:
    """The tasks of a phase; the scheduler's times count from `began`, seconds since 1970."""
    step = phase.removeprefix(f"{run}.")
    return [
        PastTask(
            step=step,
            task=str(task.id),
            state=task.state,
            attempts=tuple(_past(attempt, began) for attempt in task.attempts),
        )
        for task in tasks
    ]


def _past(attempt: AttemptStatus, began: float) -> PastAttempt:
    return PastAttempt(
        number=attempt.number,
        worker=attempt.worker,
        locality=attempt.locality.value,
        state=attempt.state,
        started_at=began + attempt.started_at,
        ended_at=None if attempt.ended_at is None else began + attempt.ended_at,
        backup=attempt.backup,
    )


def with_slowest(record: JobRecord, tasks: Iterable[PastTask]) -> JobRecord:
    """`record` with the slowest tasks of a step that has ended among those of earlier ones."""
    done = (*record.slowest, *_winners(record, tasks))
    slowest = heapq.nlargest(SLOWEST_TOLD, done, key=lambda task: task.seconds)
    return msgspec.structs.replace(record, slowest=tuple(slowest))


def _winners(record: JobRecord, tasks: Iterable[PastTask]) -> Iterator[TaskRecord]:
    for task in tasks:
        step = f"{task.step}/" if record.steps > 1 else ""
        for attempt in task.attempts:
            if attempt.state == "succeeded":
                name = f"{step}{task.task}.{attempt.number}"
                yield TaskRecord(attempt=name, worker=attempt.worker, seconds=attempt.seconds)


# Keeping it --------------------------------------------------------------------------------------


def keep_tasks(store: Store, job: str, run: str, phase: str, tasks: Sequence[PastTask]) -> None:
    """Keep the tasks of one phase."""
    store.multi_put(_of_tasks(job, run, phase, tasks))


def keep_end(store: Store, record: JobRecord, phase: str, tasks: Sequence[PastTask]) -> None:
    """Keep the tasks of a run's last phase, and the record of the run as its end left it."""
    items = _of_tasks(record.name, record.run, phase, tasks)
    items[paths.past_run(record.name, record.run)] = msgspec.json.encode(record)
    store.multi_put(items)


def _of_tasks(job: str, run: str, phase: str, tasks: Sequence[PastTask]) -> dict[str, bytes]:
    prefix = paths.past_tasks(job, run, phase)
    parts = enumerate(_cut(map(msgspec.json.encode, tasks)))
    return {f"{prefix}{number:05d}": part for number, part in parts}


def _cut(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Whole lines in values of a mebibyte or a little more."""
    part: list[bytes] = []
    size = 0
    for line in lines:
        part.append(line)
        size += len(line) + 1
        if size >= PART_BYTES:
            yield b"\n".join(part)
            part, size = [], 0
    if part:
        yield b"\n".join(part)


# Looking back ------------------------------------------------------------------------------------


def runs(store: Store, job: str) -> list[JobRecord]:
    """The records of the runs of a job that have ended, the newest first."""
    keys = [key for key in store.list(paths.past_runs(job)) if key.endswith(":record")]
    readings = store.multi_get(keys).values()
    found = [msgspec.json.decode(r.value, type=JobRecord) for r in readings if r.value]
    return sorted(found, key=lambda record: record.started_at or 0.0, reverse=True)


def tasks(store: Store, job: str, run: str) -> Iterator[PastTask]:
    """The tasks of a run, in order of step, kind and number."""
    for key in store.list(paths.past_tasks(job, run)):
        yield from msgspec.json.Decoder(PastTask).decode_lines(store.get(key).value or b"")
