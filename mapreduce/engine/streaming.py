"""Executables as mappers, reducers and combiners: programs in any language, fed on stdin.

A mapper reads the values of its records, one in a line, and writes lines `key TAB value`. A reducer
reads such lines in order of their keys, byte by byte, and finds out itself where one key ends and
the next begins; what it writes is the output. A combiner does the same to what a map task holds in
memory. docs/streaming.md has it all. (The protocol is that of Hadoop Streaming; its sources are
hadoop-streaming's PipeMapRed and its manual.)
"""

import contextlib
import os
import shlex
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mapreduce.api import Step
from mapreduce.data.shuffle import LineForm
from mapreduce.engine.fields import FirstFields
from mapreduce.engine.orders import Lines, StepSpec
from mapreduce.engine.programs import Command, Worker
from mapreduce.errors import JobError


@dataclass(frozen=True)
class Executable:
    """A program that maps, reduces or combines; fits wherever a job takes a class for that.

    `command` is a program with its arguments, as a shell would take it apart; there is no shell,
    so for pipes and the like say `bash -c '...'`. Words that name files here, by a relative path,
    are sent with the job.

    `input_separator`   stands between the key and the value of lines that it reads
    `output_separator`  stands between the fields of lines that it writes
    `key_fields`        so many fields of a line are its key, the rest is its value
    `reads_keys`        for a mapper: it reads lines of key and value; always so in later steps
    `whole_files`       for a mapper: it is run once for each file, and reads that as it is; the
                        job's input format has to be whole

    Keys and values are bytes, wherever Python code of the job sees them.

    >>> import pathlib, tempfile
    >>> from mapreduce import Executable, Job
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     book = pathlib.Path(folder, "book.txt")
    ...     _ = book.write_text("to be or\\nnot to be\\n")
    ...     job = Job("wc", mapper=Executable("tr ' ' '\\\\n'"), reducer=Executable("uniq -c"))
    ...     [line.split() for line, _ in job.run(book, runner="inline")]
    [[b'2', b'be'], [b'1', b'not'], [b'1', b'or'], [b'2', b'to']]
    """

    command: str | Sequence[str]
    input_separator: str = "\t"
    output_separator: str = "\t"
    key_fields: int = 1
    reads_keys: bool = False
    whole_files: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.command, str):
            object.__setattr__(self, "command", tuple(self.command))  # it has to have a hash
        if not self.words:
            raise JobError("an executable needs a command, and it is empty")
        if isinstance(self.command, str) and (sign := _for_a_shell(self.command)):
            raise JobError(
                f"there is no shell for {sign!r} in the command {self.__name__!r}: write "
                "bash -c '...' around it"
            )
        for separator in (self.input_separator, self.output_separator):
            if not separator or "\n" in separator:
                raise JobError(
                    f"{separator!r} can't separate fields: give one or more characters, none of "
                    "them a newline"
                )
        if self.key_fields < 1:
            raise JobError(f"a key has 1 field or more, not {self.key_fields}")

    @property
    def words(self) -> Sequence[str]:
        """The program and its arguments. Raises `JobError` for a quote that does not end."""
        if not isinstance(self.command, str):
            return self.command
        try:
            return shlex.split(self.command)
        except ValueError as error:
            raise JobError(f"the command {self.command!r} can't be taken apart: {error}") from None

    @property
    def __name__(self) -> str:
        return self.command if isinstance(self.command, str) else shlex.join(self.command)

    @property
    def form(self) -> LineForm:
        """That of the lines that it writes."""
        return LineForm(self.output_separator.encode(), self.key_fields)

    def __call__(self) -> "Worker":
        return Worker(
            Command(
                self.words,
                self.__name__,
                self.input_separator.encode(),
                self.form,
                self.reads_keys,
                self.whole_files,
            )
        )

    def files(self) -> list[str]:
        """The files here that its command names, which are sent with the job.

        Raises `JobError` for a program that is not executable, or not there at all.
        """
        program, *arguments = self.words
        found = [word for word in arguments if _is_here(word)]
        if "/" in program or not shutil.which(program):
            found[:0] = _program_here(program)
        for word in found:
            if ".." in Path(word).parts:
                raise JobError(
                    f"{word!r} of the command {self.__name__!r} is outside of this folder, and a "
                    "task has a folder of its own: give it as a side file (--file, files=[...]) "
                    f"and write {Path(word).name!r} in the command"
                )
        return found


def _for_a_shell(command: str) -> str:
    """The first sign outside of quotes that only a shell understands; "" if there is none.

    >>> _for_a_shell("sort | uniq -c"), _for_a_shell("cut -d '|' -f 1")
    ('|', '')
    """
    signs = shlex.shlex(
        command, posix=False, punctuation_chars="|&;<>"
    )  # leaves quotes as they are
    signs.whitespace_split, signs.commenters = True, ""
    with contextlib.suppress(ValueError):
        return next((sign for sign in signs if not sign.strip("|&;<>")), "")
    return ""


def _is_here(word: str) -> bool:
    try:
        return not Path(word).is_absolute() and Path(word).is_file()
    except (OSError, ValueError):  # too long for a name, or with a zero byte
        return False


def _program_here(program: str) -> list[str]:
    """The program if it is sent with the job; for one without a slash that is not in this folder
    the machines that run the job may have it."""
    if not Path(program).is_file():
        if "/" not in program:
            return []
        raise JobError(f"there is no program {program!r}")
    if not os.access(program, os.X_OK):
        raise JobError(f"{program!r} is not executable; `chmod +x {program}` makes it so")
    return [] if Path(program).is_absolute() else [program]


def step(lines: Lines, given: StepSpec) -> Step:
    """A step whose commands travel in its specification.

    >>> made = step(Lines(field_separator=","), StepSpec(mapper="./map", reducer="wc -l"))
    >>> made.mapper.output_separator, made.reducer.input_separator, made.reducer.output_separator
    (',', ',', '\\t')
    """
    inner, outer = lines.field_separator, lines.output_separator
    of_mapper = (inner, lines.key_fields) if given.reducers else (outer, 1)
    return Step(
        mapper=Executable(given.mapper, inner, *of_mapper, lines.reads_keys, lines.whole_files),
        combiner=_made(given.combiner, inner, inner, lines.key_fields),
        reducer=_made(given.reducer, inner, outer),
        reducers=given.reducers,
        descending=given.descending,
        total_order=given.total_order,
        do_hash=FirstFields(lines.partition_fields, inner) if lines.partition_fields else None,
    )


def _made(command: str | None, *lines: Any) -> Executable | None:
    return Executable(command, *lines) if command else None


# What a job needs for its executables -----------------------------------------------------------


def files_of(steps: Iterable[Step], mappers: Iterable[Any] = ()) -> list[str]:
    """The files here that the executables of a job need; see `Executable.files`."""
    codes = [code for step in steps for code in (step.mapper, step.combiner, step.reducer)]
    executables = (code for code in [*codes, *mappers] if isinstance(code, Executable))
    return [file for executable in executables for file in executable.files()]


def check_installed(steps: Iterable[Step]) -> None:
    """Raise `JobError` for an executable that this machine, on which the job is to run, lacks."""
    for step in steps:
        for code in (step.mapper, step.combiner, step.reducer):
            if isinstance(code, Executable) and not _is_installed(code.words[0]):
                raise JobError(f"there is no program {code.words[0]!r} on this machine")


def _is_installed(program: str) -> bool:
    return bool(shutil.which(program)) or _is_here(program)


def input_format(mapper: Any, given: str) -> str:
    """The format in which an input is read for a mapper: an executable gets its bytes as they are.

    >>> input_format(Executable("cat"), "text"), input_format(Executable("cat"), "csv")
    ('text:bytes=yes', 'csv')
    """
    if not isinstance(mapper, Executable):
        return given
    if mapper.whole_files and given == "text":
        given = "whole"
    if mapper.whole_files and given.partition(":")[0] != "whole":
        raise JobError(
            f"{mapper.__name__!r} reads whole files, so that the input format is whole and not "
            f"{given!r}"
        )
    as_it_is = {"text": ":bytes=yes", "whole": ":bytes=yes", "pairs": ":errors=surrogateescape"}
    return given + as_it_is.get(given, "")


def check_output(step: Step, output_format: str) -> None:
    """Raise `JobError` for an output format that can't write what an executable gives."""
    last = step.reducer if step.reducers else step.mapper
    if isinstance(last, Executable) and output_format.partition(":")[0] in _OF_VALUES:
        raise JobError(
            f"{last.__name__!r} writes lines, which the format {output_format!r} can't take apart: "
            "let it write them as they shall be, in the format text"
        )


_OF_VALUES = ("csv", "tsv", "jsonlines")
