"""One run of a job: its plan, the orders for its tasks, the commit of its output.

Whatever takes a `Store` blocks on it: the master calls it in threads.
"""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dynamo.errors import DynamoError
from dynamo.store import Store
from mapreduce.cluster import records
from mapreduce.data import inputs, outputs
from mapreduce.data.inputs import InputSpec, Split
from mapreduce.data.shuffle import Piece
from mapreduce.engine import paths
from mapreduce.engine.events import AttemptId, JobStarted
from mapreduce.engine.orders import JobSpec, TaskOrder, TaskResult
from mapreduce.errors import JobFailed

COMMIT_TRIES = 3


class Run:
    """What the master knows of a run beside the scheduler's tables."""

    def __init__(
        self, id: str, spec: JobSpec, splits: Sequence[Split], homes: Sequence[tuple[str, ...]]
    ) -> None:
        self.id = id
        self.spec = spec
        self.keep_parts = False
        """True once the output may be visible: its parts are not to be deleted any more."""
        self._splits = splits
        self._homes = homes
        self._pieces: list[list[Piece]] | None = None

    @property
    def started(self) -> JobStarted:
        return JobStarted(
            self.id,
            tuple(split.nodes for split in self._splits),
            tuple(self._homes),
            self.spec.max_attempts,
        )

    def order(
        self, attempt: AttemptId, map_results: Callable[[str], Sequence[TaskResult]]
    ) -> TaskOrder:
        """What the worker has to know; `map_results` is asked when a reduce is ordered."""
        index = attempt.task.index
        if attempt.task.kind == "map":
            return TaskOrder(attempt=attempt, spec=self.spec, split=self._splits[index])
        if self._pieces is None:
            self._pieces = _by_partition(map_results(self.id), len(self._homes))
        return TaskOrder(attempt=attempt, spec=self.spec, pieces=tuple(self._pieces[index]))

    def maps_changed(self) -> None:
        """A map has finished: what is known of its pieces is out of date."""
        self._pieces = None


def _by_partition(results: Sequence[TaskResult], partitions: int) -> list[list[Piece]]:
    pieces: list[list[Piece]] = [[] for _ in range(partitions)]
    for result in results:
        for piece in result.pieces:
            pieces[piece.partition].append(piece)
    return pieces


def plan(store: Store, name: str, run: str, previous_run: str) -> Run:
    """Look up what is to be read and where it is, check that the output can be written, and store
    the run's code. Raises the errors of `mapreduce.errors` before anything has changed."""
    spec, code = records.read_spec(store, name)
    named = [InputSpec(path, format=spec.input_format) for path in spec.inputs]
    splits = inputs.plan("store", named, store, split_bytes=spec.split_bytes)
    outputs.open_output("store", spec.output, store).check_absent()
    homes = [store.locate(paths.home(run, reducer)) for reducer in range(spec.reducers)]
    store.put(paths.code(run), code)
    records.forget_logs(store, previous_run)
    return Run(run, spec, splits, homes)


def commit(
    store: Store, run: Run, results: Sequence[TaskResult], summary: Mapping[str, Any]
) -> None:
    """Make the output visible. If that fails, what has become visible is removed again."""
    parts = [result.part for result in results if result.part]
    output = outputs.open_output("store", run.spec.output, store)
    for again in reversed(range(COMMIT_TRIES)):
        try:
            output.commit(parts, summary)
            break
        except DynamoError as error:
            if not again:
                _retract(store, run, error)
                raise
            time.sleep(0.5)


def _retract(store: Store, run: Run, reason: DynamoError) -> None:
    try:
        outputs.open_output("store", run.spec.output, store).retract()
    except DynamoError as error:
        run.keep_parts = True
        raise JobFailed(
            run.spec.name,
            "could not be committed",
            f"{reason}\nand a part of its output is visible, which could not be removed: {error}\n"
            f"remove it with `dynamo delete -r {run.spec.output}`",
        ) from error


def discard(store: Store, run: Run, result: TaskResult) -> None:
    """Delete what an attempt has stored and nobody will use."""
    keys = [key for piece in result.pieces for key in paths.piece_keys(run.id, piece)]
    with contextlib.suppress(DynamoError):
        store.multi_delete(keys, durable=False)
        if result.part and not run.keep_parts:
            outputs.open_output("store", run.spec.output, store).discard(result.part)


def close(store: Store, run: Run, record: records.JobRecord) -> None:
    """Keep the run's record, and delete all else that the run needed."""
    records.save(store, record)
    store.delete(paths.code(run.id))
    records.clean_up(store, run.id)
