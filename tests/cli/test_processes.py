"""Background processes are told apart from strangers, and end with all their descendants."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli import processes
from cli.processes import Process
from tests.waiting import wait_until

SLEEPER = "import signal; print('ready', flush=True); signal.pause()"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEPER
PARENT = (
    "import subprocess, sys\n"
    f"child = subprocess.Popen([sys.executable, '-c', {STUBBORN!r}], start_new_session=True)\n"
    "child.wait()"
)

HEADLESS = (
    "import ctypes, threading, time\n"
    "def go_on():\n"
    "    print('ready', flush=True)\n"
    "    time.sleep(600)\n"
    "threading.Thread(target=go_on).start()\n"
    "ctypes.CDLL(None).pthread_exit(None)"
)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], Process]]:
    """Starts a Python program and waits until it, or its child, says that it is ready."""
    started: list[Process] = []

    def run(program: str) -> Process:
        log = tmp_path / f"{len(started)}.log"
        started.append(processes.start([sys.executable, "-c", program], log))
        wait_until(lambda: "ready" in log.read_text(), 10, "the program's first line")
        return started[-1]

    yield run
    processes.stop(started, grace_s=0)


def test_a_process_ends_on_sigterm(start: Callable[[str], Process]) -> None:
    process = start(SLEEPER)
    assert process.alive
    assert processes.stop([process], grace_s=10) == []
    assert not process.alive


def test_a_process_that_does_not_end_is_killed(start: Callable[[str], Process]) -> None:
    process = start(STUBBORN)
    assert processes.stop([process], grace_s=0.2) == [process]
    assert not process.alive


def test_descendants_go_too(start: Callable[[str], Process]) -> None:
    process = start(PARENT)
    (child,) = processes.descendants([process])
    assert child.alive
    processes.stop([process], grace_s=10)
    assert not process.alive
    assert not child.alive


def test_a_stranger_with_the_same_id_is_left_alone(start: Callable[[str], Process]) -> None:
    process = start(SLEEPER)
    stranger = Process(process.pid, started="another time")
    assert not stranger.alive
    stranger.signal(signal.SIGKILL)
    assert processes.stop([stranger], grace_s=0) == []
    assert process.alive


@pytest.mark.skipif(sys.platform != "linux", reason="a zombie with threads is Linux's")
def test_a_process_whose_first_thread_has_ended_is_alive_and_then_awaited(
    start: Callable[[str], Process],
) -> None:
    process = start(HEADLESS)
    wait_until(lambda: processes.start_time(process.pid) is None, 10, "the end of the thread")
    assert process.alive
    assert processes.stop([process], grace_s=10) == []
    with pytest.raises(ChildProcessError):
        os.waitpid(process.pid, os.WNOHANG)


def test_a_process_that_is_no_child_is_seen(start: Callable[[str], Process]) -> None:
    own_parent = os.getppid()
    assert Process(own_parent, processes.start_time(own_parent) or "").alive


def test_an_ended_child_is_not_alive(tmp_path: Path) -> None:
    process = processes.start([sys.executable, "-c", ""], tmp_path / "log")
    wait_until(lambda: not process.alive, 10, "the end of an empty program")


def test_without_proc_ps_says_the_same(
    start: Callable[[str], Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        subprocess.run(["ps", "-V"], capture_output=True, check=True)
    except FileNotFoundError:
        pytest.skip("this machine has no ps")
    process = start(PARENT)
    (child,) = processes.descendants([process])
    monkeypatch.setattr(processes, "_HAS_PROC", False)
    again = Process(process.pid, processes.start_time(process.pid) or "")
    assert again.alive
    assert [found.pid for found in processes.descendants([again])] == [child.pid]
    assert processes.start_time(2**22 + 1) is None


def test_tidying_up_is_not_interrupted() -> None:
    done = False
    with pytest.raises(KeyboardInterrupt), processes.uninterrupted():
        signal.raise_signal(signal.SIGINT)
        done = True
    assert done
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
