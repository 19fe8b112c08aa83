"""Our worker, a real process, with a master that follows the text alone."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mapreduce.jsonwire.site import HEARTBEAT_S, ScriptedMaster, Site, end, site_in, tell
from tests.waiting import wait_until


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with site_in(tmp_path) as site:
        yield site


@pytest.fixture
def master(site: Site) -> Iterator[ScriptedMaster]:
    master = ScriptedMaster(site.port)
    yield master
    master.close()


@pytest.fixture
def worker(site: Site, master: ScriptedMaster) -> int:
    """A worker that has registered and was acknowledged; the port at which it listens."""
    process = site.start_worker()
    port = site.port + 1
    assert master.next() == {
        "message_type": "register",
        "worker_host": "127.0.0.1",
        "worker_port": port,
        "worker_pid": process.pid,
    }
    ack = {"worker_host": "127.0.0.1", "worker_port": port, "worker_pid": process.pid}
    tell(port, message_type="register_ack", **ack)
    return port


def task(*files: str, program: str = "./map.py", folder: str = "made") -> dict:
    return {
        "message_type": "new_worker_job",
        "input_files": list(files),
        "executable": program,
        "output_directory": folder,
        "worker_pid": 1,
    }


def test_several_tasks_are_done_in_order_with_an_answer_each_of_exactly_the_text_s_keys(
    site: Site, master: ScriptedMaster, worker: int
) -> None:
    pid = site.workers[0].pid
    (site.folder / "made").mkdir()
    tell(worker, **task("in/f0", "in/f1"))
    tell(worker, **task())
    sort = {"message_type": "new_sort_job", "input_files": ["made/f0", "made/f1"]}
    tell(worker, **sort, output_file="made/all", worker_pid=pid)
    tell(worker, **task("made/all", program="reduce.sh", folder="out"))
    status = {"message_type": "status", "status": "finished", "worker_pid": pid}
    assert [master.next() for _ in range(4)] == [
        {**status, "output_files": ["made/f0", "made/f1"]},
        {**status, "output_files": []},
        {**status, "output_file": "made/all"},
        {**status, "output_files": ["out/all"]},
    ]
    made = site.folder / "made"
    assert (made / "f0").read_bytes() == site.shell("./map.py < in/f0")
    assert (made / "all").read_bytes() == site.shell("cat in/f0 in/f1 | ./map.py | sort")
    truth = site.shell("cat in/f0 in/f1 | ./map.py | sort | ./reduce.sh")
    assert (site.folder / "out/all").read_bytes() == truth


def test_heartbeats_begin_with_the_ack_and_go_on_while_a_task_runs(
    site: Site, master: ScriptedMaster
) -> None:
    site.program("slow", "#!/bin/sh\nwhile [ ! -e go-on ]; do sleep 0.02; done; cat\n")
    pid = site.start_worker().pid
    master.next("register")
    tell(site.port + 1, message_type="register_ack")  # nothing that is an ack
    tell(site.port + 1, **task("in/f0", program="slow"))
    ack = {"worker_host": "127.0.0.1", "worker_port": site.port + 1, "worker_pid": pid}
    tell(site.port + 1, message_type="register_ack", **ack)
    began = time.monotonic()
    for _ in range(6):
        assert master.heartbeat() == {"message_type": "heartbeat", "worker_pid": pid}
    assert time.monotonic() - began > 4 * HEARTBEAT_S, "the first at once, others apart"
    assert master.messages.empty()
    (site.folder / "go-on").touch()
    assert master.next("status")["output_files"] == ["made/f0"]


@pytest.mark.parametrize("way", ["shutdown", "kill -9"])
def test_all_that_its_program_has_started_ends_with_it_at_once(
    site: Site, master: ScriptedMaster, worker: int, way: str
) -> None:
    """Also what has left the program's session, and holds its output."""
    endless = "setsid sleep 1000 & echo $! $$ > pids\nwhile :; do sleep 0.1; done\n"
    site.program("endless", f"#!/bin/sh\n{endless}")
    tell(worker, **task("in/f0", program="endless"))
    tell(worker, **task("in/f1"))
    pids = site.folder / "pids"
    wait_until(lambda: pids.exists() and pids.read_text(), 30, "the program")
    if way == "shutdown":
        tell(worker, message_type="shutdown")
        assert end(site.workers[0]) == 0
    else:
        site.workers[0].kill()
    processes = [Path(f"/proc/{pid}") for pid in pids.read_text().split()]
    wait_until(lambda: not any(p.exists() for p in processes), 30, "the end of the program")
    assert master.messages.empty()


@pytest.mark.skipif(not Path("/proc/net/udp").exists(), reason="see mapreduce.jsonwire.presence")
def test_it_registers_with_the_next_master_and_does_no_more_for_the_one_before(
    site: Site, master: ScriptedMaster, worker: int
) -> None:
    site.program("endless", "#!/bin/sh\necho $$ > pid\nwhile :; do sleep 0.1; done\n")
    master.heartbeat()
    for file in ("in/f0", "in/f1"):
        tell(worker, **task(file, program="endless"))
    pid = site.folder / "pid"
    wait_until(lambda: pid.exists() and pid.read_text(), 30, "the program")
    master.close()
    following = ScriptedMaster(site.port)
    try:
        register = following.next("register")
        assert register["worker_pid"] == site.workers[0].pid
        tell(worker, **{**register, "message_type": "register_ack"})
        assert following.heartbeat()["worker_pid"] == site.workers[0].pid
        tell(worker, **task("in/f2"))
        assert following.next("status")["output_files"] == ["made/f2"]
        assert not Path(f"/proc/{pid.read_text().strip()}").exists()
        assert [path.name for path in (site.folder / "made").iterdir()] == ["f2"]
    finally:
        following.close()


def test_what_goes_wrong_is_told_on_stderr_and_answered_and_junk_is_passed_over(
    site: Site, master: ScriptedMaster, worker: int
) -> None:
    site.program("failing", "#!/bin/sh\ncat\necho my own words >&2\nexit 3\n")
    for junk in ({}, {"message_type": "new_worker_job"}, {"message_type": "heartbeat"}):
        tell(worker, **junk)
    tell(worker, **task("in/f0", "in/nowhere", program="failing"))
    tell(worker, **task("in/f1", program="nowhere"))
    assert master.next("status")["output_files"] == ["made/f0", "made/nowhere"]
    assert master.next("status")["output_files"] == ["made/f1"]
    assert (site.folder / "made/f0").read_bytes() == (site.folder / "in/f0").read_bytes()
    assert (site.folder / "made/f1").read_bytes() == b""
    said = site.said("worker")
    for words in ("exit status 3", "my own words", "in/nowhere", "nowhere on in/f1"):
        assert words in said
    assert "Traceback" not in said


def test_it_may_start_before_its_master_and_an_answer_waits_for_one_that_is_away(
    site: Site,
) -> None:
    pid = site.start_worker().pid
    site.wait_for("works for port", "worker")
    master = ScriptedMaster(site.port, listening=False)
    try:
        tell(site.port + 1, **task("in/f0"))
        wait_until((site.folder / "made/f0").exists, 30, "the task")
        master.listen()
        assert master.next("register")["worker_pid"] == pid
        assert master.next("status")["output_files"] == ["made/f0"]
    finally:
        master.close()
