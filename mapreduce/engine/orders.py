"""What a job is, what a task is told, and what it answers: plain data that crosses processes.

All of it can be written as msgpack or JSON; nothing here holds a class, a function or a pickle.
"""

from typing import Literal

import msgspec

from mapreduce.data.inputs import Split
from mapreduce.data.outputs import Part
from mapreduce.data.shuffle import Piece
from mapreduce.engine.events import AttemptId


class Code(msgspec.Struct, frozen=True, kw_only=True):
    """Where the user's mapper and reducer come from; the bytes are at `paths.code(job)`.

    "source" is the text of a Python file, loaded as a module in which the names are looked up;
    "pickle" is a cloudpickle of the classes, made by `Job.run`: its names are for people.
    """

    kind: Literal["source", "pickle"]
    filename: str
    """The source's file name as the user knows it: tracebacks and messages name it."""
    mapper: str
    reducer: str | None
    """None for a job without reducers: the mappers' pairs are its output."""
    combiner: str | None = None


class JobSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a job is, as its user gave it."""

    name: str
    inputs: tuple[str, ...]
    output: str
    code: Code
    reducers: int = 1
    input_format: str = "text"
    output_format: str = "text"
    max_attempts: int = 4
    split_bytes: int = 16 << 20
    """The size that splits are cut and small files grouped to."""


class TaskOrder(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt, as a worker gets it: a map task has a split, a reduce task has pieces."""

    attempt: AttemptId
    spec: JobSpec
    split: Split | None = None
    pieces: tuple[Piece, ...] = ()


class TaskResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a successful attempt leaves behind.

    A map task of a job with reducers has pieces, at most one entry for each partition and run; a
    reduce task, and a map task of a job without reducers, has a part of the output.
    """

    pieces: tuple[Piece, ...] = ()
    part: Part | None = None
    counters: dict[str, int] = {}
    seconds: float = 0.0
