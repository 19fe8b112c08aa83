"""One task of a job that has run on a cluster, again: here, in this process, for a debugger.

It reads what the task read, from the store, runs the user's code on it, and stores nothing. The
input of a reduce task is gone with its run, so its maps are run again first, their pieces kept in
a local folder.
"""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from dynamo.store import Store
from mapreduce.api import Pair
from mapreduce.cluster import records, runs
from mapreduce.cluster.connection import Record
from mapreduce.data.inputs import Split
from mapreduce.data.outputs.folder import FolderOutput
from mapreduce.engine import calling, paths, shipping, sidefiles, tasks
from mapreduce.engine.events import AttemptId, TaskId
from mapreduce.engine.orders import JobSpec, PhaseOrder, TaskOrder
from mapreduce.engine.shipping import Program
from mapreduce.engine.sidefiles import SideFiles
from mapreduce.engine.tasknames import TaskName
from mapreduce.engine.workbench import Bench, Task
from mapreduce.engine.writing import AttemptOutput
from mapreduce.errors import JobError
from mapreduce.runners.packstore import PackStore


def replay(store: Store, record: Record, task: TaskName) -> Iterator[Pair]:
    """What the task of the job's latest run gives. Raises what user code raises, as it is read.

    `record` is what the master says of the job. Raises `JobError` if there is no such task, or if
    what it read is gone: the store keeps that of the latest run, and of later steps if it failed.
    """
    spec, code = records.read_spec(store, record["name"])
    splits = _plan(store, record, spec, task)
    with contextlib.ExitStack() as held:
        scratch = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="mapreduce-")))
        side_files = SideFiles(spec, record["run"], "store", store, scratch)
        held.enter_context(sidefiles.importable(side_files.modules()))
        program = shipping.load(spec, code, record["run"])
        pieces = PackStore(scratch / "pieces")
        (scratch / "pieces").mkdir()
        bench = Bench(store, pieces, "store", scratch, side_files)
        again = _Again(spec, record["run"], task, splits, program, bench)
        yield from again.mapped() if task.kind == "map" else again.reduced()


class _Again(NamedTuple):
    spec: JobSpec
    run: str
    task: TaskName
    splits: list[Split]
    program: Program
    bench: Bench

    def mapped(self) -> Iterator[Pair]:
        self._bring_borders()
        task = self._opened(self._order("map", self.task.number))
        pairs = []
        with tasks.explained(task):
            for pair in map(calling.checked, tasks.mapped(task)):
                pairs.append(pair)
                yield pair
            tasks.stored(task, pairs)  # some errors are seen only here

    def reduced(self) -> Iterator[Pair]:
        self._bring_borders()
        pieces = []
        for index in range(len(self.splits)):
            task = self._opened(self._order("map", index))
            with tasks.explained(task):
                made = tasks.map_task(task)
            pieces += [piece for piece in made if piece.partition == self.task.number]
        task = self._opened(self._order("reduce", self.task.number, tuple(pieces)))
        with tasks.explained(task):
            yield from map(calling.checked, tasks.reduced(task))

    def _bring_borders(self) -> None:
        key = paths.borders(self.run, self.task.step)
        borders = self.bench.store.get(key).value
        if borders is not None:
            self.bench.pieces.put(key, borders)

    def _order(self, kind: Literal["map", "reduce"], index: int, pieces: Any = ()) -> TaskOrder:
        split = self.splits[index] if kind == "map" else None
        attempt = AttemptId(TaskId(self.phase.name, kind, index), 1)
        return TaskOrder(attempt=attempt, split=split, pieces=pieces)

    @property
    def phase(self) -> PhaseOrder:
        step = self.task.step
        return PhaseOrder(
            name=paths.phase(self.run, step),
            spec=self.spec,
            run=self.run,
            step=step,
            output=self.spec.output,
            output_format=self.spec.output_format,
        )

    def _opened(self, order: TaskOrder) -> Task:
        """The task with named outputs that nobody keeps."""
        folder = FolderOutput(self.bench.scratch / "named")
        output = AttemptOutput(self.phase, order.attempt, folder, folder)
        return tasks.opened(self.phase, order, self.program, self.bench, output)


def _plan(store: Store, record: Record, spec: JobSpec, task: TaskName) -> list[Split]:
    """The splits of the task's step; raises if it has no such task."""
    if not record["run"]:
        raise JobError(f"job {record['name']!r} has not run yet; `mapreduce run_job` starts it")
    if task.step >= len(spec.steps):
        raise JobError(f"job {record['name']!r} has {len(spec.steps)} steps, not {task.step + 1}")
    splits = runs.read_plan(store, paths.phase(record["run"], task.step))
    if not splits:
        raise JobError(
            f"step {task.step + 1} of job {record['name']!r} has not been planned in its latest "
            f"run, {record['run']}: there is nothing to replay"
        )
    count = len(splits) if task.kind == "map" else spec.steps[task.step].reducers
    if task.number >= count:
        raise JobError(
            f"step {task.step + 1} of job {record['name']!r} has {count} {task.kind} tasks, "
            f"numbered from 0; there is no {task.number}"
        )
    return splits
