"""An executable in one task: what it is fed and told, where it runs, and what becomes of what it
writes and says."""

import functools
import itertools
import os
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from mapreduce.api import Context, Pair
from mapreduce.data.formats import Batch
from mapreduce.data.shuffle import Group, LineForm, LineGroups, LinePairs, whole_lines
from mapreduce.engine import fields
from mapreduce.engine.piping import Ended, piped, started
from mapreduce.errors import ProgramFailed

STDERR_BYTES = 4 << 10
"""So much of the end of what a program has written to stderr is in the error if it fails."""
_REPORT = b"reporter:"
_COUNTER = re.compile(r"reporter:counter:([^,]*),([^,]*),\s*(-?\d+)\s*")
_STATUS = "reporter:status:"
_UNSAFE = re.compile(r"[^A-Za-z0-9]")

Role = Literal["mapper", "reducer", "combiner"]


class Command(NamedTuple):
    """What is run, and how its lines are made: see `mapreduce.engine.streaming.Executable`."""

    words: Sequence[str]
    name: str
    input_separator: bytes
    form: LineForm
    reads_keys: bool
    whole_files: bool


class Worker:
    """An executable in one task."""

    def __init__(self, command: Command) -> None:
        self.context = Context()
        self._command = command
        self._role: Role = "mapper"

    def mapped(self, batches: Iterator[Batch]) -> LinePairs:
        """What it makes of the records: those of each file are fed to a run of their own."""
        return self._pairs("mapper", self._mapped(batches))

    def reduced(self, groups: Iterable[Group], counters: Counter[str]) -> LinePairs:
        """What it makes of all values with their keys. Counts the groups."""
        return self._pairs("reducer", self._run(self._fed(groups, counters)))

    def combined(self, groups: Iterable[Group]) -> LinePairs:
        """What it makes of what a map task holds."""
        return self._pairs("combiner", self._run(self._fed(groups, Counter())))

    def _fed(self, groups: Iterable[Group], counters: Counter[str]) -> Iterator[bytes]:
        separator = self._command.input_separator
        if isinstance(groups, LineGroups) and groups.form.separator == separator:
            return groups.texts(counters)  # they are what it reads already
        return fields.lines_of_groups(_counted(groups, counters), separator)

    def _pairs(self, role: Role, texts: Iterator[bytes]) -> LinePairs:
        self._role = role
        self.context.where = lambda _: f"in what {self._named} wrote"
        return LinePairs(texts, self._command.form)

    def _mapped(self, batches: Iterator[Batch]) -> Iterator[bytes]:
        context = self.context
        was_run = False
        for path, some in itertools.groupby(batches, lambda _: context.input):
            was_run = True
            if self._command.whole_files:
                for _, content in _records(some):
                    yield from self._run(iter([fields.as_bytes(content)]), path)
            else:
                yield from self._run(self._lines(some), path)
        if not was_run:
            yield from self._run(iter(()))

    def _lines(self, batches: Iterator[Batch]) -> Iterator[bytes]:
        given = self._command
        if given.reads_keys or self.context.step > 1:
            return fields.lines_of_pairs(_records(batches), given.input_separator)
        return fields.lines_of_batches(batches)

    def _run(self, feed: Iterator[bytes], path: str = "") -> Iterator[bytes]:
        """The lines that the program writes."""
        return whole_lines(self._blocks(feed, path))

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
        program, *arguments = self._command.words
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
            furnish(folder, name, context.find_file(name), self._command.words)
        return folder

    @property
    def _named(self) -> str:
        return f"the {self._role} {self._command.name!r}"


def _records(batches: Iterator[Batch]) -> Iterator[Pair]:
    return itertools.chain.from_iterable(batch.pairs for batch in batches)


def _counted(groups: Iterable[Group], counters: Counter[str]) -> Iterator[Group]:
    for group in groups:
        counters["reduce_input_groups"] += 1
        yield group


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
