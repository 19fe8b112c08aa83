"""Our master, a real process, with workers that follow the text alone."""

import contextlib
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.mapreduce.jsonwire.site import (
    HEARTBEAT_S,
    HOST,
    ScriptedWorker,
    Site,
    end,
    pause,
    site_in,
)

Hire = Callable[..., ScriptedWorker]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with site_in(tmp_path) as site:
        site.start_master()
        yield site


@pytest.fixture
def hire(site: Site) -> Iterator[Hire]:
    """Workers that have registered, the n-th of them with the pid 100 + n."""
    with contextlib.ExitStack() as ends:
        count = 0

        def call(listening: bool = True) -> ScriptedWorker:
            nonlocal count
            count += 1
            worker = ScriptedWorker(site.port, site.port + count, 100 + count, listening)
            ends.callback(worker.close)
            if listening:
                worker.acknowledged()
            return worker

        yield call


def test_a_whole_job_in_exactly_the_messages_of_the_text(site: Site, hire: Hire) -> None:
    workers = [hire(), hire()]
    site.job()
    assert {path.name for path in (site.folder / "var").iterdir()} <= {"job-0"}

    maps = [w.work(site.folder) for w in workers for _ in range(2)]
    for task in maps:
        assert {**task, "input_files": [], "worker_pid": 0} == {
            "message_type": "new_worker_job",
            "input_files": [],
            "executable": "./map.py",
            "output_directory": "var/job-0/mapper-output",
            "worker_pid": 0,
        }
    assert sorted(len(task["input_files"]) for task in maps) == [1, 1, 1, 2]
    assert sorted(f for t in maps for f in t["input_files"]) == [f"in/f{i}" for i in range(5)]

    sorts = [w.work(site.folder) for w in workers]
    for task in sorts:
        assert set(task) == {"message_type", "input_files", "output_file", "worker_pid"}
        assert task["message_type"] == "new_sort_job"
    mapped = sorted(f for task in sorts for f in task["input_files"])
    assert mapped == [f"var/job-0/mapper-output/f{i}" for i in range(5)]

    reduces = [w.work(site.folder) for w in workers]
    assert sorted(task["input_files"] for task in reduces) == [
        ["var/job-0/grouper-output/input_0"],
        ["var/job-0/grouper-output/input_1"],
    ]
    assert {t["output_directory"] for t in reduces} == {"var/job-0/reducer-output"}
    assert {t["executable"] for t in reduces} == {"reduce.sh"}
    site.wait_for("job-0 is done")
    site.check()

    site.tell(message_type="shutdown")
    assert [w.next() for w in workers] == [{"message_type": "shutdown"}] * 2
    assert site.master
    assert end(site.master) == 0
    assert all(w.messages.empty() for w in workers)


def test_a_worker_that_begins_to_listen_late_gets_its_ack_and_its_tasks(
    site: Site, hire: Hire
) -> None:
    worker = hire(listening=False)
    site.job(num_mappers=1, num_reducers=1)
    pause(0.5)
    worker.listen()
    assert worker.acknowledged() == {
        "message_type": "register_ack",
        "worker_host": "localhost",
        "worker_port": worker.port,
        "worker_pid": worker.pid,
    }
    for _ in range(3):
        worker.work(site.folder)
    site.wait_for("job-0 is done")
    site.check()


def test_a_silent_worker_s_task_goes_to_another_and_its_late_answer_counts_for_nothing(
    site: Site, hire: Hire
) -> None:
    silent, living = hire(), hire()
    site.job(num_mappers=2)
    silent.silent = True
    late = silent.next("new_worker_job")
    site.wait_for("is dead")
    silent.answer(late, site.folder)
    site.wait_for("worker 101 at localhost")
    assert site.said("master").count("job-0: group") == 0
    tasks = [living.work(site.folder) for _ in range(5)]
    assert {**late, "worker_pid": living.pid} in tasks[:2]
    assert [t["message_type"] for t in tasks[2:]] == ["new_sort_job"] + ["new_worker_job"] * 2
    site.wait_for("job-0 is done")
    site.check()


def test_no_junk_over_tcp_or_udp_brings_it_down(site: Site, hire: Hire) -> None:
    udp = socket.socket(type=socket.SOCK_DGRAM)
    big = json.dumps({"message_type": "heartbeat", "worker_pid": 1, "x": "y" * 300_000}).encode()
    unknown = b'{"message_type": "heartbeat", "worker_pid": 4711}'
    for junk in (b"", b"[]", b"{}", b"\xff\x00\xff", b'{"message_type": "register"}', unknown, big):
        with socket.create_connection((HOST, site.port)) as tcp, contextlib.suppress(OSError):
            tcp.sendall(junk)
        udp.sendto(junk[:1000], (HOST, site.port - 1))
    udp.close()
    site.tell(message_type="status", output_files=["x"], status="finished", worker_pid=4711)
    with socket.create_connection((HOST, site.port)) as hanging:
        hanging.sendall(b'{"message_type": "reg')
        worker = hire()
        site.job(num_mappers=1, num_reducers=1)
        for _ in range(3):
            worker.work(site.folder)
        site.wait_for("job-0 is done")
        site.tell(message_type="shutdown")
        worker.next("shutdown")
        assert site.master
        assert end(site.master) == 0
    assert "Traceback" not in site.said("master")


def test_heartbeats_without_a_break_keep_a_slow_worker_s_task_its_own(
    site: Site, hire: Hire
) -> None:
    slow, other = hire(), hire()
    site.job(num_mappers=1, num_reducers=1)
    task = slow.next("new_worker_job")
    pause(8 * HEARTBEAT_S)
    assert other.messages.empty()
    slow.answer(task, site.folder)
    assert "dead" not in site.said("master")
