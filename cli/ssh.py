"""Commands on other hosts, through the system's own ssh.

What cluster.ini says of a host is in `dynamo.config.HostConfig`. ssh asks for nothing here: keys,
known hosts and the like are as in the user's own ~/.ssh.
"""

import contextlib
import shlex
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import IO, NamedTuple

from cli.errors import Failure
from dynamo.config import HostConfig

CONNECT_S = 10
OPTIONS = (
    *("-o", "BatchMode=yes"),
    *("-o", f"ConnectTimeout={CONNECT_S}"),
    *("-o", "ServerAliveInterval=5"),
    *("-o", "ServerAliveCountMax=3"),
)
"""Those of cluster.ini come before them, and of two the first holds."""
UNREACHABLE = 255
"""The exit status of ssh itself; any other is that of the command."""

OnLine = Callable[[str], None]


class Ended(NamedTuple):
    """A command that has ended: its exit status, and the lines it has written."""

    status: int
    lines: list[str]
    errors: list[str]


def run(
    host: HostConfig, script: str, given: bytes | None = b"", on_line: OnLine | None = None
) -> Ended:
    """Run a script of the shell sh in the host's folder; `given` is its standard input. None: that
    is open until the script has ended, or ssh has, so that the script can see its caller go.

    `on_line` is called with each line as it is written. Raises `Failure` if ssh can't get there.
    """
    command = ["ssh", *host.ssh_options, *OPTIONS, "--", host.ssh, f"sh -c {shlex.quote(script)}"]
    try:
        with _started(command) as process:
            ended = _talk(process, given, on_line)
    except FileNotFoundError:
        raise Failure("there is no command ssh here; install OpenSSH's client") from None
    if ended.status == UNREACHABLE:
        why = ended.errors[-1] if ended.errors else "it does not say why"
        raise Failure(f"host {host.name}: ssh can't get to {host.ssh}: {why}")
    return ended


@contextlib.contextmanager
def _started(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has ended behind the block, whatever happens in it."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        try:
            yield process
        except BaseException:
            process.terminate()
            raise


def _talk(process: subprocess.Popen[bytes], given: bytes | None, on_line: OnLine | None) -> Ended:
    assert process.stdin and process.stdout and process.stderr
    errors: list[str] = []
    reading = threading.Thread(target=_read, args=(process.stderr, errors.append), daemon=True)
    reading.start()
    if given is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(given)
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
    lines: list[str] = []

    def take(line: str) -> None:
        lines.append(line)
        if on_line:
            on_line(line)

    _read(process.stdout, take)
    reading.join()
    return Ended(process.wait(), lines, errors)


def _read(stream: IO[bytes], take: OnLine) -> None:
    for line in stream:
        take(line.decode(errors="replace").rstrip())


def shell_path(text: str) -> str:
    """A path for the shell of another host, where ~/ is the home there.

    >>> print(shell_path("~/my cluster"), shell_path("/srv/x"))
    "$HOME"/'my cluster' /srv/x
    """
    if text.startswith("~/"):
        return '"$HOME"/' + shlex.quote(text.removeprefix("~/"))
    return shlex.quote(text)
