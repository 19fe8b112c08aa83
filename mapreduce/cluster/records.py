"""What the master keeps of each job: its record, which is also what `job_status` answers.

The record is JSON at `paths.status(name)`; beside it the specification and the code. Everything
here blocks on the store: the master calls it in threads.
"""

import contextlib
import logging
import time
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from dynamo import files
from dynamo.errors import CorruptData, QuorumFailed
from dynamo.store import Store
from dynamo.values.versions import NOTHING_SEEN
from mapreduce.data import inputs, outputs
from mapreduce.data.locations import RUNS
from mapreduce.data.together import together
from mapreduce.engine import checks, paths, sidefiles, sources
from mapreduce.engine.events import AttemptId, JobState
from mapreduce.engine.orders import JobSpec, TaskResult
from mapreduce.engine.run import Run
from mapreduce.engine.scheduler import Scheduler
from mapreduce.engine.status import RunningAttempt, StageStatus
from mapreduce.engine.watching import Note
from mapreduce.errors import JobError, TermOver

log = logging.getLogger("mapreduce.master")

TASKS_TOLD = 100


class StageRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The map or reduce tasks of a job. `localities`: tasks done, by "node", "remote" or "any"."""

    total: int = 0
    waiting: int = 0
    running: int = 0
    done: int = 0
    failed_attempts: int = 0
    lost_attempts: int = 0
    localities: dict[str, int] = {}
    started_at: float | None = None
    ended_at: float | None = None
    seconds: float | None = None
    """From the stage's start to its end, or until now; None before its start."""
    waits: dict[str, int] = {}
    """Why tasks wait -> how many of them."""
    rate: float = 0.0
    """Tasks done in a second, lately."""
    seconds_left: float | None = None
    """How long it will take at that rate, if that can be said."""
    underway: float = 0.0
    """What the running tasks have done, in tasks, as far as they tell."""


class TaskRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that runs: since so many seconds, on which worker, what its code says of itself,
    and how much of its work it has done, from 0 to 1, if that is known."""

    attempt: str
    worker: str
    seconds: float
    status: str = ""
    progress: float | None = None


class JobRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A job as its users see it. Times are seconds since 1970; counters are those of winning
    attempts. `run` names the latest run in keys: those of its logs begin with
    `paths.run_keys(run)`. `map` and `reduce` are those of the step that runs, or was the last."""

    name: str
    state: JobState
    error: str = ""
    run: str = ""
    inputs: tuple[str, ...]
    output: str
    output_format: str
    created_at: float
    step: int = 1
    """Which of the job's `steps` runs, counted from 1."""
    steps: int = 1
    sampling: bool = False
    """True while a sample is taken for the step's total order."""
    started_at: float | None = None
    ended_at: float | None = None
    committing: bool = False
    paused: bool = False
    """True: no further task starts before the job is resumed."""
    map: StageRecord = StageRecord()
    reduce: StageRecord = StageRecord()
    tasks: tuple[TaskRecord, ...] = ()
    """The attempts that run, at most `TASKS_TOLD` of them, the oldest first."""
    slowest: tuple[TaskRecord, ...] = ()
    """The attempts that won and took longest in the steps that have ended, the longest first."""
    first_error: str = ""
    """What the first attempt that failed said, and where it ran; the job may have gone on."""
    set_aside: tuple[str, ...] = ()
    """Workers that get no tasks of the job any more, as too many have failed there."""
    backups: int = 0
    """Copies of slow tasks that were started."""
    told: tuple[dict[str, Any], ...] = ()
    """All steps so far, as `mapreduce.engine.summary.step` tells of them."""
    counters: dict[str, int] = {}
    skipped: tuple[dict[str, Any], ...] = ()
    """Records that were left out (`skip_bad_records`): step, input, position and error."""
    output_bytes: int = 0
    output_records: int = 0
    term: int = 0
    """That of the master which has written the record; of two copies the newer term's holds."""
    takeovers: int = 0
    """How many masters have gone on with the run that they had not begun."""
    kill_wanted: bool = False
    """True once its user has killed the run, until that is done."""


# Making records ----------------------------------------------------------------------------------


def new(spec: JobSpec) -> JobRecord:
    return JobRecord(
        name=spec.name,
        state=JobState.NEW,
        inputs=tuple(given.path for given in spec.inputs),
        output=spec.output,
        output_format=spec.output_format,
        created_at=time.time(),
        steps=len(spec.steps),
    )


def begun(record: JobRecord, run: str, term: int = 0) -> JobRecord:
    """`record` as a new run starts in `term`: nothing of an earlier run is left in it."""
    return JobRecord(
        name=record.name,
        state=JobState.RUNNING,
        run=run,
        inputs=record.inputs,
        output=record.output,
        output_format=record.output_format,
        created_at=record.created_at,
        steps=record.steps,
        started_at=time.time(),
        term=term,
    )


def lost(record: JobRecord) -> JobRecord:
    """`record` of a run that no master can go on with."""
    error = (
        f"how far it was is not known any more; `mapreduce run_job {record.name}` starts it again"
    )
    return msgspec.structs.replace(record, state=JobState.FAILED, error=error, ended_at=time.time())


def brought_up_to_date(
    record: JobRecord,
    run: Run,
    scheduler: Scheduler,
    now: float,
    notes: Iterable[Note] = (),
) -> JobRecord:
    """`record` with all that is known of its run at the scheduler's time `now`."""
    status = run.seen(scheduler.status(run.job))
    results: list[TaskResult] = scheduler.results(run.job)
    parts = [part for result in results for part in result.parts]
    noted = {note.attempt: note for note in notes}
    began = time.time() - now
    return msgspec.structs.replace(
        record,
        state=_state(status.state, run),
        error=status.error,
        ended_at=_by_calendar(status.ended_at, began),
        committing=status.committing and run.is_last,
        paused=record.paused and not (status.state.ended and run.is_last),
        kill_wanted=record.kill_wanted and not status.state.ended,
        step=status.step,
        sampling=status.sampling,
        map=_stage(status.map, now, began),
        reduce=_stage(status.reduce, now, began),
        first_error=record.first_error or status.first_error,
        set_aside=status.set_aside,
        backups=record.backups + status.backups,
        tasks=tuple(_task(task, noted) for task in scheduler.running(run.job)[:TASKS_TOLD]),
        told=tuple(run.told(status, now)),
        counters=run.counters(results, status),
        skipped=tuple(run.skipped(results)),
        output_bytes=sum(part.size_bytes for part in parts) if run.is_last else 0,
        output_records=sum(part.records for part in parts) if run.is_last else 0,
    )


def _task(running: RunningAttempt, notes: Mapping[AttemptId, Note]) -> TaskRecord:
    note = notes.get(running.attempt) or Note(attempt=running.attempt)
    return TaskRecord(
        attempt=str(running.attempt),
        worker=running.worker,
        seconds=running.seconds,
        status=note.status,
        progress=note.progress,
    )


def _state(state: JobState, run: Run) -> JobState:
    """The job goes on when a step has succeeded that is not its last."""
    return JobState.RUNNING if state is JobState.SUCCEEDED and not run.is_last else state


def _by_calendar(moment: float | None, began: float) -> float | None:
    """Seconds since 1970; the scheduler's times count from `began`."""
    return None if moment is None else began + moment


def _stage(stage: StageStatus, now: float, began: float) -> StageRecord:
    seconds = None
    if stage.started_at is not None:
        seconds = (now if stage.ended_at is None else stage.ended_at) - stage.started_at
    return StageRecord(
        total=stage.total,
        waiting=stage.waiting,
        running=stage.running,
        done=stage.done,
        failed_attempts=stage.failed_attempts,
        lost_attempts=stage.lost_attempts,
        localities=stage.localities,
        started_at=_by_calendar(stage.started_at, began),
        ended_at=_by_calendar(stage.ended_at, began),
        seconds=seconds,
        waits=stage.waits,
        rate=stage.rate,
        seconds_left=stage.seconds_left,
        underway=stage.underway,
    )


# Keeping them ------------------------------------------------------------------------------------


def check(store: Store, spec: JobSpec, code: bytes) -> JobSpec:
    """`spec` with its code's names filled in, if the job could run now; changes nothing.

    Raises the errors of `mapreduce.errors` that say what is wrong with it.
    """
    spec = complete(spec, code)
    together(
        lambda: inputs.check("store", spec.inputs, store),
        outputs.open_output("store", spec.output, store).check_absent,
        lambda: check_new(store, spec.name),
    )
    return spec


def complete(spec: JobSpec, code: bytes) -> JobSpec:
    """`spec` with its code's names filled in, as far as it can be checked by itself."""
    checks.check(spec)
    if spec.code.kind == "source":
        steps = sources.check_source(code, spec.code, spec.steps)
        spec = msgspec.structs.replace(spec, steps=steps)
        sources.check_pieces(code, spec)
    for step in spec.steps:
        if step.reducers and not step.reducer:
            raise JobError(f"a step has {step.reducers} reduce tasks and no reducer; give it one")
    return spec


def check_new(store: Store, name: str) -> None:
    """Raise if there is a job of that name."""
    if store.get(paths.spec(name)).values:
        raise taken(name)


def taken(name: str) -> JobError:
    return JobError(f"there is a job {name!r} already; choose another name, or run_job it again")


def create(store: Store, spec: JobSpec, code: bytes, term: int = 0) -> JobRecord:
    """Store a new job; its record comes last, so what has one is complete."""
    record = msgspec.structs.replace(new(spec), term=term)
    store.multi_put(description(spec, code))
    save_first(store, record)
    return record


def description(spec: JobSpec, code: bytes) -> dict[str, bytes]:
    """What is stored of a job beside its record."""
    return {
        paths.code(spec.name): code,
        paths.spec(spec.name): msgspec.msgpack.encode(spec),
    }


def save_first(store: Store, record: JobRecord) -> None:
    """Keep the record of a job that is new. Should there be one all the same, of another master,
    both stay, and the newer is read."""
    store.put(paths.status(record.name), msgspec.json.encode(record), context=NOTHING_SEEN)


def save(store: Store, record: JobRecord) -> None:
    """Keep a record. Raises `TermOver` if there is one of a newer term already; should one be
    written at the same moment, both stay, and the newer is read."""
    there = store.get(paths.status(record.name))
    if (newest := _newest(there.values)) and newest.term > record.term:
        raise TermOver(record.term)
    store.put(paths.status(record.name), msgspec.json.encode(record), context=there.context)


def _newest(values: Iterable[bytes]) -> JobRecord | None:
    """Of the copies of a record the one of the newest term; None if there is none that is whole."""
    found = []
    for value in values:
        with contextlib.suppress(msgspec.MsgspecError):
            found.append(msgspec.json.decode(value, type=JobRecord))
    return max(found, key=lambda record: record.term, default=None)


def read_spec(store: Store, name: str) -> tuple[JobSpec, bytes]:
    """The specification and the code of a job."""
    keys = paths.spec(name), paths.code(name)
    readings = store.multi_get(keys)
    spec, code = (readings[key].value for key in keys)
    if spec is None or code is None:
        raise CorruptData(f"the job {name!r} has lost its keys {keys[0]} and {keys[1]}")
    return msgspec.msgpack.decode(spec, type=JobSpec), code


def load(store: Store) -> dict[str, JobRecord]:
    """All jobs, by name."""
    keys = [key for key in store.list(paths.JOBS) if key.endswith(":status")]
    found = {}
    for key, reading in store.multi_get(keys).items():
        record = _newest(reading.values)
        if record is not None:
            found[record.name] = record
        elif reading.values:
            log.warning("%s is no job's record, and is left alone", key)
    return found


def work_folder(run: str) -> str:
    """The folder in the store for what goes from step to step of a run."""
    return f"/{RUNS}/{run}"


def clean_up(store: Store, run: str) -> None:
    """Delete the pieces of a run that is over."""
    store.multi_delete(store.list(paths.pieces(run)), durable=False)


def clean_up_everywhere(store: Store, run: str) -> None:
    """Delete the pieces of a run that are still listed once it was cleaned up: a node has them that
    was not reached by the one which was asked to delete them.

    Nobody brings that about later, as pieces are ephemeral. Now all nodes have to confirm, so a
    node is looked for that reaches them all. What is left even then was asked of a node that was
    away when it was written: who deletes knows of no version but its own, so they are read first.
    Where not all nodes answer, pieces go with their time to live.
    """
    with contextlib.suppress(QuorumFailed):
        if left := list(store.list(paths.pieces(run))):
            everybody = len(store.locate(left[0]))
            store.multi_delete(left, w=everybody, durable=False)
            for key in list(store.list(paths.pieces(run))):
                seen = store.get(key, r=everybody).context
                store.delete(key, context=seen, w=everybody, durable=False)


def forget_steps(store: Store, run: str) -> None:
    """Delete what went from step to step. A run that failed keeps it, for `mapreduce replay`."""
    store.multi_delete(store.list(paths.borders_of(run)), durable=False)
    for path in files.under(store, work_folder(run)):
        files.remove(store, path)


def journal_keys(store: Store, run: str) -> list[str]:
    """What other masters would need to go on with a run."""
    kinds = (":journal:", ":begun:")
    return [key for key in store.list(paths.run_keys(run)) if any(kind in key for kind in kinds)]


def forget_run(store: Store, run: str) -> None:
    """Delete all that is kept of a run, as a newer one of the same job begins."""
    if run:
        forget_steps(store, run)
        store.multi_delete(store.list(paths.run_keys(run)), durable=False)


def remove(store: Store, record: JobRecord, with_output: bool) -> None:
    """Delete all that is kept of a job, its history included; its output too if that is wanted.

    Its record goes last: what fails on the way can be tried again.
    """
    if with_output and record.state is JobState.SUCCEEDED:
        outputs.open_output("store", record.output, store).retract()
    with contextlib.suppress(CorruptData):
        sidefiles.remove(store, read_spec(store, record.name)[0])
    if record.run:
        forget_run(store, record.run)
        clean_up(store, record.run)
        store.delete(paths.code(record.run))
    status = paths.status(record.name)
    store.multi_delete([key for key in store.list(paths.of_job(record.name)) if key != status])
    store.delete(status)


def describe_output(store: Store, path: str) -> dict[str, object]:
    """The files of a job's output and their sizes."""
    found = outputs.open_output("store", path, store).files()
    return {
        "path": path,
        "files": [
            {"path": f"{path}/{name}", "size_bytes": size_bytes}
            for name, size_bytes in found.items()
            if name != inputs.SUCCESS
        ],
    }
