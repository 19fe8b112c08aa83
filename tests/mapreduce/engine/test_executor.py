"""Tasks in processes: what they print, how they fail, and that they and theirs can be killed."""

import os
import subprocess
import sys
import time
from pathlib import Path
from queue import Empty

import msgspec
import pytest

from mapreduce.data.inputs import Slice, Split
from mapreduce.engine import paths
from tests.mapreduce.engine.bench import Bench, alive
from tests.mapreduce.engine.jobs import map_order
from tests.waiting import wait_until


def test_a_task_s_result_comes_back_and_its_process_is_used_again(bench: Bench) -> None:
    lines = bench.folder / "lines"
    lines.write_text("a\nbb\na\n")
    phase, order = bench.order("print('pid', os.getpid())")
    split = Split((Slice(str(lines), 0, 7, source="local"),))
    order = msgspec.structs.replace(order, split=split)
    outputs = []
    for _ in range(2):
        bench.executor.start(phase, order)
        outcome = bench.done.get(timeout=30)
        assert outcome.error == ""
        assert outcome.result is not None
        [piece] = outcome.result.pieces
        assert (piece.records, piece.map_index) == (3, 0)
        assert outcome.result.counters["map_input_records"] == 3
        assert bench.store.get(paths.piece_keys("job.1", piece)[0]).value
        outputs.append(outcome.output)
    assert outputs[0] == outputs[1]
    assert outputs[0].startswith("pid ")
    assert bench.executor.running == ()


def test_a_text_has_the_same_hash_in_every_process(bench: Bench) -> None:
    hashed = [sys.executable, "-c", "print(hash('whale'))"]
    expected = subprocess.check_output(hashed, env={"PYTHONHASHSEED": "0"}, text=True)
    assert bench.run("print(hash('whale'))").output == expected


def test_an_error_shows_the_user_s_own_traceback(bench: Bench) -> None:
    outcome = bench.run("print('before')\nint('three')")
    assert outcome.result is None
    lines = outcome.error.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1] == '  File "job.py", line 5, in setup'
    assert lines[2].strip() == "int('three')"
    assert lines[-2] == "ValueError: invalid literal for int() with base 10: 'three'"
    assert lines[-1].startswith("in MyMapper (job.py), before its first record")
    assert outcome.output == "before\n"


def test_an_error_of_a_generator_has_no_frame_of_ours(bench: Bench) -> None:
    (bench.folder / "lines").write_text("a\n")
    source = (
        "from mapreduce import Mapper\n"
        "class MyMapper(Mapper):\n    def map(self, k, v):\n        yield 1/0\n"
    )
    slices = (Slice(str(bench.folder / "lines"), 0, 2, source="local"),)
    bench.executor.start(*map_order(bench.store, source, reducers=0, slices=slices))
    error = bench.done.get(timeout=30).error
    assert "mapreduce/" not in error
    assert error.splitlines()[1].strip() == 'File "job.py", line 4, in map'


@pytest.mark.parametrize(
    "statement", ["sys.exit(3)", "raise KeyboardInterrupt", "raise SystemExit"]
)
def test_user_code_can_not_end_the_process_that_way(bench: Bench, statement: str) -> None:
    outcome = bench.run(statement)
    assert outcome.result is None
    assert "job.py" in outcome.error


def test_an_error_of_the_source_itself_is_told(bench: Bench) -> None:
    bench.executor.start(*map_order(bench.store, "class MyMapper: ...\nclass MyReducer: ...\n1/0"))
    assert "ZeroDivisionError" in bench.done.get(timeout=30).error


def test_a_missing_input_of_a_task_is_one_line(bench: Bench) -> None:
    gone = (Slice(str(bench.folder / "gone"), 0, 2, source="local"),)
    source = "from mapreduce import Mapper\nclass MyMapper(Mapper): ...\n"
    bench.executor.start(*map_order(bench.store, source, reducers=0, slices=gone))
    assert "gone" in bench.done.get(timeout=30).error.splitlines()[-1]


@pytest.mark.parametrize(
    ("statement", "manner"),
    [
        ("os._exit(7)", "ended itself with exit code 7"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "was ended by SIGSEGV"),
        ("import ctypes; ctypes.string_at(0)", "was ended by SIGSEGV"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "was ended by SIGKILL"),
    ],
)
def test_a_crash_is_told_and_the_slot_goes_on(bench: Bench, statement: str, manner: str) -> None:
    outcome = bench.run(f"print('last words')\n{statement}")
    assert outcome.result is None
    assert manner in outcome.error
    assert "last words" in outcome.error
    assert bench.run("pass", number=2).error == ""


def test_a_crash_is_noticed_though_a_grandchild_holds_everything_open(bench: Bench) -> None:
    statement = f"if os.fork() == 0:\n    time.sleep(600)\n{bench.tell('pid', 'os.getpid()')}\n"
    outcome = bench.run(statement + "os._exit(1)")
    assert "exit code 1" in outcome.error
    pid = int(bench.told("pid"))
    wait_until(lambda: not alive(pid), 5, "the end of the child")


def test_all_that_is_printed_is_kept_from_c_code_and_processes_too(bench: Bench) -> None:
    outcome = bench.run(
        "print('from print')\n"
        "sys.stderr.write('from stderr\\n')\n"
        "import ctypes; ctypes.CDLL(None).puts(b'from C')\n"
        "subprocess.run(['echo', 'from a process'])\n"
        "os.write(1, b'from the descriptor\\n')"
    )
    assert set(outcome.output.splitlines()) == {
        "from print",
        "from stderr",
        "from C",
        "from a process",
        "from the descriptor",
    }
    assert bench.run("pass").output == ""


def test_of_much_output_the_end_is_kept(bench: Bench) -> None:
    outcome = bench.run("for n in range(100000): print('line', n)")
    assert outcome.error == ""
    assert len(outcome.output) <= 64 << 10
    assert outcome.output.endswith("line 99999\n")


def test_kill_ends_an_endless_loop_and_nothing_more_is_heard_of_it(bench: Bench) -> None:
    phase, order = bench.order(f"{bench.tell('pid', 'os.getpid()')}\nwhile True: pass")
    bench.executor.start(phase, order)
    pid = int(bench.told("pid"))
    assert bench.executor.running == (order.attempt,)
    bench.executor.kill(order.attempt)
    bench.executor.kill(order.attempt)
    wait_until(lambda: not alive(pid), 5, "the end of the child")
    assert bench.executor.running == ()
    assert bench.run("print('next')", number=2).output == "next\n"
    with pytest.raises(Empty):
        bench.done.get_nowait()


def test_kill_ends_grandchildren_too(bench: Bench) -> None:
    phase, order = bench.order(
        "subprocess.Popen(['sleep', '600'])\n"
        f"pid = os.fork()\nif pid == 0:\n    time.sleep(600)\n{bench.tell('fork', 'pid')}\n"
        f"child = subprocess.Popen(['sleep', '600'])\n{bench.tell('popen', 'child.pid')}\n"
        "time.sleep(600)"
    )
    bench.executor.start(phase, order)
    pids = [int(bench.told("fork")), int(bench.told("popen"))]
    assert all(map(alive, pids))
    bench.executor.kill(order.attempt)
    wait_until(lambda: not any(map(alive, pids)), 5, "the end of the grandchildren")


def test_an_attempt_that_waits_for_a_slot_can_be_killed(bench: Bench) -> None:
    busy = bench.order(f"{bench.tell('busy', '1')}\ntime.sleep(600)")
    waiting = bench.order("print('never')", job="waiting")
    bench.executor.start(*busy)
    bench.executor.start(*waiting)
    bench.told("busy")
    bench.executor.kill(waiting[1].attempt)
    bench.executor.kill(busy[1].attempt)
    assert bench.run("print('third')", number=3).output == "third\n"


def test_another_job_s_code_is_loaded_afresh(bench: Bench) -> None:
    assert bench.run("print('one')", job="one").output == "one\n"
    assert bench.run("print('two')", job="two").output == "two\n"
    assert bench.run("print('one')", job="one").output == "one\n"


def test_slots_run_at_the_same_time(tmp_path: Path) -> None:
    bench = Bench(tmp_path, slots=2)
    with bench.executor:
        meet = (
            "{mine}\n"
            "end = time.monotonic() + 20\n"
            "while not os.path.exists({other!r}) and time.monotonic() < end: time.sleep(0.01)\n"
            "assert os.path.exists({other!r})"
        )
        for index, (mine, other) in enumerate([("a", "b"), ("b", "a")]):
            text = meet.format(mine=bench.tell(mine, "1"), other=str(tmp_path / other))
            bench.executor.start(*bench.order(text, job=mine, index=index))
        assert [bench.done.get(timeout=30).error for _ in range(2)] == ["", ""]


def test_close_ends_what_runs(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    with bench.executor:
        bench.executor.start(*bench.order(f"{bench.tell('pid', 'os.getpid()')}\ntime.sleep(600)"))
        pid = int(bench.told("pid"))
    assert not alive(pid)
    assert bench.done.empty()


PARENT = """
import functools, sys, time
from mapreduce.engine.executor import Executor
from mapreduce.runners.folderstore import FolderStore
from tests.mapreduce.engine.bench import Bench
from pathlib import Path

bench = Bench(Path(sys.argv[1]))
bench.executor.start(*bench.order(
    "child = subprocess.Popen(['sleep', '600'])\\n"
    + bench.tell("pids", "str(os.getpid()) + ' ' + str(child.pid)") + "\\ntime.sleep(600)"
))
time.sleep(600)
"""


def test_children_grandchildren_and_their_folders_go_with_their_parent(tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)],
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    path = tmp_path / "pids"
    try:
        wait_until(lambda: path.exists() and path.read_text().endswith("\n"), 20, "pids")
        assert list(temporary.glob("mapreduce-task-*"))
    finally:
        parent.kill()
        parent.wait()
    pids = [int(pid) for pid in path.read_text().split()]
    wait_until(lambda: not any(map(alive, pids)), 5, "the end of the orphans")
    assert list(temporary.iterdir()) == []


def test_a_running_attempt_tells_how_far_it_is(bench: Bench) -> None:
    (bench.folder / "go on").unlink(missing_ok=True)
    bench.executor.start(
        *bench.order(
            "self.context.status = 'page 7'\n"
            "self.context.progress = 0.25\n"
            f"while not os.path.exists({str(bench.folder / 'go on')!r}): time.sleep(0.01)"
        )
    )
    wait_until(lambda: bench.executor.notes, 20, "a note")
    [note] = bench.executor.notes
    assert (note.status, note.progress) == ("page 7", 0.25)
    (bench.folder / "go on").touch()
    assert bench.done.get(timeout=30).error == ""
    assert bench.executor.notes == ()


def test_starting_is_quick_while_a_child_is_warm(bench: Bench) -> None:
    bench.run("pass")
    started = time.perf_counter()
    for number in range(20):
        bench.run("pass", number=number + 2)
    assert time.perf_counter() - started < 5
