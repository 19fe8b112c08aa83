"""What a person says of a job on the command line, as the specification that a runner takes.

A source file holds classes by name (`MyMapper`, `MyReducer`, ...), which are found without running
it, or a whole job: a `Job` named `job`, or a function of that name that makes one of parameters. To
learn what that is the file is run, here on the user's own machine.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from cli import describing_executables
from dynamo.errors import DynamoError, RequestError

if TYPE_CHECKING:
    from mapreduce.engine.orders import Code, JobSpec

MIB = 1 << 20

_STEP = ("mapper", "reducer", "combiner", "partitioner", "do_hash", "reducers", "sort_key",
         "group_key", "sort_values", "descending", "total_order")  # fmt: skip
"""The options that are about a step: a source file with a whole job says these itself."""


def _pairs(
    ctx: click.Context, parameter: click.Parameter, given: tuple[str, ...]
) -> dict[str, str]:
    """NAME=VALUE options as a dict."""
    pairs = [text.partition("=") for text in given]
    if wrong := [name + equals for name, equals, _ in pairs if not (name and equals)]:
        raise click.BadParameter(f"{wrong[0]!r} is not of the form NAME=VALUE")
    return {name: value for name, _, value in pairs}


def job_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What `new_job` and `run` both ask about the source file and what becomes of its pairs."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


_OPTIONS = (
    click.option("--reducers", type=click.IntRange(0), default=None,
                 help="Reduce tasks, and files of output; 0: the mappers' pairs are it.  "
                      "[default: 1]"),
    click.option("--mapper", metavar="CLASS|COMMAND",
                 help="The mapper in SOURCE, or without SOURCE a program.  [default: MyMapper]"),
    click.option("--reducer", metavar="CLASS|COMMAND",
                 help="The reducer in SOURCE, or without SOURCE a program.  [default: MyReducer]"),
    click.option("--combiner", metavar="NAME|COMMAND",
                 help="The combiner in SOURCE: a class, or a function of two values; without "
                      "SOURCE a program.  [default: MyCombiner if there is one]"),
    click.option("--field-separator", metavar="TEXT",
                 help="Of programs: between the fields of what mappers write and reducers read.  "
                      "[default: a tab]"),
    click.option("--output-separator", metavar="TEXT",
                 help="Of programs: between key and value of what becomes output.  "
                      "[default: a tab]"),
    click.option("--key-fields", type=click.IntRange(1),
                 help="Of programs: so many fields of a mapper's line are the key.  [default: 1]"),
    click.option("--partition-fields", type=click.IntRange(1),
                 help="Of programs: so many fields of a key say which reducer gets it.  "
                      "[default: all]"),
    click.option("--partitioner", metavar="NAME",
                 help="The partitioner in SOURCE.  [default: MyPartitioner if there is one]"),
    click.option("--do-hash", metavar="FUNCTION",
                 help="In SOURCE: an int for each key; its partition is that modulo the reducers.  "
                      "[default: do_hash if there is one]"),
    click.option("--sort-key", metavar="FUNCTION", help="In SOURCE: what keys are ordered by."),
    click.option("--group-key", metavar="FUNCTION",
                 help="In SOURCE: keys for which it gives the same are reduced together."),
    click.option("--sort-values", is_flag=True, default=None, help="Sort the values of each key."),
    click.option("--descending", is_flag=True, default=None, help="Keys in reversed order."),
    click.option("--total-order", is_flag=True, default=None,
                 help="Each file of output has keys that come before those of the next."),
    click.option("--input-for", "own_inputs", nargs=2, multiple=True, metavar="CLASS PATH",
                 help="A further input, which another mapper in SOURCE maps: for joins."),
    click.option("--input-format", default=None, metavar="FORMAT",
                 help="text, pairs, tsv, csv, jsonlines, whole, pickle, parquet, fixed:size=N; "
                      "with options as in text:errors=replace: docs/formats.md.  [default: text]"),
    click.option("--output-format", default=None, metavar="FORMAT",
                 help="text (key TAB value), tsv, csv, jsonlines, pickle, raw, parquet; with "
                      "options as in text:compress=gzip.  [default: text]"),
    click.option("--named-output", "outputs", multiple=True, metavar="NAME=FORMAT", callback=_pairs,
                 help="A further output, for context.emit(..., to=NAME)."),
    click.option("--merged", is_flag=True, default=None, help="One file of output, in order."),
    click.option("--set", "params", multiple=True, metavar="NAME=VALUE", callback=_pairs,
                 help="A parameter of the job: context.params[NAME], and of the function `job`."),
    click.option("--file", "files", multiple=True, metavar="PATH",
                 help="A side file: context.file(NAME)."),
    click.option("--module", "modules", multiple=True, metavar="PATH",
                 help="A module, a package's folder or a zip that SOURCE imports."),
    click.option("--split-mib", type=click.IntRange(1, 1024), default=None,
                 help="MiB of input for each map task at most.  [default: 16]"),
    click.option("--least-split-mib", type=click.IntRange(0, 1024), default=None,
                 help="MiB that are the least for a map task of their own.  [default: 0]"),
    click.option("--memory-mib", type=click.IntRange(1), default=None,
                 help="MiB that a task may hold before it spills to its disk.  [default: 256]"),
    click.option("--max-attempts", type=click.IntRange(1, 100), default=None,
                 help="How often a task may fail before the job does.  [default: 4]"),
    click.option("--time-limit", "time_limit_s", type=click.FloatRange(0), metavar="SECONDS",
                 help="An attempt that takes longer has failed.  [default: 0, none]"),
    click.option("--memory-limit", "memory_limit_mib", type=click.IntRange(0), metavar="MIB",
                 help="An attempt that takes more memory has failed.  [default: 0, none]"),
    click.option("--skip-bad-records", type=click.IntRange(0), metavar="COUNT",
                 help="So many records that make a task fail may be left out, in each task.  "
                      "[default: 0]"),
    click.option("--priority", type=click.FloatRange(0.001, 1000),
                 help="Its share of the slots beside other jobs.  [default: 1]"),
    click.option("--max-running", type=click.IntRange(0),
                 help="The most tasks of it that run at once.  [default: 0, any number]"),
    click.option("--slow-start", type=click.FloatRange(0, 1), metavar="PART",
                 help="Reduces may start when this part of the maps is done.  [default: 0.05]"),
    click.option("--no-backups", "backups", flag_value=False, default=None,
                 help="Run no copies of slow tasks."),
)  # fmt: skip


def describe(
    name: str, source: Path | None, inputs: tuple[str, ...], output: str, **options: Any
) -> tuple["JobSpec", bytes]:
    """The job that SOURCE and the options describe, or without SOURCE the options alone, and the
    bytes of its code.

    `options` are those of `job_options`; side files and modules are still local ones.
    """
    from mapreduce.engine import sources
    from mapreduce.engine.orders import Code

    if source is None:
        given = {option: value for option, value in options.items() if value not in (None, (), {})}
        spec = describing_executables.executables(inputs, output, given)
        given.pop("input_format", None)
        return _changed(spec, name, given), b""
    describing_executables.check_for_source(options)
    code = source.read_bytes()
    names = sources.names_in(code, str(source))
    own_inputs = options.pop("own_inputs", ())
    given = {option: value for option, value in options.items() if value not in (None, (), {})}
    if sources.JOB in names and "mapper" not in given:
        made = Code(filename=str(source), job=sources.JOB)
        spec = _whole_job(code, made, inputs, output, own_inputs, given)
    else:
        mappers = tuple(dict.fromkeys(mapper for mapper, _ in own_inputs))
        made = Code(filename=str(source), mappers=mappers)
        spec = _one_step(code, made, inputs, output, own_inputs, given)
    spec = _changed(spec, name, given)
    sources.check_pieces(code, spec)
    return spec, code


def _whole_job(
    source: bytes,
    code: "Code",
    inputs: tuple[str, ...],
    output: str,
    own_inputs: tuple[tuple[str, str], ...],
    given: dict[str, Any],
) -> "JobSpec":
    if own_inputs or (of_steps := [option for option in _STEP if option in given]):
        what = "input-for" if own_inputs else of_steps[0].replace("_", "-")
        raise RequestError(
            f"{code.filename} defines a whole job, and --{what} is for it to say: leave it out, or "
            "let `job` be a function of parameters and use --set"
        )
    job = _job_of(source, code, given.get("params", {}), given.get("modules", ()))
    spec: JobSpec = job.spec(code, inputs, output)
    return spec


def _job_of(source: bytes, code: "Code", params: dict[str, str], modules: tuple[str, ...]) -> Any:
    """The `Job` that a source file makes. What the file itself raises is shown from its own line
    on."""
    from mapreduce.engine import child, shipping, sidefiles
    from mapreduce.errors import SourceError

    try:
        with sidefiles.importable_here(modules):
            module = shipping.load_source(source, code.filename, "mapreduce_job")
            return shipping.job_in(module, code, params)
    except DynamoError:
        raise
    except ModuleNotFoundError as error:
        raise SourceError(
            f"{code.filename}: {error}; if that is a module of yours, let it come with the job: "
            "--module PATH, of its file or its package's folder"
        ) from None
    except Exception as error:
        assert error.__traceback__ is not None
        told = child.describe(error.with_traceback(error.__traceback__.tb_next))
        raise SourceError(f"{code.filename} made no job when it was run:\n{told}") from None


def _one_step(
    source: bytes,
    code: "Code",
    inputs: tuple[str, ...],
    output: str,
    own_inputs: tuple[tuple[str, str], ...],
    given: dict[str, Any],
) -> "JobSpec":
    from mapreduce.data.inputs import InputSpec
    from mapreduce.engine import sources
    from mapreduce.engine.orders import JobSpec, StepSpec

    step = StepSpec(**{option: given[option] for option in _STEP if option in given})
    read = [InputSpec(path) for path in inputs]
    for mapper, path in own_inputs:
        read.append(InputSpec(path, mapper=1 + code.mappers.index(mapper)))
    if not inputs and own_inputs and "mapper" not in given:
        step = msgspec.structs.replace(step, mapper=own_inputs[0][0])
    steps = sources.check_source(source, code, [step])
    return JobSpec(name="job", inputs=tuple(read), output=output, code=code, steps=steps)


def _changed(spec: "JobSpec", name: str, given: dict[str, Any]) -> "JobSpec":
    """`spec` with what the options say of the job as a whole."""
    from mapreduce.engine import sidefiles

    changes: dict[str, Any] = {"name": name}
    for option in (
        "output_format", "merged", "max_attempts", "time_limit_s", "skip_bad_records",
        "priority", "max_running", "slow_start", "backups",
    ):  # fmt: skip
        if option in given:
            changes[option] = given[option]
    for option in ("split", "least_split", "memory", "memory_limit"):
        if f"{option}_mib" in given:
            changes[f"{option}_bytes"] = given[f"{option}_mib"] * MIB
    changes["outputs"] = spec.outputs | given.get("outputs", {})
    changes["params"] = spec.params | given.get("params", {})
    changes["files"] = sidefiles.joined(spec.files, sidefiles.given(given.get("files", ())))
    changes["modules"] = spec.modules + sidefiles.given(given.get("modules", ()))
    if "input_format" in given:
        changes["inputs"] = tuple(
            msgspec.structs.replace(read, format=given["input_format"]) for read in spec.inputs
        )
    return msgspec.structs.replace(spec, **changes)
