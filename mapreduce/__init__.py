"""MapReduce on any `dynamo.store.Store`: see `mapreduce.api` for what users write."""

from typing import TYPE_CHECKING, Any

from mapreduce.api import Input, Mapper, PartitionReducer, Reducer, Step
from mapreduce.data.portable_hash import partition_of

if TYPE_CHECKING:
    from mapreduce.engine.streaming import Executable
    from mapreduce.job import Job
    from mapreduce.runners.cluster import Cluster

__all__ = [
    "Cluster",
    "Executable",
    "Input",
    "Job",
    "Mapper",
    "PartitionReducer",
    "Reducer",
    "Step",
    "partition_of",
]


def __getattr__(name: str) -> Any:
    # `Job` knows the runners; the processes that run tasks import this package without them.
    if name == "Job":
        from mapreduce.job import Job

        return Job
    if name == "Executable":
        from mapreduce.engine.streaming import Executable

        return Executable
    if name == "Cluster":  # brings gevent and zerorpc
        from mapreduce.runners.cluster import Cluster

        return Cluster
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
