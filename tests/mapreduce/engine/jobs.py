"""Orders for tests: one task of a job whose code is a piece of source text."""

from dynamo.store import Store
from mapreduce.data.inputs import Slice, Split
from mapreduce.engine import paths, shipping
from mapreduce.engine.events import AttemptId, TaskId
from mapreduce.engine.orders import JobSpec, TaskOrder


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
) -> TaskOrder:
    """A map task over `slices`, by default over nothing: `setup` and `cleanup` still run."""
    code = shipping.check_source(source.encode(), f"{job}.py", reducers=reducers)
    store.put(paths.code(job), source.encode())
    spec = JobSpec(name=job, inputs=("/in",), output=output, code=code, reducers=reducers)
    attempt = AttemptId(TaskId(job, "map", index), number)
    return TaskOrder(attempt=attempt, spec=spec, split=Split(slices))
