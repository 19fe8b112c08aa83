"""A job of executables on the command line: which words are its programs, and what they make of it.

What comes first, after a job's name, is its SOURCE if it ends in .py and whatever else is named is
the name of a class; without SOURCE --mapper, --reducer and --combiner are programs.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dynamo.errors import RequestError

if TYPE_CHECKING:
    from mapreduce.engine.orders import JobSpec

PROGRAMS = ("mapper", "reducer", "combiner")
LINES = ("field_separator", "output_separator", "key_fields", "partition_fields")
"""The options that are about the lines of programs."""
_FOR_CLASSES = ("partitioner", "do_hash", "sort_key", "group_key", "sort_values", "own_inputs",
                "modules", "outputs")  # fmt: skip
"""Those that are about classes, or pairs that only these can give."""


def is_source(first: str, options: Mapping[str, Any]) -> bool:
    """Whether the first word is the SOURCE of a job; `RequestError` where that can't be said.

    >>> is_source("wc.py", {"mapper": "Words"}), is_source("book.txt", {"mapper": "./map"})
    (True, False)
    """
    programs = {name: options[name] for name in PROGRAMS if options.get(name)}
    if not programs:
        return True
    commands = {name: given for name, given in programs.items() if not given.isidentifier()}
    if not first.endswith(".py"):
        return False
    if commands:
        [option, given] = next(iter(commands.items()))
        raise RequestError(
            f"{first!r} is Python source, and --{option} {given!r} names no class in it: leave out "
            f"SOURCE where programs are to be run; an input of this name can be written "
            f"'{first[:-2]}[p]y'"
        )
    return True


def check_for_source(options: Mapping[str, Any]) -> None:
    """Raise `RequestError` for options that mean nothing to the classes of a SOURCE."""
    for option in LINES:
        if options.get(option) is not None:
            raise RequestError(f"--{_dashed(option)} is for programs, which need no SOURCE")


def executables(inputs: Sequence[str], output: str, given: Mapping[str, Any]) -> "JobSpec":
    """The job of the programs that the options name. Raises for a program that can't be run."""
    from mapreduce.data.inputs import InputSpec
    from mapreduce.engine import sidefiles, streaming
    from mapreduce.engine.orders import Code, JobSpec, Lines, StepSpec

    _check(given)
    if not inputs:
        raise RequestError("programs need an input, and none is named")
    input_format = given.get("input_format", "text")
    lines = Lines(
        **{name: _separator(given[name]) for name in LINES if name in given},
        reads_keys=input_format.partition(":")[0] in ("pairs", "pickle"),
        whole_files=input_format.partition(":")[0] == "whole",
    )
    step = StepSpec(
        mapper=given.get("mapper", "cat"),
        combiner=given.get("combiner"),
        **_reducing(given),
        **{name: given[name] for name in ("descending", "total_order") if name in given},
    )
    made = streaming.step(lines, step)
    streaming.check_output(made, given.get("output_format", "text"))
    read = streaming.input_format(made.mapper, input_format)
    return JobSpec(
        name="job",
        inputs=tuple(InputSpec(path, read) for path in inputs),
        output=output,
        code=Code(kind="executables", lines=lines),
        steps=(step,),
        files=sidefiles.given(streaming.files_of([made])),
    )


def check_here(spec: "JobSpec") -> None:
    """Raise for a program that is not on this machine, which is to run the job."""
    from mapreduce.engine import streaming

    if spec.code.kind == "executables":
        streaming.check_installed([streaming.step(spec.code.lines, step) for step in spec.steps])


def job_name(options: Mapping[str, Any]) -> str:
    """What a job of programs is called if nobody says: `bin/map.py -x` runs as map."""
    from mapreduce.engine.streaming import Executable

    command = options.get("mapper") or options.get("reducer")
    return Path(Executable(command).words[0]).stem if command else "job"


def _check(given: Mapping[str, Any]) -> None:
    for option in _FOR_CLASSES:
        if option in given:
            what = {"own_inputs": "input-for", "modules": "module", "outputs": "named-output"}
            raise RequestError(
                f"--{what.get(option, _dashed(option))} is for classes: give a SOURCE, whose name "
                "ends in .py, and the names of its classes"
            )


def _reducing(given: Mapping[str, Any]) -> dict[str, Any]:
    """Without a reducer the mapper's lines are the output, unless reduce tasks are to sort them."""
    if "reducer" not in given and not given.get("reducers"):
        return {"reducers": 0}
    return {"reducer": given.get("reducer", "cat"), "reducers": given.get("reducers", 1)}


def _separator(given: Any) -> Any:
    """A tab is hard to write on a command line."""
    return given.replace("\\t", "\t") if isinstance(given, str) else given


def _dashed(option: str) -> str:
    return option.replace("_", "-")
