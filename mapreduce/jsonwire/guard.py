"""What a worker has started ends with it, also where the worker is killed and can do nothing.

A process beside the worker (a `Guard` starts it) waits for the end of a pipe that only the worker
holds. Through it come the ids of the programs that run, one in a line, 0 when there is none. When
the pipe ends it kills the last one's session, and all that began with the worker's mark, see
`mapreduce.engine.killing`. Until then it is a bare Python, which has hardly imported anything.
"""

import contextlib
import json
import secrets
import subprocess
import sys
from typing import IO

from mapreduce.engine import killing

_BOOT = """
import sys
leader = 0
for line in sys.stdin:
    leader = int(line)
import json
sys.path[:] = json.loads(sys.argv[1])
from mapreduce.jsonwire import guard
guard.end_all(leader, sys.argv[2])
"""


class Guard:
    """The process beside a worker, from its first program on."""

    def __init__(self) -> None:
        self._mark = secrets.token_hex(8)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What programs have to have in their environment."""
        return {killing.MARK: self._mark}

    def watch(self, leader: int) -> None:
        """From now on this process, which leads its session, ends with the worker; 0: none."""
        with contextlib.suppress(OSError):  # there is none, or no more: programs run without it
            self._started().write(b"%d\n" % leader)

    def close(self) -> None:
        """End all that programs have left behind."""
        if self._process and self._process.stdin:
            killing.end_marked(self._mark)
            self._process.kill()
            self._process.stdin.close()
            self._process.wait()

    def _started(self) -> IO[bytes]:
        """Its standard input."""
        if self._process is None:
            path = json.dumps([*map(str, sys.path)])
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _BOOT, path, self._mark],
                stdin=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,  # Ctrl-C is for the worker
            )
        assert self._process.stdin
        return self._process.stdin


def end_all(leader: int, mark: str) -> None:
    """The worker has gone."""
    if leader:
        killing.end_group(leader, mark)
    else:
        killing.end_marked(mark)
