"""Jobs on a real master and real workers, each a process, over loopback."""

import re
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import zerorpc

from dynamo import files
from dynamo.config import MasterConfig
from dynamo.errors import DynamoError, NodeFailed, RequestError, Unreachable
from mapreduce.cluster import master, messages, serverlog
from mapreduce.cluster.connection import Connection
from mapreduce.engine import paths
from mapreduce.engine.orders import JobSpec
from mapreduce.errors import JobError
from tests.mapreduce.cluster.serving import TEXT, Cluster, with_books
from tests.mapreduce.specs import job_spec
from tests.waiting import wait_until

WORDCOUNT = b"""
from mapreduce import Mapper, Reducer

class MyMapper(Mapper):
    def map(self, key, value):
        self.context.count("lines")
        for word in value.split():
            yield word, 1

class MyReducer(Reducer):
    def reduce(self, key, values):
        yield key, sum(values)

class MyCombiner(MyReducer):
    pass
"""

SLOW = WORDCOUNT.replace(b"    def map", b"""
    def setup(self):
        import time
        time.sleep(0.4)

    def map""")  # fmt: skip


def spec(name: str, **changes: object) -> JobSpec:
    # Tests count attempts: how many there are is not to depend on how busy the machine is.
    plain = {"reducers": 2, "split_bytes": len(TEXT), "backups": False, "slow_start": 1.0}
    return job_spec(name, **plain | changes)


def expected() -> Counter[str]:
    return Counter(word for part in range(8) for word in TEXT[part * 17 :].split())


def ended(cluster: Cluster, name: str, timeout_s: float = 20.0) -> dict:
    def over() -> bool:
        return cluster.connection.job_status(name)["state"] not in ("new", "running")

    wait_until(over, timeout_s, f"the end of {name}")
    return cluster.connection.job_status(name)


def run(cluster: Cluster, name: str, code: bytes = WORDCOUNT, **changes: object) -> dict:
    cluster.connection.new_job(spec(name, **changes), code)
    cluster.connection.run_job(name)
    return ended(cluster, name)


def output_of(cluster: Cluster, name: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for part in cluster.connection.output(name)["files"]:
        text = b"".join(files.read(cluster.store, part["path"])).decode()
        for line in text.splitlines():
            word, count = line.split("\t")
            assert word not in found, f"{word} twice"
            found[word] = int(count)
    return found


def said(cluster: Cluster, record: dict, server: str) -> str:
    """What a server, or all of a kind, have said of a run."""
    lines = serverlog.read(cluster.store, record["run"])
    return "".join(f"{line.text}\n" for line in lines if line.server.startswith(server))


def processes_with(marker: Path) -> list[int]:
    """The processes that have written their ids into the file `marker` and are alive."""
    return [int(pid) for pid in marker.read_text().split() if _alive(int(pid))]


def endless(marker: Path) -> bytes:
    """A job that never ends; its processes write their ids into `marker`."""
    return WORDCOUNT.replace(
        b'        self.context.count("lines")',
        b"        import os\n"
        b'        with open("%s", "a") as f: print(os.getpid(), file=f)\n'
        b"        while True: pass\n" % str(marker).encode(),
    )


def busy(cluster: Cluster, worker: str) -> bool:
    return any(w["name"] == worker and w["running"] for w in cluster.connection.workers())


def _alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


class TestJobs:
    def test_a_job_gives_the_result_of_a_sequential_count(self, cluster):
        record = run(cluster, "wordcount")
        assert record["state"] == "succeeded", record["error"]
        assert output_of(cluster, "wordcount") == expected()
        assert record["map"]["done"] == record["map"]["total"] == 8
        assert record["reduce"]["done"] == 2
        assert record["map"]["localities"] == {"node": 8}
        assert record["counters"]["lines"] == sum(TEXT[p * 17 :].count("\n") for p in range(8))
        assert record["output_records"] == len(expected())
        assert record["started_at"] <= record["ended_at"] <= time.time()
        assert record["map"]["seconds"] > 0

    def test_no_intermediate_keys_stay(self, cluster):
        record = run(cluster, "tidy")
        wait_until(lambda: not list(cluster.store.list(paths.pieces(record["run"]))), 5, "sweep")

    def test_a_job_without_reducers_writes_the_mappers_pairs(self, cluster):
        record = run(cluster, "maponly", reducers=0)
        assert record["state"] == "succeeded", record["error"]
        assert record["output_records"] == sum(expected().values())
        assert record["reduce"]["total"] == 0

    def test_keys_and_urls_are_read_and_a_url_is_written(self, cluster, tmp_path):
        for number in range(3):
            cluster.store.put(f"line-{number}", TEXT.encode())
        (tmp_path / "more.txt").write_text(TEXT)
        record = run(
            cluster,
            "elsewhere",
            inputs=("keys:line-", f"file://{tmp_path}/*.txt"),
            output=f"file://{tmp_path}/out",
            merged=True,
        )
        assert record["state"] == "succeeded", record["error"]
        out = tmp_path / "out"
        assert sorted(path.name for path in out.iterdir()) == ["_SUCCESS", "merged"]
        counts = dict(line.split("\t") for line in (out / "merged").read_text().splitlines())
        assert counts == {word: str(4 * count) for word, count in Counter(TEXT.split()).items()}

    def test_a_job_that_fails_leaves_nothing_at_its_url(self, cluster, tmp_path):
        code = WORDCOUNT.replace(b"yield key, sum(values)", b"yield key, 1; yield 1 / 0, 1")
        record = run(
            cluster, "nowhere", code, output=f"file://{tmp_path}/out", max_attempts=1, reducers=1
        )
        assert record["state"] == "failed"
        wait_until(lambda: not (tmp_path / "out").exists(), 10, "the output to be removed")

    def test_a_task_that_raises_is_tried_again(self, cluster, tmp_path):
        first = tmp_path / "first"
        code = WORDCOUNT.replace(
            b'        self.context.count("lines")',
            b'        self.context.count("lines")\n'
            b"        import os\n"
            b'        if key == 0 and not os.path.exists("%s"):\n'
            b'            open("%s", "w").close()\n'
            b'            raise OSError("the first try fails")' % ((str(first).encode(),) * 2),
        )
        record = run(cluster, "retried", code)
        assert record["state"] == "succeeded", record["error"]
        assert record["map"]["failed_attempts"] >= 1
        assert output_of(cluster, "retried") == expected()
        logs = [
            cluster.store.get(k).value for k in cluster.store.list(paths.run_keys(record["run"]))
        ]
        assert any(b"the first try fails" in log for log in logs)
        wait_until(lambda: "the run has succeeded" in said(cluster, record, "master"), 10, "it")
        error = r"OSError: the first try fails, in MyMapper\.map \(wc\.py, line "
        by_master = said(cluster, record, "master")
        failure = re.search(rf"(map-\d+)\.1 failed on (w\d): {error}", by_master)
        assert failure, by_master
        task, worker = failure.groups()
        by_worker = said(cluster, record, f"worker-{worker}")
        assert f"{task}.1 is taken\n" in by_worker
        assert f"{task}.1 failed: OSError: the first try fails, in " in by_worker
        assert re.search(rf"gives {task}\.2 to w\d", said(cluster, record, "master"))
        wait_until(lambda: f"{task}.2 is done\n" in said(cluster, record, "worker"), 10, "its end")

    def test_reduces_begin_while_a_map_still_runs(self, cluster, tmp_path):
        go_on = tmp_path / "go on"
        code = WORDCOUNT.replace(
            b'        self.context.count("lines")',
            b"        import os, time\n"
            b"        if '7.txt' in self.context.input:\n"
            b'            while not os.path.exists("%s"): time.sleep(0.01)' % str(go_on).encode(),
        )
        cluster.connection.new_job(spec("early", slow_start=0.05), code)
        cluster.connection.run_job("early")

        def early() -> bool:
            return cluster.connection.job_status("early")["reduce"]["running"] == 2

        wait_until(early, 10, "the reduces")
        assert cluster.connection.job_status("early")["map"]["done"] < 8
        go_on.touch()
        assert ended(cluster, "early")["state"] == "succeeded"
        assert output_of(cluster, "early") == expected()

    def test_what_a_task_prints_can_be_read_while_it_runs(self, cluster, tmp_path):
        go_on = tmp_path / "go on"
        code = WORDCOUNT.replace(
            b'        self.context.count("lines")',
            b"        import os, time\n"
            b'        if key == 0: print("so far")\n'
            b'        while not os.path.exists("%s"): time.sleep(0.01)' % str(go_on).encode(),
        )
        cluster.connection.new_job(spec("talks"), code)
        run_id = cluster.connection.run_job("talks")["run"]

        def logs() -> list[bytes | None]:
            keys = cluster.store.list(paths.run_keys(run_id))
            return [cluster.store.get(key).value for key in keys if ":log:" in key]

        wait_until(lambda: b"so far\n" in logs(), 10, "what it has printed")
        assert cluster.connection.job_status("talks")["state"] == "running"
        go_on.touch()
        assert ended(cluster, "talks")["state"] == "succeeded"

    def test_a_failing_job_shows_the_users_traceback_and_may_run_again(self, cluster):
        code = WORDCOUNT.replace(b"yield key, sum(values)", b'raise ValueError("my own mistake")')
        record = run(cluster, "failing", code, max_attempts=2)
        assert record["state"] == "failed"
        assert 'File "wc.py", line 12, in reduce' in record["error"]
        assert "ValueError: my own mistake" in record["error"]
        assert files.under(cluster.store, "/out/failing") == []
        cluster.connection.run_job("failing")
        again = ended(cluster, "failing")
        assert again["state"] == "failed"
        assert again["run"] != record["run"]

    def test_killing_a_job_ends_its_endless_processes_within_two_seconds(self, cluster, tmp_path):
        marker = tmp_path / "pids"
        cluster.connection.new_job(spec("endless"), endless(marker))
        cluster.connection.run_job("endless")
        wait_until(lambda: marker.exists() and processes_with(marker), 10, "the job's start")
        started = time.monotonic()
        assert cluster.connection.kill_job("endless")["state"] == "killed"
        wait_until(lambda: not processes_with(marker), 2.0, "the end of its processes")
        assert time.monotonic() - started < 2.0
        assert cluster.connection.job_status("endless")["state"] == "killed"

    def test_killing_a_worker_changes_nothing_in_the_output(self, cluster):
        cluster.start_worker("w3")
        cluster.wait_for_workers(3)
        cluster.connection.new_job(spec("murder"), SLOW)
        cluster.connection.run_job("murder")

        wait_until(lambda: busy(cluster, "w3"), 5, "w3 to work")
        cluster.end("w3", signal.SIGKILL)
        record = ended(cluster, "murder")
        assert record["state"] == "succeeded", record["error"]
        assert record["map"]["lost_attempts"] + record["reduce"]["lost_attempts"] >= 1
        assert record["map"]["failed_attempts"] == 0
        assert output_of(cluster, "murder") == expected()
        assert record["counters"]["lines"] == sum(TEXT[p * 17 :].count("\n") for p in range(8))


class TestServers:
    def test_a_worker_that_is_told_to_end_ends_its_tasks_and_says_goodbye(self, cluster, tmp_path):
        marker = tmp_path / "pids"
        cluster.start_worker("w4")
        cluster.wait_for_workers(3)
        cluster.connection.new_job(spec("leaving"), endless(marker))
        cluster.connection.run_job("leaving")
        wait_until(lambda: marker.exists() and len(processes_with(marker)) == 6, 10, "6 tasks")
        assert cluster.end("w4", signal.SIGTERM) == 0
        assert len(processes_with(marker)) == 4
        board = cluster.connection.scoreboard()
        assert [(w["name"], w["state"]) for w in board["workers"]] == [
            ("w1", "mapping"),
            ("w2", "mapping"),
        ]
        gone = {w["name"]: (w["state"], w["strikes"]) for w in board["gone"]}
        assert gone["w4"] == ("stopped", 0)
        assert cluster.connection.job_status("leaving")["map"]["lost_attempts"] == 2
        cluster.connection.kill_job("leaving")

    def test_a_worker_that_was_killed_and_started_again_is_known_as_new(self, cluster):
        cluster.start_worker("w5")
        cluster.wait_for_workers(3)
        cluster.connection.new_job(spec("reborn"), SLOW)
        cluster.connection.run_job("reborn")
        wait_until(lambda: busy(cluster, "w5"), 5, "w5 to work")
        cluster.end("w5", signal.SIGKILL)
        cluster.start_worker("w5")
        record = ended(cluster, "reborn")
        assert record["state"] == "succeeded", record["error"]
        assert output_of(cluster, "reborn") == expected()
        cluster.wait_for_workers(3)
        cluster.end("w5", signal.SIGTERM)

    def test_a_second_worker_of_the_same_name_is_refused(self, cluster):
        original = cluster.processes.pop("w1")
        cluster.start_worker("w1")
        wait_until(lambda: "at work already" in cluster.log("w1"), 5, "the refusal")
        cluster.end("w1", signal.SIGTERM)
        cluster.processes["w1"] = original
        assert len(cluster.connection.workers()) == 2

    def test_a_restarted_master_goes_on_with_what_ran_and_repeats_nothing(self, tmp_path):
        ran = tmp_path / "ran"
        code = SLOW.replace(
            b"        time.sleep(0.4)",
            b"        time.sleep(0.4)\n"
            b'        task = self.context.task.partition(".")[0]\n'
            b'        with open("%s", "a") as f: print(task, file=f)\n' % str(ran).encode(),
        )
        with with_books(tmp_path / "store", workers=1) as cluster:
            run(cluster, "before")
            cluster.connection.new_job(spec("interrupted"), code)
            cluster.connection.run_job("interrupted")
            wait_until(lambda: ran.exists(), 10.0, "its first task")
            cluster.end("m1", signal.SIGKILL)
            with pytest.raises(Unreachable, match="start it with `mapreduce up`"):
                cluster.connection.jobs()
            cluster.start_master()
            cluster.wait_for_leader()
            states = {job["name"]: job["state"] for job in cluster.connection.jobs()}
            assert states == {"before": "succeeded", "interrupted": "running"}
            record = ended(cluster, "interrupted")
            assert record["state"] == "succeeded", record["error"]
            assert output_of(cluster, "interrupted") == expected()
            assert record["counters"]["lines"] == sum(TEXT[p * 17 :].count("\n") for p in range(8))
            assert record["takeovers"] == 1
            assert sorted(ran.read_text().split()) == sorted(set(ran.read_text().split()))

    def test_a_port_in_use_is_one_clear_line(self, cluster, tmp_path):
        other = MasterConfig("m2", cluster.address, "", tmp_path)
        with pytest.raises(NodeFailed, match=f"m2 can't listen on {cluster.address}"):
            master.serve(other, [other], cluster.store, lambda: None)

    def test_addresses_that_others_can_reach_are_refused(self, cluster, tmp_path):
        for host in ("0.0.0.0", "192.0.2.1", "example.org"):
            for addresses in ((f"{host}:1", ""), ("127.0.0.1:1", f"{host}:1")):
                other = MasterConfig("m2", *addresses, tmp_path)
                with pytest.raises(NodeFailed, match="does not listen on"):
                    master.serve(other, [other], cluster.store, lambda: None)


class TestBadInput:
    def keys(self, cluster: Cluster) -> list[str]:
        return [key for key in cluster.store.list("") if ":log:" not in key]

    @pytest.mark.parametrize(
        ("changes", "code", "says"),
        [
            ({"inputs": ("/nowhere",)}, WORDCOUNT, "no input '/nowhere'"),
            ({"inputs": ()}, WORDCOUNT, "needs an input"),
            ({"inputs": ("books",)}, WORDCOUNT, "can't name a file"),
            ({"output": "/books"}, WORDCOUNT, "'/books' exists already"),
            ({"output": "out"}, WORDCOUNT, "can't name a file"),
            ({"name": "no/name"}, WORDCOUNT, "can't name a job"),
            ({"reducers": -1}, WORDCOUNT, "reducers is a number from 0 to 10,000, not -1"),
            ({"max_attempts": 0}, WORDCOUNT, "max_attempts is a number from 1"),
            ({"split_bytes": 0}, WORDCOUNT, "split_bytes is a number from 1"),
            ({"input_format": "xml"}, WORDCOUNT, "no input format .xml.; there are text"),
            ({"output_format": "raw:size=1"}, WORDCOUNT, "no option .size=1."),
            ({}, b"class MyMapper: ...", "wc.py has no class MyReducer"),
            ({}, b"def broken(:", "wc.py, line 1"),
        ],
    )
    def test_new_job_refuses_before_anything_has_changed(self, cluster, changes, code, says):
        before = set(self.keys(cluster))
        with pytest.raises(RequestError, match=says) as caught:
            cluster.connection.new_job(spec(**{"name": "bad", **changes}), code)
        assert "\n" not in str(caught.value)
        assert set(self.keys(cluster)) <= before  # jobs that are over may lose some meanwhile

    def test_a_name_that_is_taken(self, cluster):
        cluster.connection.new_job(spec("taken"), WORDCOUNT)
        with pytest.raises(JobError, match="there is a job 'taken' already"):
            cluster.connection.new_job(spec("taken", output="/out/other"), WORDCOUNT)

    def test_of_two_jobs_of_one_name_at_once_one_is_stored(self, cluster):
        def create(number: int) -> str:
            try:
                Connection(cluster.address).new_job(spec("twin", reducers=number), WORDCOUNT)
            except JobError as error:
                return str(error)
            return "stored"

        with ThreadPoolExecutor(4) as threads:
            answers = list(threads.map(create, range(1, 5)))
        assert answers.count("stored") == 1
        assert sum("there is a job 'twin' already" in answer for answer in answers) == 3

    def test_unknown_jobs(self, cluster):
        for call in ("run_job", "kill_job", "job_status", "output"):
            with pytest.raises(JobError, match="no job 'nobody'"):
                getattr(cluster.connection, call)("nobody")

    def test_jobs_that_are_not_in_the_right_state(self, cluster):
        cluster.connection.new_job(spec("idle"), WORDCOUNT)
        with pytest.raises(JobError, match="not running, it is new"):
            cluster.connection.kill_job("idle")
        with pytest.raises(JobError, match="has no output, it is new"):
            cluster.connection.output("idle")
        cluster.connection.run_job("idle")
        with pytest.raises(JobError, match="is running already"):
            cluster.connection.run_job("idle")
        ended(cluster, "idle")
        with pytest.raises(JobError, match="has succeeded"):
            cluster.connection.run_job("idle")

    def test_an_output_that_came_into_being_since(self, cluster):
        cluster.connection.new_job(spec("late"), WORDCOUNT)
        cluster.store.put("/out/late/part", b"")
        with pytest.raises(JobError, match="exists already"):
            cluster.connection.run_job("late")
        assert cluster.connection.job_status("late")["state"] == "new"

    @pytest.mark.parametrize(
        ("changes", "says"),
        [({"inputs": ("/nothing",)}, "/nothing"), ({"output": "/books"}, "exists already")],
    )
    def test_what_is_submitted_and_can_t_start_leaves_nothing(self, cluster, changes, says):
        with pytest.raises(JobError, match=says):
            cluster.connection.submit_job(spec("hasty", **changes), WORDCOUNT)
        assert list(cluster.store.list("job:hasty")) == []

    def test_waiting_for_the_end_is_answered_at_once_when_it_comes(self, cluster):
        cluster.connection.submit_job(spec("awaited"), WORDCOUNT)
        while cluster.connection.await_job("awaited")["state"] == "running":
            pass
        assert cluster.connection.job_status("awaited")["state"] == "succeeded"
        with pytest.raises(JobError, match="no job 'nobody'"):
            cluster.connection.await_job("nobody")

    def test_no_worker_alive(self, tmp_path):
        with with_books(tmp_path / "store", workers=0) as lonely:
            lonely.connection.new_job(spec("wc"), WORDCOUNT)
            for start in (
                lambda: lonely.connection.run_job("wc"),
                lambda: lonely.connection.submit_job(spec("hasty"), WORDCOUNT),
            ):
                with pytest.raises(DynamoError, match="no worker is alive"):
                    start()
            assert lonely.connection.job_status("wc")["state"] == "new"

    def test_no_master(self):
        with pytest.raises(Unreachable, match=r"no master answers at 127\.0\.0\.1:1 "):
            Connection("127.0.0.1:1").jobs()


class TestAnyClient:
    """The plain calls, from a client that knows nothing of us."""

    @pytest.fixture
    def client(self, cluster):
        client = zerorpc.Client(f"tcp://{cluster.address}", timeout=5, heartbeat=None)
        yield client
        client.close()

    def test_a_job_with_the_least_specification(self, cluster, client):
        given = {"name": "plain", "inputs": ["/books/0.txt"], "output": "/out/plain"}
        assert client.new_job(given, WORDCOUNT)["state"] == "new"
        assert client.run_job("plain")["state"] == "running"
        assert ended(cluster, "plain")["state"] == "succeeded"
        assert [f["path"] for f in client.output("plain")["files"]] == ["/out/plain/part-00000"]

    def test_a_job_is_watched_listed_and_killed(self, cluster, client, tmp_path):
        given = {"name": "plain-endless", "inputs": ["/books/0.txt"], "output": "/out/endless"}
        client.new_job(given, endless(tmp_path / "pids"))
        client.run_job("plain-endless")
        wait_until(lambda: client.job_status("plain-endless")["map"]["running"], 10, "a task")
        states = {record["name"]: record["state"] for record in client.jobs()}
        assert states["plain-endless"] == "running"
        assert client.kill_job("plain-endless")["state"] == "killed"
        assert client.job_status("plain-endless")["state"] == "killed"
        wait_until(lambda: client.history("plain-endless"), 10, "the history")
        assert [record["state"] for record in client.history("plain-endless")] == ["killed"]

    @pytest.mark.parametrize(
        ("call", "arguments", "says"),
        [
            ("run_job", (), "the call is run_job(name: str), it was given nothing"),
            ("run_job", (3,), "it was given int"),
            ("jobs", (1,), "the call is jobs()"),
            ("new_job", ("x", "y"), "the call is new_job(spec: dict, code: bytes)"),
            ("new_job", ({"name": 3, "inputs": []}, b""), "the job's specification is wrong"),
            ("new_job", ({"name": "wc"}, b""), "`inputs` is a list of paths"),
            ("report", (b"rubbish",), "not a worker's report"),
        ],
    )
    def test_wrong_arguments_are_answered_with_what_is_right(self, client, call, arguments, says):
        with pytest.raises(zerorpc.RemoteError) as caught:
            client(call, *arguments)
        assert caught.value.name == "RequestError"
        assert says in caught.value.msg

    def test_only_the_meant_calls_are_published(self, client):
        published = set(client._zerorpc_list())
        assert published == {
            "new_job", "run_job", "kill_job", "job_status", "jobs", "output", "workers", "leader",
            "report", "kill_task", "pause_job", "resume_job", "remove_job", "drain_worker",
            "history", "submit_job", "await_job", "await_workers", "scoreboard",
            "relay",
        }  # fmt: skip

    def test_a_newer_report_of_a_worker_releases_the_older(self, cluster):
        def report(number: int) -> bytes:
            return messages.encode(
                messages.Report(worker="x", node="", slots=0, session="s", number=number)
            )

        client = zerorpc.Client(f"tcp://{cluster.address}", timeout=5, heartbeat=None)
        started = time.monotonic()
        older = client.report(report(1), **{"async": True})
        newer = client.report(report(2), **{"async": True})
        older.get()
        assert time.monotonic() - started < messages.HOLD_S
        newer.get()
        goodbye = messages.Report(worker="x", node="", slots=0, session="s", number=3, goodbye=True)
        client.report(messages.encode(goodbye))
        client.close()
