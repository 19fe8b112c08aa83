"""`Job`: steps, inputs and outputs as a value, and three ways to run it. The top of the house: it
knows the runners, and no task process imports them."""

import glob
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from mapreduce.api import (
    Input,
    Mapper,
    Reducer,
    Step,
    check_takes_pieces,
    mappers_of,
    takes_pieces,
)
from mapreduce.data import formats
from mapreduce.data.inputs import InputSpec
from mapreduce.engine import calling, checks, shipping, sidefiles, streaming
from mapreduce.engine.orders import Code, JobSpec
from mapreduce.errors import JobError
from mapreduce.runners import bars
from mapreduce.runners.result import Progress, RunResult

Runner = Literal["local", "inline", "cluster"]
Given = str | Path | Input | RunResult
"""An input: a path, one with a format or mapper of its own, or what another job gave."""

_ONE_STEP = frozenset(Step.__dataclass_fields__)


class Job:
    """A job as a value: it can be run any number of times.

    A job has one step, whose parts are given as for `mapreduce.Step` (`mapper`, `reducer`,
    `combiner`, `reducers`, ...), or several `steps`, each of which reads what the one before has
    made. Further:

    `inputs`            what it reads, if `run` is not told: paths or `Input`s
    `input_format`      how inputs are read, `output_format` how the output is written: see
                        docs/formats.md
    `outputs`           names and formats of further outputs, for `context.emit(..., to=name)`
    `merged`            one file of output, in order, in place of one for each partition
    `files`, `modules`  local files for `context.file(name)`, and Python modules to import
    `params`            texts for `context.params`
    `max_attempts`      how often a task may fail before the job does
    `split_bytes`, `least_split_bytes`   the largest and the least input of one map task
    `memory_bytes`      what a task may hold in memory before it spills to its disk
    `time_limit_s`, `memory_limit_bytes`   an attempt that takes more has failed; 0 for no limit
    `skip_bad_records`  so many records that make a task fail may be left out, in each task
    `priority`, `max_running`   its share of the slots beside other jobs, and the most it takes
    `slow_start`, `backups`     when reduces may start; whether copies of slow tasks may run

    >>> import tempfile, pathlib, operator
    >>> from mapreduce import Job, Mapper, Reducer
    >>> class Words(Mapper):
    ...     def map(self, key, value):
    ...         return [(word, 1) for word in value.split()]
    >>> class Sum(Reducer):
    ...     def reduce(self, key, values):
    ...         yield key, sum(values)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     book = pathlib.Path(folder, "book.txt")
    ...     _ = book.write_text("to be or\\nnot to be\\n")
    ...     job = Job("wc", mapper=Words, reducer=Sum, combiner=operator.add)
    ...     list(job.run(book, runner="inline"))
    [('be', 2), ('not', 1), ('or', 1), ('to', 2)]
    """

    def __init__(
        self,
        name: str,
        *,
        steps: Sequence[Step] | None = None,
        inputs: Iterable[Given] = (),
        input_format: str = "text",
        output_format: str = "text",
        outputs: Mapping[str, str] | None = None,
        merged: bool = False,
        files: Iterable[str | Path] = (),
        modules: Iterable[str | Path] = (),
        params: Mapping[str, object] | None = None,
        max_attempts: int = 4,
        split_bytes: int = 16 << 20,
        least_split_bytes: int = 0,
        memory_bytes: int = 256 << 20,
        time_limit_s: float = 0.0,
        memory_limit_bytes: int = 0,
        skip_bad_records: int = 0,
        priority: float = 1.0,
        max_running: int = 0,
        slow_start: float = 0.05,
        backups: bool = True,
        **one_step: Any,
    ) -> None:
        self.name = name
        self.steps = _steps(steps, one_step)
        self.inputs = tuple(_as_input(given) for given in inputs)
        _check_classes(self.steps, self.inputs, skip_bad_records)
        self.input_format = input_format
        self.output_format = output_format
        self.outputs = dict(outputs or {})
        self.merged = merged
        self.files = tuple(files)
        self.modules = tuple(modules)
        self.params = {key: str(value) for key, value in (params or {}).items()}
        self.max_attempts = max_attempts
        self.split_bytes = split_bytes
        self.least_split_bytes = least_split_bytes
        self.memory_bytes = memory_bytes
        self.time_limit_s = time_limit_s
        self.memory_limit_bytes = memory_limit_bytes
        self.skip_bad_records = skip_bad_records
        self.priority = priority
        self.max_running = max_running
        self.slow_start = slow_start
        self.backups = backups
        checks.check(self._described(Code(), self.inputs, "", output_format))

    def run(
        self,
        *inputs: Given,
        output: str | Path | None = None,
        runner: Runner = "local",
        processes: int | None = None,
        cluster: str | Path = "cluster.ini",
        progress: Progress | bool | None = None,
    ) -> RunResult:
        """Run over `inputs`: files, folders or globs; with runner "cluster" paths in the store.

        Without an `output` folder the result holds the pairs as the objects that the reducer
        yielded; they are in a temporary place and go with the result. `processes` is for "local",
        `cluster` names the configuration for "cluster". `progress` is a function that hears how far
        the job is, or True for progress bars. Raises `JobFailed`, or for "inline" what user code
        raises.
        """
        if runner not in ("local", "inline", "cluster"):
            raise JobError(f"no runner {runner!r}; there are local, inline and cluster")
        if runner == "cluster":
            # Not before it is needed: it brings gevent and zerorpc.
            from mapreduce.runners.cluster import Cluster

            return Cluster(cluster).run(self, *inputs, output=output, progress=progress)
        kept = Path(tempfile.mkdtemp(prefix="mapreduce-out-")) if output is None else None
        try:
            streaming.check_installed(self.steps)
            there = str(kept or output)
            spec, code = self.pickled(
                *inputs, output=there, as_objects=output is None, same_machine=True
            )
            with bars.told(progress) as tell:
                result = _run_here(spec, code, runner, processes, tell)
        except BaseException:
            if kept is not None and kept.exists():
                kept.rmdir()
            raise
        if kept is not None:
            result.remove_with_me(kept)
        return result

    def spec(self, code: Code, inputs: Iterable[Given], output: str) -> JobSpec:
        """What the job is, for a runner: over `inputs`, or its own if there are none given."""
        given = tuple(map(_as_input, inputs)) or self.inputs
        return self._with_files(self._described(code, given, output, self.output_format), given)

    def pickled(
        self, *inputs: Given, output: str, as_objects: bool, same_machine: bool = False
    ) -> tuple[JobSpec, bytes]:
        """The same with its classes as they are in this program, and these as bytes. `as_objects`:
        the output is pickled pairs, whatever the job's own format."""
        given = tuple(map(_as_input, inputs)) or self.inputs
        program = shipping.Program(mappers_of(self.steps, given), self.steps)
        files = {Path(path).name.partition(".")[0] for path in self.modules}
        code, data = shipping.pickle_program(
            program, same_machine=same_machine, sent_as_files=files
        )
        output_format = "pickle" if as_objects else self.output_format
        return self._with_files(self._described(code, given, output, output_format), given), data

    def _with_files(self, spec: JobSpec, inputs: Sequence[Input]) -> JobSpec:
        # Not before the job is run: a source file that makes it is loaded where it is not described
        # too, and there these files may be missing.
        sent = [*self.files, *streaming.files_of(self.steps, (given.mapper for given in inputs))]
        return msgspec.structs.replace(
            spec, files=sidefiles.given(sent), modules=sidefiles.given(self.modules)
        )

    def _described(
        self, code: Code, inputs: Sequence[Input], output: str, output_format: str
    ) -> JobSpec:
        mappers = mappers_of(self.steps, inputs)
        streaming.check_output(self.steps[-1], output_format)
        return JobSpec(
            name=self.name,
            inputs=tuple(
                InputSpec(
                    str(given.path),
                    streaming.input_format(
                        given.mapper or self.steps[0].mapper, given.format or self.input_format
                    ),
                    0 if given.mapper is None else mappers.index(given.mapper, 1),
                )
                for given in inputs
            ),
            output=output,
            code=code,
            steps=tuple(map(shipping.named, self.steps)),
            output_format=output_format,
            outputs=self.outputs,
            merged=self.merged,
            params=self.params,
            max_attempts=self.max_attempts,
            split_bytes=self.split_bytes,
            least_split_bytes=self.least_split_bytes,
            memory_bytes=self.memory_bytes,
            time_limit_s=self.time_limit_s,
            memory_limit_bytes=self.memory_limit_bytes,
            skip_bad_records=self.skip_bad_records,
            priority=self.priority,
            max_running=self.max_running,
            slow_start=self.slow_start,
            backups=self.backups,
            python=shipping.PYTHON,
        )


def _steps(steps: Sequence[Step] | None, one_step: Mapping[str, Any]) -> tuple[Step, ...]:
    if unknown := sorted(one_step.keys() - _ONE_STEP):
        raise JobError(f"a job has no {', '.join(unknown)}; its step has {sorted(_ONE_STEP)}")
    if steps is None:
        return (Step(**one_step),)
    if one_step:
        raise JobError(f"give {', '.join(one_step)} to one of the steps, not beside `steps`")
    if not steps:
        raise JobError("a job has one step at least")
    return tuple(steps)


def _check_classes(steps: Sequence[Step], inputs: Sequence[Input], skip_bad_records: int) -> None:
    """What a function will make can't be seen yet."""
    made: list[tuple[Any, type[Mapper] | type[Reducer]]] = [
        *((step.mapper, Mapper) for step in steps),
        *((given.mapper, Mapper) for given in inputs),
        *((step.reducer, Reducer) for step in steps),
    ]
    for given, base in made:
        if isinstance(given, type):
            calling.check_class(given, base)
    for step in steps:
        if takes_pieces(step.reducer):
            check_takes_pieces(step, skip_bad_records)


def _as_input(given: Given) -> Input:
    if not isinstance(given, RunResult):
        return given if isinstance(given, Input) else Input(given)
    # Not the whole folder: named outputs are there too, in formats of their own.
    name = given.parts[0] if len(given.parts) == 1 else "part-*"
    return Input(f"{glob.escape(given.output)}/{name}", formats.reading_back(given.output_format))


def _run_here(
    spec: JobSpec, code: bytes, runner: Runner, processes: int | None, progress: Progress
) -> RunResult:
    if runner == "inline":
        from mapreduce.runners import inline

        return inline.run(spec, code, progress=progress)
    from mapreduce.runners import local

    return local.run(spec, code, processes=processes, progress=progress)
