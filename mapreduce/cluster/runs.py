"""Runs of jobs in the store: what is looked up before, made visible by, and deleted after one.

Everything here blocks on the store: the master calls it in threads. What a run consists of is in
`mapreduce.engine.run`.
"""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from dynamo.errors import DynamoError
from dynamo.store import Store
from mapreduce.cluster import journal, records
from mapreduce.data import outputs
from mapreduce.data.inputs import Split
from mapreduce.data.locations import is_url
from mapreduce.data.outputs.store import sweep as sweep_store
from mapreduce.data.together import together
from mapreduce.engine import paths
from mapreduce.engine.events import AttemptId, JobStarted, JobState
from mapreduce.engine.orders import JobSpec, TaskResult
from mapreduce.engine.run import Run, RunState
from mapreduce.errors import JobFailed

COMMIT_TRIES = 3


def plan_new(store: Store, spec: JobSpec, code: bytes, run_id: str) -> tuple[Run, JobStarted]:
    """Check a job that is not in the store yet, as `records.check` does, and look up what its first
    run is to read; changes nothing."""
    spec = records.complete(spec, code)
    run = Run(run_id, spec, "store", records.work_folder(run_id))
    return run, _planned(store, run, lambda: records.check_new(store, spec.name))


def keep_new(store: Store, run: Run, code: bytes, record: records.JobRecord) -> None:
    """Store a job and its first run, which has begun when the record is there. If that fails,
    nothing is left."""
    items = records.description(run.spec, code) | _beginning(run, record.term)
    items[paths.code(run.id)] = code
    try:
        store.multi_put(items)
        records.save_first(store, record)
    except BaseException:
        with contextlib.suppress(DynamoError):
            store.multi_delete([paths.status(record.name), *items])
        raise


def plan(
    store: Store, name: str, run_id: str, previous_run: str, term: int
) -> tuple[Run, JobStarted]:
    """Look up what is to be read and where it is, check that the output can be written, and store
    the run's code. Raises the errors of `mapreduce.errors` before anything has changed."""
    spec, code = records.read_spec(store, name)
    run = Run(run_id, spec, "store", records.work_folder(run_id))
    started = _planned(store, run)
    store.put(paths.code(run.id), code)
    records.forget_run(store, previous_run)
    keep_begun(store, run, term)
    return run, started


def _planned(store: Store, run: Run, *checks: Callable[[], None]) -> JobStarted:
    """Look up what the first phase of a run reads, check that its output can be written, and
    whatever else there is to check."""
    started: list[JobStarted] = []
    together(
        lambda: started.append(run.plan(store)),
        outputs.open_output("store", run.spec.output, store).check_absent,
        *checks,
    )
    return started[0]


def plan_next(store: Store, run: Run, term: int) -> JobStarted:
    """The same for a phase that is not the run's first."""
    started = run.plan(store)
    keep_begun(store, run, term)
    return started


# A phase that has begun --------------------------------------------------------------------------


def keep_begun(store: Store, run: Run, term: int) -> None:
    """Note how the current phase begins, and what its map tasks read: so that another master can
    go on with it, and a task be replayed. It has begun when the state is there, which comes last.
    """
    items = _beginning(run, term)
    begun = items.pop(paths.begun(run.job, term))
    store.multi_put(items)
    store.put(paths.begun(run.job, term), begun)


def _beginning(run: Run, term: int) -> dict[str, bytes]:
    """All that is noted as the current phase begins."""
    parts = journal.packed(map(msgspec.msgpack.encode, run.splits))
    items = {paths.plan(run.job, term, n): part for n, part in enumerate(parts)}
    items[paths.begun(run.job, term)] = msgspec.msgpack.encode((len(parts), run.state))
    return items


def last_begun(store: Store, run: Run) -> tuple[str, int] | None:
    """The last phase of a run that has begun, and the term that it began in.

    Should two masters have begun it, that of the newer term holds: the other had not yet given
    any order when it was followed.
    """
    for phase in reversed(run.all_phases):
        terms = [int(key.rpartition(":")[2]) for key in store.list(paths.begun_in(phase))]
        if terms:
            return phase, max(terms)
    return None


def read_begun(store: Store, phase: str, term: int) -> tuple[RunState, list[Split]]:
    """What `keep_begun` has noted."""
    value = store.get(paths.begun(phase, term)).values[0]
    parts, state = msgspec.msgpack.decode(value, type=tuple[int, RunState])
    return state, _plan(store, [paths.plan(phase, term, n) for n in range(parts)])


def read_plan(store: Store, phase: str) -> list[Split]:
    """What each map task of a phase was to read; nothing if that is not known any more."""
    keys = sorted(store.list(paths.plan_of(phase)))
    newest = keys[-1].rpartition(":")[0] if keys else ""
    return _plan(store, [key for key in keys if key.startswith(newest)])


def _plan(store: Store, keys: list[str]) -> list[Split]:
    found = store.multi_get(keys)
    return [
        split
        for key in keys
        for split in msgspec.msgpack.decode(found[key].values[0], type=list[Split])
    ]


# The end -----------------------------------------------------------------------------------------


def commit(
    store: Store, run: Run, results: Sequence[TaskResult], summary: Mapping[str, Any]
) -> None:
    """Make the output visible. If that fails, `retract` removes what has become visible."""
    for again in reversed(range(COMMIT_TRIES)):
        try:
            run.commit(store, results, summary)
            break
        except (DynamoError, OSError):
            if not again:
                raise
            time.sleep(0.5)


def retract(store: Store, run: Run, reason: str) -> None:
    """Remove what a commit has made visible that failed for `reason`."""
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


def sweep(store: Store, run: Run, record: records.JobRecord) -> None:
    """Delete what the tasks of a run that is over have left behind."""
    records.clean_up(store, run.id)
    abandon(store, run)
    if len(run.all_phases) > 1 and record.state is not JobState.FAILED:
        records.forget_steps(store, run.id)


def forget(store: Store, run: Run) -> None:
    """Delete what is known of a run, once its record says that it is over."""
    store.multi_delete([paths.code(run.id), *records.journal_keys(store, run.id)], durable=False)


def abandon(store: Store, run: Run) -> None:
    """Delete what attempts of a run that is over may have left where its output is."""
    with contextlib.suppress(DynamoError, OSError):
        outputs.open_output("store", run.spec.output, store).abandon()


def sweep_parts(store: Store, run: Run, state: JobState) -> None:
    """Delete the parts in the store of which nobody has heard; the run is over, as `state` says.

    What is visible is known by the run that made it so: a list might not show all of it yet. A run
    of several steps that failed keeps what went between them.
    """
    if run.keep_parts or (state is JobState.FAILED and len(run.all_phases) > 1):
        return
    visible = () if is_url(run.spec.output) else run.visible
    sweep_store(store, run.id, visible if state is JobState.SUCCEEDED else None)
