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
from typing import Any, BinaryIO

from mapreduce.engine import killing
from mapreduce.engine.piping import why_not
from mapreduce.errors import ProgramFailed
from mapreduce.jsonwire.grouping import SORT, names_for_sort, sort_environment
from mapreduce.jsonwire.guard import Guard
from mapreduce.jsonwire.messages import NewSortJob, Order

TRIES = 3
"""How often a program is run that something kills."""
BLOCK_BYTES = 1 << 18
Tell = Callable[[str], None]


class Executor:
    """Does tasks, and tells what goes wrong."""

    def __init__(self, tell: Tell, guard: Guard) -> None:
        self._tell = tell
        self._guard = guard

    async def perform(self, order: Order) -> None:
        if isinstance(order, NewSortJob):
            await self._guarded(self._sort(order), f"sorting into {order.output_file}")
            return
        for source, target in zip(order.input_files, order.outputs):
            work = self._run(order.executable, Path(source), Path(target))
            await self._guarded(work, f"{order.executable} on {source}")

    async def _guarded(self, work: Awaitable[None], what: str) -> None:
        try:
            await work
        except (OSError, ValueError, ProgramFailed) as error:
            self._tell(f"{what} failed: {error}")

    async def _run(self, executable: str, source: Path, target: Path) -> None:
        """Run a program with the file `source` as its standard input, and keep what it prints as
        the file `target`.

        The exit status is told and changes nothing, as in a pipeline of the shell: `grep` that has
        found nothing ends with 1. A program that a signal has ended is run again, at most three
        times. One that can't be started has an empty file as its output. Raises OSError.
        """
        what = f"{executable} on {source}"
        with scratch(target) as part:
            for attempt in range(1, TRIES + 1):
                try:
                    status = await self._run_once(executable, source, part)
                except ProgramFailed as error:
                    self._tell(f"{what} could not be run: {error}; {target} is empty")
                    part.write_bytes(b"")
                    return
                if status >= 0:
                    break
                name = killing.signal_name(-status) or f"signal {-status}"
                self._tell(f"{what}: ended by {name}, {attempt} of {TRIES} tries")
            if status > 0:
                self._tell(f"{what}: exit status {status}; its output is kept as it is")

    async def _run_once(self, executable: str, source: Path, part: Path) -> int:
        with opened(source) as stdin, part.open("wb") as kept:
            async with (
                pipe() as (stdout, reader),
                self._process(program(executable), stdin=stdin, stdout=stdout) as child,
            ):
                stdout.close()
                # Others whom it has started may write on when it has ended, as in a pipeline.
                while block := await reader.read(BLOCK_BYTES):
                    kept.write(block)
                return await child.wait()

    async def _sort(self, order: NewSortJob) -> None:
        """Sort the lines of all files into one, in the order of their bytes, with the system's
        `sort`: its memory is bounded, and what doesn't fit waits on the disk beside the output.
        Raises OSError."""
        present = [file for file in order.input_files if Path(file).is_file()]
        for missing in sorted(set(order.input_files) - set(present)):
            self._tell(f"{missing} is not there to be sorted; taken as empty")
        with scratch(Path(order.output_file)) as part:
            part.write_bytes(b"")
            if not present:
                return
            options = [f"--temporary-directory={part.parent}", "--files0-from=-"]
            command = [*SORT, *options, f"--output={part}"]
            stdin, environment = asyncio.subprocess.PIPE, sort_environment()
            async with self._process(*command, stdin=stdin, env=environment) as child:
                await child.communicate(names_for_sort(present))
            if child.returncode:
                raise OSError(f"`sort` ended with exit status {child.returncode}")

    @asynccontextmanager
    async def _process(
        self, *command: str, **options: Any
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        """A child that leads a session of its own: what it has started ends with this block."""
        environment = {**os.environ, **options.pop("env", {}), **self._guard.environment}
        self._guard.watch(0)  # it is there before the first program is
        child = await started(*command, env=environment, **options)
        try:
            self._guard.watch(child.pid)
            yield child
        finally:
            await end(child)
            self._guard.watch(0)


async def started(*command: str, **options: Any) -> asyncio.subprocess.Process:
    """A child that leads a session. Raises `ProgramFailed`; leaves nobody behind if cancelled."""
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(*command, start_new_session=True, **options)
    )
    try:
        return await asyncio.shield(starting)
    except (OSError, ValueError) as error:
        raise ProgramFailed(why_not(command[0], Path(), error)) from None
    except asyncio.CancelledError:
        with contextlib.suppress(OSError, ValueError):
            await end(await starting)
        raise


async def end(child: asyncio.subprocess.Process) -> None:
    """Kill all of a session that are left, and wait for who leads it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    await child.wait()


def opened(source: Path) -> BinaryIO:
    """An input file; `ProgramFailed` if it can't be read."""
    try:
        return source.open("rb")
    except (OSError, ValueError) as error:
        raise ProgramFailed(str(error)) from None


@asynccontextmanager
async def pipe() -> AsyncIterator[tuple[BinaryIO, asyncio.StreamReader]]:
    """The end that a child is to write to, and what comes out at the other."""
    ours, theirs = os.pipe()
    reader = asyncio.StreamReader(limit=BLOCK_BYTES)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(ours, "rb")
    )
    try:
        with os.fdopen(theirs, "wb") as stdout:
            yield stdout, reader
    finally:
        transport.close()


@contextmanager
def scratch(target: Path) -> Iterator[Path]:
    """A path for a file that becomes `target` at the end of the block, unless that raises."""
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.parent.parent
    one_disk = beside.stat().st_dev == target.parent.stat().st_dev
    place = beside if one_disk and os.access(beside, os.W_OK) else target.parent
    folder = place / f".worker-{os.getpid()}"
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
