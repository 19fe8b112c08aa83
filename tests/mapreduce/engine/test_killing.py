"""Nothing that user code has started outlives its attempt, however it tried to get away."""

import sys

import pytest

from tests.mapreduce.engine.bench import Bench, alive
from tests.waiting import wait_until

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and subreapers")

IGNORE = "for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:\n"
IGNORE += "    signal.signal(number, signal.SIG_IGN)\n"

DAEMON = """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        {then}
    os._exit(0)
os.wait()
"""


def loops(bench: Bench) -> str:
    return bench.tell("pid", "os.getpid()") + "\nwhile True: pass"


def ignores_signals(bench: Bench) -> str:
    return IGNORE + loops(bench)


def blocks_signals(bench: Bench) -> str:
    return f"signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))\n{loops(bench)}"


def forks(bench: Bench) -> str:
    return f"if os.fork():\n    time.sleep(600)\n{IGNORE}{loops(bench)}"


def becomes_a_daemon(bench: Bench) -> str:
    then = f"{bench.tell('pid', 'os.getpid()')}; time.sleep(600)"
    return DAEMON.format(then=then) + "time.sleep(600)"


def forks_from_daemon_to_daemon(bench: Bench) -> str:
    """Each ends at once and leaves another one behind, in a session of its own."""
    path = bench.folder / "pid"
    return f"""
def run(count):
    while os.fork():
        os._exit(0)
    os.setsid()
    if count == 50:
        open({str(path)!r}, 'w').write(str(os.getpid()) + '\\n')
    time.sleep(0.001)
    run(count + 1) if count < 400 else time.sleep(600)
if os.fork() == 0:
    run(0)
time.sleep(600)
"""


@pytest.mark.parametrize(
    "escape",
    [
        loops,
        ignores_signals,
        blocks_signals,
        forks,
        pytest.param(becomes_a_daemon, marks=linux),
        pytest.param(forks_from_daemon_to_daemon, marks=linux),
    ],
)
def test_kill_leaves_no_process(bench: Bench, escape) -> None:
    phase, order = bench.order(escape(bench))
    bench.executor.start(phase, order)
    pid = int(bench.told("pid"))
    bench.executor.kill(order.attempt)
    wait_until(lambda: not alive(pid), 2, "the end of the process")
    wait_until(lambda: not bench.others(), 2, "the end of all others")
    assert bench.run("print('next')", number=2).output == "next\n"


@linux
def test_what_an_attempt_leaves_behind_ends_with_it(bench: Bench) -> None:
    then = f"{bench.tell('pid', 'os.getpid()')}; time.sleep(600)"
    wait = f"while not os.path.exists({str(bench.folder / 'pid')!r}): time.sleep(0.01)"
    outcome = bench.run(DAEMON.format(then=then) + wait)
    assert outcome.error == ""
    assert bench.others() == []


@linux
def test_a_crash_takes_its_daemons_along(bench: Bench) -> None:
    then = f"{bench.tell('pid', 'os.getpid()')}; time.sleep(600)"
    wait = f"while not os.path.exists({str(bench.folder / 'pid')!r}): time.sleep(0.01)\n"
    outcome = bench.run(DAEMON.format(then=then) + wait + "os._exit(3)")
    assert "exit code 3" in outcome.error
    wait_until(lambda: not bench.others(), 2, "the end of the daemon")
