"""One attempt at a task, and all that it needs."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from dynamo.store import Store
from mapreduce.api import Context, Step
from mapreduce.data.inputs import Files
from mapreduce.data.ordering import Ordering
from mapreduce.engine.orders import MorePieces, PhaseOrder, TaskOrder
from mapreduce.engine.selecting import Selection
from mapreduce.engine.shipping import Program
from mapreduce.engine.sidefiles import SideFiles
from mapreduce.engine.writing import AttemptOutput


class Bench(NamedTuple):
    """Where a task works: what plain paths mean, a folder of its own, and the side files. Inputs
    and outputs that are in a store are in `store`; pieces and borders are in `pieces`."""

    store: Store
    pieces: Store
    files: Files
    scratch: Path
    side_files: SideFiles
    more: Callable[[], MorePieces] | None = None
    """What a reduce task that began early is told next; blocks until there is something."""


class Task(NamedTuple):
    """One attempt and all that it needs."""

    phase: PhaseOrder
    order: TaskOrder
    program: Program
    bench: Bench
    context: Context
    counters: Counter[str]
    output: AttemptOutput
    selection: Selection

    @property
    def step(self) -> Step:
        return self.program.steps[self.phase.step]

    @property
    def ordering(self) -> Ordering:
        step = self.step
        sort_values = False if self.phase.sampling else step.sort_values  # it has keys only
        return Ordering(step.sort_key, step.descending, step.group_key, sort_values)
