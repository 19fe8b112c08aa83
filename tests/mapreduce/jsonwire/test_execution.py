"""Programs over files, and sorted files: what a worker does for a task, also if it goes wrong."""

import asyncio
import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mapreduce.jsonwire.execution import Executor
from mapreduce.jsonwire.guard import Guard
from mapreduce.jsonwire.messages import NewSortJob, NewWorkerJob, Order
from tests.conftest import child_processes
from tests.waiting import wait_until

GUARD = Guard()


@pytest.fixture(scope="module", autouse=True)
def guard() -> Iterator[None]:
    """One for all tests here: it is a process."""
    GUARD.watch(0)
    wait_until(lambda: "jsonwire" in str(child_processes()), 10, "the guard")
    yield
    GUARD.close()


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a").write_text("x y\nx\n")
    (tmp_path / "in/b").write_text("z\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def perform(order: Order) -> list[str]:
    """Do it; what was told."""
    told: list[str] = []
    asyncio.run(Executor(told.append, GUARD).perform(order))
    return told


def script(text: str, name: str = "program") -> str:
    Path(name).write_text(f"#!/bin/bash\n{text}\n")
    Path(name).chmod(0o755)
    return name


def run(executable: str, *inputs: str) -> list[str]:
    return perform(NewWorkerJob(list(inputs), executable, "var/job-0/mapper-output", 7))


def outputs() -> dict[str, str]:
    folder = Path("var/job-0/mapper-output")
    return {path.name: path.read_text() for path in folder.iterdir()}


class TestRunning:
    @pytest.mark.parametrize("name", ["program", "./program", "tools/program"])
    def test_a_program_reads_each_file_and_writes_one_of_its_name(self, name: str) -> None:
        Path("tools").mkdir()
        script("tr a-z A-Z", name)
        assert run(name, "in/a", "in/b") == []
        assert outputs() == {"a": "X Y\nX\n", "b": "Z\n"}

    def test_a_program_of_the_system_is_found_by_its_name(self) -> None:
        assert run("cat", "in/b") == []
        assert outputs() == {"b": "z\n"}

    def test_what_was_there_is_overwritten(self) -> None:
        for text in ("echo a long first line", "echo second"):
            run(script(text), "in/a")
        assert outputs() == {"a": "second\n"}

    def test_without_a_file_nothing_runs(self) -> None:
        assert run(script("touch ran")) == []
        assert not Path("ran").exists()

    def test_no_trace_is_left_beside_the_output(self) -> None:
        run("cat", "in/a")
        assert [path.name for path in Path("var/job-0").iterdir()] == ["mapper-output"]

    def test_a_status_is_told_and_what_was_written_stays_as_in_a_pipeline(self) -> None:
        [told] = run(script("cat; exit 3"), "in/a")
        assert told == "program on in/a: exit status 3; its output is kept as it is"
        assert outputs() == {"a": "x y\nx\n"}

    @pytest.mark.parametrize("reason", ["missing", "not executable", "no program", "no such input"])
    def test_what_can_t_be_run_has_an_empty_output(self, reason: str) -> None:
        name, source = script("cat"), "in/a"
        if reason == "missing":
            name = "nowhere"
        elif reason == "not executable":
            Path(name).chmod(0o644)
        elif reason == "no program":
            Path(name).write_bytes(b"\0\1\2")
        else:
            source = "nowhere/a"
        [told] = run(name, source)
        assert "could not be run" in told
        assert outputs() == {"a": ""}

    def test_the_other_files_of_a_task_are_done_all_the_same(self) -> None:
        [told] = run("cat", "in/nowhere", "in/b")
        assert "in/nowhere" in told
        assert outputs() == {"nowhere": "", "b": "z\n"}

    def test_a_name_that_no_file_can_have_is_told(self) -> None:
        assert "null byte" in run("cat", "in/\0", "in/b")[0]
        assert outputs()["b"] == "z\n"

    def test_a_program_that_something_has_killed_runs_again_from_the_beginning(self) -> None:
        killed_once = "echo one; [ -e ran ] || { touch ran; kill -9 $$; }; echo two"
        [told] = run(script(killed_once), "in/a")
        assert "SIGKILL, 1 of 3 tries" in told
        assert outputs() == {"a": "one\ntwo\n"}

    def test_a_signal_without_a_name_has_its_number(self) -> None:
        [told] = run(script("[ -e ran ] || { touch ran; kill -63 $$; }"), "in/a")
        assert "ended by signal 63, 1 of 3 tries" in told

    def test_after_three_tries_its_output_stays_as_it_is(self) -> None:
        assert len(run(script("echo ran >> runs; echo one; kill -SEGV $$"), "in/a")) == 3
        assert Path("runs").read_text() == "ran\n" * 3
        assert outputs() == {"a": "one\n"}

    def test_what_a_program_has_started_may_write_on_as_in_a_pipeline(self) -> None:
        assert run(script("exec > >(sleep 0.1; sort -r); cat"), "in/a") == []
        assert outputs() == {"a": "x y\nx\n"}

    def test_much_that_is_said_on_stderr_keeps_nobody_waiting(
        self, capfd: pytest.CaptureFixture[str]
    ) -> None:
        assert run(script("head -c 1000000 /dev/zero >&2; cat"), "in/b") == []
        assert len(capfd.readouterr().err) >= 1_000_000
        assert outputs() == {"b": "z\n"}

    @pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a second disk")
    def test_the_output_folder_may_be_on_another_disk(self) -> None:
        Path("var/job-0").mkdir(parents=True)
        with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
            Path("var/job-0/mapper-output").symlink_to(other)
            assert run("cat", "in/b") == []
            assert outputs() == {"b": "z\n"}

    def test_a_program_and_what_it_has_started_end_with_the_worker(self) -> None:
        name = script("echo $$ > pid; sleep 1000 & echo $! > child; wait")

        async def cut_short() -> None:
            order = NewWorkerJob(["in/a"], name, "out/x", 7)
            task = asyncio.create_task(Executor(print, GUARD).perform(order))
            while not (Path("child").exists() and Path("child").read_text()):
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(cut_short())
        for file in ("pid", "child"):
            wait_until(lambda file=file: ended(Path(file).read_text()), 10, f"the end of {file}")
        assert list(Path("out").rglob("*")) == [Path("out/x")]
        assert not list(Path().glob(".worker*")) and not list(Path("out").glob(".worker*"))

    @pytest.mark.parametrize("turns", range(1, 6))
    def test_also_where_it_ends_while_a_program_is_being_started(self, turns: int) -> None:
        """So many turns of the loop after the task has begun; in the last one the program comes
        far, and the loop has not heard of it yet."""
        name = script("sleep 1000 & echo $! > child; wait")

        async def cut_short() -> None:
            order = NewWorkerJob(["in/a"], name, "out/x", 7)
            task = asyncio.create_task(Executor(print, GUARD).perform(order))
            for _ in range(turns):
                await asyncio.sleep(0)
            with contextlib.suppress(AssertionError):
                wait_until(Path("child").exists, 0.1, "the program")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(cut_short())
        if Path("child").exists():
            wait_until(lambda: ended(Path("child").read_text()), 10, "the end of the child")


def ended(pid: str) -> bool:
    try:
        state = Path(f"/proc/{pid.strip()}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"


class TestSorting:
    def sort(self, *contents: bytes, also: tuple[str, ...] = ()) -> tuple[bytes, list[str]]:
        names = [f"in/{i}" for i in range(len(contents))]
        for name, content in zip(names, contents):
            Path(name).write_bytes(content)
        told = perform(NewSortJob([*names, *also], "var/job-0/grouper-output/s", 7))
        return Path("var/job-0/grouper-output/s").read_bytes(), told

    def test_lines_of_all_files_in_the_order_of_their_bytes(self, monkeypatch) -> None:
        monkeypatch.setenv("LC_ALL", "C.UTF-8")
        contents = b"b\t1\na 1\n", "B\t1\né\t1\na\t2\na\n".encode(), b"a\x01\t1\n"
        expected = sorted(line for content in contents for line in content.splitlines())
        assert self.sort(*contents) == (b"".join(line + b"\n" for line in expected), [])

    def test_a_last_line_without_an_end_stays_a_line(self) -> None:
        assert self.sort(b"b", b"a")[0] == b"a\nb\n"

    @pytest.mark.parametrize("contents", [(), (b"",), (b"", b"")])
    def test_nothing_is_an_empty_file(self, contents: tuple[bytes, ...]) -> None:
        assert self.sort(*contents) == (b"", [])

    def test_a_file_that_is_not_there_is_told_and_the_others_are_sorted(self) -> None:
        sorted_lines, [told] = self.sort(b"b\na\n", also=("in/nowhere",))
        assert sorted_lines == b"a\nb\n"
        assert "in/nowhere is not there" in told

    def test_more_names_than_a_command_line_holds(self) -> None:
        long = Path("in") / ("x" * 200)
        long.write_text("a\n")
        assert self.sort(also=(str(long),) * 15_000)[0] == b"a\n" * 15_000
