"""User code that takes more of a donated machine than its owner allows: each error says what, how
much, and whose decision that is."""

import contextlib
import errno
import math
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mapreduce.engine import child, families, scratch
from mapreduce.engine.allowance import Allowance
from mapreduce.errors import ProgramFailed
from tests.conftest import child_processes
from tests.mapreduce.engine.bench import Bench, stat
from tests.mapreduce.engine.boxes import box, needs_bwrap
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="measured in /proc")

LIMITS = {"memory_mb": 160, "disk_mb": 20, "open_files": 64, "processes": 4}
OWNER = "that is its owner's decision"


@pytest.fixture(scope="module", autouse=True)
def no_process_is_left() -> Iterator[None]:
    """Tests share an executor, whose process begins anew when one of them ends it."""
    before = child_processes()
    yield
    wait_until(lambda: child_processes().keys() <= before.keys(), 5, "the end of the executor")


@pytest.fixture(
    scope="module",
    params=["limits", pytest.param("bwrap", marks=[needs_bwrap, pytest.mark.systems])],
)
def limited(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    no_process_is_left: None,
) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("limited")
    if request.param == "bwrap":
        bench = box(folder, **LIMITS)
    else:
        bench = Bench(folder, allowance=Allowance(worker="w1", sandbox="limits", **LIMITS))
    with bench.executor:
        yield bench


def test_within_the_limits_all_is_well(limited: Bench) -> None:
    outcome = limited.run(
        "import tempfile\n"
        "held = bytearray(60 << 20)\n"
        "files = [open('/dev/null') for _ in range(20)]\n"
        "with tempfile.TemporaryFile() as file: file.write(bytes(10 << 20))\n"
        "subprocess.run('sleep 0.3 | sleep 0.3', shell=True, check=True)"
    )
    assert outcome.error == ""


TOO_MUCH = {
    "memory at once": (
        "held = bytearray(400 << 20)",
        "MemoryError",
        "allows a task 160 MiB of memory (memory_mb = 160, [worker w1] in cluster.ini)",
    ),
    "memory with its children": (
        "for _ in range(3):\n    if os.fork() == 0:\n"
        "        held = bytearray(b'x') * (80 << 20)\n        time.sleep(600)\n"
        "time.sleep(600)",
        "MiB of memory; worker w1 allows a task 160 MiB (memory_mb = 160",
    ),
    "one file": (
        "open(os.environ['TMPDIR'] + '/one', 'wb').write(bytes(30 << 20))",
        "File too large",
        "allows a task 20 MiB of disk (disk_mb = 20",
    ),
    "many files": (
        "import tempfile\nfor _ in range(10):\n"
        "    open(tempfile.mkdtemp() + '/one', 'wb').write(bytes(5 << 20))\n"
        "time.sleep(600)",
        "of disk for its files; worker w1 allows a task 20 MiB (disk_mb = 20",
    ),
    "files without a name": (
        "import tempfile\nheld = [tempfile.TemporaryFile() for _ in range(10)]\n"
        "for file in held: file.write(bytes(5 << 20)); file.flush()\n"
        "time.sleep(600)",
        "of disk for its files; worker w1 allows a task 20 MiB (disk_mb = 20",
    ),
    "files in memory": (
        "held = [os.memfd_create('x') for _ in range(10)]\n"
        "for fd in held: os.write(fd, bytes(5 << 20))\n"
        "time.sleep(600)",
        "of disk for its files; worker w1 allows a task 20 MiB (disk_mb = 20",
    ),
    "empty files": (
        "for n in range(6000): open(f\"{os.environ['TMPDIR']}/{n}\", 'w').close()\ntime.sleep(600)",
        "of disk for its files; worker w1 allows a task 20 MiB (disk_mb = 20",
    ),
    "files that nobody finds": (
        "os.chdir(os.environ['TMPDIR'])\n"
        "for _ in range(2500): os.mkdir('xy'); os.chdir('xy')\n"
        "time.sleep(600)",
        "can't be measured, in folders too deep or closed to its owner, of disk for its files",
    ),
    "open files": (
        "held = [open('/dev/null') for _ in range(100)]",
        "Too many open files",
        "allows a process 64 open files (open_files = 64",
    ),
    "processes": (
        "for _ in range(6):\n    if os.fork() == 0: time.sleep(600)\ntime.sleep(600)",
        " processes; worker w1 allows a task 4 (processes = 4",
    ),
}
IN_SYSTEMS = (
    "files without a name",
    "files in memory",
    "empty files",
    "files that nobody finds",
)
"""Each begins the process anew; others show the same."""


@pytest.mark.parametrize(
    "attempt",
    [pytest.param(n, marks=[pytest.mark.systems] if n in IN_SYSTEMS else []) for n in TOO_MUCH],
)
def test_too_much_fails_the_attempt_and_says_whose_decision_it_is(
    limited: Bench, attempt: str
) -> None:
    statement, *said = TOO_MUCH[attempt]
    outcome = limited.run(statement)
    assert outcome.result is None
    for text in (*said, OWNER):
        assert text in outcome.error
    assert limited.run("pass", number=2).error == ""


def test_what_has_no_size_takes_room_all_the_same(tmp_path: Path) -> None:
    for number in range(100):
        (tmp_path / str(number)).touch()
    assert families.disk_bytes(str(tmp_path), []) == 100 * 4096


def test_a_folder_too_deep_or_closed_counts_as_too_much_and_nothing_is_left_of_it(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "scratch"
    (folder / "closed" / "inside").mkdir(parents=True)
    here = os.open(folder, os.O_RDONLY)
    for _ in range(1100):
        os.mkdir("xyz", dir_fd=here)
        inner = os.open("xyz", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    (folder / "closed").chmod(0)
    assert families.disk_bytes(str(folder), []) == math.inf
    scratch.remove(str(folder))
    assert not folder.exists()


def test_limits_can_not_be_raised_again(limited: Bench) -> None:
    statement = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (999, 999))"
    error = limited.run(statement).error
    # As root there is nothing that `limits` could keep.
    may_raise = not os.geteuid() and limited.allowance.sandbox == "limits"
    assert may_raise or "not allowed to raise" in error


def test_a_task_that_may_take_less_memory_than_its_job_assumes_spills_earlier(
    limited: Bench,
) -> None:
    phase, _ = limited.order("pass", memory_bytes=1 << 30)
    assert child.within(Allowance(memory_mb=256, slots=2), phase).spec.memory_bytes == 64 << 20
    assert child.within(Allowance(), phase) == phase


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ProgramFailed("it wrote too much", -signal.SIGXFSZ), "allows a task 20 MiB of disk"),
        (ProgramFailed("there is no such program"), "runs tasks in a sandbox"),
        (ProgramFailed("it said no", 1), ""),
        (OSError(errno.ENOSPC, "no space"), ""),
        (ValueError("a bad number"), ""),
    ],
)
def test_what_the_owner_may_have_brought_about_is_explained_and_nothing_else(
    error: Exception, said: str
) -> None:
    explained = Allowance(worker="w1", sandbox="bwrap", **LIMITS).explained(error)
    assert said in explained
    assert bool(explained) == bool(said)


def test_a_process_that_dies_of_its_memory_is_told_whose_limit_it_had(limited: Bench) -> None:
    assert "allows a task 160 MiB of memory" in limited.run("os.abort()").error


# Processor time ----------------------------------------------------------------------------------


def test_tasks_that_take_more_than_their_share_are_stopped_and_go_on(tmp_path: Path) -> None:
    # The least there is: on a busy machine they, who give way to all others, might not get more.
    allowance = Allowance(worker="w1", sandbox="limits", cpu_share=0.01)
    bench = Bench(tmp_path, allowance=allowance)
    end = f"while not os.path.exists({str(tmp_path / 'end')!r}): pass"
    pids = bench.tell("pids", "f'{os.getpid()} {child}'")
    with bench.executor:
        bench.executor.start(*bench.order(f"child = os.fork()\nif child:\n    {pids}\n{end}"))
        both = list(map(int, bench.told("pids").split()))
        wait_until(lambda: states(both) == [b"T", b"T"], 20, "both to be stopped")
        wait_until(lambda: b"T" not in states(both), 60, "both to go on")
        wait_until(lambda: states(both) == [b"T", b"T"], 20, "both to be stopped again")
        assert [os.getpriority(os.PRIO_PROCESS, pid) for pid in both] == [19, 19]
        (tmp_path / "end").touch()
        assert bench.done.get(timeout=60).error == ""


@pytest.mark.systems
def test_who_has_an_accomplice_that_continues_it_is_ended(tmp_path: Path) -> None:
    bench = Bench(tmp_path, allowance=Allowance(worker="w1", sandbox="limits", cpu_share=0.05))
    with bench.executor:
        bench.executor.start(*bench.order(f"{bench.tell('pid', 'os.getpid()')}\nwhile True: pass"))
        pid = int(bench.told("pid"))
        with contextlib.suppress(ProcessLookupError):
            while bench.done.empty():
                os.kill(pid, signal.SIGCONT)
        error = bench.done.get(timeout=20).error
        assert bench.run("pass", number=2).error == ""
    assert "of processor time too much, though stopped; worker w1 allows a task" in error
    assert "cpu_share = 5%" in error


@pytest.mark.systems
@pytest.mark.parametrize("sandbox", ["limits", pytest.param("bwrap", marks=needs_bwrap)])
@pytest.mark.parametrize("forks", [0, 2])
def test_what_is_taken_of_the_processors_is_the_share(
    tmp_path: Path, sandbox: str, forks: int
) -> None:
    """Measured over some seconds; a burst before the first look counts too."""
    limits = {"cpu_share": 0.1}
    bench = (
        box(tmp_path, **limits)
        if sandbox == "bwrap"
        else Bench(tmp_path, allowance=Allowance(worker="w1", sandbox="limits", **limits))
    )
    with bench.executor:
        outcome = bench.run(
            "import resource\nchild, began, end = 1, time.time(), time.time() + 6\n"
            f"for _ in range({forks}): child = child and os.fork()\n"
            "while time.time() < end: pass\n"
            "if not child: os._exit(0)\n"
            f"for _ in range({forks}): os.wait()\n"
            "used = [sum(resource.getrusage(who)[:2]) for who in (0, -1)]\n"
            "print(sum(used) / (time.time() - began) / os.cpu_count())"
        )
    assert outcome.error == ""
    assert float(outcome.output) < 0.1 * 1.6


def states(pids: list[int]) -> list[bytes]:
    return [stat(pid)[0] for pid in pids if stat(pid)]
