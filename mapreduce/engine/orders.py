"""What a job is, what a task is told, and what it answers: plain data that crosses processes.

All of it can be written as msgpack or JSON; nothing here holds a class, a function or a pickle.
"""

from typing import Literal

import msgspec

from mapreduce.data.inputs import Files, InputSpec, Split
from mapreduce.data.outputs import Part
from mapreduce.data.pieces import Piece
from mapreduce.engine.allowance import Allowance
from mapreduce.engine.events import AttemptId, TaskId

BETWEEN = "pickle"
"""The format of what goes from step to step."""


class Lines(msgspec.Struct, frozen=True, kw_only=True):
    """How the lines of executables are made, for jobs of kind "executables"."""

    field_separator: str = "\t"
    """Between the fields of what mappers and combiners write, and reducers read."""
    output_separator: str = "\t"
    """Between the key and the value of what becomes output."""
    key_fields: int = 1
    partition_fields: int = 0
    """So many fields of a key say which partition it belongs to; 0: all of it."""
    reads_keys: bool = False
    whole_files: bool = False


class Code(msgspec.Struct, frozen=True, kw_only=True):
    """Where the user's code comes from; the bytes are at `paths.code(run)`.

    "source" is the text of a Python file, loaded as a module in which names are looked up: those of
    the job's steps, or that of a whole job; "pickle" is a cloudpickle made by a running program,
    and the names in the steps are for people; of "executables" the steps' names are their commands,
    and there are no bytes.
    """

    kind: Literal["source", "pickle", "executables"] = "source"
    lines: Lines = Lines()
    filename: str = "job.py"
    """The source's file name as the user knows it: tracebacks and messages name it."""
    job: str | None = None
    """The name of a `Job` in the source, or of a function that makes one; its steps are run."""
    mappers: tuple[str, ...] = ()
    """The names of mappers of single inputs: `InputSpec.mapper` counts them from 1."""


class StepSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One step, as `mapreduce.api.Step`, with names in place of classes and functions.

    A "" as mapper and None elsewhere: the default of a source file, or nothing.
    """

    mapper: str = ""
    reducer: str | None = None
    combiner: str | None = None
    partitioner: str | None = None
    do_hash: str | None = None
    reducers: int = 1
    sort_key: str | None = None
    group_key: str | None = None
    sort_values: bool | str = False
    descending: bool = False
    total_order: bool = False


class SideFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file or a zipped module that comes with the job: `path` is in the store if the job's inputs
    are, else in the local file system."""

    name: str
    path: str
    executable: bool = False


class JobSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a job is, as its user gave it. Sizes are in bytes."""

    name: str
    inputs: tuple[InputSpec, ...]
    output: str
    code: Code = Code()
    steps: tuple[StepSpec, ...] = (StepSpec(),)
    output_format: str = "text"
    outputs: dict[str, str] = {}
    """The formats of the named outputs."""
    merged: bool = False
    """True: one file of output, in order, in place of one for each partition."""
    params: dict[str, str] = {}
    files: tuple[SideFile, ...] = ()
    modules: tuple[SideFile, ...] = ()
    max_attempts: int = 4
    split_bytes: int = 16 << 20
    """The size that splits are cut and small files grouped to."""
    least_split_bytes: int = 0
    memory_bytes: int = 256 << 20
    """What a task may hold before it spills to the disk."""
    time_limit_s: float = 0.0
    """An attempt that takes longer is ended, and has failed; 0: it may take any time."""
    memory_limit_bytes: int = 0
    """What an attempt may take of memory, all in all; 0: what the machine has."""
    skip_bad_records: int = 0
    """So many records that make a task fail may be left out, in each task; 0: none."""
    priority: float = 1.0
    """The weight of its fair share: a job of priority 2 gets twice the slots of one of 1."""
    max_running: int = 0
    """At most so many of its tasks run at once; 0: any number."""
    slow_start: float = 0.05
    """Reduces may start, in slots that nothing else wants, when this part of the maps is done."""
    backups: bool = True
    """Whether copies of slow tasks may be run near the end of a stage."""
    python: str = ""
    """The version of Python that pickled the code, such as "3.11"."""


class PhaseOrder(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What all attempts of a phase have to know: it is told once, before the first of them."""

    name: str
    """As the tasks name it: `TaskId.job`."""
    spec: JobSpec
    run: str
    """Names the run in keys: `paths.code(run)`. No other run has had this name."""
    step: int = 0
    """Which of the steps, counted from 0."""
    sampling: bool = False
    """True: only to find the borders between the partitions of a total order."""
    output: str = ""
    output_format: str = ""

    @property
    def step_spec(self) -> StepSpec:
        return self.spec.steps[self.step]


class MorePieces(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What a reduce attempt that was started early has to know besides: more of its pieces, and how
    many maps are still to come."""

    attempt: AttemptId
    pieces: tuple[Piece, ...] = ()
    maps_left: int = 0
    since: int = 0
    """So many finished maps the attempt has to know of already; 0: this tells of all there are."""
    told: int = 0
    """So many it knows of now."""


class TaskOrder(msgspec.Struct, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """One attempt, as a worker gets it: a map task has a split, a reduce task has pieces."""

    attempt: AttemptId
    split: Split | None = None
    pieces: tuple[Piece, ...] = ()
    maps_left: int = 0
    """So many maps are still to tell of their pieces, in `MorePieces`."""
    told: int = 0
    """So many finished maps have told of theirs, as `MorePieces` counts them."""
    limit: int | None = None
    """At most so many records are mapped: for a first try."""
    skipping: bool = False
    """True: records that make the task fail are to be found and left out."""
    probe: tuple[int, int] | None = None
    """Only these records, or groups of a reduce task, are worked on, and nothing is kept."""
    without: tuple[int, ...] = ()
    """Records that are left out, by their place in the order of reading."""

    def with_more(self, more: MorePieces) -> "TaskOrder":
        """The same with pieces that are known only now."""
        pieces = self.pieces + more.pieces
        return msgspec.structs.replace(
            self, pieces=pieces, maps_left=more.maps_left, told=more.told
        )


class Skipped(msgspec.Struct, frozen=True, kw_only=True):
    """A record that was left out, or of a reduce task a key with its values."""

    number: int
    """Its place among those of the task, counted from 0."""
    input: str = ""
    position: str = ""
    """Its key, as Python writes it."""
    error: str = ""


class TaskResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a successful attempt leaves behind.

    A map task of a job with reducers has pieces, at most one entry for each partition and run; a
    reduce task, and a map task of a step without reducers, has a part of the output. Either may
    have parts of named outputs.
    """

    pieces: tuple[Piece, ...] = ()
    parts: tuple[Part, ...] = ()
    counters: dict[str, int] = {}
    seconds: float = 0.0
    records: int = 0
    """How many records it has read, those left out too; of a reduce task how many groups."""
    skipped: tuple[Skipped, ...] = ()


class Outcome(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """How an attempt ended. `result` is None if it failed, and then `error` says why."""

    attempt: AttemptId
    result: TaskResult | None = None
    error: str = ""
    """For people: the user's own traceback, or how the process died."""
    lost: tuple[TaskId, ...] = ()
    """Map tasks whose output this reduce attempt could not read."""
    output: str = ""
    """What user code printed, the last 64 KiB of it."""


# What a child process is told --------------------------------------------------------------------


class Boot(msgspec.Struct, frozen=True):
    """The first that it is told. `open_store` is pickled; `scratch` is a folder of its own."""

    open_store: bytes
    files: Files
    place: str
    """What the machine, or its worker, is called in errors."""
    scratch: str = ""
    allowance: Allowance = Allowance()


Message = PhaseOrder | TaskOrder | MorePieces
"""All that it is told afterwards."""
