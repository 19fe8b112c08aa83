"""What users do with jobs that run, and with those that have: on a real master and workers."""

import pytest

from mapreduce.cluster import history
from mapreduce.cluster.history import PastTask
from mapreduce.engine import paths
from mapreduce.errors import JobError
from tests.mapreduce.cluster.serving import Cluster
from tests.mapreduce.cluster.test_cluster import (
    WORDCOUNT,
    ended,
    expected,
    output_of,
    processes_with,
    run,
    spec,
)
from tests.waiting import wait_until

NOTES_ITSELF = b"""\
        import os, pathlib, time
        with open("%s", "a") as f: print(os.getpid(), file=f)
"""
LOOPS = b"        while True: pass\n"
IGNORES_SIGNALS = b"""\
        import signal
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        while True: time.sleep(1)
"""
FORKS = b"""\
        import subprocess, sys
        child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        with open("%s", "a") as f: print(child.pid, file=f)
        while True: time.sleep(1)
"""
LEAVES_A_DAEMON = b"""\
        import subprocess, sys
        child = subprocess.Popen(
            [sys.executable, "-c", "while True: pass"], start_new_session=True
        )
        with open("%s", "a") as f: print(child.pid, file=f)
        while True: time.sleep(1)
"""
WAITS = b"        while not pathlib.Path('%s').exists(): time.sleep(0.01)\n"


def mapping(*lines: bytes) -> bytes:
    """The word count whose mapper does more, for each record."""
    return WORDCOUNT.replace(b'        self.context.count("lines")\n', b"".join(lines))


def start(cluster: Cluster, name: str, code: bytes, **changes: object) -> None:
    cluster.connection.new_job(spec(name, **changes), code)
    cluster.connection.run_job(name)


def running(cluster: Cluster, name: str) -> list[str]:
    return [task["attempt"] for task in cluster.connection.job_status(name)["tasks"]]


def wait_for_tasks(cluster: Cluster, name: str, count: int) -> None:
    wait_until(lambda: len(running(cluster, name)) == count, 20, f"{count} tasks of {name}")


def past_tasks(cluster: Cluster, record: dict) -> list[PastTask]:
    """The history of a run, which is written when it has ended."""
    name, run = record["name"], record["run"]
    wait_until(lambda: run in [r.run for r in history.runs(cluster.store, name)], 20, "the history")
    return list(history.tasks(cluster.store, name, run))


def keys_of(cluster: Cluster, run: str) -> list[str]:
    """The keys of pieces of a run."""
    return list(cluster.store.list(paths.pieces(run)))


HANGS = {
    "loop": LOOPS,
    "deaf": IGNORES_SIGNALS,
    "forks": FORKS,
    "daemon forks": LEAVES_A_DAEMON,
}


@pytest.mark.parametrize("hangs", HANGS.values(), ids=HANGS.keys())
def test_a_killed_job_leaves_no_process_and_no_piece(cluster, tmp_path, hangs, request):
    """The last of its eight maps hangs, so that there are pieces of the others."""
    marker = tmp_path / "pids"
    hangs = hangs.replace(b"%s", str(marker).encode())
    last = b"        if '7.txt' not in str(self.context.input):\n            return\n"
    name = f"hangs-{request.node.callspec.id.replace(' ', '-')}"
    code = mapping(b"        yield 'piece', 1\n", last, NOTES_ITSELF % str(marker).encode(), hangs)
    start(cluster, name, code)
    run_id = cluster.connection.job_status(name)["run"]
    wait_until(lambda: cluster.connection.job_status(name)["map"]["done"] == 7, 20, "7 maps")
    enough = 2 if "forks" in name else 1
    wait_until(lambda: marker.exists() and len(processes_with(marker)) == enough, 20, "the hang")
    assert keys_of(cluster, run_id)
    assert cluster.connection.kill_job(name)["state"] == "killed"
    wait_until(lambda: not processes_with(marker), 20, "the end of its processes")
    wait_until(lambda: not keys_of(cluster, run_id), 20, "the end of its pieces")


def test_a_killed_task_starts_again_and_is_no_failure(cluster, tmp_path):
    go = tmp_path / "go"
    start(cluster, "again", mapping(b"        import pathlib, time\n", WAITS % str(go).encode()))
    wait_for_tasks(cluster, "again", 4)
    record = cluster.connection.job_status("again")
    assert record["map"]["waits"] == {"for a free slot": 4}
    assert record["reduce"]["waits"] == {"for 8 maps": 2}
    victim = running(cluster, "again")[0].partition(".")[0]
    assert cluster.connection.kill_task("again", victim)["map"]["failed_attempts"] == 0
    for task, says in (
        ("map-00009", "map-00009 of job 'again' does not run"),
        ("2/map-00000", "is of step 2; step 1 of job 'again' runs"),
        ("map", "names no task"),
    ):
        with pytest.raises(JobError, match=says):
            cluster.connection.kill_task("again", task)
    go.touch()
    record = ended(cluster, "again")
    assert (record["state"], record["map"]["failed_attempts"]) == ("succeeded", 0)
    assert output_of(cluster, "again") == expected()
    with pytest.raises(JobError, match="not running"):
        cluster.connection.kill_task("again", victim)
    [tried] = [task for task in past_tasks(cluster, record) if task.task == victim]
    assert [attempt.state for attempt in tried.attempts] == ["killed", "succeeded"]


def test_a_paused_job_starts_nothing_until_it_is_resumed(cluster, tmp_path):
    go = tmp_path / "go"
    start(cluster, "paused", mapping(b"        import pathlib, time\n", WAITS % str(go).encode()))
    wait_for_tasks(cluster, "paused", 4)
    assert cluster.connection.pause_job("paused")["paused"]
    go.touch()
    wait_for_tasks(cluster, "paused", 0)
    record = cluster.connection.job_status("paused")
    assert (record["state"], record["paused"]) == ("running", True)
    assert record["map"]["waits"] == {"the job is paused": 8 - record["map"]["done"]}
    other = run(cluster, "meanwhile")
    assert other["state"] == "succeeded"
    assert cluster.connection.job_status("paused")["map"]["done"] == record["map"]["done"]
    assert not cluster.connection.resume_job("paused")["paused"]
    with pytest.raises(JobError, match="is not paused"):
        cluster.connection.resume_job("paused")
    record = ended(cluster, "paused")
    assert (record["state"], record["paused"]) == ("succeeded", False)
    with pytest.raises(JobError, match="not running, it is succeeded"):
        cluster.connection.pause_job("paused")


def test_a_drained_worker_ends_what_it_runs_and_gets_no_more(cluster, tmp_path):
    def drained() -> dict[str, bool]:
        return {worker["name"]: worker["draining"] for worker in cluster.connection.workers()}

    cluster.connection.drain_worker("w2")
    wait_until(lambda: drained() == {"w1": False, "w2": True}, 20, "w2 to be drained")
    record = run(cluster, "by-w1")
    tasks = past_tasks(cluster, record)
    assert {attempt.worker for task in tasks for attempt in task.attempts} == {"w1"}
    cluster.connection.drain_worker("w2", False)
    wait_until(lambda: not any(drained().values()), 20, "w2 to be back")
    with pytest.raises(JobError, match="no worker 'w9' is alive"):
        cluster.connection.drain_worker("w9")


def test_the_history_of_each_run_stays_until_the_job_is_removed(cluster, tmp_path):
    first = tmp_path / "first"
    fails = f"        if not os.path.exists('{first}'): raise OSError('the first run fails')\n"
    code = mapping(b"        import os\n", fails.encode())
    failed = run(cluster, "twice", code, max_attempts=1)
    assert failed["state"] == "failed"
    assert failed["first_error"].startswith("map-0000")
    assert "OSError: the first run fails" in failed["first_error"]
    first.touch()
    cluster.connection.run_job("twice")
    record = ended(cluster, "twice")
    assert record["state"] == "succeeded", record["error"]
    assert record["first_error"] == ""
    tasks = past_tasks(cluster, record)
    latest, oldest = history.runs(cluster.store, "twice")
    assert [latest.run, oldest.run] == [record["run"], failed["run"]]
    assert "the first run fails" in oldest.error
    assert [task.task for task in tasks] == [
        *(f"map-{number:05d}" for number in range(8)),
        "reduce-00000",
        "reduce-00001",
    ]
    won = [attempt for task in tasks for attempt in task.attempts if attempt.state == "succeeded"]
    assert len(won) == len(tasks)
    for attempt in won:
        assert record["started_at"] <= attempt.started_at <= attempt.ended_at
        assert attempt.ended_at <= record["ended_at"]
    slowest = max(attempt.seconds for attempt in won)
    assert record["slowest"][0]["seconds"] == pytest.approx(slowest)


def test_a_removed_job_leaves_nothing_but_its_output_and_that_only_if_it_may_stay(cluster):
    before = _names(cluster)
    for name, with_output in (("kept", False), ("gone", True)):
        run(cluster, name)
        cluster.connection.remove_job(name, with_output)
        with pytest.raises(JobError, match=f"no job '{name}'"):
            cluster.connection.job_status(name)
    kept = {f"/out/kept/{name}" for name in ("_SUCCESS", "part-00000", "part-00001")}
    assert _names(cluster) - before == kept
    run(cluster, "gone")  # its name and its output are free again
    assert output_of(cluster, "gone") == expected()


def _names(cluster: Cluster) -> set[str]:
    """All keys but the chunks of files, which their manifests name."""
    return {key for key in cluster.store.list("") if key.startswith(("/", "job:", "piece:"))}


def test_a_job_that_runs_is_not_removed(cluster, tmp_path):
    go = tmp_path / "go"
    start(cluster, "busy", mapping(b"        import pathlib, time\n", WAITS % str(go).encode()))
    with pytest.raises(JobError, match="'busy' is running; `mapreduce kill_job busy` ends it"):
        cluster.connection.remove_job("busy")
    cluster.connection.kill_job("busy")
    cluster.connection.remove_job("busy")
    assert list(cluster.store.list(paths.of_job("busy"))) == []
