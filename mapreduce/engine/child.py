"""The process that runs tasks: takes orders from its parent, one after the other, and answers.

Started by `mapreduce.engine.executor` in a session of its own. When its parent goes away, it ends
itself and every process that user code has started in its session.
"""

import contextlib
import ctypes
import gc
import os
import pickle
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

import msgspec

from dynamo.errors import DynamoError
from dynamo.store import Store
from mapreduce.data.inputs import Files
from mapreduce.engine import paths, shipping, sidefiles, tasks
from mapreduce.engine.events import TaskId
from mapreduce.engine.orders import Outcome, TaskOrder
from mapreduce.engine.sidefiles import SideFiles
from mapreduce.engine.watching import Note, Watch
from mapreduce.errors import JobError, PieceLost

_OURS = str(Path(__file__).parents[1]) + os.sep


def main(fd: int) -> None:
    """Serve orders that come through the socket `fd` until the parent closes it."""
    os.set_inheritable(fd, False)
    connection: Connection[bytes, bytes] = Connection(fd)
    open_store, files = pickle.loads(connection.recv_bytes())
    scratch = Path(os.fsdecode(connection.recv_bytes()))
    orders: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_listen, args=(connection, orders, scratch), daemon=True).start()
    for stream in (sys.stdout, sys.stderr):
        # What a crash leaves behind should be all that was printed.
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    sending = threading.Lock()

    def send(message: Outcome | Note) -> None:
        with sending, contextlib.suppress(OSError):  # when the parent ends, `_listen` hears of it
            connection.send_bytes(msgspec.msgpack.encode(message))

    # Millions of pairs that nothing can free make each search for garbage long, and vain.
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    gc.enable()
    child = Child(open_store, files, scratch, Watch(send))
    while True:
        order = msgspec.msgpack.decode(orders.get(), type=TaskOrder)
        outcome = child.attempt(order)
        _flush()
        send(outcome)


def _listen(
    connection: "Connection[bytes, bytes]", orders: "SimpleQueue[bytes]", scratch: Path
) -> None:
    """Take orders while a task runs, so that the parent's end is noticed then too."""
    with contextlib.suppress(OSError, EOFError):
        while True:
            orders.put(connection.recv_bytes())
    # A parent that ends as it should does this itself; one that was killed can't.
    shutil.rmtree(scratch, ignore_errors=True)
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _flush() -> None:
    """Hand over all that was printed, by C code too."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).fflush(None)


class Loaded(NamedTuple):
    """The job whose code this process holds, and what took it here."""

    run: str
    code: bytes
    program: shipping.Program
    side_files: SideFiles
    imports: contextlib.ExitStack


class Child:
    """Runs attempts; keeps the store open and the code of the last job loaded."""

    def __init__(
        self, open_store: Callable[[], Store], files: Files, scratch: Path, watch: Watch
    ) -> None:
        self._open_store = open_store
        self._files = files
        self._watch = watch
        self._scratch = scratch
        self._store: Store | None = None
        self._loaded: Loaded | None = None

    def attempt(self, order: TaskOrder) -> Outcome:
        """Run one attempt; every error becomes part of the outcome, those of user code too."""
        try:
            if self._store is None:
                self._store = self._open_store()
            loaded = self._load(order, self._store)
            bench = tasks.Bench(
                self._store, self._store, self._files, self._scratch, loaded.side_files
            )
            result = tasks.run(order, loaded.program, bench, self._watch)
        except PieceLost as error:
            lost = TaskId(order.attempt.task.job, "map", error.map_index)
            return Outcome(attempt=order.attempt, error=str(error), lost=(lost,))
        except BaseException as error:
            # Also SystemExit: user code must not end a process that later tasks need.
            return Outcome(attempt=order.attempt, error=describe(error))
        return Outcome(attempt=order.attempt, result=result)

    def _load(self, order: TaskOrder, store: Store) -> Loaded:
        """The code of the order's run; loaded again only if it is another run, or its code is
        another: a name may be used again."""
        code = store.get(paths.code(order.run)).value
        if code is None:
            raise JobError(f"the store has no code for job {order.spec.name!r}; was it deleted?")
        if self._loaded and (self._loaded.run, self._loaded.code) == (order.run, code):
            return self._loaded
        self._unload()
        side_files = SideFiles(order.spec, order.run, self._files, store, self._scratch)
        with contextlib.ExitStack() as imports:
            imports.enter_context(sidefiles.importable(side_files.modules()))
            program = shipping.load(order.spec, code, order.run)
            self._loaded = Loaded(order.run, code, program, side_files, imports.pop_all())
        return self._loaded

    def _unload(self) -> None:
        if self._loaded:
            loaded, self._loaded = self._loaded, None
            loaded.imports.close()
            loaded.side_files.forget()


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
