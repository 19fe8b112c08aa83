"""Runs of jobs in the store: what is looked up before, made visible by, and deleted after one.

Everything here blocks on the store: the master calls it in threads. What a run consists of is in
`mapreduce.engine.run`.
"""

import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from dynamo.errors import DynamoError
from dynamo.store import VALUE_LIMIT_BYTES, Store
from mapreduce.cluster import records
from mapreduce.data import outputs
from mapreduce.data.inputs import Split
from mapreduce.engine import paths
from mapreduce.engine.events import AttemptId, JobStarted, JobState
from mapreduce.engine.orders import TaskResult
from mapreduce.engine.run import Run
from mapreduce.errors import JobFailed

COMMIT_TRIES = 3


def plan(store: Store, name: str, run_id: str, previous_run: str) -> tuple[Run, JobStarted]:
    """Look up what is to be read and where it is, check that the output can be written, and store
    the run's code. Raises the errors of `mapreduce.errors` before anything has changed."""
    spec, code = records.read_spec(store, name)
    run = Run(run_id, spec, "store", records.work_folder(run_id))
    started = run.plan(store)
    outputs.open_output("store", spec.output, store).check_absent()
    store.put(paths.code(run.id), code)
    records.forget_run(store, previous_run)
    keep_plan(store, run)
    return run, started


def plan_next(store: Store, run: Run) -> JobStarted:
    """The same for a phase that is not the run's first."""
    started = run.plan(store)
    keep_plan(store, run)
    return started


def keep_plan(store: Store, run: Run) -> None:
    """Note what each map task reads, so that one can be replayed; too large a plan is not kept."""
    plan = msgspec.msgpack.encode(run.splits)
    if len(plan) <= VALUE_LIMIT_BYTES:
        store.put(paths.plan(run.job), plan)


def read_plan(store: Store, phase: str) -> list[Split]:
    """What each map task of a phase was to read; nothing if that is not known any more."""
    plan = store.get(paths.plan(phase)).value
    return [] if plan is None else msgspec.msgpack.decode(plan, type=list[Split])


def commit(
    store: Store, run: Run, results: Sequence[TaskResult], summary: Mapping[str, Any]
) -> None:
    """Make the output visible. If that fails, what has become visible is removed again."""
    for again in reversed(range(COMMIT_TRIES)):
        try:
            run.commit(store, results, summary)
            break
        except (DynamoError, OSError) as error:
            if not again:
                _retract(store, run, error)
                raise
            time.sleep(0.5)


def _retract(store: Store, run: Run, reason: Exception) -> None:
    if not run.is_last:
        return  # what goes from step to step is removed with the run
    try:
        outputs.open_output("store", run.spec.output, store).retract()
    except (DynamoError, OSError) as error:
        run.keep_parts = True
        raise JobFailed(
            run.spec.name,
            "could not be committed",
            f"{reason}\nand a part of its output is visible, which could not be removed: {error}\n"
            f"remove it with `dynamo delete -r {run.spec.output}`",
        ) from error


def discard(store: Store, run: Run, attempt: AttemptId, result: TaskResult) -> None:
    """Delete what an attempt has stored and nobody will use."""
    with contextlib.suppress(DynamoError, OSError):
        run.discard(store, attempt, result)


def close(store: Store, run: Run, record: records.JobRecord) -> None:
    """Keep the run's record, and delete all else that the run needed."""
    records.save(store, record)
    store.delete(paths.code(run.id))
    records.clean_up(store, run.id)
    abandon(store, run)
    if record.state is not JobState.FAILED:
        records.forget_steps(store, run.id)


def abandon(store: Store, run: Run) -> None:
    """Delete what attempts of a run that is over may have left where its output is."""
    with contextlib.suppress(DynamoError, OSError):
        outputs.open_output("store", run.spec.output, store).abandon()
