"""Orders for tests: one task of a job whose code is a piece of source text."""

import zlib
from typing import Any

from dynamo.store import Store
from mapreduce.data.inputs import Slice, Split
from mapreduce.engine import paths, sources
from mapreduce.engine.events import AttemptId, TaskId
from mapreduce.engine.orders import Code, PhaseOrder, StepSpec, TaskOrder
from tests.mapreduce.specs import job_spec


def map_order(
    store: Store,
    source: str,
    *,
    job: str = "job",
    index: int = 0,
    number: int = 1,
    reducers: int = 1,
    slices: tuple[Slice, ...] = (),
    output: str = "/out",
    **fields: Any,
) -> tuple[PhaseOrder, TaskOrder]:
    """A map task over `slices`, by default over nothing: `setup` and `cleanup` still run.
    Another source is another run; `fields` are those of `JobSpec`."""
    [step] = sources.check_source(
        source.encode(), Code(filename=f"{job}.py"), [StepSpec(reducers=reducers)]
    )
    run = f"{job}-{zlib.crc32(source.encode())}"
    store.put(paths.code(run), source.encode())
    spec = job_spec(
        job, ("/in",), output=output, code=Code(filename=f"{job}.py"), steps=(step,), **fields
    )
    attempt = AttemptId(TaskId(f"{job}.1", "map", index), number)
    phase = PhaseOrder(name=f"{job}.1", spec=spec, run=run, output=output, output_format="text")
    return phase, TaskOrder(attempt=attempt, split=Split(slices))
