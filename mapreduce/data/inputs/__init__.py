"""Inputs: what a job's inputs name, how it is cut into splits, and how a split is read.

Formats stand below this package, and take slices from `mapreduce.data.slices`.
"""

from mapreduce.data.inputs.opening import open_reader, reading
from mapreduce.data.inputs.planning import check, plan
from mapreduce.data.inputs.sources import BLOCK_BYTES
from mapreduce.data.locations import SUCCESS, TEMPORARY, Files
from mapreduce.data.slices import InputSpec, Reader, Slice, Split

__all__ = [
    "BLOCK_BYTES",
    "SUCCESS",
    "TEMPORARY",
    "Files",
    "InputSpec",
    "Reader",
    "Slice",
    "Split",
    "check",
    "open_reader",
    "plan",
    "reading",
]
