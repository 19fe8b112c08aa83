"""A program of the user's, fed through its standard input while its output is read.

One loop serves all three pipes, so nobody waits for anybody: a program may write much before it has
read anything. What is to be fed is asked for when the program takes it, and what it gives is handed
on in blocks as large as the pipe.
"""

import contextlib
import fcntl
import os
import selectors
import struct
import subprocess
import termios
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from mapreduce.engine import killing
from mapreduce.errors import ProgramFailed

PIPE_BYTES = 512 << 10
"""So large are its input and output, where the system allows it (pipe(7): 64 MiB for all pipes of a
user): a program that is ahead need not wait."""
_LOOK_AGAIN_S = 0.05
_INT = struct.Struct("i")


class Ended(NamedTuple):
    """How a program has ended. `status` is negative for a signal; `unread` says that it left
    something of its input."""

    status: int
    unread: bool

    def __str__(self) -> str:
        if self.status < 0:
            number = -self.status
            name = killing.signal_name(number) or "unknown"
            return f"was ended by signal {number} ({name})"
        return f"exited with status {self.status}"


def started(
    words: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> "subprocess.Popen[bytes]":
    """A program that runs in `folder`; raises `ProgramFailed` if it can't be started."""
    pipe = subprocess.PIPE
    try:
        return subprocess.Popen(
            words, cwd=folder, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0
        )
    except (OSError, ValueError) as error:
        raise ProgramFailed(f"can't be started: {why_not(words[0], folder, error)}") from None


def why_not(program: str, folder: Path, error: Exception) -> str:
    """What keeps a program from being started in `folder`, for its user."""
    path = folder / program
    if isinstance(error, PermissionError):
        return f"{program!r} is not executable; `chmod +x` makes it so"
    if isinstance(error, FileNotFoundError) and "/" in program and path.is_file():
        with path.open("rb") as file:
            first = file.readline(200).decode(errors="replace").strip()
        return f"{program!r} names an interpreter that this machine lacks, in {first!r}"
    if isinstance(error, FileNotFoundError):
        return f"there is no program {program!r} on this machine"
    if getattr(error, "errno", 0) == 8:  # ENOEXEC
        return f"{program!r} is no program of this machine, and begins with no #! line"
    return str(error)


def piped(
    process: "subprocess.Popen[bytes]", feed: Iterator[bytes], take_error: Callable[[bytes], None]
) -> Generator[bytes, None, Ended]:
    """Feed a program all of `feed`, and yield what it writes. `take_error` gets what it writes to
    its standard error. When it is closed early, the program and all that it has started is killed.
    """
    with contextlib.closing(_Pipes(process, feed, take_error)) as pipes:
        yield from pipes.served()
        return pipes.ended()


class _Pipes:
    def __init__(
        self,
        process: "subprocess.Popen[bytes]",
        feed: Iterator[bytes],
        take_error: Callable[[bytes], None],
    ) -> None:
        assert process.stdin and process.stdout and process.stderr
        self._process = process
        self._feed = feed
        self._waiting = memoryview(b"")
        self._take_error = take_error
        self._in, self._out = process.stdin.fileno(), process.stdout.fileno()
        self._err = process.stderr.fileno()
        self._unread = -1
        """The other end of its input, once all has been fed: to see whether it read that."""
        self._was_refused = False
        self._selector = selectors.DefaultSelector()
        for fd, event in (
            (self._err, selectors.EVENT_READ),
            (self._in, selectors.EVENT_WRITE),
            (self._out, selectors.EVENT_READ),
        ):
            os.set_blocking(fd, False)
            if fd != self._err:
                with contextlib.suppress(OSError, AttributeError):
                    fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
            self._selector.register(fd, event)

    def served(self) -> Iterator[bytes]:
        """Serve all pipes until the program takes and gives no more."""
        open_fds = self._selector.get_map()
        while self._in in open_fds or self._out in open_fds:
            ready = {key.fd for key, _ in self._selector.select()}
            if self._err in ready:
                self._read_error()
            if self._in in ready:
                self._write()
            if self._out in ready:
                if block := os.read(self._out, PIPE_BYTES):
                    yield block
                else:
                    self._selector.unregister(self._out)

    def ended(self) -> Ended:
        """Wait for the program's end, which may still have something to say."""
        open_fds = self._selector.get_map()
        while self._process.poll() is None:
            if self._err not in open_fds:
                self._process.wait()
            elif self._selector.select(_LOOK_AGAIN_S):
                self._read_error()
        while self._err in open_fds and self._selector.select(0):
            self._read_error()
        return Ended(self._process.returncode, self._was_refused or self._left())

    def close(self) -> None:
        if self._process.poll() is None:
            killing.end_tree(self._process.pid)
            self._process.wait()
        self._selector.close()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        if self._unread >= 0:
            os.close(self._unread)
            self._unread = -1

    def _write(self) -> None:
        try:
            while not self._waiting:
                block = next(self._feed, None)
                if block is None:
                    return self._end_input()
                self._waiting = memoryview(block)
            self._waiting = self._waiting[os.write(self._in, self._waiting) :]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            self._was_refused = True
            self._close_input()

    def _end_input(self) -> None:
        with contextlib.suppress(OSError):  # there is no /proc: then this is not seen
            path = f"/proc/self/fd/{self._in}"
            self._unread = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._close_input()

    def _close_input(self) -> None:
        assert self._process.stdin is not None
        self._selector.unregister(self._in)
        self._process.stdin.close()

    def _left(self) -> bool:
        """True if something is left in the pipe."""
        if self._unread < 0:
            return False
        data = fcntl.ioctl(self._unread, termios.FIONREAD, _INT.pack(0))
        return bool(_INT.unpack(data)[0])

    def _read_error(self) -> None:
        if block := os.read(self._err, PIPE_BYTES):
            self._take_error(block)
        else:
            self._selector.unregister(self._err)
