"""Hadoop's interface over `mapreduce.Job`: for programs, and people, that come from there.

Method names are Hadoop's in Python's spelling. docs/hadoop.md has the table, and two programs
ported. Nothing below knows of it: a job of these classes is an ordinary job of one step.
"""

from typing import TYPE_CHECKING, Any

from mapreduce.hadoop.contexts import MapContext, MultipleOutputs, ReduceContext
from mapreduce.hadoop.settings import (
    Configuration,
    HashPartitioner,
    Partitioner,
    TotalOrderPartitioner,
    WritableComparator,
)
from mapreduce.hadoop.tasks import Mapper, Reducer
from mapreduce.hadoop.writables import (
    BooleanWritable,
    BytesWritable,
    DoubleWritable,
    IntWritable,
    LongWritable,
    NullWritable,
    Text,
    Writable,
    WritableComparable,
)

if TYPE_CHECKING:
    from mapreduce.hadoop.control import ControlledJob, JobControl
    from mapreduce.hadoop.job import Job

__all__ = [
    "BooleanWritable",
    "BytesWritable",
    "Configuration",
    "ControlledJob",
    "DoubleWritable",
    "HashPartitioner",
    "IntWritable",
    "Job",
    "JobControl",
    "LongWritable",
    "MapContext",
    "Mapper",
    "MultipleOutputs",
    "NullWritable",
    "Partitioner",
    "ReduceContext",
    "Reducer",
    "Text",
    "TotalOrderPartitioner",
    "Writable",
    "WritableComparable",
    "WritableComparator",
]


def __getattr__(name: str) -> Any:
    # `Job` knows the runners; the processes that run tasks import this package without them.
    if name == "Job":
        from mapreduce.hadoop.job import Job

        return Job
    if name in ("ControlledJob", "JobControl"):
        import mapreduce.hadoop.control as control

        return getattr(control, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
