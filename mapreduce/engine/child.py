"""The process that runs tasks: takes orders from its parent, one after the other, and answers.

Started by `mapreduce.engine.executor` in a session of its own. When its parent goes away, it ends
itself and every process that user code has started in its session.
"""

import contextlib
import ctypes
import errno
import functools
import gc
import os
import pickle
import signal
import sys
import threading
import traceback
from collections import deque
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import msgspec

from dynamo.errors import DynamoError
from dynamo.store import Store
from mapreduce.data.locations import is_url
from mapreduce.engine import allowance, killing, limits, paths, shipping, sidefiles, tasks
from mapreduce.engine.events import TaskId
from mapreduce.engine.orders import (
    Boot,
    Message,
    MorePieces,
    Outcome,
    PhaseOrder,
    TaskOrder,
    TaskResult,
)
from mapreduce.engine.scratch import remove
from mapreduce.engine.sidefiles import SideFiles
from mapreduce.engine.watching import Note, Watch
from mapreduce.engine.workbench import Bench
from mapreduce.errors import JobError, PieceLost, ScratchFailed

_OURS = str(Path(__file__).parents[1]) + os.sep


_messages: msgspec.msgpack.Decoder[list[Message]] = msgspec.msgpack.Decoder(list[Message])


def main(fd: int, life: int) -> None:
    """Serve orders that come through the socket `fd` until the parent closes the pipe `life`."""
    for inherited in (fd, life):
        os.set_inheritable(inherited, False)
    killing.adopt_orphans()
    connection: Connection[bytes, bytes] = Connection(fd)
    boot = msgspec.msgpack.decode(connection.recv_bytes(), type=Boot)
    if boot.allowance.cpu_share:
        killing.go_on_without_parent()
    threading.Thread(target=_end_with_parent, args=(life, boot.scratch), daemon=True).start()
    for stream in (sys.stdout, sys.stderr):
        # What a crash leaves behind should be all that was printed.
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    # Millions of pairs that nothing can free make each search for garbage long, and vain.
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    gc.enable()
    with contextlib.suppress(OSError, EOFError):  # the parent has gone: `_end_with_parent` knows
        Child(boot, connection).serve()
    threading.Event().wait()


def _end_with_parent(life: int, scratch: str) -> None:
    """Nobody ever writes into this pipe."""
    os.read(life, 1)
    # A parent that ends as it should does this itself; one that was killed can't.
    remove(scratch)
    killing.end_descendants()
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _flush() -> None:
    """Hand over all that was printed, by C code too."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    with contextlib.suppress(OSError, AttributeError):
        _libc().fflush(None)


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)


class Loaded(NamedTuple):
    """The job whose code this process holds, and what took it here."""

    run: str
    program: shipping.Program
    side_files: SideFiles
    imports: contextlib.ExitStack


class Child:
    """Runs attempts; keeps the store open and the code of the last job loaded."""

    def __init__(self, boot: Boot, connection: "Connection[bytes, bytes]") -> None:
        self._boot = boot
        self._connection = connection
        self._sending = threading.Lock()
        self._watch = Watch(self._send)
        self._scratch = Path(boot.scratch)
        self._store: Store | None = None
        self._phase: PhaseOrder | None = None
        self._loaded: Loaded | None = None
        self._more: deque[MorePieces] = deque()

    def serve(self) -> None:
        """Do what the parent orders, until it has gone."""
        while True:
            for message in self._next():
                match message:
                    case PhaseOrder():
                        self._phase = within(self._boot.allowance, message)
                    case TaskOrder():
                        assert self._phase is not None
                        outcome = self._attempt(self._phase, message)
                        _flush()
                        self._send(outcome)
                        self._more.clear()
                    case MorePieces():
                        self._more.append(message)  # it may come before its attempt does

    def _next_pieces(self) -> MorePieces:
        """The next thing that the running attempt is told; there can be nothing else."""
        while not self._more:
            self._more += (m for m in self._next() if isinstance(m, MorePieces))
        return self._more.popleft()

    def _next(self) -> list[Message]:
        return _messages.decode(self._connection.recv_bytes())

    def _send(self, message: Outcome | Note) -> None:
        with self._sending:
            self._connection.send_bytes(msgspec.msgpack.encode(message))

    def _attempt(self, phase: PhaseOrder, order: TaskOrder) -> Outcome:
        """Run one attempt; every error becomes part of the outcome, those of user code too."""
        try:
            with limits.memory(phase.spec.memory_limit_bytes):
                result = self._result(phase, order)
        except PieceLost as error:
            lost = TaskId(order.attempt.task.job, "map", error.map_index)
            return Outcome(attempt=order.attempt, error=str(error), lost=(lost,))
        except BaseException as error:
            # Also SystemExit: user code must not end a process that later tasks need.
            return Outcome(attempt=order.attempt, error=self._described(error))
        finally:
            if killing.end_descendants():
                self._unload()  # its modules may have started what has been ended
        return Outcome(attempt=order.attempt, result=result)

    def _result(self, phase: PhaseOrder, order: TaskOrder) -> TaskResult:
        if self._store is None:
            self._store = pickle.loads(self._boot.open_store)()
            allowance.keep(self._boot.allowance)  # before any user code, after our own threads
        self._refuse_outside(phase, order)
        loaded = self._load(phase, self._store)
        bench = Bench(
            self._store,
            self._store,
            self._boot.files,
            self._scratch,
            loaded.side_files,
            self._next_pieces,
        )
        return tasks.run(phase, order, loaded.program, bench, self._watch)

    def _load(self, phase: PhaseOrder, store: Store) -> Loaded:
        """The code of the phase's run, loaded once for all of its attempts here."""
        spec, run = phase.spec, phase.run
        if self._loaded and self._loaded.run == run:
            return self._loaded
        self._unload()
        code = store.get(paths.code(run)).value
        if code is None:
            raise JobError(f"the store has no code for job {spec.name!r}; was it deleted?")
        side_files = SideFiles(spec, run, self._boot.files, store, self._scratch)
        with contextlib.ExitStack() as imports:
            imports.enter_context(sidefiles.importable(side_files.modules()))
            program = shipping.load(spec, code, run)
            self._loaded = Loaded(run, program, side_files, imports.pop_all())
        return self._loaded

    def _unload(self) -> None:
        if self._loaded:
            loaded, self._loaded = self._loaded, None
            loaded.imports.close()
            loaded.side_files.forget()

    def _described(self, error: BaseException) -> str:
        told = describe(error)
        if isinstance(error, ScratchFailed) or full_disk(error):
            told += f"\n{limits.room(self._boot.place, self._scratch)}"
        if explained := self._boot.allowance.explained(error):
            told = f"{told.rstrip()}\n{explained}"
        return told

    def _refuse_outside(self, phase: PhaseOrder, order: TaskOrder) -> None:
        """Raise `JobError` where a task would need a network."""
        if not self._boot.allowance.boxed:
            return
        slices = order.split.slices if order.split else ()
        urls = [part.path for part in slices if part.source == "url"]
        urls += [phase.output] if is_url(phase.output) else []
        if urls:
            raise JobError(
                f"{urls[0]} can't be reached: {self._boot.allowance.closed}; copy inputs into the "
                "store (`dynamo put`), write outputs there, or run the job on other workers"
            )


def within(allowed: allowance.Allowance, phase: PhaseOrder) -> PhaseOrder:
    """The order for a task that may take less memory than its job assumes: it spills earlier."""
    most = allowed.task_memory_bytes // 2
    if not most or phase.spec.memory_bytes <= most:
        return phase
    spec = msgspec.structs.replace(phase.spec, memory_bytes=most)
    return msgspec.structs.replace(phase, spec=spec)


def full_disk(error: BaseException) -> bool:
    """True for the errors by which the system says that a disk is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def describe(error: BaseException) -> str:
    """An error for the user: the traceback from where their own code begins.

    Errors of this system that no user code had a part in are one line.
    """
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_OURS):
        trace = trace.tb_next
    if trace is None and isinstance(error, DynamoError):
        return f"{type(error).__name__}: {error}"
    shown = trace or error.__traceback__
    return "".join(traceback.format_exception(type(error), error, shown))
