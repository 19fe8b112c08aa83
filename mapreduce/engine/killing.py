"""The end of a task's process and of all that user code has started from it.

Each task's process leads a session of its own, which one signal reaches. What has left the session
(a daemon forks twice and calls setsid) is found in /proc: Linux gives the orphans of a process that
is a subreaper to it and not to init (prctl(2), PR_SET_CHILD_SUBREAPER), so they stay its
descendants. Those of a process that has died itself are known by their environment, which begins
with that of the task's process (`MARK`). macOS has neither: there only the session ends.
"""

import contextlib
import ctypes
import os
import signal
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PROC = Path("/proc")
MARK = "MAPREDUCE_TASK_PROCESS"
"""The variable in the environment of a task's process that is like no other's."""

LOOKS = 3
"""So often nobody is found before nobody is left."""


def adopt_orphans() -> None:
    """Let processes whose parents have ended become children of this one."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def go_on_without_parent() -> None:
    """Let the end of the thread that has started this process continue it, should it be stopped: it
    has to see to its own end."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGCONT, 0, 0, 0)


def end_family(leader: int, mark: str) -> None:
    """Kill a process that leads its session, all of its session, all of its descendants and all
    that have its mark."""
    send(leader, signal.SIGSTOP)
    _end_all(lambda: descendants(leader) | marked(mark))
    end_group(leader, mark)


def end_group(leader: int, mark: str) -> None:
    """The same after the leader has ended by itself and was waited for: what it has left behind."""
    end_marked(mark)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def end_marked(mark: str) -> None:
    """Kill all processes that have a mark."""
    _end_all(lambda: marked(mark))


def end_tree(process: int) -> None:
    """Kill a process, which has not been waited for, and all of its descendants."""
    send(process, signal.SIGSTOP)
    _end_all(lambda: descendants(process))
    send(process, signal.SIGKILL)


def end_descendants() -> bool:
    """Kill all that this process has started and that still runs, however far away; True if there
    was anything."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass  # it had ended already
    except ChildProcessError:
        return False
    if _PROC.is_dir():
        _end_all(lambda: descendants(os.getpid()))
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)
    return True


def _end_all(find: Callable[[], set[int]]) -> None:
    """Whoever might fork meanwhile is stopped first, until nobody new is found: in several looks
    one after the other, as a process that forks and ends all the time may slip through one."""
    found: set[int] = set()
    in_vain = 0
    while in_vain < LOOKS:
        new = find() - found
        in_vain = 0 if new else in_vain + 1
        for process in new:
            send(process, signal.SIGSTOP)
        found |= new
    for process in found:
        send(process, signal.SIGKILL)


def descendants(ancestor: int) -> set[int]:
    """The ids of all processes that a process has started, of those that these have, and so on."""
    children: dict[int, list[int]] = defaultdict(list)
    for entry in _PROC.iterdir() if _PROC.is_dir() else ():
        if entry.name.isdigit() and (parent := _parent(entry)):
            children[parent].append(int(entry.name))
    found: set[int] = set()
    waiting = [ancestor]
    while waiting:
        new = children[waiting.pop()]
        found.update(new)
        waiting += new
    return found


def marked(mark: str) -> set[int]:
    """The ids of all processes that began with this mark, or come from one that did."""
    wanted = f"{MARK}={mark}\0".encode()
    found = set()
    for entry in _PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has gone, or is another user's
            if wanted in (entry / "environ").read_bytes():
                found.add(int(entry.name))
    return found


def _parent(entry: Path) -> int:
    """The parent of a process that lives; 0 for one that has ended (proc(5), stat)."""
    try:
        state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return 0
    return 0 if state == "Z" else int(parent)


def send(process: int, number: signal.Signals) -> None:
    """Send a signal to a process, unless it has gone or may not be sent one."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(process, number)


def signal_name(number: int) -> str:
    """
    >>> signal_name(9), signal_name(40)
    ('SIGKILL', '')
    """
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal: few of them have names
        return ""
