"""Executables as mappers, reducers and combiners: programs in any language, fed on stdin.

A mapper reads the values of its records, one in a line, and writes lines `key TAB value`. A reducer
reads such lines in order of their keys, byte by byte, and finds out itself where one key ends and
the next begins; what it writes is the output. A combiner does the same to what a map task holds in
memory. docs/streaming.md has it all. (The protocol is that of Hadoop Streaming; its sources are
hadoop-streaming's PipeMapRed and its manual.)
"""

import contextlib
import functools
import itertools
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mapreduce.api import Context, Pair, Step
from mapreduce.data.shuffle import ColumnPairs, Columns
from mapreduce.engine import fields
from mapreduce.engine.fields import FirstFields
from mapreduce.engine.orders import Lines, StepSpec
from mapreduce.engine.piping import Ended, piped, started
from mapreduce.errors import JobError, ProgramFailed

STDERR_BYTES = 4 << 10
"""So much of the end of what a program has written to stderr is in the error if it fails."""
_REPORT = b"reporter:"
_COUNTER = re.compile(r"reporter:counter:([^,]*),([^,]*),\s*(-?\d+)\s*")
_STATUS = "reporter:status:"
_UNSAFE = re.compile(r"[^A-Za-z0-9]")

Role = Literal["mapper", "reducer", "combiner"]


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

    def __call__(self) -> "Worker":
        return Worker(self)

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


# In a task ---------------------------------------------------------------------------------------


class Worker:
    """An executable in one task: has the methods of a mapper and of a reducer."""

    def __init__(self, executable: Executable) -> None:
        self.context = Context()
        self._executable = executable
        self._role: Role = "mapper"

    def setup(self) -> None:
        self.context.where = lambda _: f"in what {self._named} wrote"

    def cleanup(self) -> None:
        """Nothing is left when the program has ended."""

    def map_all(self, records: Iterator[Pair]) -> Iterator[Pair]:
        """Feed the records, those of each file to a run of the program of its own."""
        return ColumnPairs(self._map_columns(records))

    def _map_columns(self, records: Iterator[Pair]) -> Iterator[Columns]:
        context, given = self.context, self._executable
        # getattr(context, "input", record) is the input of each record, without a call of Python.
        input_of = functools.partial(getattr, context, "input")
        was_run = False
        for path, some in itertools.groupby(records, input_of):
            was_run = True
            if given.whole_files:
                for _, content in some:
                    yield from self._run(iter([fields.as_bytes(content)]), path)
            else:
                yield from self._run(self._lines(some), path)
        if not was_run:
            yield from self._run(iter(()))

    def _lines(self, records: Iterator[Pair]) -> Iterator[bytes]:
        given = self._executable
        if given.reads_keys or self.context.step > 1:
            return fields.lines_of_pairs(records, given.input_separator.encode())
        return fields.lines_of_values(records)

    def reduce_all(self, groups: Iterator[tuple[Any, Iterator[Any]]]) -> Iterator[Pair]:
        """Feed all values with their keys, and give what comes back."""
        self._role = "combiner" if self.context.task.startswith("map") else "reducer"
        separator = self._executable.input_separator.encode()
        return ColumnPairs(self._run(fields.lines_of_groups(groups, separator)))

    def _run(self, feed: Iterator[bytes], path: str = "") -> Iterator[Columns]:
        given = self._executable
        blocks = self._blocks(feed, path)
        return fields.columns_of(blocks, given.output_separator.encode(), given.key_fields)

    def _blocks(self, feed: Iterator[bytes], path: str) -> Iterator[bytes]:
        """What the program writes. Raises `ProgramFailed` when it has not done its work."""
        context, said = self.context, Said(self.context)
        first = next(feed, b"")  # a reduce task may have to wait for this
        told = environment(context, path, os.environ)
        try:
            process = started(self._words, self._folder, told)
        except ProgramFailed as error:
            raise ProgramFailed(f"{self._named} {error}") from None
        pipes = piped(process, itertools.chain([first], feed), said.take)
        context.ending.callback(pipes.close)
        ended = yield from pipes
        said.finish()
        self._check(ended, said.tail)

    def _check(self, ended: Ended, tail: str) -> None:
        told = f"its stderr ends with\n{tail}" if tail else "it wrote nothing to stderr"
        if ended.status:
            raise ProgramFailed(f"{self._named} {ended}; {told}", ended.status)
        if ended.unread:
            raise ProgramFailed(
                f"{self._named} ended without reading all of its input, though with status 0: let "
                f"it read to the end, as in `head -3; cat > /dev/null`; {told}",
                0,
            )

    @property
    def _words(self) -> Sequence[str]:
        """The command; a program that was sent with the job may be named without a `./`."""
        program, *arguments = self._executable.words
        if not shutil.which(program) and (self._folder / program).is_file():
            program = f"./{program}"
        return [program, *arguments]

    @functools.cached_property
    def _folder(self) -> Path:
        """The folder in which the program runs: of this task alone, with the job's side files."""
        context = self.context
        folder = Path(
            context.ending.enter_context(
                tempfile.TemporaryDirectory(
                    prefix="program-", dir=context.scratch, ignore_cleanup_errors=True
                )
            )
        )
        for name in context.file_names:
            assert context.find_file is not None
            furnish(folder, name, context.find_file(name), self._executable.words)
        return folder

    @property
    def _named(self) -> str:
        return f"the {self._role} {self._executable.__name__!r}"


def furnish(folder: Path, name: str, file: Path, words: Sequence[str]) -> None:
    """Put a side file into the folder of a program: under its name, and where its command says."""
    places = [Path(word) for word in words if "/" in word and word.rpartition("/")[2] == name]
    for place in {Path(name), *places}:
        if not place.is_absolute() and ".." not in place.parts:
            link = folder / place
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.exists():
                link.symlink_to(file)


# What the program is told, and says --------------------------------------------------------------


def environment(context: Context, path: str, base: Mapping[str, str]) -> dict[str, str]:
    """The environment of a program in a task that reads `path`: `base`, the job's parameters, and
    what Hadoop tells.

    >>> context = Context("wc", "map-00003.2", run="wc-7", reducers=4, params={"stop.words": "a"})
    >>> for name, value in environment(context, "/books/ulysses.txt", {}).items():
    ...     print(f"{name}={value}")
    stop_words=a
    mapreduce_job_name=wc
    mapreduce_job_id=wc-7
    mapreduce_job_reduces=4
    mapreduce_step=1
    mapreduce_task_id=map-00003
    mapreduce_task_attempt_id=map-00003.2
    mapreduce_task_partition=3
    mapreduce_task_ismap=true
    mapreduce_map_input_file=/books/ulysses.txt
    """
    task = context.task.rpartition(".")[0]
    kind, _, number = task.rpartition("/")[2].rpartition("-")
    params = {_UNSAFE.sub("_", name): value for name, value in context.params.items()}
    told = {
        "mapreduce_job_name": context.job,
        "mapreduce_job_id": context.run,
        "mapreduce_job_reduces": str(context.reducers),
        "mapreduce_step": str(context.step),
        "mapreduce_task_id": task,
        "mapreduce_task_attempt_id": context.task,
        "mapreduce_task_partition": str(int(number or 0)),
        "mapreduce_task_ismap": "true" if kind == "map" else "false",
    }
    if kind == "map":
        told["mapreduce_map_input_file"] = path
    return {**base, **params, **told}


class Said:
    """What a program writes to stderr: reports of counters and status, and else a log."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._unfinished = b""
        self._tail = b""

    @property
    def tail(self) -> str:
        """The end of its log."""
        return self._tail.decode(errors="backslashreplace").rstrip("\n")

    def take(self, block: bytes) -> None:
        """Look at some more of it.

        >>> said = Said(Context())
        >>> said.take(b"reporter:counter:words,long,2\\nrepor")
        >>> said.take(b"ter:status:half\\n")
        >>> said._context.counters["words.long"], said._context.status, said.tail
        (2, 'half', '')
        """
        if end := block.rfind(b"\n") + 1:
            lines, self._unfinished = self._unfinished + block[:end], block[end:]
            self._log(self._without_reports(lines))
        else:
            self._unfinished += block
        if len(self._unfinished) > STDERR_BYTES and not self._unfinished.startswith(_REPORT):
            self._log(self._unfinished)
            self._unfinished = b""

    def _without_reports(self, lines: bytes) -> bytes:
        if _REPORT not in lines:
            return lines
        return b"".join(line for line in lines.splitlines(True) if not self._is_report(line))

    def finish(self) -> None:
        """It says nothing more."""
        if self._unfinished and not self._is_report(self._unfinished):
            self._log(self._unfinished)

    def _log(self, text: bytes) -> None:
        if not text:
            return
        self._tail = (self._tail + text)[-STDERR_BYTES:]
        sys.stderr.write(text.decode(errors="backslashreplace"))

    def _is_report(self, line: bytes) -> bool:
        if not line.startswith(_REPORT):
            return False
        text = line.decode(errors="replace").rstrip("\n")
        if found := _COUNTER.fullmatch(text):
            group, name, amount = found.groups()
            self._context.count(f"{group}.{name}", int(amount))
        elif text.startswith(_STATUS):
            self._context.status = text[len(_STATUS) :].strip()
        else:
            return False  # it can't be understood, and is told as it is
        return True
