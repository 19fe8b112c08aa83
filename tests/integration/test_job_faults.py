"""Whatever is killed, and whenever: a job gives the same output, byte for byte, and the same
counters, and nothing else is left of it.

A cluster of real processes: three store nodes with three copies of each key, three masters, a
worker beside each node. The jobs wait at files that a test makes, so that a server goes at the very
moment that is meant. What was killed is started again after the test.
"""

import io
import itertools
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli import processes
from dynamo import files
from tests.integration.job_cluster import (
    LONG_S,
    REDUCES,
    SOURCE,
    HeldJob,
    JobCluster,
    why_no_mounts,
)
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobCluster]:
    with JobCluster(tmp_path_factory.mktemp("jobs")) as cluster:
        yield cluster


@pytest.fixture
def cluster(running: JobCluster) -> Iterator[JobCluster]:
    yield running
    running.let_commits_go_on()
    for record in running.master.jobs():
        if record["state"] == "running":
            running.master.kill_job(record["name"])
    running.start()
    running.wait_for_workers()


def held_in(phase: str, cluster: JobCluster, folder: Path, name: str) -> HeldJob:
    """A job in the middle of a phase."""
    if phase == "commit":
        cluster.hold_commits()
        job = HeldJob(cluster, folder, name)
        wait_until(lambda: "part-00000" in job.output(), LONG_S, "a part of the output")
        assert "part-00001" not in job.output()
    elif phase == "store":  # a map has stored some of its pieces
        job = HeldJob(cluster, folder, name, "store", memory_bytes=2 << 20, bulk_bytes=6 << 20)
        job.wait_until_held()
        wait_until(job.pieces, LONG_S, "pieces")
    elif phase == "fetch":  # reduces have fetched what there is, and a map still runs
        job = HeldJob(cluster, folder, name, "last map", bulk_bytes=1 << 20)
        job.wait_until_held()
        wait_until(lambda: job.record()["reduce"]["running"] == 2, LONG_S, "early reduces")
    else:
        job = HeldJob(cluster, folder, name, phase)
        job.wait_until_held()
    return job


VICTIM_RUNS = {"map": "map", "store": "map", "fetch": "reduce", "reduce": "reduce"}


TELLING = {
    ("worker", "store"), ("worker", "reduce"),
    ("node", "fetch"), ("node", "commit"),
    ("master", "fetch"),
}  # fmt: skip
"""What `make test` looks at, beside tests/mapreduce/cluster/test_masters.py; `make faults` looks at
the rest."""


CELLS = [
    pytest.param(*cell, marks=() if cell in TELLING else pytest.mark.faults)
    for cell in itertools.product(
        ("worker", "node", "master"), ("map", "store", "fetch", "reduce", "commit")
    )
]


@pytest.mark.parametrize(("kind", "phase"), CELLS)
def test_a_server_is_killed(cluster: JobCluster, tmp_path: Path, kind: str, phase: str) -> None:
    job = held_in(phase, cluster, tmp_path, f"{kind}-{phase}")
    worker = job.worker_of(VICTIM_RUNS[phase]) if phase in VICTIM_RUNS else "w1"
    victims = {"worker": worker, "node": worker.replace("w", "n"), "master": cluster.leader}
    cluster.kill(kind, victims[kind])
    cluster.let_commits_go_on()
    job.let_go()
    job.check_end()


# One worker is slow, or has no room ---------------------------------------------------------------


def test_a_task_that_stands_still_is_overtaken_by_its_copy(
    cluster: JobCluster, tmp_path: Path
) -> None:
    job = HeldJob(cluster, tmp_path, "straggler", "store", backups=True)
    job.wait_until_held()
    wait_until(lambda: job.record()["map"]["done"] == 3, LONG_S, "the other maps")
    [(slow, pid)] = job.held().items()
    os.kill(pid, signal.SIGSTOP)
    job.let_go()
    record = job.check_end()
    assert record["backups"] >= 1  # on a busy machine a reduce may have one too
    [tried] = [task for task in job.past_tasks() if task.task == slow.partition(".")[0]]
    told = [(attempt.state, attempt.backup) for attempt in tried.attempts]
    assert told == [("killed", False), ("succeeded", True)]
    wait_until(lambda: processes.start_time(pid) is None, LONG_S, "the end of the slow one")


def test_a_worker_that_stands_still_does_no_harm_when_it_goes_on(
    cluster: JobCluster, tmp_path: Path
) -> None:
    job = HeldJob(cluster, tmp_path, "asleep", "map")
    job.wait_until_held(3)
    worker = cluster.process("worker", job.worker_of("map"))
    worker.signal(signal.SIGSTOP)
    wait_until(lambda: len(cluster.master.workers()) == 2, LONG_S, "the worker to be missed")
    worker.signal(signal.SIGCONT)
    job.let_go()
    job.check_end()


def test_a_worker_whose_disk_is_full_hands_its_tasks_on(
    cluster: JobCluster, tmp_path: Path
) -> None:
    if reason := why_no_mounts():
        pytest.skip(reason)
    disk = tmp_path / "disk"
    disk.mkdir()
    cluster.kill("worker", "w2")
    with cluster.processes.small_disk_of("w2", disk):
        cluster.start()
        cluster.wait_for_workers()
        job = HeldJob(cluster, tmp_path, "full", "setup", memory_bytes=1 << 20, bulk_bytes=6 << 20)
        job.wait_until_held(REDUCES)
        job.let_go()
        record = job.check_end()
        assert "reduce-0000" in record["first_error"]
        assert " on w2: " in record["first_error"]
        assert "ScratchFailed" in record["first_error"]
        assert f"{disk}" in record["first_error"]
        tried = [attempt for task in job.past_tasks() for attempt in task.attempts]
        failed = [attempt for attempt in tried if attempt.state == "failed"]
        assert {attempt.worker for attempt in failed} == {"w2"}
        cluster.kill("worker", "w2")


# Bad records --------------------------------------------------------------------------------------

POISONED = SOURCE.replace(
    b'        self.context.count("lines")\n',
    b"""\
        self.context.count("lines")
        if value == "exit":
            os._exit(3)
        if value == "crash":
            import ctypes
            ctypes.string_at(0)
""",
)


@pytest.fixture
def poison(cluster: JobCluster) -> str:
    """A path with two lines that end whoever reads them, among others."""
    text = "to be\nexit\nor not\ncrash\nto be\n"
    files.write(cluster.store, "/poison", io.BytesIO(text.encode()))
    return "/poison"


def test_records_that_crash_a_task_are_left_out_and_told(
    cluster: JobCluster, tmp_path: Path, poison: str
) -> None:
    given = {"code_text": POISONED, "inputs": (poison,), "skip_bad_records": 2}
    job = HeldJob(cluster, tmp_path, "skips", **given)
    record = job.wait_for_end()
    assert record["state"] == "succeeded", record["error"]
    output = job.output()
    told = json.loads(output.pop("_SUCCESS"))
    assert sorted(b"".join(output.values()).splitlines()) == [
        b"be\t2",
        b"not\t1",
        b"or\t1",
        b"to\t2",
    ]
    assert told["counters"]["lines"] == 3
    assert told["counters"]["skipped_records"] == 2
    assert [(s["input"], s["position"]) for s in told["skipped"]] == [(poison, "6"), (poison, "18")]
    assert "exit code 3" in told["skipped"][0]["error"]
    assert "SIGSEGV" in told["skipped"][1]["error"]
    assert list(record["skipped"]) == told["skipped"]
    job.check_nothing_is_left()


def test_a_record_that_crashes_its_task_fails_the_job_if_none_may_be_left_out(
    cluster: JobCluster, tmp_path: Path, poison: str
) -> None:
    given = {"code_text": POISONED, "inputs": (poison,), "max_attempts": 2}
    job = HeldJob(cluster, tmp_path, "fails", **given)
    record = job.wait_for_end()
    assert record["state"] == "failed"
    assert "map-00000 failed in all 2 attempts" in record["error"]
    assert "ended itself with exit code 3" in record["error"]
    assert f"it was to read {poison}, bytes 0 to 30" in record["error"]
    assert "skip_bad_records" in record["error"]
    assert job.output() == {}
    job.check_nothing_is_left()
