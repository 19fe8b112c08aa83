"""What a worker does for its tasks: runs executables over files, and sorts files.

A file that is written appears under its name as a whole, when it is finished; until then it is in
a hidden folder beside the output folder, where no master looks. So what a worker leaves behind
that was killed is never taken for output, and one that was dead to its master and wakes up spoils
nothing.

Nothing that fails here keeps the task from being answered: see `run`.
"""

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from mapreduce.engine import killing
from mapreduce.jsonwire.grouping import SORT, names_for_sort, sort_environment
from mapreduce.jsonwire.messages import NewSortJob, Order

TRIES = 3
"""How often a program is run that something kills."""
Tell = Callable[[str], None]


async def perform(order: Order, tell: Tell) -> None:
    """Do a task; what goes wrong is told."""
    if isinstance(order, NewSortJob):
        await _guarded(sort(order, tell), f"sorting into {order.output_file}", tell)
        return
    for source, target in zip(order.input_files, order.outputs):
        what = f"{order.executable} on {source}"
        await _guarded(run(order.executable, Path(source), Path(target), tell), what, tell)


async def _guarded(work: Awaitable[None], what: str, tell: Tell) -> None:
    try:
        await work
    except (OSError, ValueError) as error:
        tell(f"{what} failed: {error}")


async def run(executable: str, source: Path, target: Path, tell: Tell) -> None:
    """Run a program with the file `source` as its standard input, and keep what it prints as the
    file `target`.

    The exit status is told and changes nothing, as in a pipeline of the shell: `grep` that has
    found nothing ends with 1. A program that a signal has ended is run again, at most three times.
    One that can't be started has an empty file as its output. Raises OSError.
    """
    with scratch(target) as part:
        for attempt in range(1, TRIES + 1):
            try:
                status = await _run_once(program(executable), source, part)
            except (OSError, ValueError) as error:
                tell(f"{executable} on {source} could not be run: {error}; {target} is empty")
                part.write_bytes(b"")
                return
            if status >= 0:
                break
            name = killing.signal_name(-status) or f"signal {-status}"
            tell(f"{executable} on {source}: ended by {name}, {attempt} of {TRIES} tries")
        if status > 0:
            tell(f"{executable} on {source}: exit status {status}; its output is kept as it is")


async def _run_once(executable: str, source: Path, part: Path) -> int:
    with source.open("rb") as stdin, part.open("wb") as stdout:
        async with process(executable, stdin=stdin, stdout=stdout) as child:
            return await child.wait()


async def sort(order: NewSortJob, tell: Tell) -> None:
    """Sort the lines of all files into one, in the order of their bytes, with the system's `sort`:
    its memory is bounded, and what doesn't fit waits on the disk beside the output. Raises
    OSError."""
    present = [file for file in order.input_files if Path(file).is_file()]
    for missing in sorted(set(order.input_files) - set(present)):
        tell(f"{missing} is not there to be sorted; taken as empty")
    with scratch(Path(order.output_file)) as part:
        part.write_bytes(b"")
        if not present:
            return
        options = [f"--temporary-directory={part.parent}", "--files0-from=-", f"--output={part}"]
        pipe, environment = asyncio.subprocess.PIPE, sort_environment()
        async with process(*SORT, *options, stdin=pipe, env=environment) as child:
            await child.communicate(names_for_sort(present))
        if child.returncode:
            raise OSError(f"`sort` ended with exit status {child.returncode}")


@asynccontextmanager
async def process(*command: str, **options: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    """A child that leads a session of its own: whatever it has started ends with this block."""
    child = await asyncio.create_subprocess_exec(*command, start_new_session=True, **options)
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        await child.wait()


@contextmanager
def scratch(target: Path) -> Iterator[Path]:
    """A path for a file that becomes `target` at the end of the block, unless that raises."""
    target.parent.mkdir(parents=True, exist_ok=True)
    hidden = f".worker-{os.getpid()}"
    folder = target.parent.parent / hidden
    try:
        folder.mkdir(exist_ok=True)
    except PermissionError:
        folder = target.parent / hidden
        folder.mkdir(exist_ok=True)
    try:
        part = folder / target.name
        yield part
        part.replace(target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def program(executable: str) -> str:
    """A file of that name here, or else the program of that name in PATH."""
    return os.path.abspath(executable) if Path(executable).is_file() else executable  # noqa: PTH100
