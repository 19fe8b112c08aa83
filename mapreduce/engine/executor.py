"""Child processes that run tasks: warm, and able to be killed.

Each slot is a thread here and a process of its own session there, joined by a socket for orders
and answers and a pipe for all that user code prints. Threads, not gevent: an `Executor` can live
beside a gevent hub, which its callbacks must enter as from any other thread.
"""

import contextlib
import json
import os
import pickle
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from multiprocessing.connection import Connection, Pipe
from queue import SimpleQueue
from threading import Lock, Thread
from types import TracebackType

import msgspec

from dynamo.store import Store
from mapreduce.data.inputs import Files
from mapreduce.engine.events import AttemptId
from mapreduce.engine.orders import Outcome, TaskOrder
from mapreduce.engine.watching import Note

__all__ = ["Executor", "Outcome"]

OUTPUT_BYTES = 64 << 10
"""How much of what an attempt prints is kept: the end."""
_SHOWN_BYTES = 4 << 10
"""How much of that is shown in the error when a process dies."""
_LOOK_AGAIN_S = 0.5
"""A dead child whose own children still hold its socket is noticed after this time."""

_BOOT = (
    "import gc, json, sys; gc.disable(); sys.path[:] = json.loads(sys.argv[2]); "
    "from mapreduce.engine import child; child.main(int(sys.argv[1]))"
)
"""What a child runs. There is no garbage among modules, so nobody need search it while they are
imported."""


class Executor:
    """Runs attempts in `slots` warm child processes, each in a session of its own.

    `open_store` is pickled and called once in each child: it gives the store that holds the job's
    code (`paths.code(job)`), the pieces and, with `files="store"`, the inputs and outputs.
    `on_done` is called from a thread of the executor, once for each attempt that was started,
    except for those that were killed.
    """

    def __init__(
        self,
        slots: int,
        open_store: Callable[[], Store],
        on_done: Callable[[Outcome], None],
        *,
        files: Files = "store",
    ) -> None:
        self._boot = pickle.dumps((open_store, files))
        self._on_done = on_done
        self._orders: SimpleQueue[TaskOrder | None] = SimpleQueue()
        self._lock = Lock()
        self._running: dict[AttemptId, _Process | None] = {}
        """Every attempt that is wanted, with its process once it has one."""
        self._notes: dict[AttemptId, Note] = {}
        self._closed = False
        self._threads = [
            Thread(target=self._serve, name=f"slot-{number}", daemon=True)
            for number in range(slots)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def running(self) -> tuple[AttemptId, ...]:
        """The attempts that have been started and have neither ended nor been killed."""
        with self._lock:
            return tuple(self._running)

    @property
    def notes(self) -> tuple[Note, ...]:
        """How far the running attempts are, as far as they have told."""
        with self._lock:
            return tuple(self._notes.values())

    def start(self, order: TaskOrder) -> None:
        """Run an attempt in the next free slot. Returns at once."""
        with self._lock:
            if self._closed:
                return
            self._running[order.attempt] = None
        self._orders.put(order)

    def kill(self, attempt: AttemptId) -> None:
        """End an attempt and every process it has started; nothing more is heard of it.

        Returns at once; killing what is not running is no error."""
        with self._lock:
            process = self._running.pop(attempt, None)
            self._notes.pop(attempt, None)
            if process is not None:
                process.kill()

    def close(self) -> None:
        """End all children. Blocks until they are gone."""
        with self._lock:
            self._closed = True
            processes = [process for process in self._running.values() if process is not None]
            self._running.clear()
            for process in processes:
                process.kill()
        for _ in self._threads:
            self._orders.put(None)
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> "Executor":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _serve(self) -> None:
        """One slot: give its process one order after the other, and replace it when it dies."""
        process = _Process(self._boot)
        try:
            while (order := self._orders.get()) is not None:
                if not process.alive:
                    process.end()
                    process = _Process(self._boot)
                if self._claim(order.attempt, process):
                    self._report(process.run(order, self._note))
        finally:
            process.end()

    def _claim(self, attempt: AttemptId, process: "_Process") -> bool:
        """False if the attempt was killed while it waited."""
        with self._lock:
            if attempt not in self._running:
                return False
            self._running[attempt] = process
            return True

    def _note(self, note: Note) -> None:
        with self._lock:
            if note.attempt in self._running:
                self._notes[note.attempt] = note

    def _report(self, outcome: Outcome) -> None:
        with self._lock:
            wanted = outcome.attempt in self._running
            self._running.pop(outcome.attempt, None)
            self._notes.pop(outcome.attempt, None)
        if wanted:
            self._on_done(outcome)


class _Process:
    """One child process. `kill` may be called from any thread, the rest from its slot's."""

    def __init__(self, boot: bytes) -> None:
        self._connection: Connection[bytes, bytes]
        self._connection, theirs = Pipe()
        self._scratch = tempfile.mkdtemp(prefix="mapreduce-task-")
        """A folder of its own, which goes with it, however it ends."""
        command = [
            sys.executable,
            "-c",
            _BOOT,
            str(theirs.fileno()),
            json.dumps([*map(str, sys.path)]),
        ]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
        theirs.close()
        assert self._process.stdout is not None
        self._printed = self._process.stdout
        os.set_blocking(self._printed.fileno(), False)
        with contextlib.suppress(OSError):  # it died at once; the first order will say so
            self._connection.send_bytes(boot)
            self._connection.send_bytes(os.fsencode(self._scratch))

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """End the process and all that share its session."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def end(self) -> None:
        """Kill, and free what is held of the process."""
        self.kill()
        self._process.wait()
        self._printed.close()
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._connection.close()

    def run(self, order: TaskOrder, on_note: Callable[[Note], None]) -> Outcome:
        """Give the order and wait for its outcome, or for the end of the process."""
        tail = _Tail(self._printed.fileno())
        tail.read()  # what a thread of an earlier task has printed since
        tail.clear()
        try:
            self._connection.send_bytes(msgspec.msgpack.encode(order))
            while isinstance(message := _message(self._answer(tail)), Note):
                on_note(message)
        except (OSError, EOFError):
            return self._died(order.attempt, tail)
        return msgspec.structs.replace(message, output=tail.text())

    def _answer(self, tail: "_Tail") -> bytes:
        """The next message of the child; EOFError if it has died."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._connection, selectors.EVENT_READ)
            selector.register(tail.fd, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select(_LOOK_AGAIN_S)}
                if tail.fd in ready and not tail.read():
                    selector.unregister(tail.fd)
                if self._connection in ready:
                    answer = self._connection.recv_bytes()
                    tail.read()
                    return answer
                if not ready and not self.alive:
                    raise EOFError

    def _died(self, attempt: AttemptId, tail: "_Tail") -> Outcome:
        self.kill()
        error = f"the task's process {_manner(self._process.wait())} in the middle of {attempt}"
        tail.read()
        if printed := tail.text()[-_SHOWN_BYTES:]:
            error += f"; the last it printed:\n{printed}"
        return Outcome(attempt=attempt, error=error, output=tail.text())


_messages: msgspec.msgpack.Decoder[Outcome | Note] = msgspec.msgpack.Decoder(Outcome | Note)


def _message(data: bytes) -> Outcome | Note:
    """What a child says."""
    return _messages.decode(data)


class _Tail:
    """The end of what comes through a pipe."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._kept = bytearray()

    def read(self) -> bool:
        """Take what is there; False if nothing can come any more."""
        while True:
            try:
                data = os.read(self.fd, OUTPUT_BYTES)
            except BlockingIOError:
                return True
            if not data:
                return False
            self._kept += data
            del self._kept[:-OUTPUT_BYTES]

    def clear(self) -> None:
        self._kept.clear()

    def text(self) -> str:
        return self._kept.decode("utf-8", "replace")


def _manner(code: int) -> str:
    """How a process ended, in words.

    >>> _manner(3), _manner(-11)
    ('ended itself with exit code 3', 'was ended by SIGSEGV')
    """
    if code >= 0:
        return f"ended itself with exit code {code}"
    name = signal.Signals(-code).name
    hint = " (by hand, or because memory ran out)" if name == "SIGKILL" else ""
    return f"was ended by {name}{hint}"
