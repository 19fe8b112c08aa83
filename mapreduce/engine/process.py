"""One child process that runs tasks, as its parent sees it: a socket for orders and answers, a pipe
for all that user code prints, and a pipe that tells it when the parent has ended."""

import contextlib
import json
import os
import secrets
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, Pipe
from typing import Protocol

import msgspec

from mapreduce.engine import killing, limits, paths, sandbox, scratch, syscalls
from mapreduce.engine.allowance import Allowance, Door
from mapreduce.engine.events import AttemptId
from mapreduce.engine.orders import (
    Boot,
    JobSpec,
    MorePieces,
    Outcome,
    PhaseOrder,
    TaskOrder,
)
from mapreduce.engine.telling import Telling
from mapreduce.engine.watching import Note

OUTPUT_BYTES = 64 << 10
"""How much of what an attempt prints is kept: the end."""
_ERROR_LENGTH = 64 << 10
"""Of a longer error, which goes to the master and is printed, the middle is left out."""
_SHOWN_BYTES = 4 << 10
"""How much of that is shown in the error when a process dies."""
_ANSWER_BYTES = 256 << 20
"""No answer is larger."""
_TELL_AGAIN_S = 0.05
"""So often a child that does not read is looked at, while there is something to tell it."""
_LOOK_AGAIN_S = 0.5
"""A dead child whose own children still hold its socket is noticed after this time."""

_ENVIRONMENT = {"PYTHONHASHSEED": "0"}
"""So that `hash` of a text, and the order of a set of them, is the same in every child on every
machine: user code that relies on it gives the same whichever attempt of a task wins."""
_SIGNALLED = 128
"""Above this the exit code of a sandbox tells of the signal that ended what ran inside."""
_BOOT = (
    "import gc, json, sys; gc.disable(); sys.path[:] = json.loads(sys.argv[3]); "
    "from mapreduce.engine import child; child.main(int(sys.argv[1]), int(sys.argv[2]))"
)
"""What a child runs. There is no garbage among modules, so nobody need search it while they are
imported."""


class Gate(Protocol):
    """By which a process in a sandbox reaches the store (`dynamo.net.relay.Gate`)."""

    folder: str

    def allow(self, prefixes: tuple[str, ...]) -> None:
        """Keys that begin with these can be written, and no others."""

    def close(self) -> None: ...


OpenGate = Callable[[], Gate]


class TaskProcess:
    """One child process. `kill`, `more` and `printed` may be called from any thread, the rest from
    its slot's."""

    def __init__(self, boot: Boot, open_gate: OpenGate | None = None) -> None:
        """`boot` is told to the child, with a scratch folder of its own."""
        self._gate = open_gate() if open_gate else None
        if self._gate is not None:
            boot = _with_door(boot, self._gate.folder)
        self.scratch = tempfile.mkdtemp(prefix="mapreduce-task-", dir=boot.allowance.home or None)
        """A folder of its own, which goes with it, however it ends."""
        self._connection: Connection[bytes, bytes]
        self._connection, theirs = Pipe()
        life, self._life = os.pipe()
        fds = [theirs.fileno(), life]
        self._mark = secrets.token_hex(8)
        self._allowance = boot.allowance
        try:
            self._process = _started(fds, self._mark, self.scratch, boot.allowance)
        except OSError:
            self._remove_folders()
            raise
        theirs.close()
        os.close(life)
        assert self._process.stdout is not None
        self._tail = _Tail(self._process.stdout.fileno())
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._connection, selectors.EVENT_READ)
        self._selector.register(self._tail.fd, selectors.EVENT_READ)
        self._telling = Telling(self._connection)
        self._deadline: float | None = None
        self._phase: PhaseOrder | None = None
        """The one that the child was told last."""
        self._exceeded = ""
        """Why somebody else than user code has ended it."""
        with contextlib.suppress(OSError):  # it died at once; the first order will say so
            inside = sandbox.INSIDE if self._allowance.boxed else self.scratch
            boot = msgspec.structs.replace(boot, scratch=inside)
            self._connection.send_bytes(msgspec.msgpack.encode(boot))

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def printed(self) -> str:
        """The end of what the present attempt has printed so far."""
        return self._tail.text()

    def kill(self) -> None:
        """End the process and all that user code has started from it."""
        has_ended = self._process.returncode is not None
        if self._allowance.boxed and not has_ended:
            # All of a sandbox ends with its first process, however fast it forks.
            killing.send(self._process.pid, signal.SIGKILL)
            has_ended = True
        end = killing.end_group if has_ended else killing.end_family
        end(self._process.pid, self._mark)

    def fail(self, reason: str) -> None:
        """End the process; what it is running has failed for this reason."""
        self._exceeded = self._exceeded or reason
        self.kill()

    def end(self) -> None:
        """Kill, and free what is held of the process."""
        self.kill()
        self._process.wait()
        self._selector.close()
        if self._process.stdout is not None:
            self._process.stdout.close()
        os.close(self._life)
        self._remove_folders()
        self._connection.close()

    def _remove_folders(self) -> None:
        if self._gate is not None:
            self._gate.close()
        scratch.remove(self.scratch)

    def may_run(self, run: str) -> bool:
        """False for a sandbox that has held the code of another run: what that has left in it, in
        memory or its folder, is not for others."""
        held = self._phase.run if self._allowance.boxed and self._phase else ""
        return held in ("", run)

    def run(self, phase: PhaseOrder, order: TaskOrder, on_note: Callable[[Note], None]) -> Outcome:
        """Give the order and wait for its outcome, for the end of the process, or of its time."""
        if self._phase is not None:
            self._tail.read()  # what a thread of an earlier task has printed since
            self._tail.clear()
        limit_s = phase.spec.time_limit_s
        self._limit_time(limit_s, order.maps_left)
        if self._gate is not None:
            self._gate.allow(paths.written_by_tasks(phase.run))
        try:
            self._telling.now([order] if self._phase == phase else [phase, order])
            self._phase = phase
            while isinstance(message := self._answer(), Note):
                if message.attempt == order.attempt:
                    on_note(message)
            self._check(phase, order, message)
        except TimeoutError:
            return self._stopped(order, limits.too_slow(limit_s))
        except msgspec.MsgspecError as error:  # user code can write into the socket as well
            return self._stopped(order, f"the task's process said what means nothing here: {error}")
        except (OSError, EOFError):
            return self._died(phase.spec, order)
        finally:
            self._telling.forget()
        return msgspec.structs.replace(
            message, output=self._tail.text(), error=shortened(message.error)
        )

    def more(self, phase: PhaseOrder, pieces: MorePieces) -> None:
        """Tell the attempt that runs of further pieces, as soon as it reads. Returns at once."""
        self._limit_time(phase.spec.time_limit_s, pieces.maps_left)
        self._telling.soon(pieces)

    def _limit_time(self, limit_s: float, maps_left: int) -> None:
        """From now on its time counts, unless it waits for others."""
        counts = limit_s and not maps_left
        self._deadline = time.monotonic() + limit_s if counts else None

    def _answer(self) -> Outcome | Note:
        """The next message of the child; EOFError if it has died, TimeoutError at the deadline."""
        while True:
            self._telling.go_on()
            wait_s = _TELL_AGAIN_S if self._telling.waits else _LOOK_AGAIN_S
            if self._deadline is not None:
                wait_s = min(wait_s, self._deadline - time.monotonic())
                if wait_s <= 0:
                    raise TimeoutError
            ready = {key.fileobj for key, _ in self._selector.select(wait_s)}
            if self._tail.fd in ready and not self._tail.read():
                self._selector.unregister(self._tail.fd)
            if self._connection in ready:
                answer = _answers.decode(self._connection.recv_bytes(_ANSWER_BYTES))
                self._tail.read()
                return answer
            if not ready and not self.alive:
                raise EOFError

    def _check(self, phase: PhaseOrder, order: TaskOrder, told: Outcome) -> None:
        """Raise `msgspec.ValidationError` for an outcome that speaks of what is not its own. In a
        sandbox that is an attempt to get at the data of others."""
        if told.attempt != order.attempt:
            raise msgspec.ValidationError(f"how {told.attempt} ended")
        if others := [str(task) for task in told.lost if task.job != phase.name]:
            raise msgspec.ValidationError(f"that the output of {others[0]} is lost")
        if self._gate is not None and told.result is not None:
            from mapreduce.data.outputs.store import is_written_for  # not before it is needed

            for part in told.result.parts:
                if not is_written_for(part, phase.run):
                    raise msgspec.ValidationError(f"that others' chunks are its {part.name}")

    def _stopped(self, order: TaskOrder, reason: str) -> Outcome:
        self.kill()
        self._process.wait()  # until then it seems to live
        return self._ended(order.attempt, reason)

    def _died(self, spec: JobSpec, order: TaskOrder) -> Outcome:
        if self._allowance.boxed:  # bubblewrap tells, a moment later, how what is in it has ended
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_LOOK_AGAIN_S)
        self.kill()
        code = self._process.wait()
        if self._exceeded:
            return self._ended(order.attempt, self._exceeded)
        if self._allowance.boxed and code > _SIGNALLED:
            code = _SIGNALLED - code
        manner = _manner(code)
        error = f"the task's process {manner} in the middle of {order.attempt}"
        if spec.memory_limit_bytes:
            error += f"; {limits.too_large(spec.memory_limit_bytes)}"
        if self._allowance.memory_mb:
            error += f"; {self._allowance.explained(MemoryError())}"
        if order.probe is None and not spec.skip_bad_records:
            error += f"; {_read_what(order)}skip_bad_records would find the record that it died of"
        return self._ended(order.attempt, error)

    def _ended(self, attempt: AttemptId, error: str) -> Outcome:
        self._tail.read()
        if printed := self._tail.text()[-_SHOWN_BYTES:]:
            error += f"; the last it printed:\n{printed}"
        return Outcome(attempt=attempt, error=error, output=self._tail.text())


def _with_door(boot: Boot, folder: str) -> Boot:
    doors = (*boot.allowance.doors, Door(folder, sandbox.STORE))
    allowance = msgspec.structs.replace(boot.allowance, doors=doors)
    return msgspec.structs.replace(boot, allowance=allowance)


def _started(
    fds: list[int], mark: str, scratch: str, allowance: Allowance
) -> "subprocess.Popen[bytes]":
    own = {**_ENVIRONMENT, killing.MARK: mark}
    path = sandbox.module_path(sys.path) if allowance.boxed else sys.path
    command = [sys.executable, "-c", _BOOT, *map(str, fds), json.dumps([*map(str, path)])]
    if allowance.boxed:
        with syscalls.opened() as filters:
            boxed = sandbox.wrapped(command, scratch, allowance, filters)
            return _popen(boxed, sandbox.environment(own), [*fds, *filters])
    if allowance.sandbox == "limits":
        own["TMPDIR"] = scratch  # so that what user code puts there is counted
    return _popen(command, {**os.environ, **own}, fds)


def _popen(
    command: list[str], environment: dict[str, str], fds: list[int]
) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=fds,
        start_new_session=True,
    )


_answers: msgspec.msgpack.Decoder[Outcome | Note] = msgspec.msgpack.Decoder(Outcome | Note)


class _Tail:
    """The end of what comes through a pipe."""

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
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


def shortened(error: str, most: int = _ERROR_LENGTH) -> str:
    """
    >>> print(shortened("ValueError: " + 500 * "x", most=30))
    ValueError: xxx
    [482 characters are left out]
    xxxxxxxxxxxxxxx
    """
    left_out = len(error) - most
    if left_out <= 0:
        return error
    half = most // 2
    return f"{error[:half]}\n[{left_out:,} characters are left out]\n{error[-half:]}"


def _read_what(order: TaskOrder) -> str:
    """What a map task was to read, as far as it fits into an error."""
    if order.split is None or not order.split.slices:
        return ""
    first, *others = order.split.slices
    more = f" and {len(others)} more" if others else ""
    return f"it was to read {first.path}, bytes {first.start} to {first.stop}{more}; "


def _manner(code: int) -> str:
    """How a process ended, in words.

    >>> _manner(3), _manner(-11), _manner(-40)
    ('ended itself with exit code 3', 'was ended by SIGSEGV', 'was ended by signal 40')
    """
    if code >= 0:
        return f"ended itself with exit code {code}"
    name = killing.signal_name(-code) or f"signal {-code}"
    hint = " (by hand, or because memory ran out)" if name == "SIGKILL" else ""
    return f"was ended by {name}{hint}"
